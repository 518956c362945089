"""What an editor shows of a spec, by the real yaml-language-server (npm install yaml-language-server)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from language_server import VARIABLE, LanguageServer, program

from nin_spec.language.json_schema import json_schema
from nin_spec.language.load import loads
from nin_spec.language.schema import Block, Spec
from nin_spec.named import SHIPPED

TESTS = Path(__file__).parent.parent
SPECS = [*sorted(SHIPPED.glob("*.yaml")), *sorted((TESTS / "oracle_specs").glob("*.yaml"))]
START = "spec: 1\nname: a\ninput: {channels: 3, size: 32}\nclasses: 10\nblocks:\n"
FAMILY = "spec: 1\nextends: nin_cifar\nname: a\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    """The server, with the schema in a file as `nin-spec schema` prints it."""
    command = program()
    if command is None:
        pytest.skip(f"needs yaml-language-server on the path, or its place in {VARIABLE}")
    schema = tmp_path_factory.mktemp("schema") / "nin-spec.schema.json"
    schema.write_text(json.dumps(json_schema()))
    with LanguageServer(command, schema) as running:
        yield running


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_an_editor_underlines_nothing_in_a_good_spec(server: LanguageServer, path: Path) -> None:
    """Neither in the shipped specs nor in the oracles."""
    assert server.open(path.read_text())[1] == []


SPELLINGS = [
    "  - {channels: [8, classes], kernel: [3, 5], padding: same, activation: relu, norm: batch, dropout: 0.5}\n",
    "  - {convs: [8, {channels: classes, dropout: 0.1}], kernel: 3, padding: {top: 0, bottom: 1}, pool: none}\n",
    "  - {channels: [10], kernel: 1, init: {kind: gaussian, std: 0.05}, pool: {kind: max, kernel: 2}}\n",
    "  - {channels: [10], kernel: 1}\nhead: {pool: none, dense: [32, {units: classes, activation: none}]}\n",
]


@pytest.mark.parametrize("blocks", SPELLINGS)
def test_short_spellings_are_not_underlined(server: LanguageServer, blocks: str) -> None:
    """What the language reads, the editor takes."""
    assert loads(START + blocks)
    assert server.open(START + blocks)[1] == []


@pytest.mark.parametrize("text", [START + "  - kernel: 3\n    |", FAMILY + "blocks:\n  mlpconv1:\n    |"])
def test_a_block_is_completed_with_its_keys(server: LanguageServer, text: str) -> None:
    """Each key of a block, but those that stand there; also in a block that is changed by name."""
    proposed = server.complete(text)
    written = {"kernel"} if "kernel" in text else set()
    assert set(proposed) >= set(Block.model_fields) - written
    assert not written & set(proposed)
    assert "null" not in "".join(item["insertText"] for item in proposed.values())


def test_the_top_is_completed_with_its_keys(server: LanguageServer) -> None:
    """In an empty file."""
    assert set(server.complete("|")) >= set(Spec.model_fields)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (START + "  - kernel: 3\n    |", "channels"),
        (START + "  - channels: [10]\n    |", "kernel"),
        (START + "  - {channels: [10], kernel: 1}\nhead:\n  pool: |", "max"),
        (START + "  - channels: [10]\n    kernel: 3\n    activation: |", "relu"),
        (START + "  - channels: [10]\n    kernel: 3\n    |", "order"),
    ],
)
def test_what_a_completion_writes_is_a_spec(server: LanguageServer, text: str, label: str) -> None:
    """Once the places to fill in have their proposed values."""
    written = server.complete(text)[label]["insertText"]
    before, _, after = text.partition("|")
    indent = " " * (len(before.rpartition("\n")[2]) - len(before.rpartition("\n")[2].lstrip()))
    plain = "".join(part.partition(":")[2] if part[:1].isdigit() else part for part in _fields(written))
    whole = before + plain.replace("\n", f"\n{indent}") + after
    assert not [e for e in server.open(whole)[1] if "Missing" not in e["message"]], yaml.safe_load(whole)


def _fields(snippet: str) -> list[str]:
    """A snippet, cut at the braces of its `${1:value}`."""
    return snippet.replace("${", "\0").replace("}", "\0").split("\0")


@pytest.mark.parametrize("text", ["  - {channels: [8], kernel: 3, pool: {kind: max, kernel: 3, ceil_m|ode: true}}\n"])
def test_hover_explains_a_key(server: LanguageServer, text: str) -> None:
    """What `ceil_mode` means, its default, who rounds which way, and in which part of the language it stands."""
    shown = server.hover(START + text)
    assert "partial window" in shown
    assert "Default: `false`" in shown
    assert "cuda-convnet and Caffe, in which the paper's networks were made, do" in shown
    assert "*MaxPool*: Maximum over each window" in shown


def test_hover_names_the_unit_and_the_source(server: LanguageServer) -> None:
    """A kernel is in cells, and a block is the paper's section 3.1."""
    shown = server.hover(START + "  - {channels: [8], ker|nel: 3}\n")
    assert "in cells" in shown
    assert "section 3.1" in shown


@pytest.mark.parametrize("start", [START + "  - channels: [8]\n", FAMILY + "blocks:\n  mlpconv1:\n"])
def test_a_typo_is_underlined_where_it_stands(server: LanguageServer, start: str) -> None:
    """The key alone, on its line; nothing else."""
    text = f"{start}    kernal: 3\n"
    (found,) = server.open(text)[1]
    assert found["message"] == "Property kernal is not allowed."
    line = text.splitlines().index("    kernal: 3") + 1
    assert found["range"] == {"start": {"line": line, "character": 4}, "end": {"line": line, "character": 10}}
