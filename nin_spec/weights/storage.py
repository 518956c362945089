"""Weights files: writes safetensors, reads safetensors and PyTorch checkpoints. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterable, Mapping
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from nin_spec.files import as_written, why_missing, write_atomic
from nin_spec.ir.graph import Graph
from nin_spec.named import RECORD, is_run
from nin_spec.seals import EMPTY, KEY, seal_header
from nin_spec.weights.adopt import COUNTER, Adoption
from nin_spec.weights.choosing import choose
from nin_spec.weights.state import Array, Checkpoint, StateDict, placeholder, refusal
from nin_spec.weights.torch_file import MAX_BYTES, WIDENED, read_torch

_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
_WHOLE = {"I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL"}


def save(path: Path, weights: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file atomically, with deterministic bytes.

    float32 and float64 arrays. The file has no seal (nin_spec.seals), so that trained weights are not replaced without
    --force. Raises ExportError if the path can't be written.
    """
    write_atomic(path, b"".join(_parts(weights, metadata or {})))


def sealed_file(weights: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """The bytes of such a file with a seal, for weights that a command can recreate from its arguments."""
    head, *tensors = _parts(weights, {**metadata, KEY: EMPTY})
    return b"".join([seal_header(head, *tensors), *tensors])


def _parts(weights: Mapping[str, Array], metadata: Mapping[str, str]) -> list[bytes]:
    """The header with its length before it, then the bytes of each tensor."""
    # Not with the library: it writes the metadata in the order of a hash map, which varies by process.
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    parts, end = [], 0
    for name, array in weights.items():
        kind, layout = next((k, v) for k, v in _FLOATS.items() if np.dtype(v) == array.dtype)
        parts.append(np.ascontiguousarray(array, layout).tobytes())
        begin, end = end, end + len(parts[-1])
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text, *parts]


def load(path: Path, graph: Graph) -> Adoption:
    """The weights of a file under the graph's names, all or none. Raises WeightsError."""
    return choose(read(path), graph)


def load_hashed(path: Path, graph: Graph) -> tuple[Adoption, str]:
    """The same, and the SHA-256 of the file, from one read."""
    checkpoint = read(path, hashed=True)
    return choose(checkpoint, graph), checkpoint.sha256


def weights_file(path: Path) -> Path:
    """The path itself, or for a run folder of `nin-spec train`, the file with its result.

    Raises WeightsError if there is no such file (yet).
    """
    if not path.exists():
        raise refusal(as_written(path), *why_missing(path))
    if not is_run(path):
        return path
    try:
        record = json.loads((path / RECORD).read_bytes())
    except (OSError, ValueError):
        return path
    result = path / Path(str(record.get("result") if isinstance(record, dict) else None)).name
    if not result.is_file():
        raise refusal(path, f"it has no {result.name} yet", f"resume it with nin-spec train {path} --resume")
    return result


def read(path: Path, *, hashed: bool = False) -> Checkpoint:
    """The tensors of a safetensors file or a PyTorch checkpoint, detected by the first bytes.

    `hashed` adds the SHA-256 of the file. Raises WeightsError.
    """
    try:
        mode = path.stat()
        if not stat.S_ISREG(mode.st_mode):
            hint = "pass a file, or a folder that nin-spec train wrote" if path.is_dir() else None
            raise refusal(path, "it is not a regular file", hint)
        if mode.st_size > MAX_BYTES:
            raise refusal(path, f"{mode.st_size:,} bytes are more than any such network has")
        with path.open("rb") as file:
            start = file.read(4)
            pickled = start[:2] in {b"PK", b"\x80\x02"}
            data = b"" if pickled and not hashed else start + file.read()
        found = read_torch(path) if pickled else _read_safetensors(path, data)
        return replace(found, sha256=hashlib.sha256(data).hexdigest()) if hashed else found
    except FileNotFoundError:
        raise refusal(as_written(path), *why_missing(path)) from None
    except (OSError, ValueError) as error:
        raise refusal(path, getattr(error, "strerror", None) or str(error)) from None


def _read_safetensors(path: Path, data: bytes) -> Checkpoint:
    from safetensors import SafetensorError, deserialize

    try:
        # Sorted, because the library returns them in the order of a hash map, which varies by process.
        found = sorted(deserialize(data), key=itemgetter(0))  # type: ignore[no-untyped-call]
    except (SafetensorError, MemoryError) as error:
        hint = "pass a .safetensors file or a PyTorch checkpoint (.pt, .pth)"
        raise refusal(path, f"it is not a safetensors file ({error})", hint) from None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    widened = any(view["dtype"] == "BF16" for _, view in found)
    state = _state(found)
    return Checkpoint(str(path), (state,), False, header.get("__metadata__") or {}, WIDENED if widened else ())


def _state(found: Iterable[tuple[str, Mapping[str, Any]]]) -> StateDict:
    tensors: dict[str, Array] = {}
    unusable: dict[str, str] = {}
    counters: dict[str, int] = {}
    for name, view in found:
        kind, shape, data = view["dtype"], tuple(view["shape"]), bytes(view["data"])
        if name.endswith(COUNTER):
            tensors[name] = np.zeros(())
        elif shape == () and kind in _WHOLE:
            counters[name] = int.from_bytes(data, "little", signed=not kind.startswith("U"))
        elif kind == "BF16" or kind in _FLOATS:
            tensors[name] = _array(kind, shape, data)
        else:
            tensors[name], unusable[name] = placeholder(shape), f"has dtype {kind}, not a floating-point dtype"
    return StateDict("", tensors, unusable, counters)


def _array(kind: str, shape: tuple[int, ...], data: bytes) -> Array:
    if kind != "BF16":
        return np.frombuffer(data, _FLOATS[kind]).reshape(shape)
    # bfloat16 is the upper half of float32.
    wide = np.frombuffer(data, "<u2").astype("<u4") << 16
    return wide.view("<f4").reshape(shape)
