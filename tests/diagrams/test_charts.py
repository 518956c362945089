"""Pictures of an evaluation and of a training: whole PNG files, the same bytes each time."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nin_spec.diagnostics import Code, InputError
from nin_spec.diagrams.charts import bench_png, confusion_png, curves_png


def table(classes: int) -> NDArray[np.int64]:
    """A confusion matrix, mostly right."""
    counts = np.random.default_rng(classes).integers(0, 9, (classes, classes))
    return counts + 90 * np.eye(classes, dtype=np.int64)


def names(classes: int) -> list[str]:
    """A name for each class."""
    return [f"class {k}" for k in range(classes)]


def rows(epochs: int, held: str = "test") -> list[dict[str, float | int | None]]:
    """A training that learns."""
    return [
        {
            "epoch": e,
            "lr": 0.1 / e,
            "train_loss": 2 / e,
            "train_accuracy": 1 - 1 / e,
            f"{held}_loss": 2.5 / e,
            f"{held}_accuracy": 1 - 1.2 / (e + 1),
        }
        for e in range(1, epochs + 1)
    ]


def opened(data: bytes) -> Image.Image:
    """The picture, every byte of it decoded."""
    picture = Image.open(io.BytesIO(data), formats=["PNG"])
    picture.load()
    return picture


def test_the_same_numbers_give_the_same_bytes() -> None:
    """In this process and in another; nothing in the file tells when it was made, or by which version."""
    data = confusion_png(table(3), names(3))
    assert data == confusion_png(table(3), names(3))
    assert opened(data).info["Software"] == "Written by nin-spec"
    assert set(opened(data).info) <= {"Software", "dpi"}
    code = (
        "import sys; from nin_spec.diagrams.charts import curves_png;"
        "sys.stdout.buffer.write(curves_png([{'epoch': 1, 'train_loss': 2.0}, {'epoch': 2, 'train_loss': 1.0}], 't'))"
    )
    other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    assert other == curves_png([{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.0}], "t")


def test_other_numbers_give_another_picture() -> None:
    """The counts and the shades are those of the matrix."""
    other = table(3)
    other[0, 1] += 40
    assert confusion_png(table(3), names(3)) != confusion_png(other, names(3))
    assert curves_png(rows(2), "t") != curves_png(rows(3), "t")


@pytest.mark.floors
@pytest.mark.parametrize("classes", [1, 2, 10, 100])
def test_every_class_has_room(classes: int) -> None:
    """A cell is wide enough for its count, or its name; no picture is larger than a large screen."""
    picture = opened(confusion_png(table(classes), names(classes)))
    cell = 60 if classes <= 20 else 12
    assert min(picture.size) > cell * classes
    assert max(picture.size) < 2600


def test_the_diagonal_is_dark_and_the_rest_is_light() -> None:
    """Shades go by the share of the row; a row without pictures is blank, and divides nothing by zero."""
    counts = np.array([[5, 0], [0, 0]])
    picture = np.asarray(opened(confusion_png(counts, ["a", "b"])).convert("L"))
    darkest = picture < 70
    assert darkest.any()
    rows_, columns = np.nonzero(darkest[:, : picture.shape[1] * 3 // 4])
    assert np.median(rows_) < picture.shape[0] / 2
    assert np.median(columns) < picture.shape[1] / 2


@pytest.mark.parametrize("labels", [["T-shirt/top", "$a$ $\\frac{$"], ["猫", "собака"], ["x" * 300, "\n\t"]])
def test_any_label_is_drawn(labels: list[str]) -> None:
    """Formulas are no formulas, letters that the font lacks become the class's number, and long ones are cut."""
    opened(confusion_png(table(2), labels))
    opened(curves_png(rows(1), labels[0]))


@pytest.mark.parametrize(
    "given",
    [
        [],
        rows(1),
        rows(3, "validation"),
        [{"epoch": 1}],
        [{"epoch": 1, "train_loss": None, "test_accuracy": 0.5}, {"epoch": 2, "train_loss": 1.0}],
        [{"epoch": e, "lr": 3e-7} for e in range(40)],
    ],
)
def test_what_is_missing_is_not_drawn(given: Sequence[Any]) -> None:
    """No epoch, one, an epoch without numbers: a picture of one size, without a warning."""
    assert opened(curves_png(given, "net on noise")).size == (1500, 750)


def test_validation_takes_the_place_of_test() -> None:
    """The legend says which it is."""
    assert curves_png(rows(3), "t") != curves_png(rows(3, "validation"), "t")


def test_pyplot_is_never_loaded() -> None:
    """Its figures live for ever, and it may open windows."""
    code = (
        "import sys; from nin_spec.diagrams.charts import *; curves_png([], 't');"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how to get it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError) as caught:
        curves_png([], "t")
    (found,) = caught.value.diagnostics
    assert found.code is Code.EXTRA_MISSING
    assert found.hint == "pip install 'nin-spec[train]'"


# ------------------------------------------------------------------ a bench


def bench(share: float | None = 0.8, contenders: Sequence[str] = ("nin-spec", "torch")) -> dict[str, Any]:
    """A bench as its JSON has it, of what is drawn."""
    results = [
        {
            "contender": name,
            "batch": batch,
            "latency_ms": {"low": 0.9 * batch * k, "high": 1.2 * batch * k},
            "images_per_second": 1000 / k,
            "share_of_peak": {"median": share / k} if share else None,
        }
        for batch in (1, 64)
        for k, name in enumerate(contenders, 1)
    ]
    return {
        "name": "net $x$",
        "results": results,
        "contenders": [{"name": n, "precision": "float32"} for n in contenders],
    }


def test_a_bench_has_a_panel_for_each_batch_and_a_bar_for_each_contender() -> None:
    """More contenders make a higher picture; the same numbers the same bytes."""
    two, five = bench_png(bench()), bench_png(bench(contenders=("nin-spec", "b", "c", "d", "e")))
    assert opened(five).height > opened(two).height
    assert two == bench_png(bench())


def test_a_bench_without_a_peak_is_drawn_without_one() -> None:
    """Its line is then missing, and nothing else. So is a bench that was stopped before its first lap."""
    assert bench_png(bench(share=None)) != bench_png(bench())
    assert opened(bench_png(bench() | {"results": []})).width > 0
