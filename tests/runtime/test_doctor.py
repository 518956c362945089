"""The doctor: what it says is proved, and nothing broken can make it fail."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import onnxruntime
import pytest
from fake_plugins import install
from small_models import has_nvidia_driver

from nin_spec.diagnostics import Code, DeviceError
from nin_spec.runtime import doctor, installation
from nin_spec.runtime import session as session_module
from nin_spec.runtime.doctor import Report, Torch, diagnose
from nin_spec.runtime.providers import explain, find_providers


@pytest.fixture(scope="module")
def report() -> Report:
    """This machine's own report."""
    return diagnose()


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch is asked in a process of its own, which takes seconds: once is enough."""
    monkeypatch.setattr(doctor, "_ask_torch", Torch)


def test_this_machine_runs_models_on_the_cpu(report: Report) -> None:
    """The report is good where a model ran on the CPU provider."""
    assert report.ok
    assert report.python.endswith(platform.python_version())
    assert report.packages["onnx"]
    assert report.cpu.threads >= 1
    assert report.torch.error is None


def test_every_device_is_in_the_report(report: Report) -> None:
    """Usable or not, each has its line; where it isn't there is a reason and a remedy."""
    assert [d.device for d in report.devices] == list(find_providers())
    for device in report.devices:
        assert device.usable or (device.reason and device.remedy)


@pytest.mark.skipif(has_nvidia_driver(), reason="this machine has an NVIDIA driver")
def test_without_a_driver_cuda_is_not_usable(report: Report) -> None:
    """A provider that was compiled in is not yet one that works."""
    assert [d for d in report.devices if d.device == "cuda"] == [explain("cuda")]
    assert not explain("cuda").usable


def test_the_report_is_plain_data(report: Report) -> None:
    """It survives JSON, and carries the verdict."""
    data = json.loads(json.dumps(report.as_dict()))
    assert data["ok"] is True
    assert {d["device"] for d in data["devices"]} == set(find_providers())


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by us nor by onnxruntime."""
    monkeypatch.setattr(doctor, "_ask_torch", Torch)
    diagnose()
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("no_torch")
@pytest.mark.parametrize("module", [None, ModuleType("onnxruntime")], ids=["missing", "broken"])
def test_without_onnxruntime_there_is_a_report(monkeypatch: pytest.MonkeyPatch, module: ModuleType | None) -> None:
    """It isn't good, and says why and what to install."""
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    report = diagnose()
    assert not report.ok
    assert all("onnxruntime" in d.reason and "pip install" in d.remedy for d in report.devices)


@pytest.mark.usefixtures("no_torch")
def test_without_onnx_nothing_is_called_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device on which no model could be run isn't reported as usable."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    report = diagnose()
    assert not report.ok
    assert any("onnx is broken" in d.reason for d in report.devices)


@pytest.mark.usefixtures("no_torch")
def test_a_device_that_cannot_run_the_model_is_not_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof counts, not the provider's presence."""

    def fail(*_: object) -> None:
        raise DeviceError(Code.DEVICE_UNAVAILABLE, "it melts", hint="cool it")

    monkeypatch.setattr(session_module, "open_session", fail)
    (cpu,) = (d for d in diagnose().devices if d.device == "cpu")
    assert (cpu.usable, cpu.reason, cpu.remedy) == (False, "it melts", "cool it")


@pytest.mark.usefixtures("no_torch")
def test_two_onnxruntime_packages_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are named, and both are to be removed."""
    monkeypatch.setattr(doctor, "onnxruntime_packages", lambda: ("onnxruntime", "onnxruntime-gpu"))
    (finding,) = (f for f in diagnose().findings if "together" in f.message)
    assert finding.remedy.startswith("pip uninstall onnxruntime onnxruntime-gpu, then pip install")


@pytest.mark.usefixtures("no_torch")
def test_of_several_packages_the_one_that_nothing_brings_unasked_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime-openvino was installed over the one that nin-spec brings, and for a reason."""
    monkeypatch.setattr(doctor, "onnxruntime_packages", lambda: ("onnxruntime-gpu", "onnxruntime-openvino"))
    (finding,) = (f for f in diagnose().findings if "together" in f.message)
    assert finding.remedy.startswith(
        "pip uninstall onnxruntime-gpu onnxruntime-openvino, then pip install onnxruntime-openvino"
    )


