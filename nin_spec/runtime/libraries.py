"""Shared libraries of a provider: what it links, what loads, and what the driver sees.

This module does not import onnxruntime or change the environment; it only tries to load libraries.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

NVIDIA_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

# CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ = 1, 5, 10
_ELF64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"


def needed(library: Path) -> tuple[str, ...]:
    """Names of the libraries that `library` links (its DT_NEEDED), in link order.

    Reads 64-bit little-endian ELF (System V ABI, chapter 5); () for any other format.
    """
    with library.open("rb") as file:
        header = file.read(64)
        if not header.startswith(_ELF64_LITTLE_ENDIAN):
            return ()
        (table,) = struct.unpack_from("<Q", header, 32)
        entry_size, count = struct.unpack_from("<HH", header, 54)
        # type, flags, offset, virtual address, physical address, size in the file
        segments = [struct.unpack("<IIQQQQ", _at(file, table + k * entry_size, 40)) for k in range(count)]
        dynamic = next((s for s in segments if s[0] == _PT_DYNAMIC), None)
        if dynamic is None:
            return ()
        entries = list(struct.iter_unpack("<qQ", _at(file, dynamic[2], dynamic[5])))
        values = dict(entries)
        start = values[_DT_STRTAB]
        load = next(s for s in segments if s[0] == _PT_LOAD and s[3] <= start < s[3] + s[5])
        names = _at(file, load[2] + start - load[3], values[_DT_STRSZ])
    return tuple(names[k : names.index(b"\0", k)].decode() for tag, k in entries if tag == _DT_NEEDED)


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def unloadable(names: Iterable[str]) -> tuple[str, ...]:
    """Those of `names` that the dynamic loader can't find or load."""
    return tuple(name for name in names if _load(name) is None)


def preload(package: str, names: Iterable[str]) -> None:
    """Load libraries of an installed Python package, so that they are found by name afterwards.

    NVIDIA's packages share the namespace `nvidia`, which may have a folder in each place where packages are installed;
    a library lies in `lib` or `bin` of a part of it, for example nvidia/cu13/lib.
    """
    spec = find_spec(package)
    names = tuple(names)
    for folder in map(Path, spec.submodule_search_locations or () if spec else ()):
        for name in names:
            for path in (folder / name, *sorted(folder.glob(f"*/lib/{name}")), *sorted(folder.glob(f"*/bin/{name}"))):
                _load(str(path))


def nvidia_problem(cuda_major: int | None = None) -> str | None:
    """Why no NVIDIA device is usable through the driver, else None.

    `cuda_major` is the CUDA version that the driver must support. Asks the driver API: cuInit,
    cuDeviceGetCount, cuDriverGetVersion.
    """
    driver = _load(NVIDIA_DRIVER)
    if driver is None:
        return f"the NVIDIA driver is not installed ({NVIDIA_DRIVER} can't be loaded)"
    count, version = ctypes.c_int(), ctypes.c_int()
    calls = (
        ("cuInit", ctypes.c_uint(0)),
        ("cuDeviceGetCount", ctypes.byref(count)),
        ("cuDriverGetVersion", ctypes.byref(version)),
    )
    for name, argument in calls:
        status = getattr(driver, name)(argument)
        if status:
            return f"the NVIDIA driver can't be used: {name} returns {_error_name(driver, status)}"
    if count.value == 0:
        return "the NVIDIA driver finds no device"
    supported = f"{version.value // 1000}.{version.value % 1000 // 10}"
    if cuda_major and version.value // 1000 < cuda_major:
        return f"the NVIDIA driver supports CUDA {supported}, but onnxruntime was built for CUDA {cuda_major}"
    return None


def compute_capability(device_id: int = 0) -> tuple[int, int] | None:
    """An NVIDIA GPU's compute capability, for example (8, 0), from the driver API; None if unavailable."""
    driver = _load(NVIDIA_DRIVER)
    if driver is None:
        return None
    handle, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    calls = (
        ("cuInit", ctypes.c_uint(0)),
        ("cuDeviceGet", ctypes.byref(handle), ctypes.c_int(device_id)),
        ("cuDeviceGetAttribute", ctypes.byref(major), _CAPABILITY_MAJOR, handle),
        ("cuDeviceGetAttribute", ctypes.byref(minor), _CAPABILITY_MINOR, handle),
    )
    if any(getattr(driver, name)(*arguments) for name, *arguments in calls):
        return None
    return major.value, minor.value


def _load(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def _error_name(driver: ctypes.CDLL, status: int) -> str:
    text = ctypes.c_char_p()
    known = driver.cuGetErrorName(status, ctypes.byref(text)) == 0
    return f"{status} ({text.value.decode()})" if known and text.value else str(status)
