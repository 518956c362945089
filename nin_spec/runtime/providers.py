"""Devices, and the onnxruntime execution providers behind them: which work here, and why not.

A device is one row: of `PROVIDERS`, or made of an installed plug-in. Another one needs no code.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nin_spec.diagnostics import Code, DeviceError, nearest
from nin_spec.runtime import plugins
from nin_spec.runtime.arithmetic import intel_arithmetic
from nin_spec.runtime.installation import (
    HAS_GPU_WHEELS,
    INSTALL_CPU,
    INSTALL_GPU,
    cuda_major,
    import_onnxruntime,
    instead_of,
    onnxruntime_packages,
    other_cuda,
)
from nin_spec.runtime.libraries import NVIDIA_DRIVER, compute_capability, needed, nvidia_problem, preload, unloadable
from nin_spec.runtime.options import CpuOptions, CudaOptions, DeviceOptions, OpenvinoOptions, TensorrtOptions
from nin_spec.runtime.plugins import Plugin, PluginError

Device = str
"""`auto`, a row of `PROVIDERS`, or the name of a plug-in."""

_WINDOWS = sys.platform == "win32"
_DRIVER_REMEDY = "install or update the NVIDIA driver, or give the container its GPU"


@dataclass(frozen=True, slots=True)
class Provider:
    """One device: its provider's name, what can be said of it, and what it stands on.

    `library` is the stem of the provider's own library inside onnxruntime, empty where it is built
    in; `opens` are libraries that it opens by name at run time, so that they are not in its link
    list; `folders` are the Python packages that bring these. `hardware` takes the CUDA major version
    and says why the hardware can't be used. `computes` is the arithmetic that a device has here with
    some options; None where it computes in the file's own. `reads_file` says that the options depend
    on what the file holds. `not_auto` says why "auto" leaves the device out, `behind` why it comes to it
    after the CPU.
    """

    device: Device
    name: str
    options: type[DeviceOptions] = DeviceOptions
    library: str = ""
    opens: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    hardware: Callable[[int | None], str | None] | None = None
    install: str = INSTALL_CPU
    hardware_remedy: str = ""
    plugin: Plugin | None = None
    computes: Callable[[Plugin | None, Any], frozenset[str]] | None = None
    reads_file: bool = False
    not_auto: str = ""
    behind: str = ""


def _gpu_arithmetic(_plugin: Plugin | None, options: Any) -> frozenset[str]:
    """TensorRT drops a precision that the GPU has no fast arithmetic for, with no more than a warning."""
    capability = compute_capability(options.device_id) or (0, 0)
    narrow = {"float16": (7, 0), "bfloat16": (8, 0)}
    return frozenset({"float32", "int8", *(name for name, since in narrow.items() if capability >= since)})


def _intel_arithmetic(plugin: Plugin | None, options: Any) -> frozenset[str]:
    """What OpenVINO says of its hardware. A bfloat16 hint where that is missing computes float32, unsaid."""
    if plugin is None:
        return frozenset()
    found = plugins.find_hardware(plugin, options.hardware())
    return intel_arithmetic(found.ep_metadata.get("OPTIMIZATION_CAPABILITIES", ""))


PROVIDERS: dict[Device, Provider] = {
    p.device: p
    for p in (
        Provider(
            "cuda",
            "CUDAExecutionProvider",
            CudaOptions,
            library="onnxruntime_providers_cuda",
            # cuDNN became optional in onnxruntime, but not for a convolution.
            opens=("cudnn64_9.dll",) if _WINDOWS else ("libcudnn.so.9",),
            hardware=nvidia_problem,
            install=INSTALL_GPU,
            hardware_remedy=_DRIVER_REMEDY,
            reads_file=True,
        ),
        Provider(
            "tensorrt",
            "TensorrtExecutionProvider",
            TensorrtOptions,
            library="onnxruntime_providers_tensorrt",
            # In its link list too, and here because pip puts it where no loader looks.
            opens=("nvinfer_10.dll",) if _WINDOWS else ("libnvinfer.so.10",),
            folders=("tensorrt_libs",),
            hardware=nvidia_problem,
            install=f'{INSTALL_GPU} "tensorrt-cu13<11"',
            hardware_remedy=_DRIVER_REMEDY,
            computes=_gpu_arithmetic,
            reads_file=True,
            not_auto="only by name, as it builds engines for minutes",
        ),
        Provider(
            "cpu",
            "CPUExecutionProvider",
            CpuOptions,
            computes=lambda _plugin, _options: frozenset({"float32", "float64", "int8"}),
        ),
    )
}

# What is known of a plug-in beyond its name. One that is not here takes no options, and is tried by "auto".
_KNOWN_PLUGINS: dict[str, dict[str, Any]] = {
    "openvino": {
        "name": "OpenVINOExecutionProvider",
        "options": OpenvinoOptions,
        "computes": _intel_arithmetic,
        "reads_file": True,
        "hardware_remedy": "use a machine with Intel hardware: it serves no other",
        "behind": "for what cpu can't compute, being no faster in float32",
    }
}


def find_providers() -> dict[Device, Provider]:
    """Every device that can be asked for here, in the order in which "auto" tries them.

    CUDA first, then what hardware the plug-ins bring, then the CPU, and OpenVINO behind it for what the
    CPU provider can't compute: bfloat16.
    """
    # OpenVINO in float32 on nin_cifar, two cores with AVX2, took 1.12, 1.05 and 1.15 of the CPU provider's
    # time at batches of 1, 8 and 64 (the best of many runs), and 0.3 s more to start.
    found = plugins.discover(frozenset({*PROVIDERS, "auto"}))
    rows = {device: _plugin_row(plugin) for device, plugin in found.items()}
    ahead = {device: row for device, row in rows.items() if not row.behind}
    last = {"cpu": PROVIDERS["cpu"]}
    return {**{d: p for d, p in PROVIDERS.items() if d != "cpu"}, **ahead, **last, **rows}


def _plugin_row(plugin: Plugin) -> Provider:
    known = {"name": plugin.device, **_KNOWN_PLUGINS.get(plugin.device, {})}
    return Provider(plugin.device, install=plugin.reinstall, plugin=plugin, **known)


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """Whether a device can work here, as far as can be told without a model; else why not, and the cure.

    `computes` is the arithmetic that it says it has, () where it doesn't say.
    """

    device: str
    provider: str
    usable: bool
    reason: str = ""
    missing: tuple[str, ...] = ()
    remedy: str = ""
    computes: tuple[str, ...] = ()


def lookup(device: Device) -> Provider:
    """The row of a device other than auto. Raises DeviceError for a name that isn't a device here."""
    if device in PROVIDERS:
        return PROVIDERS[device]
    found = find_providers()
    if device in found:
        return found[device]
    message = f"{device!r} is not a device here"
    if device in _KNOWN_PLUGINS:
        message = f"{device} can't be used: its plug-in is not installed"
        raise DeviceError(Code.DEVICE_UNAVAILABLE, message, hint=f"pip install 'nin-spec[{device}]'")
    choices = ["auto", *found]
    near = "cuda" if device == "gpu" else nearest(device, choices)
    asked = f"did you mean {near!r}? " if near else ""
    plugins = "what an onnxruntime-ep-* package adds; see `nin-spec guide devices`"
    hint = f"{asked}there are {', '.join(choices)}, and {plugins}"
    raise DeviceError(Code.DEVICE_UNAVAILABLE, message, hint=hint)


