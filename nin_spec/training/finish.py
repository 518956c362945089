"""The end of a training: the pictures and the sums of what it came to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nin_spec.extras import need
from nin_spec.files import write_atomic


def draw_curves(folder: Path, rows: Sequence[Mapping[str, float | int]], title: str, chosen: int | None = None) -> None:
    """curves.png, the chosen epoch marked, and the same numbers for TensorBoard. Nothing where no epoch is done."""
    if not rows:
        return
    from nin_spec.charts import curves_png

    write_atomic(folder / "curves.png", curves_png(rows, title, chosen))
    log = folder / "tensorboard"
    # A resumed run tells its whole story again: half a story twice would be drawn as one.
    shutil.rmtree(log, ignore_errors=True)
    writer: Any = need("tensorboardX", "training").SummaryWriter(str(log))
    with writer:
        for row in rows:
            for key, value in row.items():
                if key not in ("epoch", "step"):
                    writer.add_scalar(key.replace("_", "/", 1), value, row["epoch"])
