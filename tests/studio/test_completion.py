"""What the studio's editor proposes and explains, at the mark `|`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.language.load import loads
from nin_spec.language.schema import Block, Head, Spec
from nin_spec.lower import lower
from nin_spec.named import SHIPPED
from nin_spec.studio.completion import complete, explain
from nin_spec.studio.cursor import cursor_at

START = "spec: 1\nname: a\ninput: {channels: 3, size: 32}\nclasses: 10\nblocks:\n"
FAMILY = "spec: 1\nextends: nin_cifar\nname: a\nblocks:\n  mlpconv1:\n    |"


def labels(text: str) -> list[str]:
    """The proposals at the mark."""
    before, _, after = text.partition("|")
    return [p["label"] for p in complete(before, after)]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("|", Spec.model_fields),
        ("spec: 1\nna|", Spec.model_fields),
        (START + "  - |", Block.model_fields),
        (START + "  - channels: [8]\n    ke|", Block.model_fields),
        (START + "- channels: [8]\n  ke|", Block.model_fields),
        (START + "  - {channels: [8], ke|}", Block.model_fields),
        (START + "  - channels: [8]\n\n    # a remark\n    ke|", Block.model_fields),
        (START + "  - {channels: [8]}\nhead:\n  po|", Head.model_fields),
        (FAMILY, Block.model_fields),
    ],
)
def test_keys_are_those_of_the_place(text: str, keys: dict[str, object]) -> None:
    """At the top, in a block however it is written, in one that is changed by name, in the head."""
    assert set(labels(text)) == set(keys)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (START + "  - activation: |", "leaky_relu"),
        (START + "  - pool: |", "{kind: max, kernel: 3}"),
        (START + "  - pool: {kind: |", "avg"),
        (START + "  - pool: {kind: max, kernel: 3, ceil_mode: |", "true"),
        (START + "  - channels: [8, cl|", "classes"),
        (START + "  - padding: sa|", "same"),
        (START + "defaults:\n  order: [conv, |", "norm"),
        (START + "train:\n  optimizer:\n    kind: |", "adamw"),
        ("spec: 1\nextends: nin_c|", "nin_cifar"),
    ],
)
def test_values_are_those_of_the_key(text: str, word: str) -> None:
    """Words, kinds, truths, names of shipped specs."""
    assert word in labels(text)


@pytest.mark.parametrize("text", ["# spec|", 'name: "ke|', "nothing:\n  |", START + "  - kernel: 3 # pa|"])
def test_nothing_is_proposed_where_nothing_is_known(text: str) -> None:
    """In a comment, in quotes, under a key that the language does not have."""
    assert labels(text) == []


@pytest.mark.parametrize("word", [w for w in labels(START + "  - pool: |") if w != "none"])
def test_a_proposed_pool_compiles(word: str) -> None:
    """What is proposed can be taken as it is."""
    assert lower(loads(START + f"  - {{channels: [10], kernel: 3}}\nhead: {{pool: {word}, dense: [classes]}}\n"))


def test_a_key_is_explained() -> None:
    """What it means, its default and its source; nothing is said of a value."""
    text = explain(START + "  - pool: {kind: max, ceil", "_mode: true}")
    assert "partial window" in text
    assert "Default: false" in text
    assert explain(START + "  - pool: {kind: ", "max}") == ""


@given(st.text(alphabet="ab:{}[]-,# \n\"'pooledkind\t", max_size=60))
def test_no_text_is_too_strange(text: str) -> None:
    """Whatever has been typed so far, there is a place or none, and never an error."""
    cursor_at(text)
    complete(text, "")


OWN = ("mlpconv", "deep")
"""How a person's own keys begin in the shipped specs: names of blocks."""


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_key_of_the_shipped_specs_is_proposed_where_it_stands(path: Path) -> None:
    """At each line that begins with a key of the language, that key is among the proposals."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        found = re.match(r"[ -]*(?P<key>[a-z_]+):", line)
        if found and not found["key"].startswith(OWN):
            before = "\n".join([*lines[:number], line[: found.start("key")]])
            after = "\n".join(lines[number + 1 :])
            assert found["key"] in labels(f"{before}|\n{after}"), f"{number + 1}: {line}"
