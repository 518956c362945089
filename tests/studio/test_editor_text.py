"""The server's copy of the text: whole texts in any order, of which the newest stays."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("nicegui", reason="the studio is tested where its extra is installed")

from nin_spec.studio.editor import Editor


def editor(told: list[str]) -> Editor:
    """An editor without a page."""
    made = object.__new__(Editor)
    made.text, made.version = "first", 0
    made.element = SimpleNamespace(client=contextlib.nullcontext())  # type: ignore[assignment]
    made._changed = lambda: told.append(made.text)
    made._actions = {"save": lambda: told.append(f"saved {made.text}")}
    return made


@given(st.permutations(range(1, 8)), st.integers(0, 6))
def test_texts_may_overtake_one_another(order: list[int], saving: int) -> None:
    """The newest that came stays, and is what is saved: never an older one."""
    told: list[str] = []
    made = editor(told)
    for index, version in enumerate(order):
        made.typed(version, str(version), "save" if index == saving else "")
        newest = max(order[: index + 1])
        assert (made.version, made.text) == (newest, str(newest))
        if index == saving:
            assert told[-1] == f"saved {newest}"
