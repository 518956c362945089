"""The README is short, and so is what it shows; its commands run in their order, in an empty folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import COLUMNS, ROOT, Walk, blocks, names, walk

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def going(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Iterator[Walk]:
    """The README in an empty folder."""
    with walk(README, tmp_path_factory.mktemp("readme"), trained) as found:
        yield found


@pytest.mark.parametrize("index", range(len(blocks(README))), ids=names(README))
def test_a_block_does_what_it_shows(going: Walk, index: int) -> None:
    """After the blocks before it."""
    going.through(index)


def test_it_is_read_in_minutes() -> None:
    """At most 1,500 words and three pictures."""
    assert len(TEXT.split()) <= 1500
    assert TEXT.count("![") <= 3


def test_it_fits_a_phone() -> None:
    """No tables, and no line of code that is wider than a narrow terminal."""
    assert not re.search(r"^\|.*\|$", TEXT, re.MULTILINE)
    for block in blocks(README):
        for line in block.text.splitlines():
            assert len(line) <= COLUMNS, line


def test_what_it_links_to_is_there() -> None:
    """Pictures, guides and other files of the repository."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), target


def test_every_picture_is_shown() -> None:
    """None is kept that no page shows."""
    kept = {f"tests/pictures/{file.name}" for file in (ROOT / "tests" / "pictures").iterdir()}
    assert kept == set(re.findall(r"!\[[^]]*\]\(([^)]+)\)", TEXT))


def test_every_command_and_option_is_documented() -> None:
    """Each command has help, each option says what it does or is one of two self-explaining ones."""
    import click

    from nin_spec.cli import group
    from nin_spec.cli.commands import COMMANDS as COMMAND_HOMES

    context = click.Context(group)
    for name in COMMAND_HOMES:
        command = group.get_command(context, name)
        assert command is not None
        assert command.help
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help or option.name in {"form", "device"}, (name, option.name)
