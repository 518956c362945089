"""What a text becomes beside the editor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nin_spec
from nin_spec.lint import findings as lint_findings
from nin_spec.lint.finding import Subject
from nin_spec.lint.fixes import fix_of, is_safe
from nin_spec.lint.fixing import fix
from nin_spec.named import SHIPPED
from nin_spec.studio import panes
from nin_spec.studio.reading import Reading, offsets, read_spec

CORPUS = Path(__file__).parent.parent / "bad_specs"
EVIL = "<img src=x onerror=alert(1)>"


def reading(text: str, name: str = "a.yaml") -> Reading:
    """A text, read."""
    found = read_spec(text, name, lambda: False)
    assert found is not None
    return found


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda p: p.stem)
def test_the_table_is_the_network_s(path: Path) -> None:
    """A row for each layer; a row leads to its line in the spec, and nowhere for a line of the spec it extends."""
    found = reading(path.read_text(), str(path))
    assert found.network is not None
    table = found.network.table
    html = panes.layers(table, str(path))
    assert "tabindex" not in html
    assert re.findall(r"<tr[^>]*><td>([\w.]+)</td>", html) == [r.name for r in table.rows]
    own = [str(r.line) for r in table.rows if r.file == str(path)]
    assert re.findall(r"data-line='(\d+)'", html) == own
    assert table.hash in panes.summary(table)
    assert f"{table.parameters:,}" in panes.summary(table)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.yaml")), ids=lambda p: p.stem)
def test_a_bad_spec_is_shown_with_its_places(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every finding has a line in the list; what is underlined is what the diagnostic points at."""
    monkeypatch.chdir(CORPUS)
    found = reading(path.read_bytes().decode("latin-1"), path.name)
    assert panes.findings(found).count("<li") == len(found.diagnostics) == found.errors > 0
    assert "error" in panes.counts(found)
    for diagnostic in found.diagnostics:
        if span := found.own(diagnostic):
            first, last = offsets(found.text, span)
            assert 0 <= first <= last <= len(found.text)


def test_a_place_is_found_in_the_text() -> None:
    """The characters of a span are those that a person would point at."""
    text = "spec: 1\nname: a\ninput: {channels: 3, size: 32}\nclasses: 10\nblocks:\n  - {channels: [10], kernal: 3}\n"
    found = reading(text)
    marked = [text[slice(*offsets(text, d.span))] for d in found.diagnostics if d.span]
    assert "kernal" in marked


def test_no_text_of_a_spec_is_markup() -> None:
    """Names, messages, hints and file names are escaped, in the list and under the mouse."""
    start = "spec: 1\nname: a\ninput: {channels: 3, size: 32}\nclasses: 10\nblocks:\n"
    text = f"{start}  - {{channels: [10], kernel: 3, activation: {EVIL!r}}}\n"
    found = reading(text, f"{EVIL}.yaml")
    assert any(EVIL in d.message for d in found.diagnostics)
    assert "<img" not in panes.findings(found)
    table = nin_spec.compile("nin_digits").table
    assert "<img" not in panes.layers(table, EVIL)


FAULTS = """\
spec: 1
name: faulty
input: {channels: 3, size: 9}
classes: 10
defaults: {norm: batch}
blocks:
  - {channels: [8, classes], kernel: 3, padding: 1, pool: {kind: max, kernel: 2}}
head: {pool: global_avg}
"""
"""A spec whose biases do nothing, whose pool drops a row, and whose scores have a ReLU."""


def test_what_can_be_fixed_has_a_button() -> None:
    """One for each finding that `check --fix` can fix, by itself or with --unsafe-fixes, and the title says which."""
    found = reading(FAULTS)
    assert found.network is not None
    subject = Subject(found.network)
    fixable = [f.diagnostic for f in lint_findings(found.network) if fix_of(subject, f) is not None]
    assert sorted(d.code.code for d in fixable) == ["NIN901", "NIN904", "NIN908"]
    assert len(found.diagnostics) > 3
    html = panes.findings(found)
    assert len(re.findall("<button class='nin-fix'", html)) == 3
    assert re.findall(r"data-fix='(\d+)'( title=[^>]*)? aria-label='Fix (NIN\d+)", html) == [
        (str(k), "" if is_safe(d.code) else " title='This changes what the network computes.'", d.code.code)
        for k, d in enumerate(found.diagnostics)
        if d in fixable
    ]


def test_a_fix_is_that_of_check() -> None:
    """Each alone, as `check --fix --unsafe-fixes --select CODE` writes it; what has none stays."""
    found = reading(FAULTS)
    assert found.network is not None
    for diagnostic in found.diagnostics:
        if found.safe(diagnostic) is None:
            assert found.fixed(diagnostic) is None
            continue
        code = diagnostic.code
        by_check = fix(found.network, lambda finding, code=code: finding.code is code)  # type: ignore[misc]
        assert found.fixed(diagnostic) == by_check.text != FAULTS


def test_an_overtaken_text_is_not_read_to_the_end() -> None:
    """Whoever types on gets the reading of the newer text, and pays for no other."""
    assert read_spec((SHIPPED / "nin_cifar.yaml").read_text(), "a.yaml", lambda: True) is None


def test_a_text_larger_than_any_spec_is_refused() -> None:
    """As `check` refuses it."""
    found = reading("a" * ((1 << 20) + 1))
    assert [d.code.name for d in found.diagnostics] == ["FILE_TOO_LARGE"]
    assert "1 error" in panes.counts(found)


def test_half_a_character_is_an_error_of_the_text() -> None:
    """A lone surrogate, which a browser may send."""
    assert reading("name: \ud800").errors == 1


def test_what_lint_remarks_is_listed() -> None:
    """A ReLU on the class scores is legal, compiles, and is reported."""
    path = SHIPPED / "nin_cifar.yaml"
    text = "\n".join(line.partition("#")[0] for line in path.read_text().splitlines())
    found = reading(text)
    assert found.network is not None
    assert "<li class='warning'" in panes.findings(found)
