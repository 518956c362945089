"""How a file is held against the float32 one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trained_digits import bytes_of, scaled, trained

from nin_spec.data import open_split
from nin_spec.precision.trial import Outcome, Trial
from nin_spec.runtime.session import open_session


@given(st.integers(1, 10_000), st.data())
def test_a_budget_is_held_or_not(images: int, data: st.DataObject) -> None:
    """By pictures, so that no rounding decides: as many lost as the budget allows are within it."""
    before = data.draw(st.integers(0, images))
    lost = data.draw(st.integers(0, before))
    outcome = Outcome(images, before, before - lost, images)
    assert outcome.within(100 * lost / images)
    assert not lost or not outcome.within(100 * (lost - 0.5) / images)


def test_points_won_are_reported_as_such() -> None:
    """And are within every budget."""
    outcome = Outcome(200, 190, 192, 180)
    assert str(outcome) == "96.00%, 1.00 points gained; the same class as float32 for 90.00%"
    assert outcome.within(0)


def test_the_float32_file_is_its_own_measure() -> None:
    """No picture is lost on itself; another file's are counted, and progress is reported in pictures."""
    model, split = trained(), open_split("digits", "test")
    seen: list[int] = []
    trial = Trial.begin(model, split, open_session(bytes_of(model), "cpu"), seen.append)
    assert sum(seen) == len(split)
    same = trial.of(bytes_of(model))
    assert (same.drop, same.same, same.images) == (0, 359, 359)
    assert same.before / same.images > 0.9
    other = trial.of(bytes_of(scaled(model, 1.0)))
    assert other == same


def test_another_network_is_another_result() -> None:
    """Not the float32 file's scores once more."""
    model, split = trained(), open_split("digits", "test")
    trial = Trial.begin(model, split, open_session(bytes_of(model), "cpu"), None)
    fresh = trained("train.epochs=1")  # the same recipe to us: only its text differs
    assert trial.of(bytes_of(fresh)).same == 359
    broken = {name: -array for name, array in model.weights.items()}
    outcome = trial.of(bytes_of(type(model)(model.graph, broken, model.card)))
    assert outcome.drop > 50
    assert outcome.same < 200


def test_a_drop_is_in_points() -> None:
    """Percentage points of accuracy, and no share of it."""
    assert Outcome(1000, 800, 796, 990).drop == pytest.approx(0.4)
