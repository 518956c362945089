"""What works on this machine: packages, CPU, and devices, each tested by running a model on it.

Missing or broken packages don't raise: they are part of the report.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nin_spec import __version__, children
from nin_spec.diagnostics import DeviceError, NinSpecError
from nin_spec.runtime import plugins
from nin_spec.runtime.installation import (
    INSTALL_GPU,
    import_onnxruntime,
    instead_of,
    older_than_required,
    one_of,
    onnxruntime_packages,
    other_cuda,
    version_of,
)
from nin_spec.runtime.providers import Device, ProviderStatus, available_threads, explain, find_providers

PACKAGES = ("numpy", "onnx", "pillow", "pydantic", "safetensors", "torch")
# Instruction sets with specific onnxruntime kernels, by the Linux kernel's names.
CPU_FEATURES = (
    *("amx_tile", "amx_int8", "amx_bf16", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "avx2", "fma"),
    *("sve", "i8mm", "bf16", "asimddp", "asimd"),
)
_IMPORT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Cpu:
    """The CPU: `features` is None if the platform doesn't list them."""

    model: str
    features: tuple[str, ...] | None
    threads: int


@dataclass(frozen=True, slots=True)
class Torch:
    """PyTorch, imported in a separate process; `error` is the reason if that fails."""

    cuda: str | None = None
    cuda_usable: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem and its fix."""

    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Report:
    """The whole diagnosis. `packages` maps each to its version, None if missing."""

    nin_spec: str
    python: str
    platform: str
    packages: Mapping[str, str | None]
    onnxruntime_cuda: str | None
    torch: Torch
    cpu: Cpu
    devices: tuple[ProviderStatus, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether models run at all: the CPU provider ran one."""
        return any(d.device == "cpu" and d.usable for d in self.devices)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"ok": self.ok, **asdict(self)}


def diagnose() -> Report:
    """Check everything once. Imports torch in a separate process, as its libraries affect CUDA."""
    runtimes = onnxruntime_packages()
    packages = {name: version_of(name) for name in sorted({*PACKAGES, *runtimes})}
    packages |= {p.package: p.version or "of unknown version" for p in plugins.discover().values()}
    torch = _ask_torch() if packages["torch"] else Torch(error="not installed")
    cuda = _onnxruntime_cuda()
    return Report(
        nin_spec=__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=platform.platform(),
        packages=packages,
        onnxruntime_cuda=cuda,
        torch=torch,
        cpu=describe_cpu(),
        devices=tuple(try_device(device) for device in find_providers()),
        findings=_findings(runtimes, packages, torch, cuda),
    )


def try_device(device: Device) -> ProviderStatus:
    """A device's status, usable only if a small model has run entirely on it."""
    status = explain(device)
    if not status.usable:
        return status
    from nin_spec.runtime.session import open_session

    try:
        model = small_model()
    except Exception as error:  # noqa: BLE001 - a broken package may raise anything
        return _unproved(status, f"no test model can be made, as onnx is broken: {error}", "pip install onnx")
    try:
        open_session(model, device)
    except NinSpecError as error:
        (d,) = error.diagnostics
        return _unproved(status, d.message, d.hint or "")
    return status


def _unproved(status: ProviderStatus, reason: str, remedy: str) -> ProviderStatus:
    return replace(status, usable=False, reason=reason, remedy=remedy)


def small_model() -> bytes:
    """Conv and Relu, (1, 3, 8, 8) to (1, 4, 6, 6); IR 8 and opset 17, which every current onnxruntime reads."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Conv", ["input", "weight"], ["maps"], name="conv"),
        helper.make_node("Relu", ["maps"], ["scores"], name="relu"),
    ]
    graph = helper.make_graph(
        nodes,
        "doctor",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4, 6, 6])],
        [numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "weight")],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    content: bytes = model.SerializeToString()
    return content


def _onnxruntime_cuda() -> str | None:
    try:
        return getattr(import_onnxruntime(), "cuda_version", None) or None
    except DeviceError:
        return None  # the devices' own reports have the error


def _ask_torch() -> Torch:
    code = "import json, torch; print(json.dumps([torch.version.cuda, torch.cuda.is_available()]))"
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and the code above
            children.python("-c", code),
            env=children.environment(),
            capture_output=True,
            text=True,
            timeout=_IMPORT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Torch(error=f"importing it takes more than {_IMPORT_SECONDS} s")
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        return Torch(error=last[0] if last else f"importing it exits with status {done.returncode}")
    cuda, usable = json.loads(done.stdout.splitlines()[-1])
    return Torch(cuda, usable)


def describe_cpu() -> Cpu:
    """This machine's CPU, and its features that affect the choice of kernels."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    present = set(flags[1].split()) if flags else set()
    return Cpu(
        model=model[1] if model else platform.processor() or platform.machine(),
        features=tuple(f for f in CPU_FEATURES if f in present) if flags else None,
        threads=available_threads(),
    )


def _findings(
    runtimes: tuple[str, ...], packages: Mapping[str, str | None], torch: Torch, cuda: str | None
) -> tuple[Finding, ...]:
    found: list[Finding] = []
    if len(runtimes) > 1:
        message = f"{' and '.join(runtimes)} are installed together, and overwrite each other's files"
        found.append(Finding(message, instead_of(runtimes, one_of(runtimes))))
    found += _old_onnxruntime()
    if torch.error and packages["torch"]:
        found.append(Finding(f"torch can't be imported: {torch.error}", "pip install --force-reinstall torch"))
    if torch.cuda and cuda and _major(torch.cuda) != _major(cuda):
        message = f"torch is built for CUDA {torch.cuda}, but onnxruntime for CUDA {cuda}"
        remedy = f"for both on one GPU in one process, install a torch built for CUDA {_major(cuda)}"
        found.append(Finding(message, remedy))
    found += _other_cuda(cuda) if cuda else []
    found += [Finding(f"{name} is not installed", f"pip install {name}") for name, v in packages.items() if v is None]
    return tuple(found)


def _old_onnxruntime() -> list[Finding]:
    try:
        found = older_than_required()
    except DeviceError:
        return []  # the devices' own reports have the error
    remedy = "prove each export on its device (nin-spec export --device), and open only files that you trust"
    return [Finding(found, remedy)] if found else []


def _other_cuda(cuda: str) -> list[Finding]:
    """CUDA libraries from Python packages with a major version other than that of onnxruntime's build."""
    remedy = f"{INSTALL_GPU} installs those of CUDA {_major(cuda)}; both can be installed side by side"
    return [Finding(f"{text}, which does not load it", remedy) for text in other_cuda(cuda)]


def _major(cuda: str) -> str:
    return cuda.partition(".")[0]
