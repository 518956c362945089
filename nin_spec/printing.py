"""Text that people read: aligned columns, sizes with their units."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from nin_spec.diagnostics import printable


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of cells as lines, columns two spaces apart, those in `right` right-aligned."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(_align(c, w, i in right) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def _align(text: str, width: int, right: bool) -> str:  # noqa: FBT001
    return text.rjust(width) if right else text.ljust(width)


def changed(path: str, before: Any, after: Any) -> str:
    """A value that differs, on one line."""
    return f"{path}: {arrow(before, after)}"


def arrow(before: Any, after: Any) -> str:
    """Two values as JSON, the second after the first."""
    return f"{_json(before)} -> {_json(after)}"


def _json(value: Any) -> str:
    return "(not set)" if value is None else json.dumps(value, ensure_ascii=False)


def share(value: float | None) -> str:
    """A fraction in percent, `-` for none."""
    return "-" if value is None else f"{value:.2%}"


def pair(value: tuple[int, int]) -> str:
    """A square as one number."""
    return str(value[0]) if value[0] == value[1] else f"{value[0]}x{value[1]}"


def memory(size: float) -> str:
    """Bytes with a binary unit."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
