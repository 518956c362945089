"""YAML as nodes: plain scalars by the core schema of YAML 1.2, and a place for every value."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nin_spec.diagnostics import Code, Source, SpecError
from nin_spec.language.document import Entry, Items, Table, Value, find, parse, plain, resolve_plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("~", None),
        ("", None),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("12", 12),
        ("-3", -3),
        ("+3", 3),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-4", 1e-4),
        ("1E3", 1000.0),
        ("-.inf", -math.inf),
        ("1e400", math.inf),
        ("1.2.3", "1.2.3"),
        ("1/255", "1/255"),
        ("٣", "٣"),
        ("2026-01-01", "2026-01-01"),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    """An unquoted word is what YAML 1.2 makes of it, not what YAML 1.1 did."""
    found = resolve_plain(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["'12'", '"12"', "! 12", '"true"', "'null'", "|\n  12\n"])
def test_quoted_scalars_are_text(text: str) -> None:
    """Quotes, block scalars and the non-specific tag make text of anything."""
    assert isinstance(plain(parse(Source("a", f"key: {text}")))["key"], str)


def test_every_key_and_value_has_its_place() -> None:
    """Spans count lines and characters from one, and reach over the scalar."""
    root = parse(Source("a.yaml", "one: 1\ntwo:\n  - {é: word, 'b': [x]}\n"))
    assert isinstance(root, Table)
    entry = root.entries["two"]
    assert isinstance(entry, Entry)
    assert (str(entry.key_span), entry.key_span.length) == ("a.yaml:2:1", 3)
    word = find(root, ("two", 0, "é"))
    assert isinstance(word, Value)
    assert (word.value, str(word.span), word.span.length) == ("word", "a.yaml:3:9", 4)
    inner = find(root, ("two", 0, "b", 0))
    assert isinstance(inner, Value)
    assert str(inner.span) == "a.yaml:3:21"
    assert isinstance(find(root, ("two",)), Items)
    assert find(root, ("two", 1)) is None
    assert find(root, ("one", "two")) is None


def test_aliases_stand_where_their_anchor_stands() -> None:
    """An alias is the anchored node itself: an error in it is shown where it was written."""
    root = parse(Source("a", "a: &x {k: 1}\nb: *x\n"))
    assert find(root, ("a",)) is find(root, ("b",))
    assert plain(root) == {"a": {"k": 1}, "b": {"k": 1}}


def test_all_findings_before_the_first_syntax_error_are_given() -> None:
    """A duplicate key, a tag and then a syntax error: three diagnostics."""
    with pytest.raises(SpecError) as caught:
        parse(Source("a", "k: 1\nk: !t 2\nl: [\n"))
    assert [d.code for d in caught.value.diagnostics] == [Code.YAML_TAG, Code.YAML_DUPLICATE_KEY, Code.YAML_SYNTAX]
