"""The installation of onnxruntime: import and checks, its packages, and CUDA packages."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_spec.children import TELEMETRY
from nin_spec.diagnostics import Code, DeviceError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

INSTALL_GPU = 'pip install "onnxruntime-gpu[cuda,cudnn]"'
INSTALL_CPU = "pip install onnxruntime"
INSTALL_OPENVINO = "pip install onnxruntime-openvino"
HAS_GPU_WHEELS = sys.platform in ("linux", "win32")

# Packages of libraries that onnxruntime's CUDA provider links: up to CUDA 12 the name has CUDA's major version, later
# the package's version is CUDA's.
_CUDA_PACKAGES = ("nvidia-cublas", "nvidia-cuda-runtime")
_CUDA_MAJORS = (11, 12, 13)
_PLUGINS = "onnxruntime-ep-"
_OPENVINO = "onnxruntime-openvino"
_OLDEST = (1, 24)
"""The first that reports the provider of each node."""
_LOADING = threading.Lock()


def source_of(path: Path) -> bytes | str:
    """The argument for onnxruntime: the path, or the bytes if the path is not UTF-8, which it rejects."""
    name = str(path)
    return name if name.isascii() or _is_utf8(name) else path.read_bytes()


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def import_onnxruntime(part: str = "") -> Any:
    """Import onnxruntime, or a submodule such as `quantization`; no other code imports it.

    It is checked to be complete, and its telemetry is disabled. Raises DeviceError if it is missing, broken or older
    than the report of where each node runs, without which a fallback would be silent.
    """
    try:
        with _LOADING, environment(*TELEMETRY):
            import onnxruntime as ort
    except Exception as error:  # a broken extension module may raise anything
        raise _broken(f"onnxruntime can't be imported: {error}") from error
    if not hasattr(ort, "InferenceSession"):
        raise _broken("onnxruntime is broken: the module has no InferenceSession")
    if _numbers(ort.__version__) < _OLDEST:
        raise _broken(f"onnxruntime {ort.__version__} is too old: it can't tell on which provider a node runs")
    # Other code may have imported it before, with telemetry.
    ort.disable_telemetry_events()
    return importlib.import_module(f"onnxruntime.{part}") if part else ort


@contextlib.contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """The environment with a variable for a library that reads it once, restored afterwards."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _broken(message: str) -> DeviceError:
    packages = onnxruntime_packages()
    hint = instead_of(packages, one_of(packages))
    return DeviceError(Code.DEVICE_UNAVAILABLE, message, hint=hint)


def one_of(packages: Sequence[str]) -> str:
    """The command that installs one package instead of these. Nothing brings onnxruntime-openvino unasked."""
    if _OPENVINO in packages:
        return f"{INSTALL_OPENVINO} (for an NVIDIA GPU {INSTALL_GPU})"
    return f"{INSTALL_GPU} ({INSTALL_CPU} without an NVIDIA GPU)" if HAS_GPU_WHEELS else INSTALL_CPU


def older_than_required() -> str | None:
    """A sentence on an onnxruntime below the bound of nin-spec's own metadata; None if there is none.

    pip sees to the bound for the packages that nin-spec names, but not for onnxruntime-openvino, which replaces them.
    """
    from importlib.metadata import PackageNotFoundError, requires

    try:
        named = (re.match(r"onnxruntime(?:-gpu)?\s*>=\s*([\d.]+)", line) for line in requires("nin-spec") or ())
    except PackageNotFoundError:  # run from a checkout that is not installed
        return None
    bound = next((found[1] for found in named if found), None)
    version = import_onnxruntime().__version__
    if bound is None or _numbers(version) >= _numbers(bound):
        return None
    return f"onnxruntime {version} is older than {bound}, with which nin-spec is tested"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def instead_of(packages: Sequence[str], install: str) -> str:
    """A command that uninstalls packages, if any, before installing another."""
    return f"pip uninstall {' '.join(packages)}, then {install}" if packages else install


def onnxruntime_packages() -> tuple[str, ...]:
    """The installed distributions of the module `onnxruntime`: two of them overwrite each other."""
    from importlib.metadata import distributions

    # Only those with such a name are opened: a session on the CPU must not read every package.
    names = ((d.metadata["Name"] or "", d) for d in distributions())
    found = [(n, d) for n, d in names if n.startswith("onnxruntime") and not _normal(n).startswith(_PLUGINS)]
    return tuple(sorted({name for name, d in found if _brings_onnxruntime(d)}))


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _brings_onnxruntime(distribution: Distribution) -> bool:
    return any(file.parts[:1] == ("onnxruntime",) for file in distribution.files or ())


def cuda_packages() -> dict[str, int]:
    """The CUDA major version of each installed NVIDIA package; torch for CUDA installs them, too."""
    named = {f"{stem}-cu{major}": major for stem in _CUDA_PACKAGES for major in _CUDA_MAJORS}
    found = {name: major for name, major in named.items() if version_of(name)}
    for stem in _CUDA_PACKAGES:
        if version := version_of(stem):
            found[stem] = int(version.partition(".")[0])
    return found


def other_cuda(cuda: str) -> list[str]:
    """A sentence on each CUDA package whose major version differs from `cuda`, that of onnxruntime's build."""
    major = cuda.partition(".")[0]
    return [
        f"{name} is for CUDA {own}, but onnxruntime was built for CUDA {cuda}"
        for name, own in cuda_packages().items()
        if str(own) != major
    ]


def version_of(package: str) -> str | None:
    """The version of an installed distribution, else None."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cuda_major(ort: Any) -> int | None:
    """The CUDA major version of onnxruntime's build, None without CUDA."""
    major = str(getattr(ort, "cuda_version", "")).partition(".")[0]
    return int(major) if major.isdigit() else None
