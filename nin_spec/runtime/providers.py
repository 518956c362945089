"""Devices and their onnxruntime execution providers: which work here, and why not.

A device is a row of `PROVIDERS`, or comes from an installed plug-in. A new plug-in needs no code.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nin_spec.diagnostics import Code, DeviceError, nearest
from nin_spec.runtime import openvino, openvino_faults, plugins, webgpu_faults
from nin_spec.runtime.adapters import Adapter, adapter_of
from nin_spec.runtime.arithmetic import intel_arithmetic
from nin_spec.runtime.fusions import harmful
from nin_spec.runtime.installation import (
    HAS_GPU_WHEELS,
    INSTALL_CPU,
    INSTALL_GPU,
    INSTALL_OPENVINO,
    cuda_major,
    import_onnxruntime,
    instead_of,
    onnxruntime_packages,
    other_cuda,
)
from nin_spec.runtime.libraries import NVIDIA_DRIVER, compute_capability, needed, nvidia_problem, preload, unloadable
from nin_spec.runtime.options import (
    CpuOptions,
    CudaOptions,
    DeviceOptions,
    OpenvinoOptions,
    TensorrtOptions,
    WebgpuOptions,
)
from nin_spec.runtime.plugins import Plugin, PluginError

Device = str
"""`auto`, a row of `PROVIDERS`, or the name of a plug-in."""

_WINDOWS = sys.platform == "win32"
_DRIVER_REMEDY = "install or update the NVIDIA driver, or give the container its GPU"


@dataclass(frozen=True, slots=True)
class Provider:
    """One device: its provider's name, options and requirements.

    `library` is the stem of the provider's library inside onnxruntime, empty if built in; `opens` are libraries that it
    opens by name at run time, which are not in its link list; `folders` are the Python packages with libraries.
    `hardware` takes the CUDA major version and returns why the hardware is not usable. `computes` returns the
    precisions of the device with some options; None if it computes in the file's dtype. `reads_file` is true if the
    options or the precision depend on the file, `converts` if a float32 file is computed in another precision on
    request, `widens` if a float16 file is computed in float32 where there is no float16. `adapter` returns the graphics
    adapter behind the hardware, `harmful` the optimisers to be disabled for a file, and `faults` the rows of
    nin_spec.provider_gaps for which a file is refused. `not_auto` is why "auto" skips the device, `behind` why "auto"
    tries it after the CPU. `elsewhere` installs an onnxruntime that has a plug-in's provider for other hardware.
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
    elsewhere: str = ""
    plugin: Plugin | None = None
    computes: Callable[[Plugin | None, Any], frozenset[str]] | None = None
    reads_file: bool = False
    converts: bool = False
    widens: bool = True
    adapter: Callable[[Any], Adapter] | None = None
    faults: Callable[[bytes | str], tuple[str, ...]] | None = None
    harmful: Callable[[bytes | str], list[str]] | None = None
    not_auto: str = ""
    behind: str = ""


def _gpu_arithmetic(_plugin: Plugin | None, options: Any) -> frozenset[str]:
    """TensorRT drops a precision without fast arithmetic on the GPU, with only a warning."""
    capability = compute_capability(options.device_id) or (0, 0)
    narrow = {"float16": (7, 0), "bfloat16": (8, 0)}
    return frozenset({"float32", "int8", *(name for name, since in narrow.items() if capability >= since)})


def _intel_arithmetic(plugin: Plugin | None, options: Any) -> frozenset[str]:
    """OpenVINO's report of its hardware. A bfloat16 hint without hardware support silently computes in float32."""
    if plugin is None:
        return intel_arithmetic(openvino.capabilities(options.hardware()))
    found = plugins.find_hardware(plugin, options.hardware())
    return intel_arithmetic(found.ep_metadata.get("OPTIMIZATION_CAPABILITIES", ""))


def _adapter_arithmetic(plugin: Plugin | None, _options: Any) -> frozenset[str]:
    """What shaders of the adapter compute in; WebGPU has neither bfloat16 nor float64."""
    known = None if plugin is None else adapter_of(plugins.find_hardware(plugin)).float16
    return frozenset({"float32"} if known is False else {"float32", "float16"})


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
            # onnxruntime searches only the folder beside itself: torch may be installed in another.
            folders=("nvidia",),
            hardware=nvidia_problem,
            install=INSTALL_GPU,
            hardware_remedy=_DRIVER_REMEDY,
            # It has no int8 convolution (onnxruntime issues 12229, 12230 and 24807), nor one of bfloat16 in ONNX.
            computes=lambda _plugin, _options: frozenset({"float16", "float32", "float64"}),
            reads_file=True,
        ),
        Provider(
            "tensorrt",
            "TensorrtExecutionProvider",
            TensorrtOptions,
            library="onnxruntime_providers_tensorrt",
            # Also in its link list; listed because pip installs it where no loader searches.
            opens=("nvinfer_10.dll",) if _WINDOWS else ("libnvinfer.so.10",),
            folders=("nvidia", "tensorrt_libs"),
            hardware=nvidia_problem,
            install=f'{INSTALL_GPU} "tensorrt-cu13<11"',
            hardware_remedy=_DRIVER_REMEDY,
            computes=_gpu_arithmetic,
            converts=True,
            reads_file=True,
            not_auto="is used only if named, because building its engines takes minutes",
        ),
        Provider(
            "cpu",
            "CPUExecutionProvider",
            CpuOptions,
            computes=lambda _plugin, _options: frozenset({"float32", "float64", "int8"}),
        ),
    )
}

