"""Weights files: safetensors written, safetensors and PyTorch checkpoints read. Nothing is ever unpickled."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, Diagnostic, WeightsError
from nin_spec.files import write_atomic
from nin_spec.ir.graph import Graph
from nin_spec.weights.adopt import COUNTER, Adoption, adopt

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
    remarks: tuple[str, ...] = ()


def save(path: Path, weights: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, whole or not at all, the same bytes each time.

    float32 and float64 arrays. Raises ExportError when the path can't be written.
    """
    # Not by the library: it writes the metadata in the order of a hash map, another one in each process.
    header: dict[str, object] = {"__metadata__": dict(sorted((metadata or {}).items()))}
    parts, end = [], 0
    for name, array in weights.items():
        kind, layout = next((k, v) for k, v in _FLOATS.items() if np.dtype(v) == array.dtype)
        parts.append(np.ascontiguousarray(array, layout).tobytes())
        begin, end = end, end + len(parts[-1])
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    write_atomic(path, b"".join([len(text).to_bytes(8, "little"), text, *parts]))


def load(path: Path, graph: Graph) -> Adoption:
    """The weights of a file under the graph's names. Raises WeightsError; nothing is loaded in part."""
    found = read(path)
    adoption = adopt(found.tensors, graph, found.name, ordered=found.ordered, metadata=found.metadata)
    return replace(adoption, remarks=(*found.remarks, *adoption.remarks))


def weights_file(path: Path) -> Path:
    """The file itself; of a run folder that `nin-spec train` wrote, the one that holds its result.

    Raises WeightsError when there is no such file, or none yet.
    """
    if not path.exists():
        raise _refuse(path, "there is no such file")
    try:
        record = json.loads((path / "run.json").read_bytes())
    except (OSError, ValueError):
        return path
    result = path / Path(str(record.get("result") if isinstance(record, dict) else None)).name
    if not result.is_file():
        raise _refuse(path, f"it has no {result.name} yet", f"nin-spec train {path} --resume goes on with it")
    return result


def read(path: Path) -> Checkpoint:
    """The tensors of a safetensors file or a PyTorch checkpoint, told apart by their first bytes."""
    try:
        mode = path.stat()
        if not stat.S_ISREG(mode.st_mode):
            hint = "name a file, or a folder that nin-spec train wrote" if path.is_dir() else None
            raise _refuse(path, "it is not a regular file", hint)
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
    widened = any(view["dtype"] == "BF16" for _, view in found)
    return Checkpoint(str(path), tensors, False, header.get("__metadata__") or {}, _WIDENED if widened else ())


_WIDENED = ("converted from bfloat16 to float32",)


def _array(path: Path, name: str, view: Mapping[str, Any]) -> Array:
    kind, shape, data = view["dtype"], view["shape"], bytes(view["data"])
    if kind == "BF16":
        # bfloat16 is the upper half of float32.
        wide = np.frombuffer(data, "<u2").astype("<u4") << 16
        return wide.view("<f4").reshape(shape)
    if kind in _FLOATS:
        return np.frombuffer(data, _FLOATS[kind]).reshape(shape)
    if name.endswith(COUNTER):
        return np.zeros(())
    raise _refuse(path, f"{name} holds {kind}, not floating-point numbers")


def _read_torch(path: Path) -> Checkpoint:
    import torch

    state = _unwrap(_unpickled(path))
    if state is None:
        raise _refuse(path, "it holds no state_dict", "save one with torch.save(net.state_dict(), ...)")
    tensors: dict[str, Array] = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise _refuse(path, f"{name} is not a tensor")
        if name.endswith(COUNTER):
            tensors[name] = np.zeros(())
            continue
        _plain(path, name, value)
        wide = value.float() if value.dtype == torch.bfloat16 else value
        tensors[name] = wide.detach().numpy()
    widened = any(value.dtype == torch.bfloat16 for value in state.values())
    return Checkpoint(str(path), tensors, ordered=True, remarks=_WIDENED if widened else ())


def _unpickled(path: Path) -> object:
    """What torch.load makes of a checkpoint: tensors and plain containers."""
    import pickle

    import torch

    try:
        _refuse_bombs(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except pickle.UnpicklingError:
        hint = "save the state_dict alone: torch.save(net.state_dict(), ...); code in a checkpoint is never run"
        raise _refuse(path, "it holds more than tensors", hint) from None
    except Exception as error:  # noqa: BLE001 a damaged pickle fails in every way there is
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _refuse(path, f"PyTorch can't read it: {reason}") from None


def _refuse_bombs(path: Path) -> None:
    """A checkpoint is a zip archive as a rule, and may be a compressed one."""
    import zipfile

    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_BYTES:
        raise _refuse(path, f"it unpacks to {size:,} bytes, more than any such network has")


def _plain(path: Path, name: str, value: Any) -> None:
    """Refuse what is not an array of floating-point numbers, each of them in the file."""
    import torch

    floats = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
    if value.layout != torch.strided or value.device.type != "cpu" or value.dtype not in floats:
        raise _refuse(path, f"{name} holds {value.dtype}, not plain floating-point numbers")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise _refuse(path, f"{name} claims {value.numel():,} numbers, and the file holds fewer")


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
