"""Devices, and the onnxruntime execution providers behind them: which work here, and why not.

A device is one row of `PROVIDERS`: another one needs another row, and no code.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nin_spec.diagnostics import Code, DeviceError, Diagnostic, did_you_mean
from nin_spec.runtime.libraries import NVIDIA_DRIVER, needed, nvidia_problem, unloadable

Device = Literal["auto", "cpu", "cuda"]

INSTALL_GPU = 'pip install "onnxruntime-gpu[cuda,cudnn]"'
INSTALL_CPU = "pip install onnxruntime"
_HAS_GPU_WHEELS = sys.platform in ("linux", "win32")


@dataclass(frozen=True, slots=True)
class Provider:
    """One device: its provider's name and options, and what the provider stands on.

    `library` is the stem of the provider's own library inside onnxruntime, empty where it is built
    in; `opens` are libraries that it opens by name at run time, so that they are not in its link
    list. `hardware` takes the CUDA major version and says why the hardware can't be used.
    """

    device: Device
    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    library: str = ""
    opens: tuple[str, ...] = ()
    hardware: Callable[[int | None], str | None] | None = None
    install: str = INSTALL_CPU
    hardware_remedy: str = ""


PROVIDERS: dict[Device, Provider] = {
    p.device: p
    for p in (
        # Best first: the order in which "auto" tries them.
        Provider(
            "cuda",
            "CUDAExecutionProvider",
            # EXHAUSTIVE, the default, measures every algorithm again for each new batch size; TF32, on by
            # default, rounds the factors to 10 bits, and the scores would not be those of the spec.
            options={"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"},
            library="onnxruntime_providers_cuda",
            # cuDNN became optional in onnxruntime, but not for a convolution.
            opens=("cudnn64_9.dll",) if sys.platform == "win32" else ("libcudnn.so.9",),
            hardware=nvidia_problem,
            install=INSTALL_GPU,
            hardware_remedy="install or update the NVIDIA driver, or give the container its GPU",
        ),
        Provider("cpu", "CPUExecutionProvider"),
    )
}


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """Whether a device can work here, as far as can be told without a model; else why not, and the cure."""

    device: str
    provider: str
    usable: bool
    reason: str = ""
    missing: tuple[str, ...] = ()
    remedy: str = ""


def lookup(device: Device) -> Provider:
    """The row of a device other than auto. Raises DeviceError for a name that isn't a device."""
    if device in PROVIDERS:
        return PROVIDERS[device]
    hint = did_you_mean(device, [*PROVIDERS])
    raise DeviceError(Diagnostic(Code.DEVICE_UNAVAILABLE, f"{device!r} is not a device", hint=hint))


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
    install = f"{INSTALL_GPU} ({INSTALL_CPU} without an NVIDIA GPU)" if _HAS_GPU_WHEELS else INSTALL_CPU
    hint = instead_of(onnxruntime_packages(), install)
    return DeviceError(Diagnostic(Code.DEVICE_UNAVAILABLE, message, hint=hint))


def instead_of(packages: Sequence[str], install: str) -> str:
    """The remedy that removes packages, if any, before another is installed."""
    return f"pip uninstall {' '.join(packages)}, then {install}" if packages else install


def onnxruntime_packages() -> tuple[str, ...]:
    """The installed distributions that bring the module `onnxruntime`: two of them overwrite each other."""
    from importlib.metadata import packages_distributions

    return tuple(sorted(set(packages_distributions().get("onnxruntime", ()))))


def explain(device: Device) -> ProviderStatus:
    """Whether a device can work here, and if not, everything that is in its way.

    Asks the installed onnxruntime, the dynamic loader and the driver; never the network. Asked about
    CUDA it loads the CUDA libraries into this process, from NVIDIA's Python packages where installed.
    """
    provider = lookup(device)
    try:
        ort = import_onnxruntime()
    except DeviceError as error:
        (d,) = error.diagnostics
        return ProviderStatus(device, provider.name, usable=False, reason=d.message, remedy=d.hint or "")
    if provider.name not in ort.get_available_providers():
        return _not_compiled_in(provider)
    missing = _missing_libraries(ort, provider)
    problem = provider.hardware(_cuda_major(ort)) if provider.hardware else None
    reasons = [problem] if problem else []
    remedies = [provider.hardware_remedy] if problem else []
    # The driver's own library comes with the driver, not from pip.
    installable = [name for name in missing if name != NVIDIA_DRIVER]
    if installable:
        reasons.append(f"{', '.join(installable)} can't be loaded")
        remedies.append(provider.install)
    remedy = f"{', then '.join(remedies)}, or ask for cpu" if remedies else ""
    return ProviderStatus(device, provider.name, not reasons, "; ".join(reasons), missing, remedy)


def _not_compiled_in(provider: Provider) -> ProviderStatus:
    packages = onnxruntime_packages()
    reason = f"the installed onnxruntime ({', '.join(packages) or 'no known package'}) has no {provider.name}"
    if len(packages) > 1:
        reason += ": two packages overwrite each other"
    remedy = f"{instead_of(packages, provider.install)}, or ask for cpu"
    if not _HAS_GPU_WHEELS:
        remedy = "ask for cpu: no onnxruntime package for this platform has it"
    return ProviderStatus(provider.device, provider.name, usable=False, reason=reason, remedy=remedy)


def _missing_libraries(ort: Any, provider: Provider) -> tuple[str, ...]:
    if not provider.library:
        return ()
    # preload_dlls prints what it can't load; each library is tried, and named, below.
    with contextlib.redirect_stdout(io.StringIO()):
        ort.preload_dlls()
    folder = Path(ort.__file__).parent / "capi"
    file = folder / (f"{provider.library}.dll" if sys.platform == "win32" else f"lib{provider.library}.so")
    if not file.is_file():
        return (file.name,)
    return unloadable(dict.fromkeys((*needed(file), *provider.opens)))


def _cuda_major(ort: Any) -> int | None:
    major = str(getattr(ort, "cuda_version", "")).partition(".")[0]
    return int(major) if major.isdigit() else None


def available_threads() -> int:
    """Physical cores that this process may use: its affinity and its cgroup's quota are respected."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cpus = os.sched_getaffinity(0)
    files = (Path(f"/sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list") for n in cpus)
    cores = len({file.read_text() for file in files if file.is_file()}) or len(cpus)
    quota = Path("/sys/fs/cgroup/cpu.max")
    limit, period = quota.read_text().split() if quota.is_file() else ("max", "1")
    return cores if limit == "max" else max(1, min(cores, math.ceil(int(limit) / int(period))))
