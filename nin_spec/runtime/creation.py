"""From a file and a device to onnxruntime's session: check, set the precision, create."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nin_spec.diagnostics import Code, DeviceError, InputError
from nin_spec.files import as_written, why_missing
from nin_spec.provider_gaps import GAPS
from nin_spec.runtime import plugins
from nin_spec.runtime.arithmetic import Dtypes, dtypes_of_file, dtypes_of_session, settle
from nin_spec.runtime.failures import error_types, explain_failure, unreadable, without_noise
from nin_spec.runtime.installation import import_onnxruntime, source_of
from nin_spec.runtime.options import DeviceOptions, Use
from nin_spec.runtime.plugins import PluginError, quiet
from nin_spec.runtime.providers import Provider, explain

_FATAL_ONLY = 4


@dataclass(frozen=True, slots=True)
class Request:
    """The settings of a session, beside the device."""

    threads: int
    precision: str | None
    options: DeviceOptions | Mapping[str, object] | None
    memory: int


@dataclass(frozen=True, slots=True)
class File:
    """A model's bytes or path, and its name in messages."""

    source: bytes | str
    name: str

    @classmethod
    def of(cls, model: bytes | str | Path) -> File:
        """From the caller's bytes or path. Raises InputError for a path that is not a file."""
        if isinstance(model, bytes):
            return cls(model, "the model")
        name = _check_file(Path(model))
        return cls(source_of(Path(model)), name)


def _check_file(path: Path) -> str:
    name = str(path)
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise unreadable(as_written(path), *why_missing(path)) from error
    except (OSError, ValueError) as error:
        raise unreadable(name, f"it can't be read: {getattr(error, 'strerror', error)}") from error
    if not stat.S_ISREG(status.st_mode):
        raise unreadable(name, "it is a folder or a device, not a file")
    if not os.access(path, os.R_OK):
        raise unreadable(name, "it is not readable")
    if status.st_size == 0:
        raise unreadable(name, "it is empty", "copy or export it again")
    return name


@dataclass(frozen=True, slots=True)
class Target:
    """A usable provider, its options, its hardware if it is a plug-in, its precisions, and a remark on it."""

    provider: Provider
    options: DeviceOptions
    hardware: Any
    has: frozenset[str] | None
    remark: str = ""


def find_target(provider: Provider, options: DeviceOptions) -> Target:
    """Find a usable device. Raises DeviceError (DEVICE_UNAVAILABLE) with the cause and the fix."""
    status = explain(provider.device, options)
    if not status.usable:
        raise unavailable(provider, status.reason, status.remedy)
    try:
        hardware = plugins.find_hardware(provider.plugin, options.hardware()) if provider.plugin else None
        has = provider.computes(provider.plugin, options) if provider.computes else None
    except PluginError as error:
        raise unavailable(provider, str(error), error.remedy) from error
    named = provider if hardware is None else replace(provider, name=hardware.ep_name)
    software = f"{provider.device} computes on the CPU: {status.adapter} is a software adapter"
    return Target(named, options, hardware, has, software if status.software else "")


def create_settled(file: File, target: Target, request: Request) -> tuple[Any, str, tuple[str, ...]]:
    """The onnxruntime session, its precision, and remarks.

    For a provider whose options depend on the file, the file is read first; for others, the open session has the same
    information, and faster.
    """
    device, asked = target.provider.device, _asked(target, request.precision)
    how = {"converts": target.provider.converts, "widens": target.provider.widens}
    if target.provider.reads_file:
        dtypes = _read_dtypes(file)
        _refuse_faults(file, target.provider)
        precision, remarks = settle(device, dtypes, asked, target.has, **how)
        plugged = target.hardware is not None
        use = Use(precision, request.threads, dtypes.input_name, dtypes.input_shape, plugged)
        inference = _create(file, target, use)
    else:
        inference = _create(file, target, Use(asked or "float32", request.threads))
        precision, remarks = settle(device, dtypes_of_session(inference), asked, target.has, **how)
    return inference, precision, (*remarks, *target.options.remarks(precision), *_remarks(target))


def _refuse_faults(file: File, provider: Provider) -> None:
    """Raise DeviceError for a file that the device would compute wrongly, without a word."""
    found = provider.faults(file.source) if provider.faults else ()
    if not found:
        return
    rows = [gap for gap in GAPS if gap.name in found and gap.device == provider.device]
    message = f"{provider.device} would compute {file.name} wrongly: {'; '.join(row.what for row in rows)}"
    cure = f"export the spec with --device {provider.device}" if all(row.instead for row in rows) else ""
    cure = cure or "export it at a fixed size, without padded averages in int8"
    raise DeviceError(Code.DEVICE_UNAVAILABLE, message, hint=f"{cure}, or pass --device cpu")


def _remarks(target: Target) -> tuple[str, ...]:
    """Remarks on a software adapter, and on an unknown plug-in."""
    if target.remark:
        return (target.remark,)
    if target.provider.plugin is None or target.has is not None:
        return ()
    device = target.provider.device
    return (f"{device} chooses its own precision; run `nin-spec export --device {device}` to see how close it is",)


def _asked(target: Target, precision: str | None) -> str | None:
    option = target.options.asked_precision()
    if precision is not None and option not in {None, precision}:
        message = f"{target.provider.device}: precision is set twice, to {precision} and {option}"
        raise DeviceError(Code.DEVICE_OPTION, message, hint="set it once")
    return precision or option


def _read_dtypes(file: File) -> Dtypes:
    try:
        return dtypes_of_file(file.source)
    except ValueError as error:
        raise _misread(file, str(error)) from error


def _create(file: File, target: Target, use: Use) -> Any:
    ort, provider = import_onnxruntime(), target.provider
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY  # errors are raised, not printed as well
    options.intra_op_num_threads = use.threads
    options.inter_op_num_threads = 1  # a chain has no parallel branches
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    for key, value in target.options.for_session().items():
        options.add_session_config_entry(key, value)
    chosen: list[Any] | None = [(provider.name, target.options.for_provider(use))]
    if target.hardware is not None:
        options.add_provider_for_devices([target.hardware], target.options.for_provider(use))
        chosen = None
    without = provider.harmful(file.source) if provider.harmful else []
    more: dict[str, Any] = {"disabled_optimizers": without} if without else {}
    try:
        with quiet(ort):
            return ort.InferenceSession(file.source, options, providers=chosen, enable_fallback=0, **more)
    except error_types() as error:
        if explain_failure(str(error)) or provider.device == "cpu":
            raise _misread(file, str(error)) from error
        why = without_noise(str(error))
        raise unavailable(provider, f"it can't load the model: {why}", "pass --device cpu") from error


def _misread(file: File, text: str) -> InputError:
    return unreadable(file.name, *(explain_failure(text) or (without_noise(text), "export it again")))


def unavailable(provider: Provider, why: str, remedy: str) -> DeviceError:
    """The error for a device that can't run here."""
    message = f"{provider.device} ({provider.name}) can't run here: {why}"
    return DeviceError(Code.DEVICE_UNAVAILABLE, message, hint=remedy or None)
