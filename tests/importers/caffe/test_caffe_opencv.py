"""OpenCV reads Caffe's files by code of its own: a witness for our reading. Run by name, with opencv-python-headless<5.

pip install 'opencv-python-headless<5'
python -m pytest -m long tests/importers/caffe/test_caffe_opencv.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caffe_nets import FOLDER, caffemodel, conv, layer, net, written

from nin_spec.importers.caffe.importing import import_caffe
from nin_spec.importers.proof import outputs

pytestmark = pytest.mark.long


def theirs(prototxt: Path, model: Path, x: Any) -> Any:
    """What OpenCV computes of pictures, in one row each."""
    reader = pytest.importorskip("cv2", reason="needs opencv-python-headless<5")
    if int(reader.__version__.split(".")[0]) >= 5:
        pytest.skip("OpenCV 5 reads no Caffe files: install opencv-python-headless<5")
    found = reader.dnn.readNetFromCaffe(str(prototxt), str(model))
    found.setInput(x)
    return found.forward().reshape(len(x), -1)


@pytest.mark.parametrize("file", ["every_kind", "nin_imagenet_deploy"])
def test_nets_give_what_opencv_gives(file: str, tmp_path: Path) -> None:
    check(FOLDER / f"{file}.prototxt", tmp_path)


@pytest.mark.parametrize("seed", range(200))
def test_random_nets_give_what_opencv_gives(seed: int, tmp_path: Path) -> None:
    """Chains of the layers that both read, with every number drawn."""
    check(written(tmp_path, random_net(np.random.default_rng(seed))), tmp_path)


def check(prototxt: Path, folder: Path) -> None:
    """Import a net with made weights, and compare with OpenCV on inputs of three scales."""
    model = folder / "net.caffemodel"
    caffemodel(prototxt, model)
    found, _ = import_caffe(prototxt, model)
    rng = np.random.default_rng(3)
    for scale in (0.1, 1, 30):
        x = (scale * rng.standard_normal((1, *found.network.graph.input.shape))).astype(np.float32)
        ours, other = outputs(found.model, x), theirs(prototxt, model, x)
        assert ours.shape == other.shape
        assert np.abs(ours - other).max() <= 1e-4 * max(float(np.abs(other).max()), 1e-3)


def random_net(rng: np.random.Generator) -> str:
    """A net of two to five stages on 16x19 pictures."""
    layers, blob = [], "data"
    for k in range(int(rng.integers(2, 6))):
        channels, name = int(rng.choice([4, 6, 8])), f"c{k}"
        kernel = int(rng.choice([1, 2, 3]))
        bias = "true" if rng.random() < 0.7 else "false"
        more = f"kernel_size: {kernel} pad: {rng.integers(0, kernel)} bias_term: {bias}"
        layers.append(conv(name, blob, channels, more))
        blob = name
        layers += in_place(rng, blob)
        if k < 2 and rng.random() < 0.7:
            window = int(rng.choice([2, 3]))
            method = str(rng.choice(["MAX", "AVE"]))
            said = f"pool: {method} kernel_size: {window} stride: {rng.integers(1, window + 1)}"
            layers.append(layer("Pooling", blob, f"p{k}", f"pooling_param {{ {said} }}"))
            blob = f"p{k}"
    return net(*layers, shape=(3, 16, 19), last=blob)


def in_place(rng: np.random.Generator, blob: str) -> list[str]:
    """None, one or two layers that write the blob that they read."""
    scale = layer("Scale", blob, "", "scale_param { bias_term: true }", f"{blob}s")
    kinds = [
        [layer("ReLU", blob, name=f"{blob}r", parameters="relu_param { negative_slope: 0.2 }")],
        [layer("ReLU", blob, name=f"{blob}r")],
        [layer("PReLU", blob, name=f"{blob}r")],
        [layer("ELU", blob, name=f"{blob}r", parameters="elu_param { alpha: 0.7 }")],
        [layer("BatchNorm", blob, name=f"{blob}b"), scale],
        [layer("LRN", blob, name=f"{blob}l", parameters="lrn_param { local_size: 3 alpha: 0.5 }")],
        [],
    ]  # fmt: skip
    return kinds[int(rng.integers(len(kinds)))]
