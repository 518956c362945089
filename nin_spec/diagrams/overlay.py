"""The curves of several runs over one another, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nin_spec.diagrams.charts import GRID, STYLE, Row, load_matplotlib, plain, png_of

MOST = 8
"""Most runs whose curves a reader can distinguish."""
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
"""Okabe and Ito's palette, and a brown for its yellow, which is too light for a line."""


def overlay_png(runs: Mapping[str, Sequence[Row]]) -> bytes:
    """Loss and accuracy by epoch of up to eight runs, by name: on held-out pictures, and thin in training.

    Rows are those of metrics.csv. Raises InputError (EXTRA_MISSING) without matplotlib.
    """
    matplotlib = load_matplotlib()
    with matplotlib.rc_context(STYLE):
        figure = matplotlib.figure.Figure((10, 4.6), layout="constrained")
        for k, quantity in enumerate(("loss", "accuracy")):
            axes = figure.add_subplot(1, 2, k + 1)
            for (name, rows), colour in zip(runs.items(), _COLOURS, strict=False):
                for key in ("validation", "test", "train"):
                    points = [
                        (r["epoch"], r[f"{key}_{quantity}"]) for r in rows if r.get(f"{key}_{quantity}") is not None
                    ]
                    look = {"linewidth": 0.8, "alpha": 0.5} if key == "train" else {"linewidth": 1.8}
                    label = plain(name, "", 40) if key != "train" else None
                    if points:
                        axes.plot(*zip(*points, strict=True), color=colour, label=label, **look)
            axes.set_title(f"{quantity}; thin: train", loc="left", fontsize=9)
            axes.set_xlabel("epoch")
            axes.grid(axis="y", color=GRID, linewidth=0.7)
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, min_n_ticks=1))
            if quantity == "accuracy":
                axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1))
        if figure.axes[0].lines:
            figure.axes[0].legend(frameon=False, fontsize=7)
        return png_of(figure)
