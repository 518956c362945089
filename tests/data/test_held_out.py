"""Holding out: stratified, exact in number, and the same for ever."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.data import hold_out
from nin_spec.data.held_out import _splitmix


@given(st.lists(st.integers(0, 6), max_size=200), st.floats(0, 0.95), st.integers(0, 2**63 - 1))
def test_each_class_gives_its_share(labels: list[int], share: float, seed: int) -> None:
    """Nothing is lost or doubled; no class is off by a picture or more, or gives its last one."""
    numbers = np.array(labels, np.int64)
    kept, held = hold_out(numbers, share, seed)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert kept.tolist() == sorted(kept)
    assert held.tolist() == sorted(held)
    for k in set(labels):
        count, gone = labels.count(k), int((numbers[held] == k).sum())
        assert gone < count
        assert abs(gone - count * share) <= 1 + 1e-6


def test_the_shares_add_up() -> None:
    """Of a hundred classes of four, a tenth is forty pictures, one each of forty classes."""
    labels = np.repeat(np.arange(100), 4)
    _, held = hold_out(labels, 0.1, 0)
    assert np.bincount(labels[held], minlength=100).tolist() == [1] * 40 + [0] * 60


def test_the_same_seed_gives_the_same_pictures_for_ever() -> None:
    """The rule is in whole numbers: these are its results, with any version of numpy."""
    labels = np.arange(40) % 4
    _, held = hold_out(labels, 0.25, 7)
    assert held.tolist() == [1, 4, 8, 11, 13, 14, 17, 28, 34, 39]
    assert hold_out(labels, 0.25, 8)[1].tolist() != held.tolist()


def test_a_key_is_splitmix64() -> None:
    """The first outputs of the published generator, seeded with 1234567."""
    states = [(1234567 + k * 0x9E3779B97F4A7C15) % 2**64 for k in range(3)]
    with np.errstate(over="ignore"):
        found = _splitmix(np.array(states, np.uint64))
    assert found.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_is_less_than_one(share: float) -> None:
    """Somebody has to be trained on."""
    with pytest.raises(ValueError, match="share must be at least 0 and less than 1"):
        hold_out(np.zeros(4, np.int64), share, 0)
