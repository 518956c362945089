"""Facts about the machine that affect measurements, and whether it was busy."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

from nin_spec import __version__

PACKAGES = ("numpy", "onnx", "onnxscript", "torch")
BUSY = 0.25
"""Load per core above which the machine counts as busy."""


def machine_facts() -> dict[str, Any]:
    """CPU, its features, cores, versions, and the load of the last minute (None if unknown)."""
    from nin_spec.runtime.doctor import describe_cpu
    from nin_spec.runtime.installation import onnxruntime_packages

    cpu = describe_cpu()
    versions = {name: _version(name) for name in sorted({*PACKAGES, *onnxruntime_packages()})}
    return {
        "cpu": cpu.model,
        "features": None if cpu.features is None else list(cpu.features),
        "cores": cpu.threads,
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": {"nin-spec": __version__, "python": python_version(), **versions},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def busy_remark(facts: dict[str, Any]) -> str | None:
    """A remark for a machine that was busy before the bench started."""
    load, cores = facts["load_before"], facts["cores"]
    if load is None or load <= BUSY * cores:
        return None
    return f"the machine was busy before the bench (load {load:g} on {cores} cores): these figures are unreliable"
