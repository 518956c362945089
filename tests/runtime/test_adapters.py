"""Graphics adapters: asked of Vulkan on Linux, described by onnxruntime elsewhere; none, and no loader, have a cure."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from nin_spec.runtime import adapters
from nin_spec.runtime.adapters import Adapter, adapter_of, vulkan_adapters
from nin_spec.runtime.plugins import PluginError


@pytest.fixture(autouse=True)
def asked_anew() -> None:
    """Nothing is remembered from another test."""
    vulkan_adapters.cache_clear()


def hardware(kind: str, vendor: str = "", **metadata: str) -> Any:
    """An OrtEpDevice."""
    return SimpleNamespace(
        device=SimpleNamespace(type=SimpleNamespace(name=kind), vendor=vendor, metadata=metadata), ep_name="WebGpu"
    )


def test_without_a_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, with the package that has it."""
    monkeypatch.setattr(adapters, "LOADER", "libvulkan-of-no-machine.so")
    with pytest.raises(
        PluginError, match=r"the Vulkan loader \(libvulkan-of-no-machine.so\) is not installed"
    ) as found:
        vulkan_adapters()
    assert "libvulkan1" in found.value.remedy


class Loader:
    """A Vulkan loader with devices of these types and names, the newest of all."""

    def __init__(self, *devices: tuple[int, bytes], fails: bool = False) -> None:
        self.devices, self.fails, self.destroyed = devices, fails, 0

    def vkCreateInstance(self, *_: Any) -> int:  # noqa: N802 Vulkan's name
        """VK_SUCCESS, or VK_ERROR_INCOMPATIBLE_DRIVER."""
        return -9 if self.fails else 0

    def vkEnumeratePhysicalDevices(self, _instance: Any, count: Any, handles: Any) -> int:  # noqa: N802
        """Handles are numbers from 1."""
        count._obj.value = len(self.devices)
        for k in range(len(self.devices) if handles else 0):
            handles[k] = k + 1
        return 0

    def vkGetPhysicalDeviceProperties(self, handle: Any, told: Any) -> None:  # noqa: N802
        """Version 1.3, a type, a name."""
        told._obj.api_version = 1 << 22 | 3 << 12
        told._obj.type, told._obj.name = self.devices[handle.value - 1]

    def vkGetPhysicalDeviceFeatures2(self, handle: Any, features: Any) -> None:  # noqa: N802
        """All of a discrete GPU's, none of another's."""
        if self.devices[handle.value - 1][0] == 2:
            arithmetic = ctypes.cast(features._obj.next, ctypes.POINTER(adapters._Flags)).contents
            storage = ctypes.cast(arithmetic.next, ctypes.POINTER(adapters._Flags)).contents
            for flags in (arithmetic, storage):
                flags.switches[0] = flags.switches[1] = 1

    def vkDestroyInstance(self, *_: Any) -> None:  # noqa: N802
        """Once for each instance."""
        self.destroyed += 1


def test_the_best_adapter_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A discrete GPU before an integrated one before software, which is told as such."""
    loader = Loader((4, b"llvmpipe"), (1, b"Integrated"), (2, b"Discrete"))
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: loader)
    found = vulkan_adapters()
    assert found == (
        Adapter("Discrete", software=False, float16=True, driver=0),
        Adapter("Integrated", software=False, float16=False, driver=0),
        Adapter("llvmpipe", software=True, float16=False, driver=0),
    )
    assert loader.destroyed == 1
    assert [str(adapter) for adapter in found] == ["Discrete", "Integrated", "llvmpipe, a software adapter"]


@pytest.mark.parametrize("loader", [Loader(), Loader(fails=True)], ids=["no device", "no driver"])
def test_without_an_adapter(monkeypatch: pytest.MonkeyPatch, loader: Loader) -> None:
    """A loader alone computes nothing."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: loader)
    with pytest.raises(PluginError, match="Vulkan finds no adapter"):
        vulkan_adapters()


def test_elsewhere_onnxruntime_describes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its description, else its vendor; hardware of the kind CPU is a software adapter."""
    monkeypatch.setattr(sys, "platform", "win32")
    assert adapter_of(hardware("GPU", "NVIDIA", Description="GeForce")) == Adapter("GeForce", software=False)
    assert adapter_of(hardware("GPU", "Apple")) == Adapter("Apple", software=False)
    assert adapter_of(hardware("CPU")) == Adapter("an adapter of unknown name", software=True)
