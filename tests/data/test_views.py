"""Subsets and other class numbers, in any order on top of each other."""

from __future__ import annotations

import numpy as np
from data_files import all_of, pixels, refusal

from nin_spec.data import ArraySplit, Frame, Split, fingerprint, subset
from nin_spec.data.split import evidence_of
from nin_spec.data.views import renamed, renumbered, sample
from nin_spec.diagnostics import Code

FRAME = Frame(1, 4, 4)


def split(count: int = 6) -> Split:
    """Noise with labels 0, 1, 2, 0, ..."""
    noise = pixels(count, 4, 4)
    return ArraySplit("noise", "train", "here", ("a", "b", "c"), np.arange(count) % 3, lambda k: noise[k])


def test_a_subset_is_renumbered() -> None:
    """Pictures, labels and length; of a subset too."""
    some = subset(subset(split(), np.array([5, 3, 1])), np.array([2, 0]))
    assert len(some) == 2
    assert some.labels.tolist() == [1, 2]
    assert np.array_equal(all_of(some, FRAME), all_of(split(), FRAME)[[1, 5]])
    assert (some.dataset, some.name, some.where, some.classes) == ("noise", "train", "here", ("a", "b", "c"))


def test_classes_can_be_renamed_and_renumbered() -> None:
    """Pictures stay; labels follow the numbers."""
    assert renamed(split(), ("x", "y", "z")).labels.tolist() == [0, 1, 2, 0, 1, 2]
    turned = renumbered(split(), ("c", "a", "b"), np.array([1, 2, 0]))
    assert turned.labels.tolist() == [1, 2, 0, 1, 2, 0]
    assert [turned.classes[k] for k in turned.labels] == ["a", "b", "c"] * 2


def test_evidence_is_that_of_the_base() -> None:
    """So a subset in the same order has the same fingerprint as what it's taken from."""
    assert fingerprint(subset(split(), np.arange(6))) == fingerprint(split())
    assert fingerprint(subset(split(), np.arange(5))) != fingerprint(split())
    assert evidence_of(subset(split(), np.array([4])), np.array([0])) == all_of(split(), FRAME)[4].tobytes()


def test_a_sample_is_never_empty() -> None:
    """Of classes of one picture each no share can be taken."""
    assert len(sample(split(9), 3, seed=0)) == 3
    message = refusal(lambda: sample(split(3), 2, seed=0), Code.DATA_MISFIT)
    assert "too few pictures per class for a stratified sample of 2" in message
    assert "pass 3 or more" in message
