"""The end of a training: its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from nin_spec.files import write_atomic


def draw_curves(folder: Path, rows: Sequence[Mapping[str, float | int]], title: str, chosen: int | None = None) -> None:
    """Draw curves.png, with the chosen epoch marked, if any epoch is done."""
    if not rows:
        return
    from nin_spec.diagrams.charts import curves_png

    write_atomic(folder / "curves.png", curves_png(rows, title, chosen))
