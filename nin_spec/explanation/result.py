"""From scores and class maps to an explanation, as pure data.

The mean of a class map is its class's score, or the score before the softmax of a network that ends in one. This is
checked for each picture and all classes, so that no map is shown that is not the score's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, InputError, ParityError, counted, did_you_mean, short
from nin_spec.explanation.drawing import Row, sheet
from nin_spec.ir.types import Pair
from nin_spec.notebook import Part, Picture, Table, cut, view
from nin_spec.passes.class_maps import Place
from nin_spec.pictures import Pixels
from nin_spec.runtime.classify import probabilities_of
from nin_spec.runtime.expected import probabilities
from nin_spec.runtime.metadata import ModelInfo, Output

Array = NDArray[np.floating[Any]]

HEADERS = ("class", "score", "probability", "mean", "peak", "cell", "sees rows", "columns")
RIGHT = frozenset({1, 2, 3, 4})
"""The columns of numbers."""

TOP, ALL = "top", "all"
"""Instead of a class: the best one, and every one."""

ALLOWED = {"float64": 1e-9, "float16": 5e-3, "bfloat16": 5e-2}
"""By precision, the largest difference of the mean from the score, relative to the largest score.

In float32 the sums differ by their rounding alone, and so they do in int8, which averages in float32. In the others the
average itself is rounded.
"""
EXACT = 1e-5
_MOST_ROWS = 64
_DRAWN = 10
"""The most maps of a picture, and pictures, that a notebook draws."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest cell of a map: its row and column, its value, and the pixels that it sees.

    `field` is (top, left, bottom, right) in the picture as the network sees it, the ends left out.
    """

    row: int
    column: int
    value: float
    field: tuple[int, int, int, int]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"row": self.row, "column": self.column, "value": self.value, "field": [*self.field]}


@dataclass(frozen=True, slots=True)
class ClassMap:
    """One class: its index and label, its score and probability, and its map (rows, columns) with the mean and peak."""

    index: int
    label: str
    score: float
    probability: float | None
    mean: float
    peak: Peak
    cells: Array = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "class": self.index,
            "label": self.label,
            "score": self.score,
            "probability": self.probability,
            "mean": self.mean,
            "peak": self.peak.as_dict(),
            "map": self.cells.tolist(),
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """One picture: the asked classes with their maps, best first, and where the cells lie in it.

    `pixels` is the picture as the network sees it, (height, width, 1 or 3). `difference` is the largest difference of a
    map's mean from its score, over all classes, relative to the largest score; `allowed` is its limit. `output` is the
    kind of the scores.
    """

    name: str
    classes: tuple[ClassMap, ...] = field(repr=False)
    place: Place
    difference: float
    allowed: float
    output: Output
    pixels: Pixels = field(repr=False)

    @property
    def size(self) -> Pair:
        """Height and width of the picture as the network sees it."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def identity(self) -> str:
        """What was checked, in a sentence."""
        words = {
            "scores": "the map's mean is the score",
            "probabilities": "the softmax of the maps' means is the score",
            "log_probabilities": "the log-softmax of the maps' means is the score",
        }
        return f"{words[self.output]} (difference {self.difference:.1e}, allowed {self.allowed:g})"

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "picture": self.name,
            "size": [*self.size],
            "place": self.place.as_dict(),
            "identity": self.identity,
            "difference": self.difference,
            "allowed": self.allowed,
            "classes": [found.as_dict() for found in self.classes],
        }

    def png(self) -> bytes:
        """The picture, with each map drawn where its cells look."""
        return draw([self])

    def rows(self) -> list[tuple[str, ...]]:
        """A row per class as people read it, by HEADERS."""
        return [
            (
                found.label,
                f"{found.score:.5g}",
                "" if found.probability is None else f"{found.probability:.4f}",
                f"{found.mean:.5g}",
                f"{found.peak.value:.5g}",
                f"{found.peak.row}, {found.peak.column}",
                f"{found.peak.field[0]} to {found.peak.field[2] - 1}",
                f"{found.peak.field[1]} to {found.peak.field[3] - 1}",
            )
            for found in self.classes
        ]

    def parts(self) -> tuple[Part, ...]:
        """The picture with the maps of its best classes, and all classes, as a notebook shows them."""
        best = replace(self, classes=self.classes[:_DRAWN])
        labels = short(", ".join(found.label for found in best.classes), 200)
        return Picture(best.png(), f"class maps of {labels} on {self.name}"), Table(HEADERS, self.rows(), RIGHT)

    def _repr_html_(self) -> str:
        return view(self.name, *self.parts(), about=self.identity)


class Explanations(list[Explanation]):
    """The explanations of several pictures, which a notebook shows one below the other."""

    def __repr__(self) -> str:
        lines = [f"{found.name}: {', '.join(c.label for c in found.classes)}; {found.identity}" for found in self]
        return cut(lines, "pictures") if lines else "[]"

    def _repr_html_(self) -> str:
        more = len(self) - _DRAWN
        rest = [view(f"and {counted(more, 'more picture')}")] if more > 0 else []
        return "\n".join([*(found._repr_html_() for found in self[:_DRAWN]), *rest])


