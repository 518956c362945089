"""The rules, the comments and the fixes on random networks over the whole grammar."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lint_specs import network_of
from spans import assert_inside
from spec_strategies import Data, specs, to_text

from nin_spec.diagnostics import Code, Severity
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.language.emit import emit
from nin_spec.lint import findings, lint
from nin_spec.lint.edits import Edit, edited
from nin_spec.lint.fixes import is_safe
from nin_spec.lint.fixing import Fixed, fix
from nin_spec.network import Network


def texts() -> st.SearchStrategy[str]:
    """Specs in flow style, and in block style with a comment behind every line."""

    def commented(data: Data, *, compact: bool) -> str:
        lines = emit(data, compact=compact).splitlines()
        return "".join(f"{line}   # {number}\n" for number, line in enumerate(lines))

    blocks = st.builds(lambda data, compact: commented(data, compact=compact), specs(), st.booleans())
    return st.one_of(specs().map(to_text), blocks)


@given(texts())
def test_findings_are_in_order_and_in_the_text(text: str) -> None:
    """None is an error, and each lies inside the source; the order is that of the text."""
    found = lint(network_of(text))
    places = []
    for diagnostic in found:
        assert diagnostic.span is not None
        assert_inside(diagnostic.span)
        assert diagnostic.severity is not Severity.ERROR
        places.append((diagnostic.span.line, diagnostic.span.column, diagnostic.code.code))
    assert places == sorted(places)


@given(texts())
def test_every_finding_can_be_silenced(text: str) -> None:
    """On its line, and at the top of the file; no comment is left over."""
    found = lint(network_of(text))
    codes = sorted({d.code.code for d in found})
    if codes:
        assert lint(network_of(f"# nin: ignore[{', '.join(codes)}] at the top\n{text}")) == []
    lines = text.splitlines()
    for line in {d.span.line for d in found if d.span}:
        here = sorted({d.code.code for d in found if d.span and d.span.line == line})
        lines[line - 1] += f"  # nin: ignore[{', '.join(here)}]"
    assert lint(network_of("\n".join(lines))) == []


def without_bias(graph: Graph) -> list[object]:
    """The ops of a graph, biases before batch norm aside."""
    plain: list[object] = []
    for k, node in enumerate(graph):
        weighted = isinstance(node.op, ops.Conv2d | ops.Linear)
        rest = (n.op for n in graph.nodes[k + 1 :] if not isinstance(n.op, ops.Flatten | ops.AdaptiveAvgPool2d))
        normed = weighted and isinstance(next(rest, None), ops.BatchNorm)
        plain.append((node.name, {**vars(node.op), "bias": None} if normed else vars(node.op), type(node.op)))
    return plain


def check(before: Network, changed: Fixed) -> None:
    """What was wanted is done or can't be, once; the text is a spec, and its comments are those it had."""
    again = network_of(changed.text)
    assert again.spec.data == changed.network.spec.data
    assert len(findings(again)) <= len(findings(before)) or not changed.done
    comments = [re.findall(r"   # \d+$", t, re.MULTILINE) for t in (changed.before.text, changed.text)]
    assert comments[0] == comments[1]


@given(texts())
def test_safe_fixes_keep_the_function(text: str) -> None:
    """The layers stay, but for biases that batch norm takes away; where none was, the hash stays too."""
    before = network_of(text)
    changed = fix(before, lambda f: is_safe(f.code))
    check(before, changed)
    assert without_bias(changed.network.graph) == without_bias(before.graph)
    if all(f.code is not Code.USELESS_BIAS for f in changed.done):
        assert changed.network.hash == before.hash
    assert fix(changed.network, lambda f: is_safe(f.code)).done == ()


@given(texts())
def test_all_fixes_leave_a_spec(text: str) -> None:
    """Also those that change the function; layers come and go only as promised."""
    before = network_of(text)
    changed = fix(before, lambda _: True)
    names = [[n.name for n in network.graph] for network in (before, changed.network)]
    gone = {name for f in changed.done if f.code in {Code.SCORE_ACTIVATION, Code.TWO_SOFTMAXES} for name in f.layers}
    assert names[1] == [name for name in names[0] if name not in gone]
    comments = [re.findall(r"   # \d+$", t, re.MULTILINE) for t in (text, changed.text)]
    assert comments[0] == comments[1]


@given(specs(), st.booleans())
def test_line_ends_stay_alike(data: Data, compact: bool) -> None:  # noqa: FBT001 hypothesis hands it over
    """A text of CR LF is one afterwards, and fixed it says what the same text of LF says."""
    text = emit(data, compact=compact)
    ours, theirs = (fix(network_of(t), lambda _: True).text for t in (text, text.replace("\n", "\r\n")))
    assert theirs == ours.replace("\n", "\r\n")


@given(st.text("ab \n", max_size=40), st.lists(st.integers(0, 40), min_size=2, max_size=8), st.text("xy", max_size=3))
def test_text_between_edits_stays(text: str, cuts: list[int], new: str) -> None:
    """To the byte: what is outside of the edits is what it was."""
    ends = sorted({min(c, len(text)) for c in cuts})
    pairs = list(zip(ends[::2], ends[1::2], strict=False))
    kept = [text[a:b] for a, b in zip([0, *(b for _, b in pairs)], [*(a for a, _ in pairs), len(text)], strict=True)]
    assert edited(text, [Edit(a, b, new) for a, b in pairs]) == new.join(kept)


@pytest.mark.parametrize("text", ["spec: 1 # nin: ignore[", "# nin: ignore[[NIN901]]\n", "#" * 200 + " nin: ignore\n"])
def test_odd_comments_do_no_harm(text: str) -> None:
    """Brackets that do not close, or close twice."""
    rest = "name: a\ninput: {channels: 3, size: 8}\nclasses: 2\nblocks: [{channels: [classes], kernel: 3}]\n"
    body = text + ("\n" if text.startswith("spec") else "spec: 1\n") + rest
    assert all(d.severity is not Severity.ERROR for d in lint(network_of(body)))
