"""Devices: what is in the way is named, all of it, with the cure."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import onnxruntime
import pytest
from small_models import has_nvidia_driver

from nin_spec.diagnostics import Code, DeviceError
from nin_spec.runtime import libraries, providers
from nin_spec.runtime.providers import PROVIDERS, available_threads, explain, instead_of, lookup

linux = pytest.mark.skipif(sys.platform != "linux", reason="the loader of Linux")
without_driver = pytest.mark.skipif(has_nvidia_driver(), reason="this machine has an NVIDIA driver")
gpu_wheel = pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(), reason="onnxruntime without CUDA"
)


def test_the_cpu_is_usable_everywhere() -> None:
    """The CPU provider needs nothing, and says so."""
    status = explain("cpu")
    assert (status.usable, status.reason, status.missing, status.remedy) == (True, "", (), "")


def test_auto_prefers_accelerators() -> None:
    """The table's order is auto's order, and the CPU is what remains."""
    assert list(PROVIDERS)[-1] == "cpu"
    assert all(row.device == device for device, row in PROVIDERS.items())


def test_an_unknown_device_is_refused_with_the_choices() -> None:
    """A misspelt device gets the nearest right one."""
    with pytest.raises(DeviceError) as caught:
        lookup("cudda")  # type: ignore[arg-type]
    (found,) = caught.value.diagnostics
    assert found.code is Code.DEVICE_UNAVAILABLE
    assert found.hint == "did you mean 'cuda'?"


@linux
@gpu_wheel
@without_driver
def test_cuda_without_a_driver_names_the_driver_and_every_library(capfd: pytest.CaptureFixture[str]) -> None:
    """Everything missing is named at once, what pip can bring apart from the driver, and nothing is printed."""
    status = explain("cuda")
    assert not status.usable
    assert "libcuda.so.1" in status.missing
    assert "no NVIDIA driver" in status.reason
    for name in set(status.missing) - {"libcuda.so.1"}:
        with pytest.raises(OSError, match=r"cannot open|No such"):
            ctypes.CDLL(name)
        assert name in status.reason
    assert set(libraries.unloadable(PROVIDERS["cuda"].opens)) <= set(status.missing)
    assert "NVIDIA driver" in status.remedy
    assert capfd.readouterr() == ("", "")


def test_a_library_that_is_missing_is_named_with_the_package_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a working driver the libraries alone are the reason, and pip the remedy."""
    row = providers.Provider("cuda", "CPUExecutionProvider", hardware=lambda _: None, install="pip install it")
    monkeypatch.setitem(PROVIDERS, "cuda", row)
    monkeypatch.setattr(providers, "_missing_libraries", lambda *_: ("libcudnn.so.9",))
    status = explain("cuda")
    assert (status.reason, status.missing) == ("libcudnn.so.9 can't be loaded", ("libcudnn.so.9",))
    assert status.remedy == "pip install it, or ask for cpu"


@pytest.mark.skipif(sys.platform == "darwin", reason="no GPU package there")
def test_the_wrong_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU-only onnxruntime is to be removed before the GPU one is installed."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(providers, "onnxruntime_packages", lambda: ("onnxruntime",))
    status = explain("cuda")
    assert not status.usable
    assert status.reason == "the installed onnxruntime (onnxruntime) has no CUDAExecutionProvider"
    assert status.remedy.startswith("pip uninstall onnxruntime, then pip install")


@pytest.mark.skipif(sys.platform == "darwin", reason="no GPU package there")
def test_two_packages_are_both_to_be_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removing only one of two packages breaks the other: the remedy names both."""
    both = {"onnxruntime": ["onnxruntime-gpu", "onnxruntime", "onnxruntime"]}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: both)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    status = explain("cuda")
    assert "overwrite each other" in status.reason
    assert status.remedy.startswith("pip uninstall onnxruntime onnxruntime-gpu, then pip install")


def test_nothing_to_remove_is_not_removed() -> None:
    """Without packages the remedy is the installation alone."""
    assert instead_of((), "pip install x") == "pip install x"


@pytest.mark.parametrize(
    ("module", "words"),
    [(None, "can't be imported"), (ModuleType("onnxruntime"), "no InferenceSession")],
    ids=["missing", "left over"],
)
def test_a_missing_or_broken_onnxruntime_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType | None, words: str
) -> None:
    """Even without onnxruntime there is an answer, and it says what to install."""
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    status = explain("cpu")
    assert not status.usable
    assert words in status.reason
    assert "pip install" in status.remedy


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this platform")
def test_threads_respect_the_affinity() -> None:
    """A process bound to one core gets one thread."""
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from nin_spec.runtime.providers import available_threads; print(available_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
    assert 1 <= available_threads() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("text", "threads"), [("max 100000", 4), ("150000 100000", 2), ("1000 100000", 1)])
def test_threads_respect_the_containers_quota(monkeypatch: pytest.MonkeyPatch, text: str, threads: int) -> None:
    """A container with 1.5 processors of a large host gets two threads, not one a core."""
    is_quota = {"/sys/fs/cgroup/cpu.max": text}
    fake = SimpleNamespace(sched_getaffinity=lambda _: {0, 1, 2, 3})

    def path(name: str) -> SimpleNamespace:
        return SimpleNamespace(is_file=lambda: name in is_quota, read_text=lambda: is_quota[name])

    monkeypatch.setattr(providers, "os", fake)
    monkeypatch.setattr(providers, "Path", path)
    assert available_threads() == threads
