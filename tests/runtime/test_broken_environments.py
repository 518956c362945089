"""The doctor in environments that are really wrong: made here, of this environment's own packages.

Each is a virtual environment that shares every package of the running one by links, but for onnxruntime,
which is copied, so that what breaks is the copy. The CPU-only package comes from the package index.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from fake_plugins import install
from small_models import content

import nin_spec
from nin_spec.runtime.installation import onnxruntime_packages

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="links and library names of Linux"),
    pytest.mark.skipif(onnxruntime_packages() != ("onnxruntime-gpu",), reason="needs onnxruntime-gpu to break"),
]

ROOT = Path(nin_spec.__file__).parent.parent
SITE = Path(sysconfig.get_path("purelib"))
_LARGE = 20_000_000


class Environment:
    """A virtual environment without onnxruntime, and what can be done to it."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.python = folder / "bin" / "python"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.site = folder / "lib" / version / "site-packages"
        for entry in SITE.iterdir():
            if not entry.name.startswith("onnxruntime"):
                (self.site / entry.name).symlink_to(entry)

    def copy(self, package: str) -> None:
        """A package of the running environment. Large files are links: pip and tests remove the link only."""
        for file in distribution(package).files or ():
            source, target = SITE / file, self.site / file
            if ".." in file.parts or not source.is_file():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.stat().st_size > _LARGE:
                target.symlink_to(source)
            else:
                shutil.copy2(source, target)

    def pip(self, *arguments: str) -> None:
        """Run pip on this environment."""
        line = [sys.executable, "-m", "pip", "--python", str(self.python), *arguments]
        subprocess.run(line, check=True, capture_output=True, text=True)

    def nin_spec(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command there."""
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        line = [str(self.python), "-m", "nin_spec", *arguments]
        return subprocess.run(line, env=env, capture_output=True, text=True, check=False)

    def doctor(self) -> dict[str, Any]:
        """The report, with its devices by name; the exit code is what it says."""
        done = self.nin_spec("doctor", "--format", "json")
        report: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if report["ok"] else 1), done.stderr
        report["devices"] = {d["device"]: d for d in report["devices"]}
        return report


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """One without onnxruntime."""
    return Environment(tmp_path / "env")


@pytest.fixture
def run_on(environment: Environment, tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a small model there on a device."""
    import numpy as np

    (tmp_path / "m.onnx").write_bytes(content())
    np.save(tmp_path / "x.npy", np.zeros((3, 8, 8), np.float32))
    return lambda device: environment.nin_spec(
        "run", str(tmp_path / "m.onnx"), str(tmp_path / "x.npy"), "--device", device
    )


def test_the_same_packages_work(environment: Environment) -> None:
    """What the others break was whole: without this they would prove nothing."""
    environment.copy("onnxruntime-gpu")
    report = environment.doctor()
    assert report["ok"]
    assert report["findings"] == []


def test_no_onnxruntime_at_all(environment: Environment) -> None:
    """A report all the same, and what to install."""
    report = environment.doctor()
    assert not report["ok"]
    assert "can't be imported" in report["devices"]["cpu"]["reason"]
    assert "pip install" in report["devices"]["cpu"]["remedy"]


def test_two_packages_then_one_uninstalled(environment: Environment, run_on: Any) -> None:
    """Together they are a finding that removes both; one removed leaves a module without InferenceSession."""
    environment.copy("onnxruntime-gpu")
    environment.pip("install", "--no-deps", f"onnxruntime=={onnxruntime.__version__}")
    report = environment.doctor()
    (finding,) = report["findings"]
    assert (
        finding["message"] == "onnxruntime and onnxruntime-gpu are installed together, and overwrite each other's files"
    )
    assert finding["remedy"].startswith("pip uninstall onnxruntime onnxruntime-gpu, then pip install")
    assert "two packages overwrite each other" in report["devices"]["cuda"]["reason"]
    environment.pip("uninstall", "--yes", "onnxruntime")
    report = environment.doctor()
    assert not report["ok"]
    for device in report["devices"].values():
        assert device["reason"] == "onnxruntime is broken: the module has no InferenceSession"
        assert device["remedy"].startswith("pip uninstall onnxruntime-gpu, then pip install")
    done = run_on("auto")
    assert done.returncode == 2
    assert "the module has no InferenceSession" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_for_the_cpu_only(environment: Environment, run_on: Any) -> None:
    """It runs models; asked for CUDA, it names itself, and what to install in its place."""
    environment.pip("install", "--no-deps", f"onnxruntime=={onnxruntime.__version__}")
    assert environment.doctor()["ok"]
    for device, provider in (("cuda", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")):
        done = run_on(device)
        assert done.returncode == 2
        assert f"the installed onnxruntime (onnxruntime) has no {provider}" in done.stderr
        assert "pip uninstall onnxruntime, then pip install" in done.stderr
    assert run_on("auto").returncode == 0


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_providers_library_is_gone(environment: Environment, run_on: Any, device: str) -> None:
    """The file is named, and the package is to be installed again; the CPU works on."""
    environment.copy("onnxruntime-gpu")
    file = f"libonnxruntime_providers_{device}.so"
    (environment.site / "onnxruntime" / "capi" / file).unlink()
    report = environment.doctor()
    assert report["ok"]
    assert report["devices"][device]["reason"] == f"{file} is missing from the onnxruntime package"
    assert report["devices"][device]["missing"] == [file]
    assert report["devices"][device]["remedy"].startswith("pip uninstall onnxruntime-gpu, then pip install")
    assert run_on(device).returncode == 2


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda library: library.unlink(), "onnxruntime_ep_openvino is broken: OpenVINO EP plugin library not found"),
        (lambda library: library.write_bytes(b"cut short"), "can't load"),
    ],
    ids=["missing", "cut short"],
)
def test_a_plugins_library_is_broken(
    environment: Environment, run_on: Any, damage: Callable[[Path], None], words: str
) -> None:
    """The real plug-in without its library, and with half of it."""
    pytest.importorskip("onnxruntime_ep_openvino")
    environment.copy("onnxruntime-gpu")
    environment.copy("onnxruntime-ep-openvino")
    library = environment.site / "onnxruntime_ep_openvino" / "libonnxruntime_providers_openvino_plugin.so"
    damage(library)
    report = environment.doctor()
    assert report["ok"]
    assert report["packages"]["onnxruntime-ep-openvino"] == distribution("onnxruntime-ep-openvino").version
    found = report["devices"]["openvino"]
    assert words in found["reason"]
    assert found["remedy"].startswith("pip install --force-reinstall --no-deps onnxruntime-ep-openvino")
    assert run_on("openvino").returncode == 2


def test_cuda_libraries_of_another_major(environment: Environment) -> None:
    """Real metadata of a CUDA 12 package beside an onnxruntime for another CUDA."""
    if str(onnxruntime.cuda_version).startswith("12"):
        pytest.skip("this onnxruntime is built for CUDA 12")
    environment.copy("onnxruntime-gpu")
    environment.pip("install", "--no-deps", "nvidia-cuda-runtime-cu12")
    report = environment.doctor()
    (finding,) = report["findings"]
    assert finding["message"].startswith("nvidia-cuda-runtime-cu12 is for CUDA 12, but onnxruntime was built for CUDA")
    assert "nvidia-cuda-runtime-cu12 is for CUDA 12" in report["devices"]["cuda"]["reason"]


def test_a_made_up_plugin_that_cannot_be_imported(environment: Environment) -> None:
    """Any plug-in is in the report, not only one that is known."""
    environment.copy("onnxruntime-gpu")
    install(environment.site, "broken", "import a_library_that_is_gone")
    found = environment.doctor()["devices"]["broken"]
    assert found["reason"].startswith("onnxruntime_ep_broken can't be imported: No module named")
