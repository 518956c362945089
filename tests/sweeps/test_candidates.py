"""Candidates: values are applied as --set applies them, and the compiler judges before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_files import SMALL, written

from nin_spec import compile as compile_network
from nin_spec.diagnostics import Code, SpecError, SweepError
from nin_spec.sweeps.axes import choose
from nin_spec.sweeps.candidates import candidate, changes, identity_of, over_limits, probe
from nin_spec.sweeps.load import Sweep, load


def sweep_of(folder: Path, text: str = SMALL, *overrides: str) -> Sweep:
    """The sweep of a text."""
    return load(written(folder, text), overrides)


FIXED = ("train.validation=0.5", "train.epochs=1", "train.batch_size=10")


def params_of(sweep: Sweep, **asked: str | int) -> dict[str, str | float]:
    """Parameters with these values, keys by their last word."""
    return choose(sweep.axes, lambda axis: asked[axis.key.strip("$").rpartition(".")[2]])


def test_a_candidate_is_what_overrides_would_make_of_the_base(tmp_path: Path) -> None:
    """Names are replaced by what they stand for."""
    sweep = sweep_of(tmp_path)
    found = candidate(sweep, params_of(sweep, lr="0.2", width=16))
    by_hand = ("train.optimizer.lr=0.2", "blocks.mlpconv1.channels=[16, 16]")
    wanted = compile_network("nin_digits", [*FIXED, *by_hand])
    assert found.network.spec.text == wanted.spec.text
    assert found.identity == identity_of(wanted)
    assert changes(sweep, found.params) == "train.optimizer.lr=0.2, $width=16"


def test_the_command_lines_overrides_are_of_every_candidate(tmp_path: Path) -> None:
    """Under those of the file."""
    sweep = sweep_of(tmp_path, SMALL, "train.seed=9", "train.epochs=7")
    recipe = candidate(sweep, params_of(sweep, lr="0.2", width=16)).network.spec.spec.train
    assert recipe is not None
    assert (recipe.seed, recipe.epochs) == (9, 1)


def test_another_recipe_is_another_candidate_of_the_same_function(tmp_path: Path) -> None:
    """The semantic hash is equal, what would be trained is not."""
    sweep = sweep_of(tmp_path)
    a, b = (candidate(sweep, params_of(sweep, lr=lr, width=16)) for lr in ("0.1", "0.2"))
    assert a.network.hash == b.network.hash
    assert a.identity != b.identity


def test_two_spellings_of_one_training_are_the_same_candidate(tmp_path: Path) -> None:
    """`same` is a padding of 1 here, `batch` a mapping with a kind."""
    text = SMALL.replace("  train.optimizer.lr: [0.1, 0.2]", "  blocks.mlpconv1.padding: [1, same]")
    sweep = sweep_of(tmp_path, text)
    a, b = (candidate(sweep, params_of(sweep, padding=p, width=16)) for p in ("1", "same"))
    assert a.identity == b.identity


def test_whole_mappings_and_removals_are_choices(tmp_path: Path) -> None:
    """Null removes a block."""
    text = SMALL.replace(
        "  train.optimizer.lr: [0.1, 0.2]",
        "  blocks.mlpconv1.pool: [{kind: avg, kernel: 2}, {kind: max, kernel: 2}]\n"
        "  blocks.mlpconv2: [null, {dropout: 0.1}]",
    )
    sweep = sweep_of(tmp_path, text)
    asked: dict[str, str | int] = {"pool": "{kind: avg, kernel: 2}", "mlpconv2": "null", "width": 8}
    found = candidate(sweep, params_of(sweep, **asked)).network
    assert [block.name for block in found.spec.spec.blocks] == ["mlpconv1", "mlpconv3"]
    assert found.spec.data["blocks"][0]["pool"]["kind"] == "avg"


def test_a_condition_leaves_an_axis_out(tmp_path: Path) -> None:
    """The base keeps its value then."""
    text = SMALL.replace(
        "step: 8}", "step: 8}\n  train.label_smoothing: {choices: [0.0, 0.3], when: {train.optimizer.lr: 0.1}}"
    )
    sweep = sweep_of(tmp_path, text)
    used = params_of(sweep, lr="0.1", width=8, label_smoothing="0.3")
    left = params_of(sweep, lr="0.2", width=8)
    assert "train.label_smoothing" in used
    assert "train.label_smoothing" not in left
    recipe = candidate(sweep, left).network.spec.spec.train
    assert recipe is not None
    assert recipe.label_smoothing == 0.1


def test_an_error_of_a_candidate_is_reported_in_the_sweep_file(tmp_path: Path) -> None:
    """Where its value stands."""
    sweep = sweep_of(tmp_path, SMALL.replace("[0.1, 0.2]", "[0.1, fast]"))
    with pytest.raises(SpecError) as caught:
        candidate(sweep, params_of(sweep, lr="fast", width=8))
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert (found.code, found.span.line, found.span.column) == (Code.WRONG_TYPE, 5, 29)
    assert found.span.source.name.endswith("small.sweep.yaml")


@pytest.mark.parametrize("text", [SMALL.replace("train.validation: 0.5, ", ""), SMALL.replace("0.5", "0")])
def test_the_test_split_never_chooses(text: str, tmp_path: Path) -> None:
    """Without held-out pictures nothing is trained."""
    with pytest.raises(SpecError) as caught:
        probe(sweep_of(tmp_path, text))
    (found,) = caught.value.diagnostics
    assert found.code is Code.SWEEP
    assert "the test split must not choose" in found.message
    assert found.span is not None
    assert found.span.line == 3


def test_a_limit_that_nothing_meets_is_reported_without_training(tmp_path: Path) -> None:
    """With the least that a candidate had."""
    with pytest.raises(SweepError) as caught:
        probe(sweep_of(tmp_path, SMALL.replace("1.1e6", "1000")))
    (found,) = caught.value.diagnostics
    assert found.code is Code.NOTHING_FITS
    assert found.span is not None
    assert (found.span.line, found.span.column) == (9, 9)
    assert "the least that one has: 879,104 macs" in found.message


def test_the_look_at_the_space_counts(tmp_path: Path) -> None:
    """Six candidates fit, of three functions; a quarter of the draws does not."""
    look = probe(sweep_of(tmp_path), seconds=60)
    assert look.drawn == 200
    assert (look.distinct, look.functions, look.invalid) == (6, 3, 0)
    assert 25 < look.outside < 75


def test_limits_are_compared_with_the_table(tmp_path: Path) -> None:
    """Those exceeded, and how far; a limit itself is allowed."""
    sweep = sweep_of(tmp_path)
    facts = candidate(sweep, params_of(sweep, lr="0.1", width=32)).facts
    assert over_limits({"macs": facts["macs"] / 2, "parameters": facts["parameters"]}, facts) == {"macs": 2.0}