def explain(device: Device) -> ProviderStatus:
    """Whether a device can work here, and if not, everything that is in its way.

    Asks the installed onnxruntime, the dynamic loader and the driver; never the network. Asked about
    CUDA it loads the CUDA libraries into this process, from NVIDIA's Python packages (torch brings the
    same) where installed; asked about a plug-in it hands its library to onnxruntime.
    """
    provider = lookup(device)
    try:
        ort = import_onnxruntime()
    except DeviceError as error:
        (d,) = error.diagnostics
        return _unusable(provider, d.message, d.hint or "")
    if provider.plugin is not None:
        return _explain_plugin(provider, provider.plugin)
    if provider.name not in ort.get_available_providers():
        return _not_compiled_in(provider)
    library = _library(ort, provider)
    if library is not None and not library.is_file():
        reason = f"{library.name} is missing from the onnxruntime package"
        remedy = f"{instead_of(onnxruntime_packages(), provider.install)}, or ask for cpu"
        return _unusable(provider, reason, remedy, (library.name,))
    return _explain_libraries(ort, provider, library)


def _unusable(provider: Provider, reason: str, remedy: str, missing: tuple[str, ...] = ()) -> ProviderStatus:
    return ProviderStatus(provider.device, provider.name, usable=False, reason=reason, missing=missing, remedy=remedy)


