"""Explanations: maps whose mean is the score, or an error; drawn where their cells look."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nin_spec
from nin_spec.diagnostics import InputError, ParityError
from nin_spec.explanation import Explanation, Explanations, open_model
from nin_spec.explanation.drawing import overlaid
from nin_spec.explanation.result import Outputs, draw, explanation_of
from nin_spec.exporter import make
from nin_spec.passes.class_maps import Place
from nin_spec.runtime.metadata import ModelInfo, Output

LABELS = ("cat", "dog", "3", "all")
INFO = ModelInfo(labels=LABELS, output="scores", maps=Place((5, 7), (2, 4), (-1, 0)))
PIXELS = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
MAPS = np.random.default_rng(1).standard_normal((4, 4, 3)).astype(np.float32)
SCORES = MAPS.mean((1, 2))


def explained(
    *wanted: str, info: ModelInfo = INFO, scores: np.ndarray = SCORES, precision: str = "float32"
) -> Explanation:
    return explanation_of("a.png", PIXELS, Outputs(scores, MAPS, precision), info, wanted)


def test_a_class_has_its_map_score_and_peak() -> None:
    """The peak says which pixels of the picture it sees, without those in the padding."""
    (found,) = explained("dog").classes
    assert (found.index, found.label) == (1, "dog")
    np.testing.assert_array_equal(found.cells, MAPS[1])
    assert found.score == pytest.approx(found.mean, abs=1e-6)
    row, column = np.unravel_index(MAPS[1].argmax(), (4, 3))
    assert (found.peak.row, found.peak.column) == (row, column)
    assert found.peak.value == MAPS[1].max()
    top, left, bottom, right = found.peak.field
    assert (top, bottom) == (max(0, 2 * row - 1), min(8, 2 * row + 4))
    assert (left, right) == (4 * column, min(12, 4 * column + 7))


def test_classes_are_named_in_several_ways() -> None:
    """By label before all else, by index, as the best, as all; each once."""
    order = np.argsort(-SCORES).tolist()
    assert [c.index for c in explained("top").classes] == order[:1]
    assert [c.index for c in explained("dog", "1", "0").classes] == [1, 0]
    assert [c.index for c in explained("3", "all").classes] == [2, 3]
    assert [c.index for c in explained("all", info=replace(INFO, labels=())).classes] == order
    with pytest.raises(InputError, match="no class 'cot'") as caught:
        explained("cot")
    assert "cat" in str(caught.value.diagnostics[0].hint)


@pytest.mark.parametrize("output", ["scores", "probabilities", "log_probabilities"])
def test_the_identity_is_checked_for_every_class(output: Output) -> None:
    """Also for those that nobody asked about, and after the softmax of a network that ends in one."""
    likely = np.exp(SCORES) / np.exp(SCORES).sum()
    right = {"scores": SCORES, "probabilities": likely, "log_probabilities": np.log(likely)}[output]
    info = replace(INFO, output=output)
    assert explained("top", info=info, scores=right).difference <= 1e-6
    wrong = right.copy()
    wrong[right.argmin()] += 1e-4
    with pytest.raises(ParityError, match="do not average to the scores"):
        explained("top", info=info, scores=wrong)
    with pytest.raises(ParityError):
        explained("top", info=info, scores=np.full(4, np.nan, np.float32))


def test_a_file_without_maps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not return its class maps"):
        explained("top", info=replace(INFO, maps=None))
    nin_spec.export(nin_spec.compile("nin_digits").initialise(), "onnx", tmp_path / "a.onnx", parity=False)
    with pytest.raises(InputError, match="does not return its class maps") as caught:
        nin_spec.explain(tmp_path / "a.onnx", "a.png")
    assert "--outputs scores,maps" in str(caught.value.diagnostics[0].hint)


@pytest.mark.parametrize("takes", ["normalised", "pixels"])
@pytest.mark.parametrize("batch", ["dynamic", 2])
def test_a_picture_through_a_file(takes: str, batch: str | int, tmp_path: Path) -> None:
    """From the picture's file to the maps, and the same scores as without them."""
    model = nin_spec.compile("nin_digits").initialise(1)
    (data,) = make(model, "onnx", {"outputs": "scores,maps", "takes": takes, "batch": batch}).files.values()
    (tmp_path / "a.onnx").write_bytes(data)
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    (found,) = nin_spec.explain(tmp_path / "a.onnx", tmp_path / "a.png", "all", "cpu")
    assert found.size == (8, 8)
    assert len(found.classes) == 10
    session = open_model(tmp_path / "a.onnx", "cpu", 1)
    (again,) = nin_spec.explain(session, [tmp_path / "a.png"])
    assert again.classes[0].score == pytest.approx(found.classes[0].score, rel=1e-5)
    assert found.as_dict()["classes"][0]["map"] == found.classes[0].cells.tolist()


# ------------------------------------------------------------------ drawn


def test_a_cell_is_drawn_where_it_looks() -> None:
    """The strongest colour lies at the middle of the field, and beyond the outermost cells nothing is drawn."""
    place = Place(field=(5, 5), jump=(4, 4), offset=(2, -2))
    gray = np.full((40, 48, 3), 100, np.uint8)
    for row, column in ((0, 0), (1, 2)):
        cells = np.zeros((2, 3))
        cells[row, column] = 1
        drawn = overlaid(gray, cells, place, 2).astype(int)
        strength = np.abs(drawn - 100).sum(2)
        down, across = (int(2 * place.centre(axis, k)) for axis, k in enumerate((row, column)))
        assert strength[down, across] > 0.85 * strength.max() > 0
        far = [int(2 * place.centre(axis, k)) for axis, k in enumerate((1 - row, 1))]
        assert max(strength[far[0], across], strength[down, far[1]]) < 0.15 * strength.max()
    ones = np.abs(overlaid(gray, np.ones((2, 3)), place, 2).astype(int) - 100).sum(2) > 0
    rows, columns = ones.any(1).nonzero()[0], ones.any(0).nonzero()[0]
    assert (rows[0], rows[-1] + 1) == (2 * 2.5, 2 * 10.5)
    assert (columns[0], columns[-1] + 1) == (0, 2 * 10.5)


def test_cells_for_and_against_have_their_colours() -> None:
    """Red raises a score, blue lowers it, and no effect leaves the picture as it is."""
    gray = np.full((4, 4, 3), 100, np.uint8)
    place = Place((1, 1), (4, 4), (1, 1))
    for value, (red, blue) in {1.0: (1, 0), -1.0: (0, 1), 0.0: (0, 0)}.items():
        pixel = overlaid(gray, np.full((1, 1), value), place, 1)[1, 1]
        assert (pixel[0] > 100, pixel[2] > 100) == (red, blue)


def test_a_picture_has_a_row_for_each_class() -> None:
    one, two = (Image.open(io.BytesIO(draw([explained(*words)]))) for words in (["cat"], ["cat", "dog"]))
    assert one.width == two.width
    assert two.height > 1.8 * one.height
    assert Image.open(io.BytesIO(explained("top").png())).format == "PNG"


def test_a_notebook_shows_picture_maps_and_identity() -> None:
    """Of several pictures one below the other; as text, a line each."""
    found = Explanations([explained("all"), explained("dog")])
    for text in (found[0]._repr_html_(), found._repr_html_()):
        assert 'src="data:image/png;base64,' in text
        assert "the map&#39;s mean is the score" in text
    assert found._repr_html_().count("<img") == 2
    assert repr(found).split("\n")[1].startswith("a.png: dog; the map's mean")
