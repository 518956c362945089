"""Files that take raw pixels, and files of several outputs, run like any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_models import content, refusal

import nin_spec
from nin_spec.diagnostics import InputError
from nin_spec.exporter import make
from nin_spec.model import Model
from nin_spec.runtime.classify import classify
from nin_spec.runtime.images import load_inputs
from nin_spec.runtime.session import Session, open_session

SPEC = """\
spec: 1
name: small
input: {channels: 3, size: [6, 8], preprocess: {mean: [0.4, 0.5, 0.6], std: 0.25, color: bgr}}
classes: 7
defaults: {init: kaiming_normal}
blocks: [{channels: [8, classes], kernel: 3, padding: 1, norm: batch, activation: none}]
"""
MODEL = nin_spec.compile(nin_spec.loads(SPEC)).initialise(2)


def session_of(model: Model = MODEL, **options: Any) -> Session:
    """The open file of an export."""
    (data,) = make(model, "onnx", options).files.values()
    return open_session(data, "cpu", 1)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A photograph's worth of noise, larger than the network's input."""
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    "contract", [{}, {"layout": "CHW"}, {"dtype": "float32"}, {"layout": "CHW", "dtype": "float32"}]
)
def test_a_picture_gets_the_same_scores(contract: dict[str, Any], picture: Path) -> None:
    """Prepared outside the file or inside it, for any raw picture."""
    model = replace(MODEL, card=replace(MODEL.card, preprocessing=replace(MODEL.card.preprocessing, **contract)))
    plain, pixels = session_of(model), session_of(model, takes="pixels")
    assert pixels.takes_pixels
    assert pixels.picture == (3, 6, 8)
    assert pixels.dtype == np.dtype(contract.get("dtype", "uint8"))
    wanted, got = (classify(s, load_inputs([picture], s))[0].scores for s in (plain, pixels))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_gray_and_open_sizes(tmp_path: Path) -> None:
    """A gray picture of its own size."""
    text = SPEC.replace("channels: 3, size: [6, 8]", "channels: 1, size: 8, open: true")
    text = text.replace("[0.4, 0.5, 0.6]", "0.5").replace(", color: bgr", "")
    model = nin_spec.compile(nin_spec.loads(text)).initialise(2)
    path = tmp_path / "gray.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (11, 13), np.uint8)).save(path)
    plain, pixels = session_of(model), session_of(model, takes="pixels")
    ((_, array),) = load_inputs([path], pixels)
    assert (array.shape, array.dtype.name) == ((11, 13, 1), "uint8")
    wanted, got = (classify(s, load_inputs([path], s))[0].scores for s in (plain, pixels))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_arrays_of_pixels(tmp_path: Path) -> None:
    """Bytes as they are, one picture or a batch; floats are refused, for nobody knows what they mean."""
    pixels = session_of(takes="pixels", batch=2)
    batch = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 3), np.uint8)
    np.save(tmp_path / "batch.npy", batch)
    np.save(tmp_path / "one.npy", batch[0])
    found = classify(pixels, load_inputs([tmp_path / "one.npy", tmp_path / "batch.npy"], pixels))
    np.testing.assert_allclose(found[0].scores, found[1].scores, rtol=1e-6)
    np.save(tmp_path / "floats.npy", batch / 255)
    message = refusal(InputError, lambda: load_inputs([tmp_path / "floats.npy"], pixels)).message
    assert "its dtype is float64, not uint8" in message


def test_probabilities_stand_in_for_scores(picture: Path) -> None:
    """Where a file gives no scores; and they are not put through a softmax again."""
    scores = session_of()
    likely = session_of(outputs="probabilities,top3", takes="pixels")
    assert (likely.output_name, likely.metadata.output) == ("probabilities", "probabilities")
    (found,) = classify(likely, load_inputs([picture], likely))
    (wanted,) = classify(scores, load_inputs([picture], scores))
    assert found.rows[0].probability == pytest.approx(wanted.rows[0].probability, rel=1e-4)
    assert found.rows[0].probability == found.rows[0].score


def test_scores_come_first() -> None:
    """Of a file that has both."""
    assert session_of(outputs="probabilities,scores,top2").output_name == "scores"


@pytest.mark.parametrize(
    ("card", "why"),
    [
        ({"input": "bytes"}, "nin_spec.input is not one of normalised, pixels"),
        ({"input": "pixels"}, "nin_spec.input is pixels, but the preprocessing is missing"),
        ({"passes": "[1]"}, "nin_spec.passes is not a list of texts"),
    ],
)
def test_damaged_metadata_are_refused(card: dict[str, str], why: str) -> None:
    """Before anything is run on a guess."""
    assert why in refusal(InputError, lambda: open_session(content(metadata=card), "cpu")).message
