"""Promises that hold for every spec, every slip in a spec, and every override: tried on generated ones."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from examples import many
from hypothesis import given
from hypothesis import strategies as st
from spans import assert_inside
from spec_strategies import Data, specs, to_text

from nin_spec.diagnostics import Diagnostic, SpecError
from nin_spec.language.canonical import Canonical
from nin_spec.language.emit import emit
from nin_spec.language.load import loads
from nin_spec.lower import lower
from nin_spec.named import SHIPPED

SHIPPED_TEXTS = {p.stem: p.read_text() for p in sorted(SHIPPED.glob("*.yaml"))}


def compiled(text: str, overrides: tuple[str, ...] = ()) -> tuple[Canonical, str]:
    """The canonical form and the graph as text."""
    canonical = loads(text, overrides=overrides)
    return canonical, str(lower(canonical))


def leaves(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of every scalar."""
    if isinstance(data, dict):
        return [p for k, v in data.items() for p in leaves(v, (*path, k))]
    if isinstance(data, list):
        return [p for k, v in enumerate(data) for p in leaves(v, (*path, k))]
    return [path]


@given(specs())
def test_valid_specs_compile_and_reload(data: Data) -> None:
    """A spec within the grammar compiles; its canonical text is a spec of the same data and the same graph."""
    canonical, graph = compiled(to_text(data))
    again, same = compiled(canonical.text)
    assert again.data == canonical.data
    assert again.text == canonical.text
    assert same == graph


@given(specs())
def test_emitted_specs_read_back(data: Data) -> None:
    """Our YAML of a spec and its JSON are two spellings of one canonical form."""
    assert loads(emit(data)).data == loads(to_text(data)).data


@given(specs())
def test_origins_point_into_the_source(data: Data) -> None:
    """Every value of the canonical form comes from a place in the text that holds it, or from the language."""
    canonical = loads(to_text(data))
    for path in leaves(canonical.data):
        span = canonical.origins.get(path)
        if span is not None:
            assert_inside(span)
        assert_inside(canonical.where(*path))


def attempt(text: str, overrides: tuple[str, ...] = ()) -> None:
    """Compile; what goes wrong is a SpecError whose diagnostics point inside their sources."""
    found: tuple[Diagnostic, ...] = ()
    try:
        compiled(text, overrides)
    except SpecError as error:
        found = error.diagnostics or pytest.fail("a refusal without a diagnostic")
    for diagnostic in found:
        assert diagnostic.message
        if diagnostic.span is not None:
            assert_inside(diagnostic.span)


def edit_characters(text: str, rng: random.Random) -> str:
    """Characters put in, taken out and replaced."""
    characters = list(text)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(characters))
        new = rng.choice([*"{}[]:,-#&*!|>'\"%@`~?\t\n 0e.<=\\", "\r", "\x00", "\x85", "\u2028", "\ufeff", "é", "😀"])
        characters[at : at + rng.randint(0, 2)] = [new] * rng.randint(0, 2)
    return "".join(characters)


def edit_lines(text: str, rng: random.Random) -> str:
    """Lines dropped, doubled, moved and indented."""
    lines = text.splitlines(keepends=True)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        change: Callable[[str], list[str]] = rng.choice(
            [
                lambda _: [],
                lambda s: [s, s],
                lambda s: [f"  {s}"],
                lambda s: [s.lstrip()],
                lambda s: [f"{s.rstrip()}:\n"],
            ]
        )
        lines[at : at + 1] = change(lines[at])
        lines = lines or ["\n"]
    return "".join(lines)


def edit_words(text: str, rng: random.Random) -> str:
    """Words of the spec change places."""
    words = text.split(" ")
    for _ in range(rng.randint(1, 4)):
        a, b = rng.randrange(len(words)), rng.randrange(len(words))
        words[a], words[b] = words[b], words[a]
    return " ".join(words)


@pytest.mark.parametrize("edit", [edit_characters, edit_lines, edit_words], ids=lambda f: f.__name__)
@many
@given(name=st.sampled_from(sorted(SHIPPED_TEXTS)), rng=st.randoms(use_true_random=False))
def test_damaged_specs_are_refused_with_places(
    edit: Callable[[str, random.Random], str], name: str, rng: random.Random
) -> None:
    """A shipped spec damaged at random compiles or gives diagnostics, never another error."""
    attempt(edit(SHIPPED_TEXTS[name], rng))


values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**30), 10**30),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["same", "classes", "max", "none", "sign", "1/0", "global_avg"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["kind", "kernel", "p", "channels", "top", "units", "name", "residual"]), inner, max_size=3
        ),
    ),
    max_leaves=5,
)


def json_text(value: Any) -> str:
    """A value as YAML; what JSON calls NaN and Infinity are words there."""
    return json.dumps(value, ensure_ascii=True).replace("NaN", ".nan").replace("Infinity", ".inf")


@given(data=specs(), value=values, rng=st.randoms(use_true_random=False))
def test_values_of_other_types_are_refused_with_places(data: Data, value: Any, rng: random.Random) -> None:
    """A value of any type in any place compiles or gives diagnostics, never another error."""
    data = copy.deepcopy(data)  # parts of it belong to the strategies
    path = rng.choice(leaves(data))
    path = path[: rng.randint(1, len(path))]
    parent: Any = data
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    attempt(json_text(data))


steps = st.one_of(
    st.sampled_from(
        [
            "blocks",
            "0",
            "1",
            "2",
            "-1",
            "name",
            "channels",
            "convs",
            "kernel",
            "padding",
            "pool",
            "dropout",
            "head",
            "train",
            "input",
            "size",
            "defaults",
            "norm",
            "kind",
            "eps",
            "mlpconv1",
            "dense",
            "classes",
            "extends",
            "optimizer",
            "lr",
            "lr_multipliers",
            "*.bias",
            "preprocess",
            "mean",
            "spec",
        ]
    ),
    st.text(max_size=4),
)


@many
@given(
    name=st.sampled_from(sorted(SHIPPED_TEXTS)),
    paths=st.lists(st.tuples(st.lists(steps, min_size=1, max_size=4), values), min_size=1, max_size=3),
    junk=st.text(max_size=3),
)
def test_random_overrides_are_refused_with_places(name: str, paths: list[tuple[list[str], Any]], junk: str) -> None:
    """Any `--set` argument applies or gives diagnostics, never another error."""
    attempt(SHIPPED_TEXTS[name], tuple(f"{'.'.join(p)}={json_text(v)}{junk}" for p, v in paths))


@given(st.text())
def test_any_text_is_refused_with_places(text: str) -> None:
    """Text that is not a spec gives diagnostics, never another error."""
    attempt(text)
