"""Charts of a training, an evaluation and a bench, as PNG; the same numbers give the same bytes.

Drawn by matplotlib (the extra `train`) without its global state. The colours suit colour-blind readers: Okabe and Ito's
palette for curves, only lightness for cells.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nin_spec.extras import need

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Row = Mapping[str, float | int | None]

COUNTED = 20
"""Most classes for which the counts are written into the cells."""

BLUE, ORANGE, INK, _BAR, GRID = "#0072b2", "#d55e00", "#333333", "#b8b8b8", "#dddddd"
_DPI = 150
_BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
_FONT = "DejaVu Sans"  # ships with matplotlib: the same glyphs on every machine
STYLE = {
    "font.family": _FONT,
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def confusion_png(confusion: NDArray[np.int64], labels: Sequence[str]) -> bytes:
    """A confusion matrix (C, C) with true classes as rows: each cell is shaded by its fraction of the row.

    The shade grows with the square root of the fraction, so that rare confusions are visible. For up to 20 classes the
    counts are written, too. Raises InputError (EXTRA_MISSING) without matplotlib.
    """
    matplotlib = load_matplotlib()
    count = len(labels)
    side = 2.2 + 0.5 * count if count <= COUNTED else min(2.5 + 0.115 * count, 24)
    with matplotlib.rc_context({**STYLE, "font.size": max(9, side)}):  # a large picture is viewed scaled down
        figure = matplotlib.figure.Figure((side + 2, side + 1.2), layout="constrained")
        axes = figure.add_subplot()
        shares = confusion / confusion.sum(1, keepdims=True).clip(1)
        shades = matplotlib.colors.PowerNorm(0.5, vmin=0, vmax=1)
        image = axes.imshow(shares, cmap="Blues", norm=shades, interpolation="nearest")
        _name_classes(axes, labels, side)
        if count <= COUNTED:
            _write_counts(axes, confusion, shares)
        bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=30, pad=0.02, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
        bar.ax.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
        bar.outline.set_visible(False)
        bar.set_label("share of the true class")
        right, total = int(confusion.trace()), int(confusion.sum())
        axes.set_title(f"{right / max(total, 1):.2%} of {total:,} right", loc="left", fontweight="bold")
        return png_of(figure)


def _name_classes(axes: Any, labels: Sequence[str], side: float) -> None:
    """Class names on both axes, a line around each cell; with too many classes, only some names."""
    count, size = len(labels), 9 if len(labels) <= COUNTED else 6
    every = max(1, round(count * size * 1.1 / (side * 72)))
    places = range(0, count, every)
    shown = [plain(labels[k], str(k)) for k in places]
    axes.set_xticks(places, shown, rotation=90 if count > COUNTED else 45, fontsize=size)
    for tick in axes.get_xticklabels() if count <= COUNTED else ():
        tick.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(places, shown, fontsize=size)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if count <= 150:
        for draw in (axes.axhline, axes.axvline):
            for k in range(count + 1):
                draw(k - 0.5, color=GRID, linewidth=0.4)
    axes.spines[:].set_visible(False)


def plain(text: str, instead: str, limit: int = 24) -> str:
    """A text with `$` escaped, cut at the limit; `instead` if the font lacks glyphs."""
    manager = need("matplotlib.font_manager", "drawing")
    letters = manager.get_font(manager.findfont(_FONT)).get_charmap()
    if not all(ord(letter) in letters for letter in text):
        return instead
    return (text if len(text) <= limit else f"{text[: limit - 3]}...").replace("$", r"\$")


def _write_counts(axes: Any, confusion: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    """Each non-zero count, dark on light cells and light on dark ones."""
    size = 8 if confusion.max() < 10_000 else 6.5
    for (row, column), number in _cells(confusion):
        if number:
            ink = "white" if shares[row, column] > 0.3 else INK
            axes.text(column, row, str(number), ha="center", va="center", color=ink, fontsize=size)


def _cells(table: NDArray[np.int64]) -> list[tuple[tuple[int, int], int]]:
    rows = enumerate(table.tolist())
    return [((i, j), number) for i, row in rows for j, number in enumerate(row)]


# ------------------------------------------------------------------ curves


def curves_png(rows: Sequence[Row], title: str, chosen: int | None = None) -> bytes:
    """Loss, accuracy and learning rate by epoch; a line marks the epoch `chosen`, whose weights are the result.

    Rows have the keys epoch, train_loss, train_accuracy, test_loss, test_accuracy (or validation_...) and
    lr; any but epoch may be missing or None. Raises InputError (EXTRA_MISSING) without matplotlib.
    """
    matplotlib = load_matplotlib()
    with matplotlib.rc_context(STYLE):
        figure = matplotlib.figure.Figure((10, 5), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=[4, 1])
        loss, accuracy = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
        rate = figure.add_subplot(grid[1, :])
        figure.suptitle(plain(title, "", 100), x=0.012, ha="left", fontweight="bold")
        _draw_pair(loss, rows, "loss")
        _draw_pair(accuracy, rows, "accuracy")
        accuracy.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1))
        _draw(rate, rows, "lr", INK, "")
        rate.set_ylim(bottom=0)
        rate.yaxis.set_major_formatter("{x:g}")
        epochs = [float(row["epoch"] or 0) for row in rows] or [1.0]
        margin = max(0.5, 0.02 * (epochs[-1] - epochs[0]))
        for axes, name in ((loss, "loss"), (accuracy, "accuracy"), (rate, "learning rate")):
            axes.set_title(name, loc="left", fontsize=9)
            axes.grid(axis="y", color=GRID, linewidth=0.7)
            axes.set_axisbelow(True)
            axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, min_n_ticks=1))
            if chosen is not None:
                axes.axvline(chosen, color=INK, linestyle=":", linewidth=1)
        if chosen is not None:
            axes = accuracy.get_xaxis_transform()
            accuracy.annotate(f"epoch {chosen}: the result", (chosen, 0.5), (3, 0), axes, "offset points", fontsize=8)
        rate.set_xlabel("epoch")
        return png_of(figure)


def _draw_pair(axes: Any, rows: Sequence[Row], quantity: str) -> None:
    """The quantity in training and on held-out pictures; the legend has the last values."""
    held = "validation" if any(f"validation_{quantity}" in row for row in rows) else "test"
    form = ".2%" if quantity == "accuracy" else ".4g"
    _draw(axes, rows, f"train_{quantity}", BLUE, form)
    _draw(axes, rows, f"{held}_{quantity}", ORANGE, form)
    if axes.lines:
        axes.legend(frameon=False, title="last epoch", alignment="left", title_fontsize=8)


def _draw(axes: Any, rows: Sequence[Row], key: str, colour: str, form: str) -> None:
    """One curve, of the rows that have it, labelled with its last value."""
    points = [(row["epoch"], row[key]) for row in rows if row.get(key) is not None]
    if not points:
        return
    mark = "o" if len(points) <= 30 else ""
    label = f"{key.partition('_')[0]}  {points[-1][1]:{form}}"
    look = {"color": colour, "marker": mark, "markersize": 3, "linewidth": 1.6, "clip_on": False}
    axes.plot(*zip(*points, strict=True), label=label, **look)


# ------------------------------------------------------------------ a bench


def bench_png(result: Mapping[str, Any]) -> bytes:
    """Throughputs of a bench, a panel per batch size, from the dict that `bench --format json` prints.

    Whiskers are the quartiles; a line marks the peak of the first contender's precision. Raises
    InputError (EXTRA_MISSING) without matplotlib.
    """
    matplotlib = load_matplotlib()
    batches = list(dict.fromkeys(row["batch"] for row in result["results"]))
    panels = [[row for row in result["results"] if row["batch"] == batch] for batch in batches]
    heights = [len(rows) + 0.8 for rows in panels] or [1.0]
    with matplotlib.rc_context(STYLE):
        figure = matplotlib.figure.Figure((8, 1.1 + 0.34 * sum(heights)), layout="constrained")
        figure.suptitle(plain(f"{result['name']}: images/s", "", 100), x=0.012, ha="left", fontweight="bold")
        grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
        for place, (batch, rows) in enumerate(zip(batches, panels, strict=True)):
            axes = figure.add_subplot(grid[place, 0])
            axes.set_title(f"batch {batch}", loc="left", fontsize=9)
            _draw_throughputs(axes, rows)
            _mark_peak(axes, result, rows)
        return png_of(figure)


def _draw_throughputs(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """A bar per contender, ours in colour, with the number at its end."""
    for place, row in enumerate(rows):
        rate, latency = row["images_per_second"], row["latency_ms"]
        low, high = (row["batch"] * 1e3 / latency[key] for key in ("high", "low"))
        colour = BLUE if row["contender"].startswith("nin-spec") else _BAR
        whiskers = [[max(rate - low, 0)], [max(high - rate, 0)]]
        axes.barh(place, rate, 0.68, color=colour, xerr=whiskers, ecolor=INK, capsize=2, error_kw={"linewidth": 0.9})
        text = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2f}"
        axes.annotate(
            text, (max(rate, high), place), (5, 0), textcoords="offset points", va="center", fontsize=8, bbox=_BEHIND
        )
    axes.set_yticks(range(len(rows)), [plain(row["contender"], str(k)) for k, row in enumerate(rows)])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, axes.get_xlim()[1] * 1.08)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def _mark_peak(axes: Any, result: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """A line at the machine's peak, from the first contender's fraction of it."""
    share = rows[0]["share_of_peak"]
    if share is None:
        return
    rate = rows[0]["images_per_second"] / share["median"]
    axes.axvline(rate, color=ORANGE, linewidth=1.2)
    axes.set_xlim(0, max(axes.get_xlim()[1], rate * 1.12))
    precision = next(c["precision"] for c in result["contenders"] if c["name"] == rows[0]["contender"])
    label = f"{precision} peak"
    axes.annotate(
        label, (rate, 1), (3, 2), ("data", "axes fraction"), "offset points", color=ORANGE, ha="right", fontsize=8
    )


# ------------------------------------------------------------------ matplotlib


def load_matplotlib() -> Any:
    """matplotlib, with the modules used here."""
    matplotlib = need("matplotlib", "drawing")
    for part in ("figure", "colors", "ticker", "backends.backend_agg"):
        need(f"matplotlib.{part}", "drawing")
    return matplotlib


def png_of(figure: Any) -> bytes:
    """A figure of matplotlib as PNG; the same bytes for the same figure."""
    data = io.BytesIO()
    figure.draw_without_rendering()  # the layout needs two rounds if an axis keeps its aspect ratio
    # Instead of matplotlib's version; it also marks the file as one that may be overwritten.
    figure.savefig(data, format="png", dpi=_DPI, metadata={"Software": "Written by nin-spec"})
    return data.getvalue()
