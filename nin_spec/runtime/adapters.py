"""Graphics adapters of this machine: their names, which of them are software, and which have float16 arithmetic.

On Linux the Vulkan loader is asked (libvulkan.so.1; Vulkan specification, chapters 4 and 5), which onnxruntime's WebGPU
provider uses too; elsewhere onnxruntime itself describes the hardware that it finds.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_uint32, c_void_p, cast, pointer
from dataclasses import dataclass
from functools import cache
from typing import Any

from nin_spec.runtime.plugins import PluginError

LOADER = "libvulkan.so.1"
_APPLICATION, _INSTANCE, _FEATURES = 0, 1, 1000059000
_FLOAT16, _STORAGE16 = 1000082000, 1000083000
_VERSION_1_1 = 1 << 22 | 1 << 12
_CPU = 4
# Discrete, integrated, virtual and other GPUs, then software: the order in which Dawn takes them for high performance.
_BEST_FIRST = (2, 1, 3, 0, _CPU)


@dataclass(frozen=True, slots=True)
class Adapter:
    """A graphics adapter: `software` computes on the CPU; `float16` and `driver` are None where they are not known.

    `driver` is its driver's version, a number that each vendor packs in its own way.
    """

    name: str
    software: bool
    float16: bool | None = None
    driver: int | None = None

    def __str__(self) -> str:
        return f"{self.name}, a software adapter" if self.software else self.name


def adapter_of(hardware: Any) -> Adapter:
    """The adapter behind an OrtEpDevice of the WebGPU provider. Raises PluginError for none."""
    if sys.platform == "linux":
        return vulkan_adapters()[0]
    found = hardware.device
    name = dict(found.metadata).get("Description") or found.vendor or "an adapter of unknown name"
    return Adapter(name, software=found.type.name == "CPU")


@cache
def vulkan_adapters() -> tuple[Adapter, ...]:
    """Every adapter that a Vulkan driver offers, best first. Raises PluginError for none."""
    try:
        vulkan = ctypes.CDLL(LOADER)
    except OSError as error:
        why = f"the Vulkan loader ({LOADER}) is not installed"
        raise PluginError(why, "install it (libvulkan1 on Debian), and the GPU's Vulkan driver") from error
    found = sorted(_devices(vulkan), key=lambda pair: _BEST_FIRST.index(pair[0]) if pair[0] in _BEST_FIRST else 3)
    if not found:
        raise PluginError("Vulkan finds no adapter", "install the GPU's Vulkan driver")
    return tuple(adapter for _, adapter in found)


# ------------------------------------------------------------------ Vulkan's structures


class _ApplicationInfo(Structure):
    _fields_ = (
        ("kind", c_uint32),
        ("next", c_void_p),
        ("application", c_char_p),
        ("application_version", c_uint32),
        ("engine", c_char_p),
        ("engine_version", c_uint32),
        ("api_version", c_uint32),
    )


class _InstanceInfo(Structure):
    _fields_ = (
        ("kind", c_uint32),
        ("next", c_void_p),
        ("flags", c_uint32),
        ("application", POINTER(_ApplicationInfo)),
        ("layer_count", c_uint32),
        ("layers", c_void_p),
        ("extension_count", c_uint32),
        ("extensions", c_void_p),
    )


class _Properties(Structure):
    """VkPhysicalDeviceProperties; its limits, which nobody reads here, take less than `rest`."""

    _fields_ = (
        ("api_version", c_uint32),
        ("driver_version", c_uint32),
        ("vendor", c_uint32),
        ("device", c_uint32),
        ("type", c_uint32),
        ("name", c_char * 256),
        ("rest", c_char * 2048),
    )


class _Flags(Structure):
    """A structure of features: switches in its specification's order."""

    _fields_ = (("kind", c_uint32), ("next", c_void_p), ("switches", c_uint32 * 64))


def _devices(vulkan: ctypes.CDLL) -> Iterator[tuple[int, Adapter]]:
    """The type and the adapter of each physical device."""
    application = _ApplicationInfo(kind=_APPLICATION, api_version=_VERSION_1_1)
    info, instance = _InstanceInfo(kind=_INSTANCE, application=pointer(application)), c_void_p()
    if vulkan.vkCreateInstance(byref(info), None, byref(instance)):
        return
    try:
        count = c_uint32()
        vulkan.vkEnumeratePhysicalDevices(instance, byref(count), None)
        handles = (c_void_p * count.value)()
        if vulkan.vkEnumeratePhysicalDevices(instance, byref(count), handles) < 0:
            return
        for handle in handles[: count.value]:
            told = _Properties()
            vulkan.vkGetPhysicalDeviceProperties(c_void_p(handle), byref(told))
            name = told.name.decode(errors="replace")
            float16 = told.api_version >= _VERSION_1_1 and _has_float16(vulkan, handle)
            found = Adapter(name, software=told.type == _CPU, float16=float16, driver=told.driver_version)
            yield told.type, found
    finally:
        vulkan.vkDestroyInstance(instance, None)


def _has_float16(vulkan: ctypes.CDLL, handle: int | None) -> bool:
    """Whether shaders compute in float16 and read it from buffers, as WebGPU's feature shader-f16 requires."""
    storage = _Flags(kind=_STORAGE16)
    arithmetic = _Flags(kind=_FLOAT16, next=cast(pointer(storage), c_void_p))
    features = _Flags(kind=_FEATURES, next=cast(pointer(arithmetic), c_void_p))
    vulkan.vkGetPhysicalDeviceFeatures2(c_void_p(handle), byref(features))
    return bool(arithmetic.switches[0] and storage.switches[0] and storage.switches[1])
