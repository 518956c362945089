"""Sweep files: what is wrong is reported with its position, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_files import SMALL, problems, written

from nin_spec.diagnostics import Code, SpecError
from nin_spec.sweeps.axes import ChoiceAxis, RangeAxis
from nin_spec.sweeps.load import load


def test_a_sweep_file_is_read(tmp_path: Path) -> None:
    """Choices, ranges, names, objectives in their order, limits."""
    sweep = load(written(tmp_path))
    lr, width, channels = sweep.axes
    assert isinstance(lr, ChoiceAxis)
    assert list(lr.values) == ["0.1", "0.2"]
    assert isinstance(width, RangeAxis)
    assert width.grid() == [8, 16, 24, 32]
    assert channels.is_fixed
    assert sweep.size == 8
    assert [(o.name, o.goal) for o in sweep.objectives] == [("validation_accuracy", "max"), ("macs", "min")]
    assert sweep.limits == {"macs": 1.1e6}
    assert sweep.remarks == ()


@pytest.mark.parametrize(
    ("old", "new", "place", "code", "message"),
    [
        ("trials: 3", "trails: 3", (10, 1), Code.UNKNOWN_KEY, "unknown key 'trails'"),
        ("trials: 3", "trials: 0", (10, 9), Code.OUT_OF_RANGE, "trials: 0 must be at least 1"),
        ("sweep: 1", "sweep: 2", (1, 8), Code.UNKNOWN_CHOICE, "sweep: expected 1, found 2"),
        ("base: nin_digits", "base: nin_digit", (2, 7), Code.FILE_NOT_FOUND, "unknown shipped spec 'nin_digit'"),
        ("from: 8", "from: 80", (6, 11), Code.OUT_OF_RANGE, "space.$width: from 80 is more than to 32"),
        ("to: 32", "to: 30", (6, 11), Code.INVALID_VALUE, "space.$width: steps of 8 from 8 do not reach 30"),
        ("to: 32, ", "to: 32, log: true, ", (6, 11), Code.CONFLICT, "space.$width: log and step contradict each other"),
        ("to: 32, ", "", (6, 11), Code.MISSING_KEY, "space.$width: the key 'to' is missing"),
        (
            "[0.1, 0.2]",
            "[0.1, 0.1]",
            (5, 29),
            Code.INVALID_VALUE,
            "space.train.optimizer.lr: the value 0.1 is given twice",
        ),
        ("[0.1, 0.2]", "[]", (5, 23), Code.OUT_OF_RANGE, "space.train.optimizer.lr: needs at least 1 item"),
        ("[$width, $width]", "[$width, $with]", (7, 39), Code.INVALID_VALUE, "the name $with is not in space"),
        ("[[$width, $width]]", "[[8]]", (6, 3), Code.CONFLICT, "no value uses $width, so that it changes nothing"),
        ("train.epochs", "train.optimizer.lr", (5, 3), Code.CONFLICT, "train.optimizer.lr is in set, too: it would "),
        (
            "  train.optimizer.lr",
            "  extends",
            (5, 3),
            Code.BAD_OVERRIDE,
            "'extends' is neither a path of a spec nor a $name",
        ),
        ("{train.validation", "{$x", (3, 7), Code.BAD_OVERRIDE, "'$x' is not a path of a spec"),
        ("macs: min", "macs: max", (8, 46), Code.UNKNOWN_CHOICE, "objectives.macs: unknown choice 'max'"),
        ("macs: min", "latency: max", (8, 49), Code.INVALID_VALUE, "objectives.latency: min is better"),
        ("validation_accuracy: max, ", "", (8, 13), Code.SWEEP, "objectives: none is measured on the validation split"),
        (
            "trials: 3",
            "prune: median",
            (10, 8),
            Code.SWEEP,
            "prune: Optuna prunes with one objective, and this sweep has 2",
        ),
        ("trials: 3", "time_limit: 2 days", (10, 13), Code.INVALID_VALUE, "time_limit: "),
        ("{macs: 1.1e6}", "{mac: 1.1e6}", (9, 10), Code.UNKNOWN_KEY, "within: unknown key 'mac'"),
    ],
)
def test_a_mistake_is_reported_where_it_is(  # noqa: PLR0917
    old: str, new: str, place: tuple[int, int], code: Code, message: str, tmp_path: Path
) -> None:
    """With its code, line and column."""
    (found,) = problems(tmp_path, SMALL.replace(old, new))
    assert found.span is not None
    assert (found.span.line, found.span.column) == place
    assert found.code is code
    assert found.message.startswith(message)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    """Those of the grammar together, then those of the meaning together."""
    wrong = SMALL.replace("trials: 3", "trials: x\nseeds: 0\nsampler: tpee")
    assert [d.span.line for d in problems(tmp_path, wrong) if d.span] == [10, 11, 12]
    wrong = SMALL.replace("to: 32", "to: 30").replace("[0.1, 0.2]", "[0.1, 0.1]")
    assert [d.span.line for d in problems(tmp_path, wrong) if d.span] == [5, 6]


def test_a_near_word_is_suggested(tmp_path: Path) -> None:
    """Of this file's keys, not of a spec's."""
    (found,) = problems(tmp_path, SMALL.replace("trials", "trails"))
    assert found.hint == "did you mean 'trials'?"
    (found,) = problems(tmp_path, SMALL.replace("set:", "sets:"))
    assert found.hint == "did you mean 'set'?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("when: {train.optimizer: 1}", "'train.optimizer' is not an axis above this one"),
        ("when: {train.optimizer.lr: 0.3}", "train.optimizer.lr never is 0.3"),
    ],
)
def test_a_condition_names_an_axis_above_and_its_values(text: str, message: str, tmp_path: Path) -> None:
    """So that no two conditions wait for each other."""
    (found,) = problems(tmp_path, SMALL.replace("step: 8", f"step: 8, {text}"))
    assert message in found.message


def test_a_grid_has_finitely_many_values(tmp_path: Path) -> None:
    """A range of real numbers needs a step."""
    wrong = SMALL.replace("[0.1, 0.2]", "{from: 0.1, to: 0.2}") + "sampler: grid\n"
    (found,) = problems(tmp_path, wrong)
    assert found.message == "space.train.optimizer.lr: a grid has finitely many values"


def test_an_axis_of_one_value_is_a_finding(tmp_path: Path) -> None:
    """Legal, but probably unintended; one whose value has a name in it is not."""
    (remark,) = load(written(tmp_path, SMALL.replace("[0.1, 0.2]", "[0.1]"))).remarks
    assert remark.code is Code.SINGLE_VALUE
    assert remark.span is not None
    assert remark.span.line == 5


def test_an_empty_file_and_a_list_are_refused(tmp_path: Path) -> None:
    """As in a spec."""
    (found,) = problems(tmp_path, "- 1\n")
    assert (found.code, found.message) == (Code.YAML_NOT_A_MAPPING, "a sweep file is a mapping")
    with pytest.raises(SpecError, match="does not exist"):
        load(tmp_path / "none.yaml")
