"""Covering designs: few rows of many, in which every combination of any few values still occurs."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

Row = Mapping[str, Any]


_SAMPLED = 2500


def combined(values: Mapping[str, Sequence[Any]]) -> Iterator[Row]:
    """Rows with a value for each key: all combinations, or so many of them that each pair of values is among them."""
    total = math.prod(map(len, values.values()))
    picked = range(total) if total <= _SAMPLED else random.Random(0).sample(range(total), _SAMPLED)  # noqa: S311
    for number in picked:
        row, rest = {}, number
        for key, choices in values.items():
            rest, k = divmod(rest, len(choices))
            row[key] = choices[k]
        yield row


def covering(rows: Iterable[Row], strength: int) -> list[int]:
    """The numbers of some rows: each combination of `strength` values that is in any row is in one of them.

    Rows have the same keys, and hashable values. An op that is wrong for a value, or for a combination of `strength`
    values, is wrong in one of the rows (Kuhn, Wallace and Gallo 2004: nearly all faults are of one or two values).
    """
    combinations_of = [frozenset(combinations(sorted(row.items()), strength)) for row in rows]
    order = list(range(len(combinations_of)))
    random.Random(0).shuffle(order)  # noqa: S311 a row shares most of its values with the one before
    covered: set[Any] = set()
    chosen: list[int] = []
    most = max(map(len, combinations_of), default=0)
    # First those that cover most: not the fewest rows, but few, in a time that grows only with their number.
    for least in sorted({most, most * 3 // 4, most // 2, most // 4, 1} - {0}, reverse=True):
        for k in order:
            if len(combinations_of[k] - covered) >= least:
                covered |= combinations_of[k]
                chosen.append(k)
    return sorted(chosen)
