"""The corpus of bad specs: each file is refused with exactly the diagnostics written beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from goldens import assert_golden
from spans import assert_inside

from nin_spec.diagnostics import Code, SpecError
from nin_spec.language.load import load
from nin_spec.lower import lower

CORPUS = Path(__file__).parent.parent / "bad_specs"
FILES = sorted(CORPUS.glob("*.yaml"))

ELSEWHERE = {
    Code.FILE_TOO_LARGE: "test_hostile.py writes a file that is too large",
    Code.BAD_OVERRIDE: "test_family.py tries the overrides of the command line",
    Code.WRONG_KIND: "test_named.py names files of other tools",
}
"""Codes that no small file can cause, and the test that does."""


def refusal(path: Path) -> SpecError:
    """The error that compiling a file raises."""
    with pytest.raises(SpecError) as caught:
        lower(load(path.name))
    return caught.value


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_bad_spec_is_refused_as_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rendered diagnostics are those of the .txt beside the spec; `UPDATE_GOLDENS=1 pytest` writes them again."""
    monkeypatch.chdir(CORPUS)
    assert_golden(f"{refusal(path)}\n", path.with_suffix(".txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_bad_spec_is_named_for_its_code(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code in the file's name is among the diagnostics, and each points inside its source."""
    monkeypatch.chdir(CORPUS)
    error = refusal(path)
    assert path.stem.partition("_")[0] in {d.code.code for d in error.diagnostics}
    for diagnostic in error.diagnostics:
        if diagnostic.span is not None:
            assert_inside(diagnostic.span)


@pytest.mark.parametrize("code", [c for c in Code if c.code < "NIN5"], ids=lambda c: c.code)
def test_every_code_has_a_bad_spec(code: Code) -> None:
    """No code of the language goes without a file that causes it, but for those tested elsewhere."""
    own = any(p.name.startswith(f"{code.code}_") for p in FILES)
    assert own != (code in ELSEWHERE)


def test_every_golden_has_its_spec() -> None:
    """No expected text outlives its spec."""
    assert {p.stem for p in CORPUS.glob("*.txt")} == {p.stem for p in FILES}