@pytest.mark.usefixtures("no_torch")
@pytest.mark.parametrize(("version", "old"), [("1.24.1", True), ("1.999.0", False)])
def test_an_onnxruntime_below_the_bound_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, version: str, *, old: bool
) -> None:
    """Pip sees to the bound of the packages that nin-spec names, not of onnxruntime-openvino in their place."""
    monkeypatch.setattr(onnxruntime, "__version__", version)
    found = [f.message for f in diagnose().findings if "is older than" in f.message]
    assert [message.startswith(f"onnxruntime {version} is older than 1.") for message in found] == [True] * old


@pytest.mark.usefixtures("no_torch")
def test_cuda_libraries_of_another_major_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is named with both majors, and the fix installs the right one."""
    monkeypatch.setattr(installation, "cuda_packages", lambda: {"nvidia-cublas-cu12": 12, "nvidia-cuda-runtime": 13})
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    (finding,) = (f for f in diagnose().findings if "nvidia-" in f.message)
    assert finding.message.startswith("nvidia-cublas-cu12 is for CUDA 12, but onnxruntime was built for CUDA 13.0")
    assert finding.remedy.startswith("pip install")


@pytest.mark.usefixtures("no_torch")
def test_a_broken_plugin_is_in_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its version, why it can't be used, and the command that brings back what is missing."""
    install(tmp_path, "broken", 'raise OSError("its library is gone")')
    monkeypatch.syspath_prepend(tmp_path)
    report = diagnose()
    assert report.ok
    assert report.packages["onnxruntime-ep-broken"] == "1.2"
    (found,) = (d for d in report.devices if d.device == "broken")
    assert found.reason == "onnxruntime_ep_broken can't be imported: its library is gone"
    assert found.remedy.startswith("pip install --force-reinstall --no-deps onnxruntime-ep-broken")


@pytest.mark.parametrize(("torch_cuda", "found"), [("12.8", True), ("13.0", False), (None, False)])
def test_other_cuda_majors_in_torch_are_a_finding(
    monkeypatch: pytest.MonkeyPatch, torch_cuda: str | None, *, found: bool
) -> None:
    """Torch for CUDA 12 beside onnxruntime for CUDA 13 is said, equal majors and torch without CUDA are not."""
    monkeypatch.setattr(doctor, "_ask_torch", lambda: Torch(cuda=torch_cuda))
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    assert any("CUDA 12.8" in f.message for f in diagnose().findings) is found


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (subprocess.CompletedProcess([], 1, "", "Traceback\nOSError: libtorch.so is cut short\n"), "is cut short"),
        (subprocess.CompletedProcess([], -11, "", ""), "status -11"),
        (subprocess.TimeoutExpired([], 1), "takes more than"),
    ],
    ids=["raises", "crashes", "hangs"],
)
def test_a_broken_torch_is_a_finding(monkeypatch: pytest.MonkeyPatch, done: Any, words: str) -> None:
    """Torch that can't be imported is reported, and models still run."""

    def run(*_: object, **__: object) -> Any:
        if isinstance(done, Exception):
            raise done
        return done

    monkeypatch.setattr(subprocess, "run", run)
    report = diagnose()
    assert report.ok
    assert any(f.message.startswith("torch can't be imported") and words in f.message for f in report.findings)


@pytest.mark.usefixtures("no_torch")
def test_a_missing_package_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named with the command that installs it."""
    monkeypatch.setattr(doctor, "PACKAGES", (*doctor.PACKAGES, "no-such-package"))
    report = diagnose()
    assert report.packages["no-such-package"] is None
    assert any(f.remedy == "pip install no-such-package" for f in report.findings)
