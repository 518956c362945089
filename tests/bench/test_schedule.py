"""Who is measured when, and what the forecast says of it."""

from __future__ import annotations

import pytest

from nin_spec.bench.schedule import SETTLE, Forecast, Step, schedule


def row(steps: list[Step], batch: int, turn: int) -> str:
    """The labels of one turn in order."""
    return "".join(s.label for s in steps if s.kind == "turn" and (s.batch, s.turn) == (batch, turn))


def test_every_other_turn_goes_backwards() -> None:
    """Forwards, backwards, forwards; at each batch size from the start."""
    steps = schedule([("a", ()), ("b", ()), ("c", ())], [1, 8], 3)
    assert [row(steps, batch, turn) for batch in (1, 8) for turn in range(3)] == ["abc", "cba", "abc"] * 2


def test_all_are_ready_before_the_first_turn() -> None:
    """At each batch size, so that what is compiled then is in nobody's turn."""
    steps = schedule([("a", ()), ("b", ())], [1, 8], 2)
    assert [s.kind[0] for s in steps] == list("rrtttt" * 2)
    assert [s.batch for s in steps] == [1] * 6 + [8] * 6


def test_a_contender_may_take_part_at_some_batches_only() -> None:
    """The others have those to themselves."""
    steps = schedule([("a", ()), ("b", (1,))], [1, 8], 1)
    assert (row(steps, 1, 0), row(steps, 8, 0)) == ("ab", "a")
    assert not any(s.label == "b" and s.batch == 8 for s in steps)


def test_a_forecast_knows_a_turn_before_the_first() -> None:
    """A turn takes what was asked for, and the pause before it."""
    assert Forecast(1.0).left([Step("turn", "a", 1)] * 3) == pytest.approx(3 * (1 + SETTLE))


def test_a_forecast_learns_what_a_step_really_takes() -> None:
    """A turn of one long run takes longer with the batch; a compilation takes what the last one took."""
    forecast = Forecast(1.0)
    forecast.learn(Step("turn", "a", 8), 10.0)
    forecast.learn(Step("ready", "a", 8), 7.0)
    assert forecast.left([Step("turn", "a", 8), Step("turn", "a", 64)]) == pytest.approx(10 + 80)
    assert forecast.left([Step("ready", "a", 64)]) == 7.0
    forecast.learn(Step("turn", "b", 8), 1.1)
    assert forecast.left([Step("turn", "b", 64)]) == pytest.approx(1.1)
