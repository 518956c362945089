"""The graph as text, for golden files and for people."""

from __future__ import annotations

from dataclasses import fields

from nin_spec.ir.ops import Op
from nin_spec.ir.types import Padding


def print_op(op: Op) -> str:
    """`Conv2d(out_channels=192, kernel_size=5x5, ...)`, every attribute written out."""
    attributes = ", ".join(f"{f.name}={print_value(getattr(op, f.name))}" for f in fields(op))
    return f"{type(op).__name__}({attributes})"


def print_value(value: object) -> str:
    """A pair as 3x3, a longer list as [2,1,0], a padding by side, a bool as in YAML."""
    if isinstance(value, Padding):
        return str(value)
    if isinstance(value, tuple):
        return "x".join(map(str, value)) if len(value) == 2 else f"[{','.join(map(str, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)
