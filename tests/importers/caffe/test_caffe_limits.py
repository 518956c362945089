"""A small Caffe file that asks for much is refused at its layer, before any of it is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from caffe_nets import conv, layer, net, written

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.caffe.importing import import_caffe
from nin_spec.importers.caffe.path import LIMITS
from nin_spec.importers.caffe.proto import messages

POOL = "pooling_param { pool: MAX kernel_size: 2 stride: 1 }"


@pytest.mark.parametrize(
    ("layers", "shape", "line", "message"),
    [
        ([layer("Pooling", "data", "p", POOL)], (1, 8192, 8192), 2, "67,108,864 numbers in one layer's maps"),
        ([conv("a", more="kernel_size: 1"), conv("b", "a")], (3, 2048, 2000), 2, "16,384,000 numbers in all maps"),
        ([layer("Pooling", "data", "p", POOL)], (1, 1024, 1024), 2, "1,046,529 windows of pools"),
        ([conv("a", channels=65536), conv("b", "a", 65536)], (3, 8, 8), 3, "parameters so far"),
        ([conv("a", channels=4096), conv("b", "a", 1024)], (3, 60, 60), 3, "multiplications per batch"),
    ],
    ids=["numbers", "numbers in all", "windows", "parameters", "multiplications"],
)
def test_what_the_proof_cannot_afford_is_refused_with_what_lifts_it(
    *, layers: list[str], shape: Any, line: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of these reaches the proof."""
    monkeypatch.setattr("nin_spec.importers.caffe.importing.forward", lambda *_: pytest.fail("it was computed"))
    if message.startswith("16,384,000"):
        monkeypatch.setattr("nin_spec.importers.caffe.path.LIMITS", replace(LIMITS, total=1 << 23))
    last = "p" if "Pooling" in layers[0] else "b"
    with pytest.raises(ForeignModelError, match=message) as caught:
        import_caffe(written(tmp_path, net(*layers, shape=shape, last=last)))
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert found.span.line == line
    assert found.hint


@pytest.mark.parametrize("dims", [[1] * 40, [0, 1 << 62, 1 << 62], [1 << 31, 1 << 31], [-1, -1], [1 << 62]])
def test_blobs_of_any_shape_are_refused_at_their_layer(dims: list[int], tmp_path: Path) -> None:
    path = written(tmp_path, net(conv("c"), last="c"))
    message = messages.NetParameter()
    blob = message.layer.add(name="c", type="Convolution").blobs.add()
    blob.shape.dim.extend(dims)
    message.layer[0].blobs.add().data = b"\0" * 16
    (tmp_path / "net.caffemodel").write_bytes(message.SerializeToString())
    with pytest.raises(ForeignModelError, match=r"c \(Convolution\): a blob of"):
        import_caffe(path, tmp_path / "net.caffemodel")


def test_two_layers_with_weights_and_one_name_are_refused(tmp_path: Path) -> None:
    """Caffe would load the weights of one of them."""
    path = written(tmp_path, net(conv("c"), last="c"))
    message = messages.NetParameter()
    for _ in range(2):
        message.layer.add(name="c", type="Convolution").blobs.add().data = b"\0" * 16
    (tmp_path / "net.caffemodel").write_bytes(message.SerializeToString())
    with pytest.raises(ForeignModelError, match="c: two layers of this name have weights"):
        import_caffe(path, tmp_path / "net.caffemodel")
