"""Caffe nets made by the test: prototxts from a few lines, and .caffemodels with numbers that a seed gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nin_spec.importers.caffe.file import read_net
from nin_spec.importers.caffe.input import picture_of
from nin_spec.importers.caffe.path import follow
from nin_spec.importers.caffe.proto import messages
from nin_spec.importers.caffe.text import read_text
from nin_spec.importers.caffe.walk import CaffeWalk
from nin_spec.importers.caffe.wiring import wire
from nin_spec.importers.chain import Chain
from nin_spec.ir.types import TensorType

FOLDER = Path(__file__).parent
HEAD = (
    'layer { name: "gap" type: "Pooling" bottom: "%s" top: "gap" pooling_param { pool: AVE global_pooling: true } }\n'
)


def layer(kind: str, bottom: str = "data", top: str = "", parameters: str = "", name: str = "") -> str:
    """A layer in the new form; in place unless it has a top of its own."""
    top = top or bottom
    return f'layer {{ name: "{name or top}" type: "{kind}" bottom: "{bottom}" top: "{top}" {parameters} }}\n'


def conv(name: str, bottom: str = "data", channels: int = 4, more: str = "kernel_size: 3") -> str:
    """A convolution."""
    return layer("Convolution", bottom, name, f"convolution_param {{ num_output: {channels} {more} }}")


def net(*layers: str, shape: tuple[int, int, int] = (3, 8, 8), last: str = "") -> str:
    """A deployed net of layers, its input on the first line; with `last`, a global pool of that blob at its end."""
    dims = " ".join(f"dim: {n}" for n in (1, *shape))
    start = f'name: "net" layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}\n'
    return "".join([start, *layers, HEAD % last if last else ""])


def written(folder: Path, text: str) -> Path:
    """The text as a file."""
    path = folder / "net.prototxt"
    path.write_text(text)
    return path


def caffemodel(prototxt: Path, target: Path, size: tuple[int, int, int] | None = None) -> dict[str, list[Any]]:
    """Write a .caffemodel for a net, as Caffe does; its arrays by layer."""
    wiring = wire(read_net(prototxt))
    picture = picture_of(read_net(prototxt), wiring, size or (None, None, None), None)
    walk = CaffeWalk(Chain("net", TensorType(picture)), None)
    follow(walk, wiring)
    arrays = {found.name: list(used.values()) for found, used in zip(wiring.path, walk.used, strict=True)}
    message, _, _ = read_text(prototxt.read_text(), str(prototxt))
    for one in [*message.layer, *message.layers]:
        for array in arrays.get(one.name, []):
            fill(one.blobs.add(), array, old=bool(message.layers))
    target.write_bytes(message.SerializeToString())
    return arrays


def fill(blob: Any, array: Any, *, old: bool = False) -> None:
    """An array as a blob; the old files have four dimensions always."""
    if old:
        blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - array.ndim) + array.shape
    else:
        blob.shape.dim.extend(array.shape)
    blob.data = np.asarray(array, "<f4").tobytes()


def weights_only(**blobs: list[Any]) -> bytes:
    """A .caffemodel of arrays by layer, without anything that declares a net."""
    message = messages.NetParameter()
    for name, arrays in blobs.items():
        one = message.layer.add(name=name, type="Convolution")
        for array in arrays:
            fill(one.blobs.add(), array)
    return bytes(message.SerializeToString())
