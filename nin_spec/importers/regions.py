"""A region of a graph as one function, with the constants that it reads; and the inputs that it is tried on.

What a function is, is known by its values only where it was tried. So it is tried from 1e-3 to 1e12 and on either
side of zero, on bright and on dark maps, and at the breakpoints that its own constants suggest: a clip at 20
or a threshold at 500 acts there. And each use of its constants must act somewhere on these inputs: one that acts
nowhere may act beyond them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Function = Callable[[Array], Array]


class Compute(Protocol):
    """A function of an input and, by name, of constants to use instead of its own."""

    def __call__(self, x: Array, changed: Mapping[str, Array]) -> Array:
        """The function's values."""


SMALLEST, LARGE, LARGEST = 1e-3, 1e4, 1e12
"""Magnitudes of the inputs that a function is tried on: usual ones end at `LARGE`. The largest has a finite cube."""
UNBOUNDED = 9.9e37
"""A bound beyond this is none: exporters write float's own limits where a clip is open."""
_BREAKPOINTS = 64
_FEW = 16
"""Constants whose products, sums and differences are tried, too, and not their ratios alone."""


@dataclass(frozen=True)
class Region:
    """A function of maps (N, C, H, W) or features (N, F).

    `constants` are the numbers that it reads, attributes among them, by what messages call them. `pointwise` says that
    each cell of the result depends on the same cell alone, so that small maps show all that it does.
    """

    compute: Compute
    constants: Mapping[str, Array] = field(default_factory=dict)
    pointwise: bool = False

    def __call__(self, x: Array) -> Array:
        """The function's values."""
        return np.asarray(self.compute(x, {}))

    def altered(self) -> Iterator[tuple[str, Function]]:
        """The function with one constant changed, for each that is a number in reach."""
        for name, value in self.constants.items():
            if value.size and bool((np.abs(value) < UNBOUNDED).any()):
                changed = np.where(value == 0, 1.0, 1.5 * value.astype(np.float64)).astype(value.dtype)
                yield name, partial(self.compute, changed={name: changed})

    def idle_constant(self, known: list[tuple[Array, Array]]) -> str | None:
        """The name of a constant that some channel of the result does not depend on, on any input of known result."""
        for name, function in self.altered():
            acts: Any = False
            for x, y in known:
                acts = acts | _acts(function(x), y, self.constants[name].shape)
                if np.all(acts):
                    break
            else:
                return name
        return None


def _acts(changed: Array, y: Array, shape: tuple[int, ...]) -> Any:
    """By channel, whether two results differ; by cell, where a constant of this shape has a number for each."""
    if changed.shape != y.shape or y.ndim < 2:
        return changed.shape != y.shape or not np.array_equal(changed, y)
    with np.errstate(invalid="ignore"):
        apart = np.abs(changed.astype(np.float64) - y) > 1e-6 * np.maximum(np.abs(y), 1e-3)
    apart |= np.isfinite(changed) != np.isfinite(y)
    own = {axis for axis in range(2, y.ndim) if len(shape) == y.ndim and shape[axis] == y.shape[axis]}
    return apart.any(tuple(axis for axis in range(y.ndim) if axis != 1 and axis not in own))


def plain_input(shape: tuple[int, ...]) -> Array:
    """Normal values of usual size, on which most functions can be recognised."""
    return (2 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def inputs(shape: tuple[int, ...], constants: Mapping[str, Array], *, few: bool = False) -> list[Array]:
    """What a function is tried on: every magnitude, both signs, whole maps bright or dark, and the breakpoints.

    `few` leaves out what a function that takes long need not be shown twice.
    """
    rng = np.random.default_rng(1)
    sign = rng.choice([-1.0, 1.0], shape)
    signed, far = sign * _spread(rng, SMALLEST, LARGE, shape), sign * _spread(rng, LARGE, LARGEST, shape)
    normal = rng.standard_normal(shape)
    if few:
        bright = [side * np.abs(normal) * scale for side, scale in ((1.0, 300.0), (-1.0, 300.0), (1.0, LARGE))]
        breaking = _with_breakpoints(signed, constants, rng)
        found = [plain_input(shape), breaking, *bright, far, rng.uniform(0, 255, shape)]
        return [x.astype(np.float32) for x in found]
    found = [
        plain_input(shape),
        signed,
        _with_breakpoints(signed, constants, rng),
        far,
        *(normal * scale for scale in (SMALLEST, 30.0, LARGE)),
        *(side * np.abs(normal) * scale for side in (1.0, -1.0) for scale in (1.0, 300.0, LARGE, LARGEST)),
        rng.uniform(0, 255, shape).round(),
        *(np.full(shape, level) for level in (0.0, 1.0, 255.0)),
    ]
    return [x.astype(np.float32) for x in found]


def _spread(rng: np.random.Generator, low: float, high: float, shape: tuple[int, ...]) -> Array:
    """Positive values of every magnitude between two."""
    found: Array = 10 ** rng.uniform(np.log10(low), np.log10(high), shape)
    return found


def _with_breakpoints(x: Array, constants: Mapping[str, Array], rng: np.random.Generator) -> Array:
    """`x` with half of its cells at breakpoints: at constants and what two of them make, and closely beside them."""
    numbers = np.concatenate([np.empty(0), *(value.reshape(-1)[:_BREAKPOINTS] for value in constants.values())])
    numbers = np.unique(np.abs(numbers[np.isfinite(numbers) & (np.abs(numbers) < UNBOUNDED)]))[:_BREAKPOINTS]
    if not numbers.size:
        return x
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        made = [numbers[:, None] / numbers]
        if numbers.size <= _FEW:
            made += [numbers[:, None] * numbers, numbers[:, None] + numbers, numbers[:, None] - numbers]
        points = np.unique(np.concatenate([numbers, np.diff(numbers), *(two.reshape(-1) for two in made)]))
    points = points[np.isfinite(points) & (points < UNBOUNDED)]
    beside = rng.choice([1.0, 1 - 1e-3, 1 + 1e-3], x.shape) * rng.choice([-1.0, 1.0], x.shape)
    return np.where(rng.random(x.shape) < 0.5, rng.choice(points, x.shape) * beside, x)
