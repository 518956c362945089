"""A first spec: what it reads of a folder, and that it compiles, without findings, for folders of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nin_spec.diagnostics import DataError
from nin_spec.language.load import loads
from nin_spec.lint import lint
from nin_spec.network import compile as compile_network
from nin_spec.starting import LARGEST, Seen, look_at, name_of, spec_of


def save(path: Path, size: tuple[int, int], mode: str = "RGB", level: int = 100) -> None:
    """A picture of this height and width, of two levels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((*size, 3), level, np.uint8)
    pixels[::2] = level + 50
    Image.fromarray(pixels).convert(mode).save(path)


def photos(folder: Path, sizes: list[tuple[int, int]], mode: str = "RGB") -> Path:
    """A folder of two classes, with a picture of each size in each."""
    for name in ("cat", "dog: no"):
        for number, size in enumerate(sizes):
            save(folder / "train" / name / f"{number}.png", size, mode)
            save(folder / "test" / name / f"{number}.png", size, mode)
    return folder


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [1, 5, 8, 9, 16, 17, 28, 32, 33, 64, 65, 96, 100, 128])
def test_a_network_for_every_size(side: int, channels: int) -> None:
    """It compiles with no finding, its last maps have at most 8 rows, and a score sees the whole picture."""
    classes, statistics = ("a", "b: #", "no"), ((0.5,) * channels, (0.2,) * channels)
    seen = Seen(Path("photos"), classes, 40, channels, (side, side), None, *statistics)
    network = compile_network(loads(spec_of(seen, "photos")))
    assert [str(f) for f in lint(network)] == []
    assert network.graph.input.shape == (channels, side, side)
    assert network.spec.data["classes"] == list(classes)
    last = [row for row in network.table.rows if row.op == "Conv2d"][-1]
    assert max(last.output_shape[1:]) <= 8
    assert min(last.receptive_field) >= side


def test_pictures_of_one_size_keep_it(tmp_path: Path) -> None:
    """Gray ones have one channel; the statistics are those of the pixels."""
    seen = look_at(photos(tmp_path / "photos", [(20, 28)] * 3, "L"))
    assert (seen.channels, seen.size, seen.own) == (1, (20, 28), (20, 28))
    assert (seen.classes, seen.pictures) == (("cat", "dog: no"), 6)
    assert seen.mean[0] == pytest.approx(125 / 255, abs=1e-3)
    assert seen.std[0] == pytest.approx(25 / 255, abs=1e-3)
    spec = loads(spec_of(seen, "photos")).spec
    assert spec.input.size == (20, 28)
    assert spec.input.preprocess is not None
    assert spec.input.preprocess.resize.kind == "stretch"


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([(40, 50), (300, 200), (70, 90)], 64), ([(10, 12), (9, 30)], 32), ([(500, 400)] * 2, LARGEST)],
)
def test_others_are_cut_to_a_square(sizes: list[tuple[int, int]], side: int, tmp_path: Path) -> None:
    """The largest side up to the median of the shorter sides, within the bounds."""
    seen = look_at(photos(tmp_path / "photos", sizes))
    assert (seen.channels, seen.size) == (3, (side, side))
    assert "resize: crop" in spec_of(seen, "photos")


def test_a_damaged_picture_is_reported(tmp_path: Path) -> None:
    """As by `data check`: a file without the header of a picture, and a folder without classes."""
    folder = photos(tmp_path / "photos", [(20, 20)])
    (folder / "train" / "cat" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    with pytest.raises(DataError) as caught:
        look_at(folder)
    assert "bad.png" in str(caught.value)
    with pytest.raises(DataError):
        look_at(tmp_path / "photos" / "test" / "cat")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("photos", "photos"),
        ("My pets, 2024", "My_pets_2024"),
        ("2024", "my_2024"),
        ("mnist", "my_mnist"),
        ("写真", "my"),
    ],
)
def test_the_name_is_legal(folder: str, name: str) -> None:
    """Letters, digits, _ and -, a letter first, and not that of a data set with a reader of its own."""
    assert name_of(Path(folder)) == name
