"""Comments that silence rules: where they may stand, what they reach, and what is reported about those that don't."""

from __future__ import annotations

from pathlib import Path

import pytest
from lint_specs import STEM, codes_of, network_of, spec_of, told

from nin_spec.lint import lint
from nin_spec.network import compile as compile_network

BARE = "{channels: [classes], kernel: 7, padding: 3}"
FAULT = spec_of(STEM, BARE)


def test_the_fault_is_reported() -> None:
    """What the comments below are to silence."""
    assert codes_of(FAULT) == ["NIN901"]


@pytest.mark.parametrize(
    "comment",
    [
        "# nin: ignore[NIN901]",
        "# nin: ignore[NIN901] as published",
        "#nin:ignore[ NIN901 ]",
        "# one map a class  # nin: ignore[NIN901] why",
        "# nin: ignore [NIN901]",
    ],
)
def test_on_the_line(comment: str) -> None:
    """Behind the line's end, alone or behind another comment, with its reason or without."""
    assert codes_of(FAULT.replace(BARE, f"{BARE}  {comment}")) == []


@pytest.mark.parametrize(
    "above",
    ["  # nin: ignore[NIN901]\n", "# nin: ignore[NIN901] because\n  # it is so\n", "#\n# nin: ignore[NIN901]\n"],
)
def test_above_the_line(above: str) -> None:
    """On a line of its own, and in a run of comments right above."""
    assert codes_of(FAULT.replace(f"  - {BARE}", f"{above}  - {BARE}")) == []


@pytest.mark.parametrize(
    "top", ["# nin: ignore[NIN901]\n", "# a\n\n# nin: ignore[NIN901] why\n# b\n\n", "%YAML 1.2\n---\n"]
)
def test_at_the_top(top: str) -> None:
    """Before the first key it counts for the whole file."""
    directive = "" if "ignore" in top else "# nin: ignore[NIN901]\n"
    assert codes_of(top + directive + FAULT) == []


def test_several_codes() -> None:
    """One comment names as many as there are."""
    text = spec_of(STEM, BARE, size=40).replace(BARE, f"{BARE}  # nin: ignore[NIN901, NIN907] why")
    assert codes_of(text) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (BARE, f"{BARE}  # nin: ignore[NIN902]"),
        (f"  - {BARE}", f"  # nin: ignore[NIN901]\n\n  - {BARE}"),
        (STEM, f"{STEM}  # nin: ignore[NIN901]"),
        ("blocks:", "# nin: ignore[NIN901]\nblocks:"),
        (BARE, f"{BARE}\n# nin: ignore[NIN901]"),
    ],
)
def test_comments_that_reach_nothing(old: str, new: str) -> None:
    """Another rule, another line, an empty line between, the end of the file: reported, and nothing is silenced."""
    assert sorted(codes_of(FAULT.replace(old, new))) == ["NIN901", "NIN990"]


def test_an_unused_comment_is_shown() -> None:
    """The code, not the whole line."""
    text = FAULT.replace(STEM, f"{STEM}  # nin: ignore[NIN904]")
    assert told(text, "NIN990") == [(6, 59, "NIN904", "NIN904 is not found here, so this comment suppresses nothing")]


@pytest.mark.parametrize(
    ("comment", "shown", "message"),
    [
        ("# nin: ignore[NIN94]", "NIN94", "unknown rule 'NIN94'; nothing is ignored"),
        ("# nin: ignore[NIN401]", "NIN401", "unknown rule 'NIN401'; nothing is ignored"),
        ("# nin: ignore[NIN990]", "NIN990", "unknown rule 'NIN990'; nothing is ignored"),
        ("# nin: ignore", "# nin: ignore", "the comment does not name a rule; nothing is ignored"),
        ("# nin: ignore[]", "# nin: ignore[]", "the comment does not name a rule; nothing is ignored"),
        ("# nin: ignore NIN901", "# nin: ignore", "the comment does not name a rule; nothing is ignored"),
    ],
)
def test_comments_that_name_no_rule(comment: str, shown: str, message: str) -> None:
    """A misspelt code, an error's, none: reported with the nearest."""
    ((_, _, text, found),) = told(FAULT.replace(BARE, f"{BARE}  {comment}"), "NIN991")
    assert (text, found) == (shown, message)


@pytest.mark.parametrize(
    "line",
    [
        'summary: "not # nin: ignore[NIN902] a comment"',
        "summary: not#nin:ignore[NIN902]",
        "summary: |\n  text\n  # nin: ignore[NIN902]",
        "# nin is what we ignore",
        "# nin: ignored are the old ones",
    ],
)
def test_what_is_not_a_comment_of_ours(line: str) -> None:
    """A hash in a text, a block of text, and words that only sound alike."""
    assert codes_of(FAULT.replace("classes: 10", f"classes: 10\n{line}")) == ["NIN901"]


# ------------------------------------------------------------------ families and overrides


def family(folder: Path, base: str, over: str) -> list[str]:
    """What is found in a spec that extends another."""
    (folder / "base.yaml").write_text(base)
    (folder / "over.yaml").write_text(f"{over.format(head='spec: 1')}extends: base.yaml\nname: over\n")
    return [d.code.code for d in lint(compile_network(folder / "over.yaml"))]


def test_a_base_silences_its_own_lines(tmp_path: Path) -> None:
    """A finding that points into the base is silenced there, for all that extend it."""
    silent = FAULT.replace(BARE, f"{BARE}  # nin: ignore[NIN901]")
    assert family(tmp_path, silent, "{head}\n") == []


def test_the_top_of_a_spec_silences_its_base(tmp_path: Path) -> None:
    """What a spec says at its top holds for all of its network."""
    assert family(tmp_path, FAULT, "{head}\n") == ["NIN901"]
    assert family(tmp_path, FAULT, "# nin: ignore[NIN901]\n{head}\n") == []


def test_comments_of_a_base_may_be_unused(tmp_path: Path) -> None:
    """They are reported when the base itself is checked."""
    silent = FAULT.replace(STEM, f"{STEM}  # nin: ignore[NIN901]")
    assert family(tmp_path, silent, "{head}\n") == ["NIN901"]
    assert [d.code.code for d in lint(compile_network(tmp_path / "base.yaml"))] == ["NIN990", "NIN901"]


def test_overrides_hold_no_comments() -> None:
    """A value from the command line is found where it was given."""
    network = network_of(FAULT, "blocks.1.convs.0.activation=tanh")
    assert [str(d.span) for d in lint(network) if d.code.code == "NIN901"] == ["--set:1:29"]


def test_a_flood_of_comments() -> None:
    """A hostile file is read once, and reported in a hundred findings."""
    flood = "# nin: ignore[NIN902, NIN1]\n" * 10_000
    found = lint(network_of(f"{FAULT}{flood}"))
    assert len(found) == 101
    assert found[0].code.code == "NIN901"
