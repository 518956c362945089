"""Plug-in providers: installed packages named onnxruntime_ep_*, each a device named by the rest.

Such a package contains a library and the names of its providers. The library is registered once per process;
onnxruntime then lists the hardware that it supports.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nin_spec.runtime.installation import environment, import_onnxruntime, version_of

PREFIX = "onnxruntime_ep_"
BEST_FIRST = ("GPU", "NPU", "CPU")
_FATAL_ONLY, _DEFAULT_SEVERITY = 4, 2
SOFTWARE_ADAPTER = "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER"
"""onnxruntime's variable: if it is 1, WebGPU's library also offers an adapter that is software."""


class PluginError(Exception):
    """A plug-in that can't be used here, with the reason; `remedy` is the fix."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Plugin:
    """One installed package: the device's name, and the module's."""

    device: str
    module: str

    @property
    def package(self) -> str:
        """The distribution's name, as pip takes it."""
        return self.module.replace("_", "-")

    @property
    def version(self) -> str | None:
        """The installed version; None for a module without a distribution."""
        return version_of(self.package)

    @property
    def reinstall(self) -> str:
        """The command that reinstalls missing files."""
        return f"pip install --force-reinstall --no-deps {self.package}"


def discover(taken: frozenset[str] = frozenset()) -> dict[str, Plugin]:
    """The installed plug-ins by device, in the order of their names; none of them is imported.

    One whose name is `taken` is named NAME_plugin: a package can't replace a device.
    """
    # pkgutil would scan every module, which takes longer than opening a small model.
    entries = (p for folder in sys.path for p in Path(folder or ".").glob(f"{PREFIX}?*"))
    modules = sorted({p.stem for p in entries if p.suffix == ".py" or (not p.suffix and p.is_dir())})
    names = {module: module.removeprefix(PREFIX) for module in modules}
    found = (Plugin(f"{name}_plugin" if name in taken else name, module) for module, name in names.items())
    return {plugin.device: plugin for plugin in found}


@cache
def register(plugin: Plugin) -> tuple[str, ...]:
    """Register the plug-in's library with onnxruntime, once per process; returns the names of its providers.

    Raises PluginError if the package is broken, or its library is missing or can't be loaded.
    """
    ort = import_onnxruntime()
    package = _import(plugin)
    try:
        names = tuple(_ep_names(package))
        library = str(package.get_library_path())
    except Exception as error:  # the package's own code may raise anything
        raise PluginError(f"{plugin.module} is broken: {_first(error)}", plugin.reinstall) from error
    # Other code in this process may have registered it already, under another name.
    if not any(d.ep_name in names for d in ort.get_ep_devices()):
        _register(ort, plugin, library)
    return names


def _import(plugin: Plugin) -> Any:
    try:
        return importlib.import_module(plugin.module)
    except Exception as error:
        raise PluginError(f"{plugin.module} can't be imported: {_first(error)}", plugin.reinstall) from error


def _ep_names(package: Any) -> list[str]:
    return list(package.get_ep_names()) if hasattr(package, "get_ep_names") else [package.get_ep_name()]


def _register(ort: Any, plugin: Plugin, library: str) -> None:
    try:
        # The library reads the variable once, here. Whether such an adapter is used is decided for each session.
        with quiet(ort), environment(SOFTWARE_ADAPTER, "1"):
            ort.register_execution_provider_library(plugin.module, library)
    except Exception as error:  # onnxruntime's own exceptions share no base class
        why = f"onnxruntime {ort.__version__} can't load {library}: {_first(error)}"
        remedy = f"{plugin.reinstall}, or install a version of it for this onnxruntime"
        raise PluginError(why, remedy) from error


def _first(error: Exception) -> str:
    """An error on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def find_hardware(plugin: Plugin, kind: str | None = None) -> Any:
    """The OrtEpDevice of a plug-in: of the requested kind, else its best. Raises PluginError if there is none."""
    names = register(plugin)
    found = [d for d in import_onnxruntime().get_ep_devices() if d.ep_name in names]
    kinds = BEST_FIRST if kind is None else (kind,)
    best = next((d for k in kinds for d in found if d.device.type.name == k), None)
    if best is not None:
        return best
    offered = ", ".join(sorted({d.device.type.name for d in found}))
    what = f"finds no supported {kind}" if kind else "finds no supported hardware"
    has = f"it has {offered}" if offered else f"this machine has {_hardware()}"
    raise PluginError(f"its plug-in {what}; {has}", f"set its option device to {offered}" if offered else "")


def _hardware() -> str:
    """The hardware that onnxruntime finds, for example `CPU (AMD)`."""
    seen = {
        f"{d.device.type.name} ({d.device.vendor or 'vendor unknown'})" for d in import_onnxruntime().get_ep_devices()
    }
    return ", ".join(sorted(seen))


@contextlib.contextmanager
def quiet(ort: Any) -> Iterator[None]:
    """What goes wrong is raised, and not printed as well."""
    ort.set_default_logger_severity(_FATAL_ONLY)
    try:
        yield
    finally:
        ort.set_default_logger_severity(_DEFAULT_SEVERITY)
