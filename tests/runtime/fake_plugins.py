"""Plug-in packages made by tests, and what the real OpenVINO can do on this machine, built in or a plug-in."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import onnxruntime

_ASK = """
import onnxruntime, onnxruntime_ep_openvino as package
onnxruntime.register_execution_provider_library("asked", package.get_library_path())
print(*(d.device.type.name for d in onnxruntime.get_ep_devices() if d.ep_name == package.get_ep_name()))
"""


def install(folder: Path, name: str, body: str) -> None:
    """A package `onnxruntime_ep_NAME` of version 1.2 in a folder, with the module's text."""
    package = folder / f"onnxruntime_ep_{name}"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(body)
    add_distribution(folder, f"onnxruntime-ep-{name}", "1.2", f"{package.name}/__init__.py")


def add_distribution(folder: Path, name: str, version: str, file: str) -> None:
    """The metadata that pip leaves of a package with one file."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{file},,\n")


NOT_SERVED = "the plug-in of OpenVINO does not serve this processor"


def openvino_is_built_in() -> bool:
    """Whether this onnxruntime is the build of onnxruntime-openvino."""
    return "OpenVINOExecutionProvider" in onnxruntime.get_available_providers()


def openvino_problem() -> str | None:
    """Why OpenVINO can't run a model on this CPU, in either of its homes."""
    return None if openvino_is_built_in() else plugin_problem()


@cache
def plugin_problem() -> str | None:
    """Why OpenVINO's plug-in can't run a model on this CPU; asked in a process of its own, not of our code."""
    if openvino_is_built_in():
        return "onnxruntime has OpenVINO built in, and takes no plug-in of the same name"
    done = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"onnxruntime-ep-openvino can't be used: {done.stderr.strip().splitlines()[-1]}"
    return None if "CPU" in done.stdout.split() else NOT_SERVED