def draw(explanations: Sequence[Explanation]) -> bytes:
    """A PNG with a row for each class of each picture."""
    return sheet([row for explanation in explanations for row in _rows(explanation)])


def _rows(explanation: Explanation) -> Iterator[Row]:
    """The classes of a picture, in one scale: the best ones, as a taller picture is hard to look at."""
    largest = max((float(np.abs(found.cells).max(initial=0.0)) for found in explanation.classes), default=0.0)
    for found in explanation.classes[:_MOST_ROWS]:
        rows, columns = found.cells.shape
        likely = "" if found.probability is None else f", {found.probability:.1%}"
        texts = (
            found.label,
            f"score {found.score:.4g}{likely}",
            f"mean of {rows}x{columns} cells {found.mean:.4g}",
            f"cells {found.cells.min():.3g} to {found.cells.max():.3g}",
        )
        yield Row(explanation.pixels, found.cells.astype(np.float64) / (largest or 1.0), explanation.place, texts)


@dataclass(frozen=True, slots=True)
class Outputs:
    """One picture's scores (classes,) and class maps (classes, rows, columns), in the given precision."""

    scores: Array
    maps: Array
    precision: str


def explanation_of(name: str, pixels: Pixels, found: Outputs, info: ModelInfo, wanted: Sequence[str]) -> Explanation:
    """The explanation of one picture, for the `wanted` classes: labels or indices, `top` or `all`.

    Raises InputError for an unknown class, or a file without class maps; ParityError where the means of the maps are
    not the scores.
    """
    if info.maps is None or info.output is None:
        raise no_maps("the file")
    scores, maps = found.scores.astype(np.float64), found.maps.astype(np.float64)
    means = maps.mean((1, 2))
    allowed = ALLOWED.get(found.precision, EXACT)
    difference = _difference(means, scores, info.output)
    if not difference <= allowed:
        message = (
            f"the class maps do not average to the scores: relative difference {difference:.1e}, allowed {allowed:g}"
        )
        raise ParityError(Code.PARITY, message, hint="export the file again, or try another device")
    likely = probabilities_of(found.scores, info.output)
    classes = tuple(
        ClassMap(
            k,
            info.labels[k] if info.labels else str(k),
            float(scores[k]),
            None if likely is None else float(likely[k]),
            float(means[k]),
            _peak(maps[k], info.maps, (pixels.shape[0], pixels.shape[1])),
            found.maps[k],
        )
        for k in chosen(wanted, info.labels, scores)
    )
    return Explanation(name, classes, info.maps, difference, allowed, info.output, pixels)


def no_maps(name: str) -> InputError:
    """The error for a file without the output `maps`."""
    hint = "export it with its maps: nin-spec export RUNDIR --onnx FILE --outputs scores,maps; or pass the run folder"
    return InputError(Code.MODEL_UNREADABLE, f"{name} does not return its class maps", hint=hint)


def chosen(wanted: Sequence[str], labels: Sequence[str], scores: Array) -> list[int]:
    """The indices of the classes, each once: in the order asked for, `all` best first. Raises InputError."""
    order = [int(k) for k in np.argsort(-scores, kind="stable")]
    found: list[int] = []
    for word in wanted:
        if word in labels:
            found.append(labels.index(word))
        elif word in {TOP, ALL}:
            found += order[:1] if word == TOP else order
        elif word.isascii() and word.isdigit() and len(word) <= 9 and int(word) < len(scores):
            found.append(int(word))
        else:
            known = [*labels, TOP, ALL] if labels else [TOP, ALL]
            count = f"; an index is below {len(scores)}" if not labels else ""
            raise InputError(
                Code.INPUT_UNUSABLE, f"the model has no class {word!r}", hint=f"{did_you_mean(word, known)}{count}"
            )
    return list(dict.fromkeys(found))


def _difference(means: Array, scores: Array, output: Output) -> float:
    """The largest difference, relative to the largest score; infinite for anything that is not finite."""
    if output != "scores":
        means = probabilities(means[None], "scores")[0]
    if output == "log_probabilities":
        with np.errstate(divide="ignore"):
            means = np.log(means)
    if not (np.isfinite(means).all() and np.isfinite(scores).all()):
        return float("inf")
    largest = float(np.abs(scores).max(initial=0.0))
    return float(np.abs(means - scores).max(initial=0.0)) / (largest or 1.0)


def _peak(cells: Array, place: Place, size: Pair) -> Peak:
    row, column = (int(k) for k in np.unravel_index(int(cells.argmax()), cells.shape))
    rows, columns = place.seen(0, row, size[0]), place.seen(1, column, size[1])
    box = (rows.start, columns.start, rows.stop, columns.stop)
    return Peak(row, column, float(cells[row, column]), box)
