"""Weights files: safetensors written, safetensors and PyTorch checkpoints read. Nothing is ever unpickled."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, Diagnostic, WeightsError
from nin_spec.files import write_atomic
from nin_spec.ir.graph import Graph
from nin_spec.weights.adopt import Adoption, adopt

Array = NDArray[np.floating[Any]]
MAX_BYTES = 8 << 30
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name in the file's order; `ordered` says whether that order means anything."""

    name: str
    tensors: Mapping[str, Array] = field(repr=False)
    ordered: bool
    metadata: Mapping[str, str] = field(default_factory=dict)


def save(path: Path, weights: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all. Raises ExportError when the path can't be written."""
    from safetensors.numpy import save as serialise

    contiguous = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    write_atomic(path, serialise(contiguous, dict(metadata or {})))


def load(path: Path, graph: Graph) -> Adoption:
    """The weights of a file under the graph's names. Raises WeightsError; nothing is loaded in part."""
    checkpoint = read(path)
    return adopt(checkpoint.tensors, graph, checkpoint.name, ordered=checkpoint.ordered, metadata=checkpoint.metadata)


def read(path: Path) -> Checkpoint:
    """The tensors of a safetensors file or a PyTorch checkpoint, told apart by their first bytes."""
    try:
        mode = path.stat()
        if not stat.S_ISREG(mode.st_mode):
            raise _refuse(path, "it is not a regular file")
        if mode.st_size > MAX_BYTES:
            raise _refuse(path, f"{mode.st_size:,} bytes are more than any such network has")
        with path.open("rb") as file:
            start = file.read(4)
        if start[:2] in {b"PK", b"\x80\x02"}:
            return _read_torch(path)
        return _read_safetensors(path, path.read_bytes())
    except FileNotFoundError:
        raise _refuse(path, "there is no such file") from None
    except (OSError, ValueError) as error:
        raise _refuse(path, getattr(error, "strerror", None) or str(error)) from None


def _read_safetensors(path: Path, data: bytes) -> Checkpoint:
    from safetensors import SafetensorError, deserialize

    try:
        found = deserialize(data)  # type: ignore[no-untyped-call]
    except (SafetensorError, MemoryError) as error:
        hint = "weights are a .safetensors file or a PyTorch checkpoint (.pt, .pth)"
        raise _refuse(path, f"it is not a safetensors file ({error})", hint) from None
    tensors = {name: _array(path, name, view) for name, view in found}
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return Checkpoint(str(path), tensors, ordered=False, metadata=header.get("__metadata__") or {})


def _array(path: Path, name: str, view: Mapping[str, Any]) -> Array:
    kind, shape, data = view["dtype"], view["shape"], bytes(view["data"])
    if kind == "BF16":
        # bfloat16 is the upper half of float32.
        wide = np.frombuffer(data, "<u2").astype("<u4") << 16
        return wide.view("<f4").reshape(shape)
    if kind in _FLOATS:
        return np.frombuffer(data, _FLOATS[kind]).reshape(shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape)
    raise _refuse(path, f"{name} holds {kind}, not floating-point numbers")


def _read_torch(path: Path) -> Checkpoint:
    import pickle

    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        hint = "save the state_dict alone: torch.save(net.state_dict(), ...); code in a checkpoint is never run"
        raise _refuse(path, "it holds more than tensors", hint) from None
    except (RuntimeError, EOFError, KeyError, AttributeError, TypeError, IndexError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _refuse(path, f"PyTorch can't read it: {reason}") from None
    state = _unwrap(content)
    if state is None:
        raise _refuse(path, "it holds no state_dict", "save one with torch.save(net.state_dict(), ...)")
    tensors: dict[str, Array] = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise _refuse(path, f"{name} is not a tensor")
        counter = name.endswith("num_batches_tracked")
        if value.layout != torch.strided or value.is_quantized or not (value.is_floating_point() or counter):
            raise _refuse(path, f"{name} holds {value.dtype}, not plain floating-point numbers")
        wide = value.dtype if value.dtype == torch.float64 else torch.float32
        tensors[name] = value.detach().to(wide).numpy()
    return Checkpoint(str(path), tensors, ordered=True)


def _unwrap(content: object) -> dict[str, Any] | None:
    """The state dict, out of the mapping that training scripts wrap around it."""
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(k, str) for k in content):
        return None
    return content


def _refuse(path: Path, why: str, hint: str | None = None) -> WeightsError:
    return WeightsError(Diagnostic(Code.WEIGHTS_UNREADABLE, f"{path} can't be used: {why}", hint=hint))
