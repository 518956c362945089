"""The rows of `make gpu`, in the order of their worth: the last ones are left out when the time is up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

TOTAL = 480.0
"""Seconds for everything."""
Need = Literal["", "onnxruntime", "tensorrt", "tf32", "torch"]


@dataclass(frozen=True)
class Row:
    """One row: `call` is `module:function` in this package, called with the rest of `arguments`.

    It is stopped after `seconds`, and not begun with less than `least` left. `needs` is what the row `doctor` must
    have found to work, for the device that is certified; "" is nothing.
    """

    name: str
    title: str
    call: str
    seconds: float
    needs: Need = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    least: float = 10.0


@dataclass(frozen=True)
class Ask:
    """What is certified: the device `cuda`, or `cpu` as a stand-in that runs the same code.

    `quick` only shows that everything works, with little of all. `folder` is for files of the rows, `seconds` the
    limit of the row.
    """

    device: Literal["cuda", "cpu"]
    quick: bool
    folder: str
    seconds: float = 60.0

    @property
    def is_stand_in(self) -> bool:
        """True where nothing is measured on a GPU."""
        return self.device == "cpu"

    @property
    def is_little(self) -> bool:
        """True where figures mean nothing, so that little of everything is enough."""
        return self.quick or self.is_stand_in


def _proves(precision: str, seconds: float, title: str = "") -> Row:
    title = title or f"`prove` in {precision}"
    arguments = {"precision": precision}
    return Row(f"prove-{precision}", title, "conformity:prove", seconds, "onnxruntime", arguments)


def _engine(spec: str, seconds: float) -> Row:
    title = f"TensorRT on {spec}: parity, and a second start from the cache"
    return Row(f"tensorrt-{spec}", title, "conformity:engine", seconds, "tensorrt", {"spec": spec})


def _race(spec: str, seconds: float) -> Row:
    title = f"{spec} beside eager PyTorch, torch.compile and torch.onnx.export"
    return Row(f"speed-{spec}", title, "speed:race", seconds, "onnxruntime", {"spec": spec}, least=30)


ROWS: tuple[Row, ...] = (
    Row("doctor", "the machine, its packages and devices", "survey:doctor", 100),
    _proves("float32", 150, "`prove` in float32, TF32 off"),
    Row("int8", "an int8 file is refused where there is no int8 convolution", "conformity:int8", 30, "onnxruntime"),
    Row("graphs", "CUDA graphs with bound buffers, by batch size", "conformity:graphs", 40, "onnxruntime"),
    _race("nin_cifar", 140),
    Row("training", "training of nin_cifar beside a plain PyTorch loop", "speed:training", 100, "torch", least=25),
    Row(
        "prove-tf32",
        "`prove` in float32, TF32 on: convolutions",
        "conformity:prove",
        *(40, "tf32", {"precision": "float32", "tf32": True}),
    ),
    _proves("float16", 50),
    _proves("bfloat16", 40),
    _engine("nin_digits", 50),
    _engine("nin_cifar", 60),
    _race("nin_imagenet", 140),
    _engine("nin_imagenet", 90),
)
