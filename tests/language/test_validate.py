"""A finding's hint, once followed, removes the finding."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.diagnostics import Diagnostic, SpecError
from nin_spec.language.load import loads

SPEC = (
    "spec: 1\nname: t\ninput: {channels: 1, size: 8}\nclasses: %s\nblocks:\n  - {channels: [4, classes], kernel: 1}\n"
)


def refusal(classes: str) -> Diagnostic:
    """The first finding of a spec whose classes are spelt so."""
    with pytest.raises(SpecError) as caught:
        loads(SPEC % classes)
    return caught.value.diagnostics[0]


@pytest.mark.parametrize(
    ("classes", "hint"),
    [
        ("{0: cat, 1: dog}", "labels are a list, in the order of the scores: classes: [cat, dog]"),
        ("{1: dog, 0: cat}", "classes: [cat, dog]"),
        ("{cat: 0, dog: 1}", "classes: [cat, dog]"),
        ("{10: j, 9: i}", "classes: [i, j]"),
        ("{}", "classes: [cat, dog]"),
        ("[0, 1]", 'to count them, write classes: 2; as labels: classes: ["0", "1"]'),
        ("[cat, 2]", 'classes: ["cat", "2"]'),
        ("[true, false]", 'classes: ["true", "false"]'),
        ("2.0", "write classes: 2"),
        ('"2"', "remove the quotes"),
        ("cat", "the number of classes, or the list of their labels: classes: [cat, dog]"),
        ("[[a], [b]]", "the list of their labels: classes: [cat, dog]"),
        ("null", "the list of their labels"),
        ("1.5", "the list of their labels"),
        ("[cat, {a: b}]", "classes: [cat, dog]"),
    ],
)
def test_classes_in_another_spelling_are_led_to_the_right_one(classes: str, hint: str) -> None:
    """At the line of the classes."""
    found = refusal(classes)
    assert hint in (found.hint or "")
    assert found.span is not None
    assert found.span.line == 4


words = st.from_regex(r"[A-Za-z][A-Za-z0-9_ -]{0,8}", fullmatch=True) | st.text(
    st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1
)


@given(st.lists(words, min_size=1, max_size=6, unique=True), st.booleans())
def test_the_list_that_a_mapping_means_is_a_list_of_labels(labels: list[str], by_label: bool) -> None:  # noqa: FBT001
    """Which loads as it stands, in the mapping's order."""
    pairs = (
        {label: str(k) for k, label in enumerate(labels)} if by_label else {str(k): lab for k, lab in enumerate(labels)}
    )
    text = ", ".join(f"{json.dumps(k)}: {v if by_label else json.dumps(v)}" for k, v in pairs.items())
    hint = refusal(f"{{{text}}}").hint or ""
    match = re.search(r"classes: (\[.*\])$", hint, re.DOTALL)
    assert match is not None
    if by_label and all(label.isdecimal() for label in labels):
        return  # both sides are numbers: either may be meant
    assert list(loads(SPEC % match[1]).spec.labels) == labels
