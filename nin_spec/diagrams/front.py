"""The candidates of a sweep in two quantities, with the front of the best among them, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nin_spec.diagrams.charts import BLUE, GRID, ORANGE, STYLE, load_matplotlib, plain, png_of


@dataclass(frozen=True)
class Quantity:
    """One axis of the chart."""

    title: str
    is_share: bool
    low_is_better: bool


@dataclass(frozen=True)
class Dot:
    """A candidate: its number, its two values, and whether none is better in both."""

    number: int
    x: float
    y: float
    on_front: bool


def front_png(dots: Sequence[Dot], x: Quantity, y: Quantity, title: str) -> bytes:
    """A dot for each candidate; those of the front are joined, and numbered. Raises InputError without matplotlib."""
    matplotlib = load_matplotlib()
    with matplotlib.rc_context(STYLE):
        figure = matplotlib.figure.Figure((8, 5), layout="constrained")
        axes = figure.add_subplot()
        figure.suptitle(plain(title, "", 100), x=0.012, ha="left", fontweight="bold")
        others = [dot for dot in dots if not dot.on_front]
        front = sorted((dot for dot in dots if dot.on_front), key=lambda dot: dot.x)
        axes.scatter([d.x for d in others], [d.y for d in others], s=18, color=BLUE, alpha=0.5, linewidths=0)
        axes.plot([d.x for d in front], [d.y for d in front], color=ORANGE, linewidth=1, marker="o", markersize=5)
        for dot in front:
            axes.annotate(str(dot.number), (dot.x, dot.y), (4, 4), textcoords="offset points", fontsize=7)
        for quantity, axis in ((x, axes.xaxis), (y, axes.yaxis)):
            axis.set_label_text(f"{quantity.title} ({'less' if quantity.low_is_better else 'more'} is better)")
            if quantity.is_share:
                axis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=1))
            else:
                axis.set_major_formatter(matplotlib.ticker.EngFormatter())
        axes.grid(color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        return png_of(figure)
