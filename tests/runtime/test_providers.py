"""Devices: what is in the way is named, all of it, with the fix."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import onnxruntime
import pytest
from fake_plugins import add_distribution, install
from small_models import has_nvidia_driver

from nin_spec.diagnostics import Code, DeviceError
from nin_spec.runtime import installation, libraries, openvino, plugins, providers
from nin_spec.runtime.arithmetic import Dtypes, settle
from nin_spec.runtime.installation import cuda_packages, instead_of, onnxruntime_packages
from nin_spec.runtime.options import CudaOptions, TensorrtOptions
from nin_spec.runtime.providers import PROVIDERS, available_threads, explain, find_providers, lookup

linux = pytest.mark.skipif(sys.platform != "linux", reason="the loader of Linux")
without_driver = pytest.mark.skipif(has_nvidia_driver(), reason="this machine has an NVIDIA driver")
gpu_wheel = pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(), reason="onnxruntime without CUDA"
)


def test_the_cpu_is_usable_everywhere() -> None:
    """The CPU provider needs nothing, and says so."""
    status = explain("cpu")
    assert (status.usable, status.reason, status.missing, status.remedy) == (True, "", (), "")
    assert status.computes == ("float32", "int8")


def test_auto_prefers_accelerators() -> None:
    """CUDA, then what plug-ins bring, then the CPU; OpenVINO behind it, and TensorRT only if it is named."""
    found = find_providers()
    tried = [device for device, row in found.items() if not row.not_auto]
    assert tried[0] == "cuda"
    assert set(tried[tried.index("cpu") + 1 :]) <= {"openvino"}
    assert "tensorrt" in found
    assert all(row.device == device for device, row in found.items())


def test_a_plugin_is_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the CPU, called by the rest of its package's name; never in the place of a device."""
    for name in ("bright", "cuda"):
        install(tmp_path, name, "raise AssertionError('a plug-in is not imported to be found')")
    monkeypatch.syspath_prepend(tmp_path)
    found = list(find_providers())
    assert found.index("cuda") < found.index("bright") < found.index("cpu")
    assert found.count("cuda") == 1
    assert "cuda_plugin" in found
    assert lookup("bright").plugin is not None


