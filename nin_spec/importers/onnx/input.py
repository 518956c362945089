"""The input of an ONNX file: the size of its pictures, their channel axis, and how pixels become its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nin_spec.importers.chain import Array, refusal
from nin_spec.importers.onnx.file import Source
from nin_spec.importers.recognise import Affine
from nin_spec.ir.types import DType, TensorType
from nin_spec.model import Preprocessing

_DTYPES: dict[str, DType] = {"FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float32", "UINT8": "float32"}

_CHANNELS_FIRST = frozenset({"Conv", "BatchNormalization", "MaxPool", "AveragePool", "LRN"})
"""Operators that take (N, C, H, W) and nothing else."""
_CELL_BY_CELL = frozenset({"Cast", "CastLike", "Identity", "Add", "Sub", "Mul", "Div", "Clip"})
"""Operators that leave every axis where it is."""


@dataclass(frozen=True)
class Layout:
    """The input of a file: channels, height and width, the channel axis, and the batch that it fixes.

    `half` says that its weights are float16.
    """

    size: tuple[int, int, int]
    channels_last: bool
    open_size: bool
    batch: int | None
    dtype: str
    half: bool = False

    @property
    def input(self) -> TensorType:
        """The input of the network that it is."""
        return TensorType(self.size, _DTYPES[self.dtype])


def layout_of(source: Source, size: tuple[int, ...] | None) -> Layout:
    """What the file takes. Raises ForeignModelError for what is not a picture."""
    from onnx import TensorProto

    kind = source.input.type.tensor_type
    dtype = TensorProto.DataType.Name(kind.elem_type)
    dims = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim]
    origin = f"input {source.input.name!r}"
    if not kind.HasField("shape"):
        raise refusal(origin, "its shape is not declared, usually (N, C, H, W)")
    if dtype not in _DTYPES or len(dims) != 4:
        shown = ", ".join("?" if d is None else str(d) for d in dims)
        raise refusal(origin, f"{dtype} ({shown}) is not a batch of pictures, usually FLOAT (N, C, H, W)")
    last = _channels_last(source, dims)
    batch, channels, height, width = (dims[0], dims[3], dims[1], dims[2]) if last else dims
    if channels is None:
        raise refusal(origin, "it leaves the number of channels open")
    if size is not None and size[:-2] not in {(), (channels,)}:
        raise refusal(origin, f"it takes {channels} channels, but {size[0]} was requested")
    given = size[-2:] if size is not None else (height, width)
    if given[0] is None or given[1] is None:
        raise refusal(origin, "it leaves the picture's size open", "pass a nominal size: --size 32 or --size 32x48")
    if any(own not in {None, asked} for own, asked in zip((height, width), given, strict=True)):
        raise refusal(origin, f"it takes {height}x{width}, but {given[0]}x{given[1]} was requested")
    half = "FLOAT16" in source.numbers
    return Layout((channels, *given), last, height is None or width is None, batch, dtype, half)


def _channels_last(source: Source, dims: list[int | None]) -> bool:
    """Whether pictures come as (N, H, W, C): a transpose shows it, an operator rules it out, else the sizes decide."""
    value = source.input.name
    for _ in range(8):
        readers = source.readers(value)
        if len(readers) != 1:
            break
        if readers[0].op_type == "Transpose":
            return next((list(a.ints) for a in readers[0].attribute if a.name == "perm"), []) == [0, 3, 1, 2]
        if readers[0].op_type in _CHANNELS_FIRST:
            return False
        if readers[0].op_type not in _CELL_BY_CELL:
            break
        value = readers[0].output[0]
    return dims[3] in {1, 3} and dims[1] not in {1, 3, None}


def contract_of(change: Affine | None, layout: Layout) -> tuple[Preprocessing | None, list[str]]:
    """The preprocessing that the graph's own scaling of its input amounts to, and what a person should check."""
    channels = layout.size[0]
    color: Any = "gray" if channels == 1 else "rgb"
    if layout.dtype == "UINT8":
        return _of_bytes(change, layout, color)
    if change is None:
        return None, ["the file doesn't declare its preprocessing: check input.preprocess"]
    std, mean = 1 / change.gain, -change.offset / change.gain
    # Means beyond 1 are of pixels from 0 to 255; others of pixels from 0 to 1, as most tools hand them over.
    pixels = bool(np.any(np.abs(mean) > 1.5) or np.any(np.abs(std) > 1.5))
    contract = Preprocessing(scale=1.0 if pixels else 1 / 255, mean=_short(mean), std=_short(std), color=color)
    span = "0 to 255" if pixels else "0 to 1"
    return contract, [
        f"the graph scales its input itself: its pixels are assumed to be from {span}; check input.preprocess"
    ]


def _of_bytes(change: Affine | None, layout: Layout, color: Any) -> tuple[Preprocessing, list[str]]:
    """The contract of a file that takes a picture's bytes: only what the file itself does to them."""
    ones = np.ones(layout.size[0])
    gain, offset = (ones, 0 * ones) if change is None else (change.gain, change.offset)
    order: Any = "HWC" if layout.channels_last else "CHW"
    if (gain == 1).all():
        contract = Preprocessing(1.0, _short(-offset), _short(ones), order, color=color)
        done = "does not scale them" if change is None else "shifts them itself"
    else:
        contract = Preprocessing(1 / 255, _short(-offset / gain / 255), _short(1 / gain / 255), order, color=color)
        done = "scales them itself"
    return contract, [f"the file takes a picture's bytes and {done}: check the order of colors in input.preprocess"]


def _short(values: Array) -> tuple[float, ...]:
    """Numbers as people write them, without the error of float32 arithmetic."""
    return tuple(float(f"{v:.6g}") + 0.0 for v in values)
