"""The table of contenders. A new contender needs a row, and possibly a runner."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from nin_spec.diagnostics import Code, InputError
from nin_spec.extras import require
from nin_spec.runtime.installation import version_of

RunnerName = Literal["session", "bare", "inference", "torch", "torch-compile", "openvino", "mnn", "peak"]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to compute a network.

    `runner` names what its worker runs, `source` says whether that is the subject's file, an export of the same weights
    by PyTorch, or the weights; `check` raises InputError if something that it needs is missing. `package` is a
    distribution without which it is left out, with a remark. `precisions` are those that it computes in on request,
    `devices` those of ours beside which it is measured, empty for all.
    """

    name: str
    title: str
    runner: RunnerName
    source: Literal["file", "peer file", "weights"]
    check: Callable[[], None] = lambda: None
    package: str = ""
    precisions: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        """True for nin-spec's own sessions."""
        return self.runner == "session"

    def absent(self) -> str:
        """Why it is left out here, "" if it isn't."""
        if not self.package or version_of(self.package):
            return ""
        return f"{self.name} is left out: pip install {self.package}"


def _check_export() -> None:
    require("torch", "onnxscript", purpose="--against torch-export", extra="bench")


def _check_compiler() -> None:
    asked = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ([asked] if asked else ["g++", "clang++", "cl"])):
        message = f"--against torch-compile needs a C++ compiler, but {asked or 'g++'} is not on the path"
        hint = "install one (apt install g++), set the variable CXX to it, or remove torch-compile"
        raise InputError(Code.BENCH_CONTENDER, message, hint=hint)


ON_THE_CPU = ("auto", "cpu", "openvino")

OURS = Contender("nin-spec", "the exported file in nin-spec's session", "session", "file")

PEERS: dict[str, Contender] = {
    c.name: c
    for c in (
        Contender("bare", "the same file in a bare InferenceSession", "bare", "file", devices=("auto", "cpu")),
        Contender(
            "torch-export",
            "torch.onnx.export's file, in the same settings",
            "inference",
            "peer file",
            _check_export,
        ),
        Contender("torch", "eager PyTorch in inference_mode", "torch", "weights"),
        Contender(
            "torch-compile", "inductor, compiled for each batch", "torch-compile", "weights",
            _check_compiler,
        ),
        Contender(
            "openvino", "the same file in OpenVINO itself", "openvino", "file",
            package="openvino", precisions=("float32", "bfloat16", "float16"), devices=ON_THE_CPU,
        ),
        Contender("mnn", "the same file in MNN", "mnn", "file", package="MNN", devices=ON_THE_CPU),
    )
}  # fmt: skip
"""The names that --against takes, in addition to other ONNX files."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender in a contest: its label, device and precision (None: the file's own).

    `file` is an ONNX file other than the subject's; `only` are the batch sizes that it runs at, empty for all;
    `options` are those of the device, as nin_spec.runtime.options reads them. `spare` means that it is left out, with a
    remark, if the device can't compute in that precision.
    """

    label: str
    contender: Contender
    device: str = "cpu"
    precision: str | None = None
    file: str = ""
    only: tuple[int, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    spare: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """The job of a worker.

    `spec` and `weights` are files, empty if there is no model. `passes` are those applied to the weights, None for the
    spec's own; `output` is the kind of the file's output, and `temperature` what its scores are divided by.
    """

    runner: RunnerName
    file: str
    device: str
    threads: int
    precision: str | None = None
    spec: str = ""
    weights: str = ""
    dtype: str = "float32"
    passes: tuple[str, ...] | None = None
    output: str | None = None
    temperature: float | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
