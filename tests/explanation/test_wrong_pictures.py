"""The contact sheet of an evaluation's mistakes: each picture beside the maps of both classes."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nin_spec
from nin_spec.data import Split, open_split, sample
from nin_spec.diagnostics import ParityError
from nin_spec.diagrams import contact_sheet
from nin_spec.evaluation import Subject, compare, subject_of, subject_of_file
from nin_spec.explanation import explain, wrong_pictures
from nin_spec.explanation.drawing import enlarged, overlay
from nin_spec.explanation.explaining import outputs_of
from nin_spec.explanation.wrong_pictures import wrong_sheet
from nin_spec.pictures import frame_of

SPEC = """\
spec: 1
name: small
input: {channels: 1, size: 8, preprocess: {mean: 0.3, std: 0.4}}
classes: 10
blocks:
  - {channels: [8, classes], kernel: 3, padding: 1}
"""


@pytest.fixture(scope="module")
def split() -> Split:
    """Some digits."""
    return sample(open_split("digits", "test", None), 40, seed=0)


def model(head: str = "") -> nin_spec.Model:
    """Fresh weights, which are wrong about most digits."""
    return nin_spec.compile(nin_spec.loads(SPEC + head)).initialise(1)


def tiles_of(subject: Subject, split: Split, monkeypatch: pytest.MonkeyPatch) -> tuple[list[contact_sheet.Tile], str]:
    """The tiles that a sheet is drawn of, and why they have no maps."""
    drawn: list[contact_sheet.Tile] = []

    def draw(tiles: list[contact_sheet.Tile], title: str) -> bytes:
        drawn.extend(tiles)
        return title.encode()

    monkeypatch.setattr(wrong_pictures, "contact_sheet_png", draw)
    _, why = wrong_sheet(compare(subject, split, wrong=6), subject, split)
    return drawn, why


def test_each_picture_has_the_maps_of_both_classes(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that `explain` finds of the same picture, in one scale: first what was predicted, then what is true."""
    subject = subject_of(model())
    tiles, why = tiles_of(subject, split, monkeypatch)
    assert (len(tiles), why) == (6, "")
    nin_spec.export(model(), "onnx", tmp_path / "m.onnx", outputs=("scores", "maps"))
    for mistake, tile in zip(compare(subject, split, wrong=6).mistakes, tiles, strict=True):
        (pixels,) = split.pictures(np.array([mistake.index]), frame_of(subject.shape, subject.contract))
        Image.fromarray(pixels[..., 0]).save(tmp_path / "p.png")
        (found,) = explain(tmp_path / "m.onnx", tmp_path / "p.png", [mistake.said, mistake.true], "cpu")
        largest = max(np.abs(one.cells).max() for one in found.classes)
        maps = [overlay(pixels, one.cells / largest, found.place, 12) for one in found.classes]
        assert all(np.array_equal(a, b) for a, b in zip(tile.pictures, (enlarged(pixels, 12), *maps), strict=True))
        assert tile.caption[0] == f"{mistake.true} as {mistake.said}"


def test_a_file_with_its_maps_needs_no_other(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked itself; one without them says how it gets them."""
    nin_spec.export(model(), "onnx", tmp_path / "m.onnx", outputs=("scores", "maps"))
    tiles, why = tiles_of(subject_of_file(tmp_path / "m.onnx", device="cpu"), split, monkeypatch)
    assert ({len(tile.pictures) for tile in tiles}, why) == ({3}, "")
    nin_spec.export(model(), "onnx", tmp_path / "n.onnx")
    tiles, why = tiles_of(subject_of_file(tmp_path / "n.onnx", device="cpu"), split, monkeypatch)
    assert {len(tile.pictures) for tile in tiles} == {1}
    assert "export it with --outputs scores,maps" in why


def test_a_head_that_does_not_average_has_none(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures alone, and the layer by which it has none."""
    tiles, why = tiles_of(subject_of(model("head: {pool: global_max}\n")), split, monkeypatch)
    assert {len(tile.pictures) for tile in tiles} == {1}
    assert why == ("no class maps are drawn: a score is the maximum of its map, not the mean: head.pool is a maximum")


def test_a_map_that_is_not_the_score_s_is_not_drawn(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error, as in `explain`."""
    subject = subject_of(model())
    monkeypatch.setattr(wrong_pictures, "outputs_of", lambda *given: replace(outputs_of(*given), scores=-np.ones(10)))
    with pytest.raises(ParityError, match="do not average to the scores"):
        wrong_sheet(compare(subject, split, wrong=1), subject, split)


def test_a_sheet_is_as_wide_as_its_tiles(split: Split) -> None:
    """Three pictures each, three to a row; without mistakes it is still a picture."""
    subject = subject_of(model())
    data, _ = wrong_sheet(compare(subject, split, wrong=6), subject, split)
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.width > 1.5 * picture.height
    data, _ = wrong_sheet(compare(subject, split), subject, split)
    assert Image.open(io.BytesIO(data)).format == "PNG"
