"""Diagnostics: codes that stay, places that are shown, text that can't harm a terminal."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nin_spec import diagnostics
from nin_spec.diagnostics import (
    Code,
    Diagnostic,
    NinSpecError,
    Severity,
    Source,
    Span,
    SpecError,
    did_you_mean,
    nearest,
    printable,
    render,
    short,
)

SOURCE = Source("a.yaml", "spec: 1\n\tkey: välue\n")


def test_codes_are_unique_and_in_order() -> None:
    """NINxyz, each once, in the order of the list, each with a meaning."""
    codes = [c.code for c in Code]
    assert len(set(codes)) == len(codes)
    assert codes == sorted(codes)
    assert all(re.fullmatch(r"NIN[0-9]{3}", c) for c in codes)
    assert all(c.meaning for c in Code)


def test_a_diagnostic_is_rendered_with_its_line() -> None:
    """Place, severity, code, message, the line, a caret under each character meant, the hint."""
    diagnostic = Diagnostic(Code.WRONG_TYPE, "no", Span(SOURCE, 2, 7, 5), "yes", Severity.WARNING)
    assert render(diagnostic) == ("a.yaml:2:7: warning NIN203: no\n 2 |  key: välue\n   |       ^^^^^\n   = hint: yes")


def test_a_diagnostic_without_a_place_is_rendered() -> None:
    """What concerns a whole file has no line."""
    assert render(Diagnostic(Code.NOT_UTF8, "no")) == "error NIN004: no"
    assert render(Diagnostic(Code.NOT_UTF8, "no", hint="yes")) == "error NIN004: no\n  hint: yes"


@pytest.mark.parametrize(("column", "length"), [(1, 5000), (50, 1), (141, 3), (900, 10), (990, 100), (1001, 1)])
def test_long_lines_are_cut_around_the_place(column: int, length: int) -> None:
    """The caret stays under what it means, and the line stays short."""
    text = "".join(chr(0x4E00 + i) for i in range(1000))
    _, line, caret = render(Diagnostic(Code.WRONG_TYPE, "no", Span(Source("a", text), 1, column, length))).splitlines()
    assert len(line) < 200
    assert len(caret) <= len(line) + 1
    at = caret.index("^")
    assert line[at:] == "" if column > 1000 else line[at] == text[column - 1]


def test_a_place_past_the_end_is_rendered() -> None:
    """Also where a text ends too early."""
    assert render(Diagnostic(Code.YAML_SYNTAX, "no", Span(Source("a", ""), 1, 1))).splitlines()[1] == " 1 | "


@pytest.mark.parametrize("character", ["\x1b", "\x00", "\x07", "\x9b", "\u202e", "\u2028", "\ud800", "\n"])
def test_controls_never_reach_the_terminal(character: str) -> None:
    """As an escape that JSON and YAML read, and carets stay in place."""
    shown = printable(f"a{character}b")
    assert re.fullmatch(r"a\\u[0-9a-f]{4}b", shown)
    assert json.loads(f'"{shown}"') == yaml.safe_load(f'"{shown}"') == f"a{character}b"
    place = Span(Source("n", f"t{character}u"), 1, 3)
    line, caret = render(Diagnostic(Code.WRONG_TYPE, "m", place)).split("\n")[1:3]
    assert character in "\n\u2028" or line[caret.index("^")] == "u"
    span = Span(Source(f"n{character}", f"t{character}"), 1, 1)
    rendered = render(Diagnostic(Code.WRONG_TYPE, f"m{character}", span, f"h{character}"))
    assert character == "\n" or character not in rendered


def test_an_error_carries_all_its_diagnostics() -> None:
    """Its text is all of them rendered; one or many may be given."""
    one = Diagnostic(Code.WRONG_TYPE, "one")
    two = Diagnostic(Code.UNKNOWN_KEY, "two")
    assert SpecError(one).diagnostics == (one,)
    assert str(SpecError(d for d in (one, two))) == "error NIN203: one\nerror NIN201: two"


@given(st.text(st.characters(categories=("L", "N", "P", "S"))) | st.just("a\u200c\u00a0\u3000b"))
def test_text_of_any_language_is_shown_as_it_is(text: str) -> None:
    """Persian joiners and wide spaces too."""
    assert printable(text) == text


@given(st.text())
def test_what_is_printed_is_printable(text: str) -> None:
    """Whatever a name holds, it can be encoded, moves nothing and hides nothing."""
    shown = printable(text)
    shown.encode()
    assert not {
        c for c in shown if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} or c in "\u202a\u202e\u2066\u200e"
    }
    assert "\n" not in shown


def test_every_error_of_the_tree_has_its_exit_code() -> None:
    """2 for what can't be used, 1 for a check that failed; the tree at the module's top lists them all."""
    found = [e for e in vars(diagnostics).values() if isinstance(e, type) and issubclass(e, NinSpecError)]
    assert diagnostics.__doc__ is not None
    for error in found:
        assert error.__name__ in diagnostics.__doc__
        assert error.exit_code == (
            1 if error.__name__ in {"ParityError", "DivergedError", "BudgetError", "PeerLostError"} else 2
        )


@pytest.mark.parametrize(
    ("word", "near"), [("kernal", "kernel"), ("KERNEL", "kernel"), ("stirde", "stride"), ("xyz", None), ("", None)]
)
def test_the_nearest_word_is_found(word: str, near: str | None) -> None:
    """A misspelling finds its word, nonsense finds none."""
    choices = ["kernel", "stride", "padding"]
    assert nearest(word, choices) == near
    hint = did_you_mean(word, choices)
    assert hint == (f"did you mean {near!r}?" if near else "expected one of: kernel, stride, padding")


def test_short_quotes_no_megabytes() -> None:
    """Long text ends in dots, short text stays."""
    assert short("word") == "word"
    assert len(short("x" * 10**6)) == 60
    assert short("x" * 61).endswith("...")


def test_a_diagnostic_is_plain_data() -> None:
    """As `--format json` prints it."""
    assert Diagnostic(Code.WRONG_TYPE, "no", Span(SOURCE, 2, 7)).as_dict() == {
        "code": "NIN203",
        "severity": "error",
        "message": "no",
        "hint": None,
        "file": "a.yaml",
        "line": 2,
        "column": 7,
    }
    assert Diagnostic(Code.WRONG_TYPE, "no").as_dict()["line"] is None
