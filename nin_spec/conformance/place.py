"""Where cases are run: a device with its options, the facts that verdicts depend on, and the precisions to prove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nin_spec import __version__
from nin_spec.diagnostics import NinSpecError
from nin_spec.precision.float16 import to_float16
from nin_spec.runtime.creation import Target, find_target
from nin_spec.runtime.doctor import describe_cpu, small_model
from nin_spec.runtime.installation import import_onnxruntime, onnxruntime_packages
from nin_spec.runtime.libraries import compute_capability, nvidia_problem
from nin_spec.runtime.options import read_options
from nin_spec.runtime.providers import Device, available_threads, lookup
from nin_spec.runtime.session import Session, open_session

MOST = 8
"""Workers at most: each holds torch and onnxruntime, some 400 MiB."""
_NVIDIA_DRIVER = Path("/sys/module/nvidia/version")
NARROW = ("float16", "bfloat16", "int8")


@dataclass(frozen=True, slots=True)
class Place:
    """The device, its options, and the CPU threads of a session."""

    device: Device
    options: Mapping[str, str]
    threads: int


def plan(device: Device, options: Mapping[str, str], threads: int | None) -> tuple[Place, int]:
    """The place, and how many workers run at a time: on a CPU as many as its cores allow, on any other device one.

    Raises DeviceError for an unknown device or option.
    """
    provider = lookup(device)
    hardware = read_options(provider.device, provider.options, options).hardware()
    if provider.device != "cpu" and hardware != "CPU":
        return Place(device, options, threads or available_threads()), 1
    each = threads or 1
    return Place(device, options, each), max(1, min(MOST, available_threads() // each))


def target_of(place: Place) -> Target:
    """The usable device. Raises DeviceError with the reason, as `nin-spec doctor` shows it."""
    provider = lookup(place.device)
    return find_target(provider, read_options(provider.device, provider.options, place.options))


def facts_of(place: Place, session: Session) -> dict[str, Any]:
    """What verdicts depend on, as plain data: the same facts, the same verdicts."""
    target = target_of(place)
    plugin = target.provider.plugin
    return {
        "device": place.device,
        "provider": session.provider,
        "hardware": _hardware(target),
        "options": dict(place.options),
        "threads": place.threads,
        "versions": {
            "nin-spec": __version__,
            **dict.fromkeys(onnxruntime_packages(), import_onnxruntime().__version__),
            **({plugin.package: plugin.version} if plugin else {}),
        },
    }


def _hardware(target: Target) -> dict[str, str]:
    """The GPU and its driver, else a plug-in's own words on its device, else the CPU's name."""
    found, provider = target.hardware, target.provider
    if provider.hardware is nvidia_problem:
        return _nvidia(getattr(target.options, "device_id", 0))
    if found is None:
        return {"cpu": describe_cpu().model}
    if provider.adapter is not None:
        adapter = provider.adapter(found)
        return {"adapter": str(adapter), "driver": str(adapter.driver or "")}
    said = {**dict(found.device.metadata), **dict(found.ep_metadata)}
    return {"type": found.device.type.name, "vendor": found.device.vendor, **{k: str(v) for k, v in said.items()}}


def _nvidia(device_id: int) -> dict[str, str]:
    """A GPU of NVIDIA, and the version of its driver, which Linux knows."""
    capability = compute_capability(device_id)
    driver = _NVIDIA_DRIVER.read_text().strip() if _NVIDIA_DRIVER.is_file() else ""
    return {"compute capability": ".".join(map(str, capability or ())), "driver": driver}


def precisions_of(place: Place) -> list[str]:
    """float32, and those that the device claims; float16 too where it claims none but opens such a file."""
    has = target_of(place).has
    if has is not None:
        return ["float32", *(name for name in NARROW if name in has)]
    try:
        open_session(to_float16(small_model())[0], place.device, place.threads, options=place.options)
    except NinSpecError:
        return ["float32"]
    return ["float32", "float16"]
