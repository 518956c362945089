"""PyTorch checkpoints: every state dict in the file, by its key. No code is run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nin_spec.diagnostics import WeightsError
from nin_spec.weights.adopt import COUNTER
from nin_spec.weights.state import Array, Checkpoint, StateDict, placeholder, refusal

MAX_BYTES = 8 << 30
WIDENED = ("converted from bfloat16 to float32",)
_DEPTH = 4
"""Depth to which nested mappings are searched."""


def read_torch(path: Path) -> Checkpoint:
    """The state dicts of a PyTorch checkpoint. Raises WeightsError."""
    import torch

    content = _unpickled(path)
    found = [_state(label, mapping) for label, mapping in _mappings(content, "")]
    lists = list(_lists(content, ""))
    if not found and lists:
        hint = "copy them into the network (ema.copy_to(net.parameters())), then torch.save(net.state_dict(), ...)"
        raise refusal(path, f"it has {lists[0]}, tensors without names, but no state_dict", hint)
    if not found:
        raise refusal(path, "it has no state_dict", "save one with torch.save(net.state_dict(), ...)")
    remarks = (f"ignored {', '.join(lists)}: tensors without names",) if lists else ()
    halved = any(
        isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16
        for _, mapping in _mappings(content, "")
        for value in mapping.values()
    )
    return Checkpoint(str(path), tuple(found), ordered=True, remarks=(*(WIDENED if halved else ()), *remarks))


def _unpickled(path: Path) -> object:
    """The contents of a checkpoint by torch.load: tensors and plain containers."""
    import pickle

    import torch

    try:
        _refuse_bombs(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        hint = "save only the state_dict: torch.save(net.state_dict(), ...); code in a checkpoint is never run"
        raise refusal(path, f"it contains {_named(str(error))}", hint) from None
    except Exception as error:  # noqa: BLE001 a damaged pickle may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise refusal(path, f"PyTorch can't read it: {reason}") from None


def _named(message: str) -> str:
    """What `weights_only` found besides tensors, by its error: `argparse.Namespace`."""
    found = re.search(r"GLOBAL ([\w.]+)", message)
    if found is None:
        return "more than tensors"
    kind = "a NumPy array or scalar" if found[1].startswith("numpy.") else "an object"
    return f"more than tensors: {kind} ({found[1]})"


def _refuse_bombs(path: Path) -> None:
    """A checkpoint is usually a zip archive, and may be compressed."""
    import zipfile

    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_BYTES:
        raise refusal(path, f"it unpacks to {size:,} bytes, more than any such network has")


def _mappings(content: object, label: str, depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping from names to tensors, outer ones first."""
    import torch

    if not isinstance(content, Mapping) or depth > _DEPTH or not all(isinstance(key, str) for key in content):
        return
    if any(isinstance(value, torch.Tensor) for value in content.values()):
        yield label, content
    for key, value in content.items():
        yield from _mappings(value, f"{label}.{key}" if label else key, depth + 1)


def _lists(content: object, label: str, depth: int = 0) -> Iterator[str]:
    """The keys of lists of tensors, the format of some packages for averages."""
    import torch

    if isinstance(content, list | tuple) and content and all(isinstance(item, torch.Tensor) for item in content):
        yield label or "a list"
    elif isinstance(content, Mapping) and depth <= _DEPTH:
        for key, value in content.items():
            if isinstance(key, str):
                yield from _lists(value, f"{label}.{key}" if label else key, depth + 1)


def _state(label: str, mapping: Mapping[str, Any]) -> StateDict:
    import torch

    tensors: dict[str, Array] = {}
    unusable: dict[str, str] = {}
    counters: dict[str, int] = {}
    others: list[str] = []
    for name, value in mapping.items():
        if not isinstance(value, torch.Tensor):
            if not isinstance(value, Mapping | list | tuple):
                others.append(name)
        elif name.endswith(COUNTER):
            tensors[name] = np.zeros(())
        elif _is_count(value):
            counters[name] = int(value)
        elif why := _fault(value):
            tensors[name], unusable[name] = placeholder(tuple(value.shape)), why
        else:
            wide = value.float() if value.dtype == torch.bfloat16 else value
            tensors[name] = wide.detach().numpy()
    return StateDict(label, tensors, unusable, counters, tuple(others))


def _is_count(value: Any) -> bool:
    """Whether a tensor is a single integer or bool: not a weight, but a count of steps or an `initted` flag."""
    return (
        value.ndim == 0
        and not (value.is_floating_point() or value.is_complex() or value.is_quantized)
        and value.device.type == "cpu"
    )


def _fault(value: Any) -> str | None:
    """Why a tensor is not a complete floating-point array, else None."""
    import torch

    floats = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
    if value.layout != torch.strided:
        return "is sparse: save it dense, tensor.to_dense()"
    if value.device.type == "meta":
        return "is on the device meta, which stores no numbers"
    if value.device.type != "cpu" or value.dtype not in floats:
        return f"has dtype {value.dtype}, not a plain floating-point dtype"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"declares {value.numel():,} values, but the file has fewer"
    return None
