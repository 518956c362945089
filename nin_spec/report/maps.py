"""The page's class maps: pictures of a run, each with its maps laid over it.

A map is an image with a pixel for each cell, which the browser interpolates; it lies where its cells look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nin_spec.diagnostics import NinSpecError
from nin_spec.passes.class_maps import NoClassMapsError, class_maps

if TYPE_CHECKING:
    from nin_spec.explanation.examples import Example, Examples
    from nin_spec.explanation.result import ClassMap, Explanation
    from nin_spec.training.folder import Run
    from nin_spec.training.sets import Role


@dataclass(frozen=True)
class Overlay:
    """A class with its score, and its map as a data URI with its place as a style."""

    label: str
    score: str
    uri: str
    style: str


@dataclass(frozen=True)
class Shown:
    """A picture with its name, its true class, and its overlays: of the predicted class, and of the true one."""

    name: str
    true: str
    uri: str
    small: bool
    overlays: list[Overlay]


@dataclass(frozen=True)
class Maps:
    """The pictures that are right and wrong, and how they were chosen; or the reason why there are none."""

    chosen: str
    right: list[Shown]
    wrong: list[Shown]
    missing: str = ""


def maps_of(run: Run, role: Role) -> Maps | None:
    """The class maps of some pictures of a split; None for a network whose scores are not averages of class maps."""
    from nin_spec.explanation.examples import examples_of

    if not run.has_weights:
        return None
    try:
        class_maps(run.network.graph)
    except NoClassMapsError:
        return None
    try:
        found = examples_of(run, role)
    except NinSpecError as error:
        return Maps("", [], [], error.diagnostics[0].message)
    return Maps(_chosen(found), list(map(_shown, found.right)), list(map(_shown, found.wrong)))


def _chosen(found: Examples) -> str:
    among = f"the {found.images:,} {found.split} pictures"
    if found.images < found.total:
        among = f"{found.images:,} of the {found.total:,} {found.split} pictures, of each class alike"
    mistakes = "and the wrong ones of which it was surest" if found.wrong else "for none is wrong"
    return f"Chosen among {among}: right ones with the clearest lead, of different classes, {mistakes}."


def _shown(example: Example) -> Shown:
    from nin_spec.pictures import data_uri

    found = example.explanation
    largest = max(float(abs(one.cells).max(initial=0.0)) for one in found.classes) or 1.0
    overlays = [_overlay(one, found, largest) for one in found.classes]
    return Shown(found.name, example.true, data_uri(found.pixels), max(found.size) < 64, overlays)


def _overlay(one: ClassMap, found: Explanation, largest: float) -> Overlay:
    from nin_spec.explanation.drawing import tint
    from nin_spec.pictures import data_uri

    likely = "" if one.probability is None else f", {one.probability:.1%}"
    return Overlay(one.label, f"{one.score:.4g}{likely}", data_uri(tint(one.cells / largest)), _style(one, found))


def _style(one: ClassMap, found: Explanation) -> str:
    """Where the cells lie: each around the middle of its field, as large as the jump, in percent of the picture."""
    place = found.place
    start = [100 * (place.centre(axis, 0) - place.jump[axis] / 2) / found.size[axis] for axis in (0, 1)]
    extent = [100 * one.cells.shape[axis] * place.jump[axis] / found.size[axis] for axis in (0, 1)]
    named = zip(("top", "left", "height", "width"), (*start, *extent), strict=True)
    return ";".join(f"{name}:{value:.6g}%" for name, value in named)