def _explain_plugin(provider: Provider, plugin: Plugin) -> ProviderStatus:
    try:
        plugins.find_hardware(plugin)
    except PluginError as error:
        remedy = error.remedy or provider.hardware_remedy
        return _unusable(provider, str(error), ", or ".join(r for r in (remedy, "ask for cpu") if r))
    return ProviderStatus(provider.device, provider.name, usable=True, computes=_computes(provider))


def _computes(provider: Provider) -> tuple[str, ...]:
    """The arithmetic that a device says it has, with its default options."""
    try:
        has = provider.computes(provider.plugin, provider.options()) if provider.computes else ()
    except PluginError:
        return ()  # it has other hardware than its options ask for by default
    # The CPU provider adds in float64 and has no convolution in it: no network works in that.
    return tuple(sorted(set(has) - {"float64"}))


def _explain_libraries(ort: Any, provider: Provider, library: Path | None) -> ProviderStatus:
    """Everything that is in the way of a provider inside onnxruntime: hardware, driver, libraries."""
    missing = _missing_libraries(ort, provider, library)
    built = cuda_major(ort)
    problem = provider.hardware(built) if provider.hardware else None
    reasons = [problem] if problem else []
    remedies = [provider.hardware_remedy] if problem else []
    # The driver's own library comes with the driver, not from pip.
    installable = [name for name in missing if name != NVIDIA_DRIVER]
    if installable:
        reasons += [f"{', '.join(installable)} can't be loaded", *(other_cuda(str(built)) if built else [])]
        remedies.append(provider.install)
    if reasons:
        remedy = f"{', then '.join(remedies)}, or ask for cpu"
        return _unusable(provider, "; ".join(reasons), remedy, missing)
    return ProviderStatus(provider.device, provider.name, usable=True, computes=_computes(provider))


def _not_compiled_in(provider: Provider) -> ProviderStatus:
    packages = onnxruntime_packages()
    reason = f"the installed onnxruntime ({', '.join(packages) or 'no known package'}) has no {provider.name}"
    if len(packages) > 1:
        reason += ": two packages overwrite each other"
    remedy = f"{instead_of(packages, provider.install)}, or ask for cpu"
    if not HAS_GPU_WHEELS:
        remedy = "ask for cpu: no onnxruntime package for this platform has it"
    return _unusable(provider, reason, remedy)


def _library(ort: Any, provider: Provider) -> Path | None:
    """The provider's own library inside onnxruntime's package."""
    if not provider.library:
        return None
    folder = Path(ort.__file__).parent / "capi"
    return folder / (f"{provider.library}.dll" if _WINDOWS else f"lib{provider.library}.so")


def _missing_libraries(ort: Any, provider: Provider, library: Path | None) -> tuple[str, ...]:
    if library is None:
        return ()
    # preload_dlls prints what it can't load; each library is tried, and named, below.
    with contextlib.redirect_stdout(io.StringIO()):
        ort.preload_dlls()
    for folder in provider.folders:
        preload(folder, provider.opens)
    return unloadable(dict.fromkeys((*needed(library), *provider.opens)))


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
