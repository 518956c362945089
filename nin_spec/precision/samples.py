"""The pictures for calibration and for measurement, which are disjoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nin_spec.data import Split, SplitName, hold_out, match_classes, open_split, subset
from nin_spec.data.views import sample
from nin_spec.diagnostics import Code, DataError
from nin_spec.language.load import loads
from nin_spec.language.recipe import Recipe
from nin_spec.model import Model, ModelCard
from nin_spec.precision.settings import PrecisionSettings

SEED = 0
"""Seed of the choice of pictures, the same in every export."""


@dataclass(frozen=True)
class Pictures:
    """`calibration`: of the `learned` training pictures; `evaluation`: of the `whole` pictures of split `name`.

    `name` is `test`, or `validation` if the recipe holds out some of the training split.
    """

    calibration: Split
    learned: int
    evaluation: Split
    name: str
    whole: int


def open_pictures(model: Model, settings: PrecisionSettings) -> Pictures:
    """The pictures for a model. Raises DataError if its data set is unknown, missing or misfits."""
    recipe = _recipe(model.card)
    dataset = model.card.dataset or _named_by(settings.data)
    if not dataset:
        message = f"{settings.precision} is measured on pictures, but the spec does not name a data set"
        hint = "pass --data DIR, or add a recipe (train: {dataset: ...}) to the spec"
        hint += "" if settings.precision == "int8" else "; pass --max-drop none to write the file without measuring it"
        raise DataError(Code.DATA_MISSING, message, hint=hint)
    learned = _part(model.card, dataset, "train", settings.data)
    if recipe is not None and recipe.validation:
        kept, held = hold_out(learned.labels, recipe.validation, recipe.seed)
        learned, measured, name = subset(learned, kept), subset(learned, held), "validation"
    else:
        measured, name = _part(model.card, dataset, "test", settings.data), "test"
    return Pictures(
        sample(learned, settings.calibrate, SEED),
        len(learned),
        measured if settings.limit is None else sample(measured, settings.limit, SEED),
        name,
        len(measured),
    )


def _part(card: ModelCard, dataset: str, split: SplitName, location: Path | None) -> Split:
    return match_classes(open_split(dataset, split, location), card.labels, card.classes)


def _recipe(card: ModelCard) -> Recipe | None:
    return loads(card.spec, card.name).spec.train


def _named_by(location: Path | None) -> str:
    return "" if location is None else location.resolve().stem
