"""The guides say what is so: every block runs, every link leads somewhere, every topic is listed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest
from documents import COLUMNS, ROOT, Walk, blocks, names, walk

from nin_spec import guide

RUN = [
    pytest.param(topic, index, id=name)
    for topic in guide.TOPICS
    for index, name in enumerate(names(guide.FOLDER / f"{topic}.md"))
]
"""Every block of every guide."""


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Iterator[dict[str, Walk]]:
    """Each guide in a folder of its own, empty but for `photos`, which readers bring."""
    going: dict[str, Walk] = {}
    with ExitStack() as stack:
        for topic in guide.TOPICS:
            folder = tmp_path_factory.mktemp(topic)
            going[topic] = stack.enter_context(walk(guide.FOLDER / f"{topic}.md", folder, trained))
        photographs(going["data"].folder / "photos")
        yield going


def photographs(folder: Path) -> None:
    """Pictures by class, in two splits."""
    from PIL import Image

    for split, name, number in product(("train", "test"), ("cat", "dog"), range(6)):
        place = folder / split / name
        place.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 32), 20 + 40 * (name == "dog")).convert("RGB").save(place / f"{number}.jpg")


@pytest.mark.parametrize(("topic", "index"), RUN)
def test_a_block_does_what_it_shows(walks: dict[str, Walk], topic: str, index: int) -> None:
    """After the blocks before it in its guide."""
    walks[topic].through(index)


def test_every_guide_is_a_topic() -> None:
    """A file that is added is listed."""
    assert {file.stem for file in guide.FOLDER.glob("*.md")} == set(guide.TOPICS)


@pytest.mark.parametrize("topic", guide.TOPICS)
def test_a_guide_has_a_title_and_a_summary(topic: str) -> None:
    """The list shows the sentence under the title, on one line."""
    title, blank, sentence, after = guide.markdown(topic).splitlines()[:4]
    assert title.startswith("# ")
    assert not blank
    assert not after
    assert sentence.endswith(".")
    assert len(sentence) <= 68  # beside the topic, in 80 columns


@pytest.mark.parametrize("topic", guide.TOPICS)
def test_a_guide_is_plain_and_narrow(topic: str) -> None:
    """ASCII, and, but for tables, lines that fit a terminal; code fits a narrow one."""
    assert guide.markdown(topic).isascii()
    assert [line for line in guide.markdown(topic).splitlines() if len(line) > 80 and line[0] != "|"] == []
    for block in blocks(guide.FOLDER / f"{topic}.md"):
        assert [line for line in block.text.splitlines() if len(line) > COLUMNS] == [], block


@pytest.mark.parametrize("topic", guide.TOPICS)
def test_what_a_guide_names_is_there(topic: str) -> None:
    """Other guides, files of the repository, and the heading of a link."""
    text = guide.markdown(topic)
    assert set(re.findall(r"nin-spec guide (\w+)", text)) <= {*guide.TOPICS}
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (guide.FOLDER / target).exists(), target


def test_every_guide_is_in_the_readme() -> None:
    """As a link to its file."""
    readme = (ROOT / "README.md").read_text()
    for topic in guide.TOPICS:
        assert f"(nin_spec/guide/{topic}.md)" in readme
