"""The random choices of an epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.training.draws import Draws, Purpose


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), epoch=st.integers(0, 3))
def test_a_balanced_order_shows_classes_and_their_pictures_equally_often(labels: list[int], epoch: int) -> None:
    known = np.array(labels)
    order = Draws(1, epoch, len(known)).balanced_order(known)
    assert len(order) == len(known)
    seen = np.bincount(order, minlength=len(known))
    sums = [seen[known == label].sum() for label in np.unique(known)]
    assert max(sums) - min(sums) <= 1
    for label in np.unique(known):
        assert np.ptp(seen[known == label]) <= 1


@given(count=st.integers(1, 50), batch=st.integers(1, 20))
def test_partners_are_of_the_same_batch(count: int, batch: int) -> None:
    partners = Draws(1, 0, count).partners(batch)
    assert sorted(partners) == list(range(count))
    assert np.array_equal(partners // batch, np.arange(count) // batch)


@pytest.mark.parametrize("other", [Draws(1, 1, 9), Draws(2, 0, 9)])
def test_epochs_and_seeds_differ_and_purposes_too(other: Draws) -> None:
    own = Draws(1, 0, 9)
    assert np.array_equal(own.uniform(Purpose.CROP, 2), Draws(1, 0, 9).uniform(Purpose.CROP, 2))
    assert not np.array_equal(own.uniform(Purpose.CROP, 2), other.uniform(Purpose.CROP, 2))
    assert not np.array_equal(own.uniform(Purpose.CROP, 2), own.uniform(Purpose.MIX, 2))


def test_the_order_of_an_epoch_is_what_it_was_in_earlier_versions() -> None:
    """A recipe and a seed mean the same weights from one version to the next."""
    assert Draws(7, 3, 8).order().tolist() == ORDER
    assert Draws(7, 3, 8).stream(Purpose.CHANGES).random(2).round(6).tolist() == CHANGES


ORDER = [5, 1, 0, 3, 4, 6, 2, 7]
CHANGES = [0.944723, 0.188399]
