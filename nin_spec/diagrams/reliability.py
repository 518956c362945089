"""How far probabilities can be trusted, as PNG: the reliability diagram and the risk-coverage curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nin_spec.diagrams.charts import BLUE, GRID, INK, ORANGE, STYLE, load_matplotlib, png_of


def reliability_png(confidence: Mapping[str, Any]) -> bytes:
    """Both panels, from the `confidence` of what `evaluate --format json` prints.

    On the left, the accuracy of each bin beside its mean confidence: bars that reach the diagonal are calibrated. The
    grey bars below are the fraction of the pictures in each bin. On the right, the errors if only the surest pictures
    are answered. Raises InputError (EXTRA_MISSING) without matplotlib.
    """
    matplotlib = load_matplotlib()
    with matplotlib.rc_context(STYLE):
        figure = matplotlib.figure.Figure((9, 4.6), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=[4, 1])
        diagram, counts = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
        curve = figure.add_subplot(grid[:, 1])
        _draw_bins(diagram, counts, confidence["bins"])
        _draw_curve(curve, confidence["risk_coverage"])
        for axis in (diagram.xaxis, diagram.yaxis, counts.xaxis, counts.yaxis, curve.xaxis):
            axis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
        curve.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1))
        title = f"expected calibration error {confidence['ece']:.4f}, mean confidence {confidence['mean']:.2%}"
        diagram.set_title(title, loc="left", fontsize=9)
        curve.set_title("errors if only the surest pictures are answered", loc="left", fontsize=9)
        return png_of(figure)


def _draw_bins(diagram: Any, counts: Any, bins: Sequence[Mapping[str, Any]]) -> None:
    """The accuracy by confidence, and below it where the pictures are."""
    total = sum(b["images"] for b in bins) or 1
    filled = [b for b in bins if b["images"]]
    width = 1 / len(bins)
    look = {"width": width, "align": "edge", "edgecolor": "white", "linewidth": 0.8}
    diagram.bar([b["low"] for b in filled], [b["accuracy"] for b in filled], color=BLUE, **look, label="accuracy")
    diagram.plot(
        [b["confidence"] for b in filled],
        [b["confidence"] for b in filled],
        "o",
        color=ORANGE,
        markersize=4,
        clip_on=False,
        label="mean confidence",
    )
    diagram.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    diagram.set_ylim(0, 1)
    diagram.legend(loc="upper left", edgecolor="none", framealpha=0.9)
    counts.bar([b["low"] for b in filled], [b["images"] / total for b in filled], color="#b8b8b8", **look)
    counts.set_xlabel("confidence")
    counts.set_ylabel("pictures")
    for axes in (diagram, counts):
        axes.set_xlim(0, 1)
        axes.grid(axis="y", color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)


def _draw_curve(axes: Any, curve: Sequence[Mapping[str, float]]) -> None:
    axes.plot([p["coverage"] for p in curve], [p["risk"] for p in curve], color=BLUE, linewidth=1.6, clip_on=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("pictures answered (coverage)")
    axes.set_ylabel("of them wrong (risk)")
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
