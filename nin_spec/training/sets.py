"""The pictures of a training: those trained on and those scored on, checked before it starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nin_spec.data import Split, check_headers, fingerprint, hold_out, match_classes, open_split, sample, subset
from nin_spec.data.opening import place_beside, place_for
from nin_spec.data.published import doubts
from nin_spec.diagnostics import MAX_FINDINGS, Code, DataError, TrainingError, counted
from nin_spec.named import SHIPPED
from nin_spec.training.folder import DataRecord, recipe_of

if TYPE_CHECKING:
    from nin_spec.network import Network
    from nin_spec.training.folder import Run

Role = Literal["train", "validation", "test"]
"""The names of a run's splits; `train` is trained on."""


@dataclass(frozen=True)
class Sets:
    """The pictures trained on, those scored on after each epoch, and the name of the latter's split.

    `doubts` are reasons why they may not be the data set of that name.
    """

    learned: Split
    scored: Split
    scored_on: Literal["test", "validation"]
    record: DataRecord
    doubts: tuple[str, ...] = ()


def open_sets(network: Network, location: Path | None, limit: int | None) -> Sets:
    """The pictures that the network's recipe names. Raises DataError, or TrainingError if none are left to score on."""
    recipe = recipe_of(network)
    whole = [open_split(recipe.dataset, split, location) for split in ("train", "test")]
    doubtful = [doubt for split in whole for doubt in doubts(split, place_for(recipe.dataset, location))]
    learned, test = (_prepared(network, split, limit) for split in whole)
    scored = test
    if recipe.validation:
        learned, scored = divide(network, learned)
    scored_on: Literal["test", "validation"] = "validation" if recipe.validation else "test"
    if not len(learned):
        raise DataError(Code.DATA_MISFIT, f"{learned.where} has no pictures to train on")
    if not len(scored):
        message = f"{test.where} has no pictures to score on"
        raise DataError(Code.DATA_MISFIT, message, hint="add pictures, or hold some out: train.validation: 0.1")
    record = DataRecord(
        dataset=recipe.dataset,
        location=None if location is None else str(location.resolve()),
        train_fingerprint=fingerprint(learned),
        train_images=len(learned),
        scored_on=scored_on,
        scored_images=len(scored),
        scored_fingerprint=fingerprint(scored),
    )
    return Sets(learned, scored, scored_on, record, tuple(dict.fromkeys(doubtful)))


def beside(network: Network) -> Path | None:
    """The recipe's data set if it is beside the spec under its own name and not elsewhere, else None."""
    recipe = network.spec.spec.train
    if recipe is None:
        return None
    sources = [network.spec.root.source.name, network.spec.where("train", "dataset").source.name]
    files = [Path(name) for name in dict.fromkeys(sources) if name != "--set"]
    folders = [Path() if file.name.startswith("<") else file.parent for file in files]
    return place_beside(recipe.dataset, [folder for folder in folders if folder != SHIPPED])


def _prepared(network: Network, split: Split, limit: int | None) -> Split:
    """A split under the network's classes, limited to `limit` pictures."""
    matched = match_classes(split, network.card.labels, network.card.classes)
    return matched if limit is None else sample(matched, limit, recipe_of(network).seed)


def divide(network: Network, split: Split) -> tuple[Split, Split]:
    """A training split divided by the recipe: (trained on, held out). Raises TrainingError if none are held out."""
    recipe = recipe_of(network)
    kept, held = hold_out(split.labels, recipe.validation, recipe.seed)
    if not len(held):
        message = (
            f"validation: {recipe.validation:g} of {counted(len(split), 'training picture')} in "
            f"{counted(len(split.classes), 'class', 'classes')} is zero pictures, so the best epoch can't be chosen"
        )
        hint = "raise it, use more pictures, or remove it to score the test split and keep the last epoch"
        raise TrainingError(Code.RECIPE, message, network.spec.where("train", "validation"), hint)
    return subset(split, kept), subset(split, held)


def require_pictures(sets: Sets) -> None:
    """Check the header of every picture file before training. Raises DataError with all damaged ones."""
    found = [*check_headers(sets.learned), *check_headers(sets.scored)]
    if found:
        shown, more = found[:MAX_FINDINGS], len(found) - MAX_FINDINGS
        place = sets.record.location or sets.record.dataset
        hidden = f" ({more:,} not shown)" if more > 0 else ""
        many = counted(len(found), "damaged file")
        hint = f"{many}{hidden}: repair or move them; nin-spec data check {place} decodes every picture"
        raise DataError([*shown[:-1], replace(shown[-1], hint=hint)])


def open_run_split(run: Run, role: Role, location: Path | None = None) -> Split:
    """A run's train, validation or test split; pass `location` if the data has moved.

    Raises DataError, or TrainingError for a validation split that the recipe does not have.
    """
    recipe = recipe_of(run.network)
    if role == "validation" and not recipe.validation:
        message = f"{run.path} has no validation split: its recipe does not hold any out"
        raise TrainingError(Code.RECIPE, message, hint="evaluate its test or train split")
    split = open_split(recipe.dataset, "test" if role == "test" else "train", location or run.location)
    if role == "test":
        return split
    learned = _prepared(run.network, split, run.record.settings.limit)
    if not recipe.validation:
        return learned
    return divide(run.network, learned)[role == "validation"]
