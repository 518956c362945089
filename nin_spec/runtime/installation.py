"""onnxruntime as it is installed here: imported whole or refused, its packages, the CUDA beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, distributions
from typing import Any

from nin_spec.diagnostics import Code, DeviceError, Diagnostic

INSTALL_GPU = 'pip install "onnxruntime-gpu[cuda,cudnn]"'
INSTALL_CPU = "pip install onnxruntime"
HAS_GPU_WHEELS = sys.platform in ("linux", "win32")

# Packages of CUDA libraries that onnxruntime's CUDA provider links, named with their major since CUDA 11;
# since CUDA 13 without it, and then the package's version is CUDA's.
_CUDA_PACKAGES = ("nvidia-cublas", "nvidia-cuda-runtime")
_PLUGINS = "onnxruntime-ep-"


def import_onnxruntime() -> Any:
    """The onnxruntime module, proved to be whole. Raises DeviceError where it is missing or broken."""
    try:
        import onnxruntime as ort
    except Exception as error:  # a broken extension module may raise anything
        raise _broken(f"onnxruntime can't be imported: {error}") from error
    if not hasattr(ort, "InferenceSession"):
        raise _broken("onnxruntime is broken: the module has no InferenceSession")
    return ort


def _broken(message: str) -> DeviceError:
    install = f"{INSTALL_GPU} ({INSTALL_CPU} without an NVIDIA GPU)" if HAS_GPU_WHEELS else INSTALL_CPU
    hint = instead_of(onnxruntime_packages(), install)
    return DeviceError(Diagnostic(Code.DEVICE_UNAVAILABLE, message, hint=hint))


def instead_of(packages: Sequence[str], install: str) -> str:
    """The remedy that removes packages, if any, before another is installed."""
    return f"pip uninstall {' '.join(packages)}, then {install}" if packages else install


def onnxruntime_packages() -> tuple[str, ...]:
    """The installed distributions that bring the module `onnxruntime`: two of them overwrite each other."""
    # Only those that are called so are opened: a session on the CPU may ask, and must not read every package.
    found = (d for name, d in _installed() if name.startswith("onnxruntime") and not name.startswith(_PLUGINS))
    return tuple(sorted({d.name for d in found if _brings_onnxruntime(d)}))


def _brings_onnxruntime(distribution: Distribution) -> bool:
    return any(file.parts[:1] == ("onnxruntime",) for file in distribution.files or ())


def cuda_packages() -> dict[str, int]:
    """The CUDA major of each installed NVIDIA package that has one; torch for CUDA brings them, too."""
    majors: dict[str, int] = {}
    for name, distribution in _installed():
        known = next((p for p in _CUDA_PACKAGES if name == p or name.startswith(f"{p}-cu")), None)
        if known is None:
            continue
        major = name.removeprefix(known).removeprefix("-cu") or distribution.version.partition(".")[0]
        if major.isdigit():
            majors[name] = int(major)
    return majors


def _installed() -> Iterator[tuple[str, Distribution]]:
    """Each distribution with its name as pip spells it."""
    for distribution in distributions():
        # A folder left by an interrupted pip has no metadata, and no name.
        if name := distribution.metadata["Name"]:
            yield name.lower().replace("_", "-").replace(".", "-"), distribution


def cuda_major(ort: Any) -> int | None:
    """The CUDA major that onnxruntime was built for, None for a build without CUDA."""
    major = str(getattr(ort, "cuda_version", "")).partition(".")[0]
    return int(major) if major.isdigit() else None