_OPENVINO: dict[str, Any] = {
    "faults": openvino_faults.faults,
    "name": openvino.PROVIDER,
    "options": OpenvinoOptions,
    "computes": _intel_arithmetic,
    "converts": True,
    "reads_file": True,
    "behind": "is used only for what cpu can't compute, because it is not faster in float32",
}

# Facts on known plug-ins. An unknown one takes no options, and is tried by "auto".
_KNOWN_PLUGINS: dict[str, dict[str, Any]] = {
    "openvino": {
        **_OPENVINO,
        "hardware_remedy": "use a machine with Intel hardware, which it requires",
        "elsewhere": INSTALL_OPENVINO,
    },
    "webgpu": {
        "name": "WebGpuExecutionProvider",
        "options": WebgpuOptions,
        "computes": _adapter_arithmetic,
        "reads_file": True,
        "widens": False,
        "adapter": adapter_of,
        "faults": webgpu_faults.faults,
        "harmful": harmful,
        "hardware_remedy": "install the GPU's driver",
    },
}


def find_providers() -> dict[Device, Provider]:
    """Every device available by name, in the order in which "auto" tries them.

    CUDA first, then plug-ins, then the CPU, and OpenVINO after it for what the CPU provider can't compute: bfloat16.
    """
    # OpenVINO in float32 on nin_cifar, two cores with AVX2, took 1.12, 1.05 and 1.15 of the CPU provider's
    # time at batches of 1, 8 and 64 (the best of many runs), and 0.3 s more to start.
    found = plugins.discover(frozenset({*PROVIDERS, "auto"}))
    rows = {device: _plugin_row(plugin) for device, plugin in found.items()}
    if openvino.is_built_in():  # a plug-in with the provider of the same name can't be registered beside it
        rows["openvino"] = Provider("openvino", library=openvino.LIBRARY, install=INSTALL_OPENVINO, **_OPENVINO)
    ahead = {device: row for device, row in rows.items() if not row.behind}
    last = {"cpu": PROVIDERS["cpu"]}
    return {**{d: p for d, p in PROVIDERS.items() if d != "cpu"}, **ahead, **last, **rows}


def _plugin_row(plugin: Plugin) -> Provider:
    known = {"name": plugin.device, **_KNOWN_PLUGINS.get(plugin.device, {})}
    return Provider(plugin.device, install=plugin.reinstall, plugin=plugin, **known)


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """Whether a device works here, as far as can be checked without a model; else the reason and the fix.

    `computes` are its reported precisions, () if unknown. `adapter` is the graphics adapter's name, empty for a device
    without one, and `software` says that it computes on the CPU.
    """

    device: str
    provider: str
    usable: bool
    reason: str = ""
    missing: tuple[str, ...] = ()
    remedy: str = ""
    computes: tuple[str, ...] = ()
    adapter: str = ""
    software: bool = False


def lookup(device: Device) -> Provider:
    """The row of a device other than auto. Raises DeviceError for an unknown name."""
    if device in PROVIDERS:
        return PROVIDERS[device]
    found = find_providers()
    if device in found:
        return found[device]
    message = f"unknown device {device!r}"
    if device in _KNOWN_PLUGINS:
        message = f"{device} can't be used: its plug-in is not installed"
        hint = f"pip install 'nin-spec[{device}]'"
        if other := _KNOWN_PLUGINS[device].get("elsewhere"):
            hint += f" for Intel hardware; for any other x86-64 CPU: {instead_of(onnxruntime_packages(), other)}"
        raise DeviceError(Code.DEVICE_UNAVAILABLE, message, hint=hint)
    choices = ["auto", *found]
    near = "cuda" if device == "gpu" else nearest(device, choices)
    asked = f"did you mean {near!r}? " if near else ""
    plugins = "those of onnxruntime-ep-* packages; see `nin-spec guide devices`"
    hint = f"{asked}devices are {', '.join(choices)}, and {plugins}"
    raise DeviceError(Code.DEVICE_UNAVAILABLE, message, hint=hint)