def test_a_known_plugin_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO is a device that everybody may ask for; only its package is missing."""
    monkeypatch.setattr(plugins, "discover", lambda _taken: {})
    monkeypatch.setattr(openvino, "is_built_in", lambda: False)
    monkeypatch.setattr(providers, "onnxruntime_packages", lambda: ("onnxruntime-gpu",))
    with pytest.raises(DeviceError) as caught:
        lookup("openvino")
    (found,) = caught.value.diagnostics
    assert found.message == "openvino can't be used: its plug-in is not installed"
    assert found.hint == (
        "pip install 'nin-spec[openvino]' for Intel hardware; for any other x86-64 CPU: "
        "pip uninstall onnxruntime-gpu, then pip install onnxruntime-openvino"
    )


def test_an_unknown_device_is_refused_with_the_choices() -> None:
    """A misspelt device gets the nearest right one."""
    with pytest.raises(DeviceError) as caught:
        lookup("cudda")
    (found,) = caught.value.diagnostics
    assert found.code is Code.DEVICE_UNAVAILABLE
    assert found.hint
    assert found.hint.startswith("did you mean 'cuda'? devices are auto, cuda, tensorrt, ")


@linux
@gpu_wheel
@without_driver
def test_cuda_without_a_driver_names_the_driver_and_every_library(capfd: pytest.CaptureFixture[str]) -> None:
    """Everything missing is named at once, what pip can bring apart from the driver, and nothing is printed."""
    status = explain("cuda")
    assert not status.usable
    assert "libcuda.so.1" in status.missing
    assert "NVIDIA driver is not installed" in status.reason
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
    monkeypatch.setattr(installation, "cuda_packages", dict)
    status = explain("cuda")
    assert (status.reason, status.missing) == ("libcudnn.so.9 can't be loaded", ("libcudnn.so.9",))
    assert status.remedy == "pip install it, or pass --device cpu"


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
    monkeypatch.setattr(providers, "onnxruntime_packages", lambda: ("onnxruntime", "onnxruntime-gpu"))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    status = explain("cuda")
    assert "overwrite each other" in status.reason
    assert status.remedy.startswith("pip uninstall onnxruntime onnxruntime-gpu, then pip install")


def test_the_packages_that_overwrite_each_other_are_read_from_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is called onnxruntime-something and brings that module; a plug-in does not."""
    known = set(onnxruntime_packages())
    assert known
    for name, file in (("onnxruntime-other", "onnxruntime/x.py"), ("onnxruntime-tools", "tools/x.py")):
        add_distribution(tmp_path, name, "1.0", file)
    add_distribution(tmp_path, "onnxruntime-ep-odd", "1.0", "onnxruntime/ep.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert set(onnxruntime_packages()) == known | {"onnxruntime-other"}


def test_cuda_packages_tell_their_major(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name's end up to CUDA 12, by the version since."""
    add_distribution(tmp_path, "nvidia-cublas-cu12", "12.8.4.1", "nvidia/x.so")
    add_distribution(tmp_path, "nvidia-cuda-runtime", "13.0.96", "nvidia/y.so")
    monkeypatch.syspath_prepend(tmp_path)
    found = cuda_packages()
    assert (found["nvidia-cublas-cu12"], found["nvidia-cuda-runtime"]) == (12, 13)


@pytest.mark.skipif(onnxruntime.cuda_version in {None, ""}, reason="onnxruntime without CUDA")
def test_missing_libraries_of_another_major_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA 12 from pip does not help an onnxruntime that was built for CUDA 13, and is named."""
    monkeypatch.setattr(installation, "cuda_packages", lambda: {"nvidia-cublas-cu11": 11})
    monkeypatch.setattr(providers, "_missing_libraries", lambda *_: ("libcublas.so.13",))
    assert "nvidia-cublas-cu11 is for CUDA 11, but onnxruntime was built for CUDA" in explain("cuda").reason


def test_a_library_missing_from_onnxruntime_is_not_a_matter_of_the_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package itself is damaged: it is to be removed and installed again."""
    row = replace(PROVIDERS["cuda"], name="CPUExecutionProvider", library="onnxruntime_providers_gone")
    monkeypatch.setitem(PROVIDERS, "cuda", row)
    status = explain("cuda")
    assert "onnxruntime_providers_gone" in status.reason
    assert status.reason.endswith("is missing from the onnxruntime package")
    assert status.remedy.startswith("pip uninstall onnxruntime")


def test_cuda_refuses_int8_before_it_opens_the_file() -> None:
    """It would compute each layer in float32 between two conversions, and "auto" would choose it for that."""
    computes = PROVIDERS["cuda"].computes
    assert computes is not None
    has = computes(None, CudaOptions())
    with pytest.raises(
        DeviceError, match="cuda can't compute in int8 here; it has float16, float32, float64"
    ) as caught:
        settle("cuda", Dtypes("int8", "int8"), None, has)
    assert caught.value.diagnostics[0].hint == "pass --device cpu, or export with --precision float32"
    for dtype in sorted(has):
        assert settle("cuda", Dtypes(dtype, dtype), None, has) == (dtype, ())
    with pytest.raises(DeviceError, match="can't compute in bfloat16"):
        settle("cuda", Dtypes("float32", "bfloat16"), None, has)


def test_a_device_that_converts_no_file_computes_in_its_own_precision() -> None:
    """CUDA has float16, but a float32 file stays float32 there: a precision asked for would be untrue."""
    has = frozenset({"float16", "float32"})
    with pytest.raises(DeviceError, match="the file is float32, and cuda computes it in that, not in float16"):
        settle("cuda", Dtypes("float32", "float32"), "float16", has)
    assert settle("tensorrt", Dtypes("float32", "float32"), "float16", has, converts=True) == ("float16", ())
    assert [name for name, row in PROVIDERS.items() if row.converts] == ["tensorrt"]


def test_tensorrt_has_the_precisions_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT drops what the GPU is slow in with a warning: nin-spec refuses it instead."""
    computes = PROVIDERS["tensorrt"].computes
    assert computes is not None
    for capability, narrow in ((None, set()), ((7, 5), {"float16"}), ((8, 0), {"float16", "bfloat16"})):
        monkeypatch.setattr(providers, "compute_capability", lambda _id, found=capability: found)
        assert computes(None, TensorrtOptions()) == {"float32", "int8"} | narrow


def test_a_library_beside_the_providers_own_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider's run path leads there; the loader, asked by name, would not find it."""
    monkeypatch.setattr(providers, "needed", lambda _library: ("libmade-up.so", "libgone.so"))
    (tmp_path / "libmade-up.so").touch()
    fake = SimpleNamespace(preload_dlls=lambda: None)
    row = replace(PROVIDERS["cuda"], opens=())
    assert providers._missing_libraries(fake, row, tmp_path / "libprovider.so") == ("libgone.so",)


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


def test_an_onnxruntime_that_cannot_tell_where_a_node_runs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 1.24: a fallback would be silent."""
    monkeypatch.setattr(onnxruntime, "__version__", "1.23.2")
    status = explain("cpu")
    assert not status.usable
    assert status.reason == "onnxruntime 1.23.2 is too old: it can't tell on which provider a node runs"
    monkeypatch.setattr(onnxruntime, "__version__", "1.24.0")
    assert explain("cpu").usable


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
