"""OpenVINO built into onnxruntime: what its own library reports of the hardware.

The provider has two homes with one name and the same options: a build of onnxruntime, from the package
onnxruntime-openvino, which runs on any x86-64 CPU, and a plug-in, which runs on Intel hardware alone. A plug-in's
hardware is reported by onnxruntime; for the built-in provider OpenVINO is asked, through its C API (ov_core.h).
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from nin_spec.runtime.installation import import_onnxruntime
from nin_spec.runtime.plugins import PluginError

PROVIDER = "OpenVINOExecutionProvider"
LIBRARY = "onnxruntime_providers_openvino"
_LIBRARIES = (f"lib{LIBRARY}.so", f"{LIBRARY}.dll")
_C_API = "openvino_c.dll" if sys.platform == "win32" else "libopenvino_c.so"
_FLOAT32 = "FP32"


class _Devices(ctypes.Structure):
    """ov_available_devices_t."""

    _fields_ = (("names", ctypes.POINTER(ctypes.c_char_p)), ("size", ctypes.c_size_t))


def is_built_in() -> bool:
    """Whether the installed onnxruntime comes with the provider's library; onnxruntime is not imported."""
    try:
        spec = find_spec("onnxruntime")
    except ValueError:  # a module that has no spec, left over in sys.modules
        return False
    folders = spec.submodule_search_locations or () if spec else ()
    return any((Path(folder) / "capi" / name).is_file() for folder in folders for name in _LIBRARIES)


@cache
def capabilities(kind: str) -> str:
    """OPTIMIZATION_CAPABILITIES of CPU, GPU or NPU, for example `BF16 FP32 INT8`, of the OpenVINO that computes.

    An OpenVINO without its C API can't be asked, and is taken to have float32 only. Raises PluginError if there is no
    such hardware.
    """
    library = _load()
    core = ctypes.c_void_p()
    if library is None or library.ov_core_create(ctypes.byref(core)):
        return _FLOAT32
    try:
        offered = _offered(library, core)
        if kind not in offered:
            has = ", ".join(sorted(offered)) or "nothing"
            raise PluginError(f"OpenVINO finds no supported {kind}; it has {has}", f"set its option device to {has}")
        return _property(library, core, kind, "OPTIMIZATION_CAPABILITIES")
    finally:
        library.ov_core_free(core)


def _load() -> ctypes.CDLL | None:
    """The C API beside onnxruntime's libraries, else where the loader finds it, as for a build of one's own."""
    inside = Path(import_onnxruntime().__file__).parent / "capi" / _C_API
    for name in (str(inside), _C_API):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _offered(library: ctypes.CDLL, core: ctypes.c_void_p) -> set[str]:
    """The kinds of hardware: of `GPU.0` and `GPU.1` one GPU."""
    found = _Devices()
    if library.ov_core_get_available_devices(core, ctypes.byref(found)):
        return set()
    kinds = {(found.names[k] or b"").decode().partition(".")[0] for k in range(found.size)}
    library.ov_available_devices_free(ctypes.byref(found))
    return kinds


def _property(library: ctypes.CDLL, core: ctypes.c_void_p, kind: str, key: str) -> str:
    value = ctypes.c_char_p()
    if library.ov_core_get_property(core, kind.encode(), key.encode(), ctypes.byref(value)):
        return _FLOAT32
    text = (value.value or b"").decode()
    library.ov_free(value)
    return text
