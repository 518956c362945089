"""An ONNX file of any tool brought into the language, with proof.

The path from input to output becomes a chain, the chain a spec, and the spec's own export must give what the
original gives, in onnxruntime, before anything is handed over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nin_spec.diagnostics import ParityError
from nin_spec.importers.chain import Chain, refusal
from nin_spec.importers.decompile import Imported, decompile
from nin_spec.importers.onnx_file import Source, read_source
from nin_spec.importers.onnx_walk import Walk
from nin_spec.importers.own_file import own_chain
from nin_spec.importers.proof import compare, outputs, run
from nin_spec.importers.recognise import Affine
from nin_spec.ir.types import DType, TensorType
from nin_spec.model import Preprocessing

if TYPE_CHECKING:
    from nin_spec.model import Model

BATCH = 3
_DTYPES: dict[str, DType] = {"FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float32", "UINT8": "float32"}


@dataclass(frozen=True)
class Layout:
    """What a file takes: channels, height and width, where the channels stand, and the batch that it fixes."""

    size: tuple[int, int, int]
    channels_last: bool
    open_size: bool
    batch: int | None
    dtype: str


def import_onnx(path: str | Path, size: tuple[int, ...] | None = None) -> tuple[Imported, list[str]]:
    """The spec and the model of an ONNX file, proved against it; and what is worth knowing.

    `size` is the picture's (height, width), or (channels, height, width), where the file leaves them open.

    Raises:
        ForeignModelError: not a model that the language can say; the node is named.
        ParityError: what was made computes something else.
    """
    source = read_source(Path(path))
    layout = layout_of(source, size)
    own = own_chain(source)
    if own is not None and own.input.shape == layout.size:
        found = decompile(own)
        try:
            difference = prove(Path(path), layout, None, found.model)
        except ParityError:
            pass  # not the network that its metadata tells of: the graph decides
        else:
            return found, [_proved(path, difference)]
    walk = Walk(source, _empty(source, layout), source.input.name, layout.batch or 1, layout.channels_last)
    chain = walk.go()
    contract, remarks = contract_of(walk.contract, chain.input.shape[0])
    found = decompile(replace(chain, preprocessing=contract))
    difference = prove(Path(path), layout, walk.contract, found.model)
    return found, [*remarks, _proved(path, difference)]


def _proved(path: str | Path, difference: float) -> str:
    return f"computes what {Path(path).name} computes: largest relative difference {difference:.1e}"


def _empty(source: Source, layout: Layout) -> Chain:
    return Chain(source.name, TensorType(layout.size, _DTYPES[layout.dtype]), open_size=layout.open_size)


def layout_of(source: Source, size: tuple[int, ...] | None) -> Layout:
    """What the file takes. Raises ForeignModelError for what is no picture."""
    from onnx import TensorProto

    kind = source.input.type.tensor_type
    dtype = TensorProto.DataType.Name(kind.elem_type)
    dims = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim]
    origin = f"input {source.input.name!r}"
    if dtype not in _DTYPES or len(dims) != 4:
        shown = ", ".join("?" if d is None else str(d) for d in dims)
        raise refusal(origin, f"{dtype} ({shown}) is no batch of pictures, which is FLOAT (N, C, H, W) as a rule")
    last = _channels_last(source, dims)
    batch, channels, height, width = (dims[0], dims[3], dims[1], dims[2]) if last else dims
    if channels is None:
        raise refusal(origin, "it leaves the number of channels open")
    if size is not None and size[:-2] not in {(), (channels,)}:
        raise refusal(origin, f"it takes {channels} channels, and {size[0]} was asked for")
    given = size[-2:] if size is not None else (height, width)
    if given[0] is None or given[1] is None:
        raise refusal(origin, "it leaves the picture's size open", "say a nominal size: --size 32 or --size 32x48")
    if any(own not in {None, asked} for own, asked in zip((height, width), given, strict=True)):
        raise refusal(origin, f"it takes {height}x{width}, and {given[0]}x{given[1]} was asked for")
    return Layout((channels, *given), last, height is None or width is None, batch, dtype)


def _channels_last(source: Source, dims: list[int | None]) -> bool:
    """Whether pictures come as (N, H, W, C): the first transpose says so, else the numbers."""
    value = source.input.name
    for _ in range(8):
        readers = source.readers(value)
        if len(readers) != 1:
            break
        if readers[0].op_type == "Transpose":
            return next((list(a.ints) for a in readers[0].attribute if a.name == "perm"), []) == [0, 3, 1, 2]
        value = readers[0].output[0]
    return dims[3] in {1, 3} and dims[1] not in {1, 3, None}


def contract_of(change: Affine | None, channels: int) -> tuple[Preprocessing | None, list[str]]:
    """The preprocessing that the graph's own scaling of its input amounts to, and what a person should check."""
    if change is None:
        return None, ["the file doesn't say how pixels become its input: check input.preprocess"]
    std, mean = 1 / change.gain, -change.offset / change.gain
    # Means beyond 1 are of pixels from 0 to 255; others of pixels from 0 to 1, as most tools hand them over.
    pixels = bool(np.any(np.abs(mean) > 1.5) or np.any(np.abs(std) > 1.5))
    shown = tuple(tuple(float(f"{v:.6g}") for v in values) for values in (mean, std))
    color: Any = "gray" if channels == 1 else "rgb"
    contract = Preprocessing(scale=1.0 if pixels else 1 / 255, mean=shown[0], std=shown[1], color=color)
    span = "0 to 255" if pixels else "0 to 1"
    return contract, [f"the graph scales its input itself: taken for pixels from {span}; check input.preprocess"]


# ------------------------------------------------------------------ proof


def prove(path: Path, layout: Layout, change: Affine | None, model: Model) -> float:
    """The largest relative difference between the original and our export of the model. Raises ParityError."""
    chance = np.random.default_rng(0)
    shape = (layout.batch or BATCH, *layout.size)
    x = chance.integers(0, 256, shape).astype(np.float32) if layout.dtype == "UINT8" else chance.standard_normal(shape)
    theirs = run(path, x.transpose(0, 2, 3, 1) if layout.channels_last else x)
    column = (1, -1, 1, 1)
    scaled = x if change is None else x * change.gain.reshape(column) + change.offset.reshape(column)
    return compare(outputs(model, scaled), theirs, path.name)
