"""Caffe's files: a .prototxt and a .caffemodel, of the old and the new form, as the same layers.

A .caffemodel has the net and its weights. No code is run; blobs stay the bytes of the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nin_spec.diagnostics import Diagnostic, ForeignModelError, Span
from nin_spec.importers.caffe import text as caffe_text
from nin_spec.importers.caffe.forms import new_type
from nin_spec.importers.caffe.proto import messages
from nin_spec.importers.caffe.text import read_text
from nin_spec.importers.chain import Array, refusal
from nin_spec.importers.contents import read_bytes

MAX_BYTES = 1 << 31
MAX_LAYERS = 1_000
MAX_AXES = 8


@dataclass(frozen=True)
class Layer:
    """A layer of either form. `message` is the file's own, for its parameters; `span` is its position."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: Any = field(repr=False, compare=False)
    span: Span | None = field(default=None, repr=False, compare=False)

    @property
    def origin(self) -> str:
        """The name in messages."""
        return f"{self.name} ({self.type})"

    def param(self, key: str) -> Any:
        """Its parameters of that name; the defaults if it has none, or if its form has no such field."""
        return getattr(self.message if hasattr(self.message, key) else messages.LayerParameter(), key)

    @property
    def rates(self) -> list[tuple[float, float]]:
        """Factors on the learning rate and on the decay of each of its blobs, if given."""
        message = self.message
        if isinstance(message, messages.LayerParameter):
            return [(p.lr_mult, p.decay_mult) for p in message.param]
        decays = list(message.weight_decay) or [1.0] * len(message.blobs_lr)
        return list(zip(message.blobs_lr or [1.0] * len(decays), decays, strict=False))

    @property
    def shared(self) -> list[str]:
        """The names under which its blobs are shared with other layers."""
        return [name for p in self.message.param if (name := p if isinstance(p, str) else p.name)]


@dataclass(frozen=True)
class Net:
    """A net as a file declares it; `inputs` are the blobs that it is fed, with their shapes."""

    name: str
    layers: tuple[Layer, ...]
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def read_net(path: Path) -> Net:
    """The net in a .prototxt or a .caffemodel. Raises ForeignModelError, with the place where there is one."""
    data = read_bytes(path, caffe_text.MAX_BYTES if is_text(path) else MAX_BYTES)
    if not is_text(path):
        return _net(_binary(path, data), path.stem, [])
    net, outline, source = read_text(data.decode("utf-8", "replace").removeprefix("\ufeff"), str(path))
    names = "layer" if net.layer else "layers"
    return _net(net, path.stem, [f.span(source) for f in outline.inside if f.name == names])


def is_text(path: Path) -> bool:
    """Whether a file is a definition to read rather than numbers."""
    return path.suffix.lower() != ".caffemodel"


def read_blobs(path: Path) -> dict[str, tuple[Any, ...]]:
    """The blobs of each layer of a .caffemodel that has any, by its name, of any type. Raises ForeignModelError."""
    net = _binary(path, read_bytes(path, MAX_BYTES))
    return _by_name((layer.name, tuple(layer.blobs)) for layer in net.layer or net.layers)


def blobs_of(net: Net) -> dict[str, tuple[Any, ...]]:
    """The blobs of each layer that has any, by its name. Raises ForeignModelError."""
    return _by_name((layer.name, tuple(layer.message.blobs)) for layer in net.layers)


def _by_name(layers: Iterable[tuple[str, tuple[Any, ...]]]) -> dict[str, tuple[Any, ...]]:
    """Those that have blobs. Raises ForeignModelError for two of one name, of which Caffe loads one."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, blobs in layers:
        if blobs and name in found:
            raise refusal(name, "two layers of this name have weights, which are found by name", "rename one of them")
        if blobs:
            found[name] = blobs
    return found


def array_of(blob: Any, origin: str) -> Array:
    """A blob's numbers in its shape, in float32 or float64. Raises ForeignModelError where they don't fit."""
    values: Array = np.frombuffer(*_bytes(blob, origin))
    shape = dims_of(blob)
    if len(shape) > MAX_AXES:
        raise refusal(origin, f"a blob of {len(shape):,} axes; the limit is {MAX_AXES}")
    if min(shape, default=1) < 1 or math.prod(shape) != values.size:
        raise refusal(origin, f"a blob of shape {shape} has {values.size:,} values")
    return values.reshape(shape)


def dims_of(blob: Any) -> tuple[int, ...]:
    """A blob's shape; old files have four numbers always."""
    return tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)


def _bytes(blob: Any, origin: str) -> tuple[bytes, str]:
    """The bytes of a blob's numbers, and their type as NumPy writes it."""
    data, kind, size = (blob.data, "<f4", 4) if blob.data or not blob.double_data else (blob.double_data, "<f8", 8)
    if len(data) % size:
        raise refusal(origin, f"a blob of {len(data):,} bytes is truncated: a value has {size}")
    return data, kind


# ------------------------------------------------------------------ reading


def _binary(path: Path, data: bytes) -> Any:
    """A .caffemodel as its message. Raises ForeignModelError."""
    from google.protobuf.message import DecodeError

    net = messages.NetParameter()
    try:
        net.ParseFromString(data)
    except DecodeError as error:
        hint = "Caffe's HDF5 snapshots are not supported; write BINARYPROTO" if data.startswith(b"\x89HDF") else None
        raise refusal(str(path), "it is not a .caffemodel, or it is truncated", hint) from error
    return net


def _net(net: Any, stem: str, spans: Sequence[Span]) -> Net:
    """Either form as one."""
    if net.layer and net.layers:
        raise refusal(stem, "it has both `layer` and `layers`, the new and the old form: use only one")
    found = list(net.layer or net.layers)
    if not found:
        raise refusal(stem, "it declares no layers")
    if len(found) > MAX_LAYERS:
        raise refusal(stem, f"it has {len(found):,} layers; the limit is {MAX_LAYERS:,}")
    places: Iterable[Span | None] = spans if len(spans) == len(found) else [None] * len(found)
    layers = [_layer(message, k, span) for k, (message, span) in enumerate(zip(found, places, strict=True))]
    return Net(net.name or stem, tuple(layers), _inputs(net, stem))


def _layer(message: Any, number: int, span: Span | None) -> Layer:
    """A layer in either form, by its number in the net, with its position in a text."""
    old = not isinstance(message, messages.LayerParameter)
    kind = new_type(message.LayerType.Name(message.type)) if old else message.type
    name = message.name or f"layer {number}"
    if kind in {"", "None"}:
        hint = "types that BVLC's Caffe lacks are read only from a .prototxt" if span is None else None
        raise located(refusal(name, "it has no type", hint), span)
    return Layer(name, kind, tuple(message.bottom), tuple(message.top), message, span)


def _inputs(net: Any, stem: str) -> dict[str, tuple[int, ...]]:
    """The blobs that a net declares by `input`, with `input_shape` or four `input_dim` each."""
    shapes = [tuple(shape.dim) for shape in net.input_shape]
    dims = list(net.input_dim)
    shapes += [tuple(dims[k : k + 4]) for k in range(0, len(dims), 4)]
    if shapes and len(shapes) != len(net.input):
        raise refusal(stem, f"it declares {len(net.input)} inputs and {len(shapes)} shapes")
    return dict(zip(net.input, shapes or [()] * len(net.input), strict=True))


def located(error: ForeignModelError, span: Span | None) -> ForeignModelError:
    """The error at a position, if it has none yet."""
    return ForeignModelError([Diagnostic(d.code, d.message, d.span or span, d.hint) for d in error.diagnostics])
