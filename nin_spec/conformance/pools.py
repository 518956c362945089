"""Pools with windows: every form that an exported file may hold."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Any, get_args

from nin_spec.ir import ops
from nin_spec.ir.types import Padding, Pair

WINDOWS: tuple[tuple[Pair, Pair], ...] = (
    ((2, 2), (2, 2)),
    ((3, 3), (2, 2)),
    ((3, 3), (1, 1)),
    ((3, 2), (2, 1)),
    ((2, 2), (3, 3)),
    ((3, 2), (3, 3)),
    ((4, 3), (3, 4)),
    ((5, 4), (3, 2)),
    ((1, 1), (2, 2)),
    ((4, 4), (3, 3)),
)
"""(kernel, stride): overlapping, side by side, and apart; square and not."""
PADDINGS = tuple(
    Padding(*sides)
    for sides in (
        (0, 0, 0, 0),
        (1, 1, 1, 1),
        (2, 2, 2, 2),
        (1, 1, 0, 0),
        (0, 0, 1, 1),
        (2, 2, 1, 1),
        (0, 1, 0, 1),
        (1, 0, 1, 0),
        (0, 1, 0, 0),
        (0, 0, 0, 1),
        (1, 2, 1, 2),
        (2, 1, 1, 1),
        (0, 3, 2, 0),
        (1, 1, 0, 1),
        (0, 2, 0, 2),
        (0, 1, 1, 1),
    )
)
"""Padded nowhere, evenly, on one axis, on one side, and differently on each."""


def pools() -> Iterator[ops.Pool2d]:
    """Every window with every padding that leaves it some input, rounded down and up, counted and not."""
    for (kernel, stride), padding, ceil in itertools.product(WINDOWS, PADDINGS, (False, True)):
        if max(padding[:2]) >= kernel[0] or max(padding[2:]) >= kernel[1]:
            continue
        for kind in get_args(ops.WindowPool):
            found = (kind(kernel, stride, padding, ceil, **own) for own in _own(kind))
            yield from dict.fromkeys(op for op in found if padding != Padding() or op == op.uncounted())


def _own(kind: type[ops.Pool2d]) -> Iterator[dict[str, Any]]:
    """The attributes that a pool has beside its windows, in every combination of their values."""
    shared = {field.name for field in fields(ops.Pool2d)}
    own = [field for field in fields(kind) if field.name not in shared]
    for values in itertools.product(*(_values(field) for field in own)):
        yield {field.name: value for field, value in zip(own, values, strict=True)}


def _values(field: Field[Any]) -> tuple[Any, ...]:
    """The values of a flag, or some of a number."""
    if field.type in {"bool", bool}:
        return (False, True)
    return (1, 2, 3) if field.default is MISSING else (field.default, field.default + 1)