def explain(device: Device, options: DeviceOptions | None = None) -> ProviderStatus:
    """Whether a device works here with its options, by default none, and if not, everything that prevents it.

    Queries the installed onnxruntime, the dynamic loader and the driver; never the network. For CUDA it loads the CUDA
    libraries into this process, from NVIDIA's Python packages (also installed by torch) if present; for a plug-in it
    registers its library with onnxruntime.
    """
    provider = lookup(device)
    try:
        ort = import_onnxruntime()
    except DeviceError as error:
        (d,) = error.diagnostics
        return _unusable(provider, d.message, d.hint or "")
    if provider.plugin is not None:
        return _explain_plugin(provider, provider.plugin, options or provider.options())
    if provider.name not in ort.get_available_providers():
        return _not_compiled_in(provider)
    library = _library(ort, provider)
    if library is not None and not library.is_file():
        reason = f"{library.name} is missing from the onnxruntime package"
        remedy = f"{instead_of(onnxruntime_packages(), provider.install)}, or pass --device cpu"
        return _unusable(provider, reason, remedy, (library.name,))
    return _explain_libraries(ort, provider, library)


def _unusable(provider: Provider, reason: str, remedy: str, missing: tuple[str, ...] = ()) -> ProviderStatus:
    return ProviderStatus(provider.device, provider.name, usable=False, reason=reason, missing=missing, remedy=remedy)


def _explain_plugin(provider: Provider, plugin: Plugin, options: DeviceOptions) -> ProviderStatus:
    try:
        hardware = plugins.find_hardware(plugin)
        adapter = provider.adapter(hardware) if provider.adapter else None
    except PluginError as error:
        remedies = [error.remedy or provider.hardware_remedy, "pass --device cpu"]
        if provider.elsewhere and not error.remedy:
            remedies.insert(1, f"for any other x86-64 CPU: {instead_of(onnxruntime_packages(), provider.elsewhere)}")
        return _unusable(provider, str(error), ", or ".join(filter(None, remedies)))
    status = ProviderStatus(provider.device, provider.name, usable=True, computes=_computes(provider))
    if adapter is None:
        return status
    status = replace(status, adapter=adapter.name, software=adapter.software)
    if not adapter.software or options.takes_software():
        return status
    reason = f"it has only {adapter}, which computes on the CPU"
    remedy = "pass --device cpu, or to test with it --device-option software_adapter=true"
    return replace(status, usable=False, reason=reason, remedy=remedy)


def _computes(provider: Provider) -> tuple[str, ...]:
    """The reported precisions of a device, with its default options."""
    try:
        has = provider.computes(provider.plugin, provider.options()) if provider.computes else ()
    except PluginError:
        return ()  # its hardware differs from its default options
    # The CPU provider has additions in float64 but no convolution, so networks don't run in it.
    return tuple(sorted(set(has) - {"float64"}))


def _explain_libraries(ort: Any, provider: Provider, library: Path | None) -> ProviderStatus:
    """Everything that prevents a provider inside onnxruntime: hardware, driver, libraries."""
    missing = _missing_libraries(ort, provider, library)
    built = cuda_major(ort)
    problem = provider.hardware(built) if provider.hardware else None
    reasons = [problem] if problem else []
    remedies = [provider.hardware_remedy] if problem else []
    # The driver's library comes with the driver, not from pip.
    installable = [name for name in missing if name != NVIDIA_DRIVER]
    if installable:
        reasons += [f"{', '.join(installable)} can't be loaded", *(other_cuda(str(built)) if built else [])]
        remedies.append(provider.install)
    if reasons:
        remedy = f"{', then '.join(remedies)}, or pass --device cpu"
        return _unusable(provider, "; ".join(reasons), remedy, missing)
    return ProviderStatus(provider.device, provider.name, usable=True, computes=_computes(provider))


def _not_compiled_in(provider: Provider) -> ProviderStatus:
    packages = onnxruntime_packages()
    reason = f"the installed onnxruntime ({', '.join(packages) or 'no known package'}) has no {provider.name}"
    if len(packages) > 1:
        reason += ": two packages overwrite each other"
    remedy = f"{instead_of(packages, provider.install)}, or pass --device cpu"
    if not HAS_GPU_WHEELS:
        remedy = "pass --device cpu: no onnxruntime package for this platform has it"
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
    # preload_dlls prints what it can't load; each library is tried and reported below.
    with contextlib.redirect_stdout(io.StringIO()):
        ort.preload_dlls()
    # A library beside the provider's own is found through the latter's run path, and not by its name alone.
    linked = (name for name in needed(library) if not (library.parent / name).is_file())
    names = tuple(dict.fromkeys((*linked, *provider.opens)))
    for folder in provider.folders:
        preload(folder, unloadable(names))
    return unloadable(names)


def available_threads() -> int:
    """Physical cores that this process may use, respecting its affinity and its cgroup's quota."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cpus = os.sched_getaffinity(0)
    files = (Path(f"/sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list") for n in cpus)
    cores = len({file.read_text() for file in files if file.is_file()}) or len(cpus)
    quota = Path("/sys/fs/cgroup/cpu.max")
    limit, period = quota.read_text().split() if quota.is_file() else ("max", "1")
    return cores if limit == "max" else max(1, min(cores, math.ceil(int(limit) / int(period))))
