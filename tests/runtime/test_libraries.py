"""Shared libraries: what was linked, what loads, what the driver answers."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from nin_spec.runtime import libraries

linux = pytest.mark.skipif(sys.platform != "linux", reason="the loader of Linux")
gpu_wheel = pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(), reason="onnxruntime without CUDA"
)


@linux
def test_the_link_list_is_the_loaders_own() -> None:
    """DT_NEEDED read from a real library agrees with what the dynamic loader maps for it."""
    library = Path(sys.modules["_ctypes"].__file__ or "")
    names = libraries.needed(library)
    assert any(name.startswith(("libffi.so", "libc.so")) for name in names)
    assert libraries.unloadable(names) == ()


@linux
@gpu_wheel
def test_the_cuda_provider_links_the_driver_and_cublas() -> None:
    """The wheel's own library says what it needs; no version is written down here."""
    folder = Path(onnxruntime.__file__).parent / "capi"
    names = libraries.needed(folder / "libonnxruntime_providers_cuda.so")
    assert "libcuda.so.1" in names
    assert any(name.startswith("libcublas.so.") for name in names)


def test_the_link_list_is_found_through_the_segments(tmp_path: Path) -> None:
    """The names' address is a virtual one: the segment that holds it says where it is in the file."""
    names = b"\0libfirst.so.1\0libother.so\0libsecond.so.2\0"
    address, at, dynamic_at = 0x10000, 0x300, 0x200
    entries = [(1, 1), (14, 15), (1, 27), (5, address), (10, len(names)), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    header = b"\x7fELF\x02\x01".ljust(32, b"\0") + struct.pack("<Q", 64)
    header = header.ljust(54, b"\0") + struct.pack("<HH", 56, 2)
    load = struct.pack("<IIQQQQQQ", 1, 0, at, address, 0, len(names), 0, 0)
    link = struct.pack("<IIQQQQQQ", 2, 0, dynamic_at, 0, 0, len(dynamic), 0, 0)
    file = tmp_path / "library.so"
    file.write_bytes((header.ljust(64, b"\0") + load + link).ljust(dynamic_at, b"\0"))
    file.write_bytes((file.read_bytes() + dynamic).ljust(at, b"\0") + names)
    assert libraries.needed(file) == ("libfirst.so.1", "libsecond.so.2")


@pytest.mark.parametrize("start", [b"", b"MZ\x90\x00", b"\x7fELF\x01\x01" + b"\0" * 80])
def test_other_formats_have_no_link_list(tmp_path: Path, start: bytes) -> None:
    """Only 64-bit little-endian ELF is read."""
    file = tmp_path / "library"
    file.write_bytes(start)
    assert libraries.needed(file) == ()


def test_libraries_that_cannot_be_loaded_are_named() -> None:
    """Each missing one, in order, and no other."""
    assert libraries.unloadable(["libnosuch.so.1", "libnosuch.so.2"]) == ("libnosuch.so.1", "libnosuch.so.2")


class FakeDriver:
    """The four calls of the CUDA driver API that are made."""

    def __init__(self, *, status: int = 0, devices: int = 1, version: int = 13000) -> None:
        self.status, self.devices, self.version = status, devices, version

    def cuInit(self, _flags: object) -> int:  # noqa: N802 - the driver's name
        """0, or what went wrong."""
        return self.status

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        """Write the number of devices."""
        count._obj.value = self.devices
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        """Write 1000 * major + 10 * minor."""
        version._obj.value = self.version
        return 0

    def cuGetErrorName(self, _status: int, name: Any) -> int:  # noqa: N802
        """Write the error's name."""
        name._obj.value = b"CUDA_ERROR_NO_DEVICE"
        return 0


@pytest.mark.parametrize(
    ("driver", "problem"),
    [
        (FakeDriver(), None),
        (FakeDriver(status=100), "the NVIDIA driver can't be used: cuInit returns 100 (CUDA_ERROR_NO_DEVICE)"),
        (FakeDriver(devices=0), "the NVIDIA driver finds no device"),
        (FakeDriver(version=12080), "the NVIDIA driver supports CUDA 12.8, but onnxruntime was built for CUDA 13"),
    ],
    ids=["works", "refuses", "no device", "too old"],
)
def test_the_drivers_answers_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, driver: FakeDriver, problem: str | None
) -> None:
    """Each way in which a driver can be of no use has its own words."""
    monkeypatch.setattr(libraries, "_load", lambda _: driver)
    assert libraries.nvidia_problem(13) == problem


class FakeGpu(FakeDriver):
    """A driver that also tells of its GPU."""

    def cuDeviceGet(self, device: Any, number: Any) -> int:  # noqa: N802
        """Write the handle; 101 is CUDA_ERROR_INVALID_DEVICE."""
        device._obj.value = number.value
        return 0 if number.value == 0 else 101

    def cuDeviceGetAttribute(self, value: Any, attribute: int, _device: object) -> int:  # noqa: N802
        """Write one number of the compute capability."""
        value._obj.value = {75: 8, 76: 6}[attribute]
        return 0


def test_the_compute_capability_is_the_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two numbers; None for a GPU that is not there, and without a driver."""
    monkeypatch.setattr(libraries, "_load", lambda _: FakeGpu())
    assert libraries.compute_capability() == (8, 6)
    assert libraries.compute_capability(1) is None
    monkeypatch.setattr(libraries, "_load", lambda _: None)
    assert libraries.compute_capability() is None


@linux
def test_libraries_of_a_python_package_are_loaded_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT from pip lies where no loader looks; a package that is not there is no error."""
    package = tmp_path / "some_libraries"
    package.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    loaded: list[str] = []
    monkeypatch.setattr(libraries, "_load", loaded.append)
    libraries.preload("some_libraries", ["libfirst.so.1"])
    libraries.preload("no_such_libraries", ["libfirst.so.1"])
    assert loaded == [str(package / "libfirst.so.1")]


@linux
def test_libraries_of_a_namespace_are_loaded_from_each_of_its_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NVIDIA's packages may lie in one place, and onnxruntime in another."""
    for place, part in (("one", "some_parts/cu13"), ("two", "some_parts/cudnn")):
        folder = tmp_path / place / part / "lib"
        folder.mkdir(parents=True)
        (folder / f"lib{place}.so.1").touch()
        monkeypatch.syspath_prepend(tmp_path / place)
    loaded: list[str] = []
    monkeypatch.setattr(libraries, "_load", loaded.append)
    libraries.preload("some_parts", ["libone.so.1", "libtwo.so.1"])
    assert {str(tmp_path / "one/some_parts/cu13/lib/libone.so.1")} < set(loaded)
    assert {str(tmp_path / "two/some_parts/cudnn/lib/libtwo.so.1")} < set(loaded)
