"""The layers that lose most are found, and left in float until the budget holds."""

from __future__ import annotations

import numpy as np
import pytest
from trained_digits import LAYERS, bytes_of, scaled, trained

from nin_spec.diagnostics import BudgetError
from nin_spec.model import Model
from nin_spec.precision.int8 import integer_kernels
from nin_spec.precision.job import Job, Watch
from nin_spec.precision.samples import open_pictures
from nin_spec.precision.search import rank, relative_error, search
from nin_spec.precision.settings import PrecisionSettings
from nin_spec.runtime.session import open_session

FRAGILE = {"blocks.1.convs.0", "blocks.1.convs.1"}
"""The layers on both sides of the value with channels out of all proportion."""


def job(model: Model, said: list[str], **given: float) -> Job:
    """A job on the CPU."""
    settings = PrecisionSettings("int8", calibrate=256, **given)  # type: ignore[arg-type]
    data = bytes_of(model)
    return Job(model, data, settings, open_session(data, "cpu"), open_pictures(model, settings), Watch(said.append))


def test_a_sound_network_needs_no_search() -> None:
    """All layers in int8, and one measurement."""
    said: list[str] = []
    work = job(trained(), said)
    found = search(work, work.ranges())
    assert found.float_layers == ()
    assert found.outcome.drop <= 0.5
    assert [line.split(":")[0] for line in said] == ["float32", "int8, all 4 layers"]


def test_the_fragile_layers_are_found() -> None:
    """They and no others stay in float, each step is reported with its line, and the budget holds then."""
    said: list[str] = []
    work = job(scaled(trained(), 3000), said)
    found = search(work, work.ranges())
    assert found.float_layers
    assert set(found.float_layers) <= FRAGILE
    assert found.outcome.drop <= 0.5
    assert integer_kernels(found.data) == len(LAYERS) - len(found.float_layers)
    steps = [line for line in said if line.startswith("with ")]
    assert len(steps) == len(found.float_layers)
    assert steps[0].startswith(f"with {found.float_layers[0]} (<string>:15) in float: ")
    assert "points lost" in next(line for line in said if line.startswith("int8, all"))
    assert "was chosen on these test pictures" in said[-1]


def test_the_ranking_puts_them_first() -> None:
    """Every layer once, by the error of the scores when it alone is in int8."""
    work = job(scaled(trained(), 3000), [])
    order = rank(work, work.ranges())
    assert sorted(loss.layer for loss in order) == sorted(LAYERS)
    assert [loss.error for loss in order] == sorted((loss.error for loss in order), reverse=True)
    assert order[0].layer in FRAGILE
    assert order[0].error > 10 * order[-1].error


def test_a_budget_that_nothing_holds_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said with what was tried; a file without an integer layer is not offered as int8."""
    said: list[str] = []
    work = job(trained(), said, max_drop=0.0)
    from nin_spec.precision import trial

    monkeypatch.setattr(trial.Outcome, "within", lambda *_: False)
    with pytest.raises(BudgetError, match="even with 3 of 4 layers in float") as caught:
        search(work, work.ranges())
    assert caught.value.exit_code == 1
    assert "raise --max-drop" in str(caught.value)
    assert len([line for line in said if line.startswith("with ")]) == 3


def test_the_error_is_relative_to_the_scores() -> None:
    """And absolute where they are all 0."""
    wanted = np.array([[3.0, -4.0]])
    assert relative_error(wanted * 1.1, wanted) == pytest.approx(0.1)
    assert relative_error(wanted, wanted * 0) == pytest.approx(np.sqrt(12.5))
