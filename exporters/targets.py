"""Target servers, and what each can load and compute, as measured with the real releases.

`targets.json` holds a row for each minor release of onnxruntime: its highest opset, its highest IR version, and the
opsets at which it computes a form of node wrongly, or not at all. `make targets` measures the rows from 1.15 on, with
the wheels for the CPU that pip finds, and writes the file. Earlier rows have no such wheel: they are those of
docs/reference/compatibility.md in microsoft/onnxruntime, and their faults are taken to be those of the earliest
release that was measured; `Target.remark` says so.

Triton: docs/introduction/compatibility.md in triton-inference-server/server for 24.04 to 26.08; for 23.12
the build.py of its development version. 23.05 is as its users report it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from nin_spec.diagnostics import Code, ExportError
from nin_spec.ir import ops
from nin_spec.ir.types import Padding

TABLE = Path(__file__).with_name("targets.json")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a minor release of onnxruntime can load and compute.

    `versions` are the patch releases that were measured, none for a row from its documentation. `faults` gives the
    opsets at which a form of node (`form_of`) is wrong or has no kernel.
    """

    name: str
    opset: int
    ir: int
    versions: tuple[str, ...] = ()
    faults: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def computes(self, form: str, opset: int) -> bool:
        """True if nodes of a form run at an opset with correct results."""
        return opset <= self.opset and opset not in self.faults.get(form, ())


@dataclass(frozen=True, slots=True)
class Table:
    """The measured table: when it was made, of which forms, and a row for each minor release, in order."""

    date: str
    forms: frozenset[str]
    runtimes: Mapping[str, Runtime]

    @property
    def measured(self) -> tuple[Runtime, ...]:
        """The rows that are not from documentation."""
        return tuple(row for row in self.runtimes.values() if row.versions)


TRITON = {
    "23.05": "1.15",
    "23.12": "1.16",
    "24.04": "1.17",
    **dict.fromkeys(("24.05", "24.06", "24.07", "24.08"), "1.18"),
    **dict.fromkeys(("24.09", "24.10", "24.11"), "1.19"),
    **dict.fromkeys(("24.12", "25.01", "25.02"), "1.20"),
    **dict.fromkeys(("25.03", "25.04"), "1.21"),
    **dict.fromkeys(("25.05", "25.06", "25.07"), "1.22"),
    **dict.fromkeys(("25.08", "25.09", "25.10", "25.11", "25.12", "26.01"), "1.23"),
    **dict.fromkeys(("26.02", "26.03", "26.04", "26.05", "26.06"), "1.24"),
    "26.07": "1.27",
    "26.08": "1.28",
}
"""Each Triton release's onnxruntime, by minor release."""


@cache
def table() -> Table:
    """The measured table, read on first use."""
    return read_table(json.loads(TABLE.read_text(encoding="utf-8")))


def read_table(data: Mapping[str, Any]) -> Table:
    """The table of its JSON. A row that was not measured has the faults of the earliest that was."""
    rows = {name: _row(name, row) for name, row in data["onnxruntime"].items()}
    earliest = next(row for row in rows.values() if row.versions)
    known = {name: row if row.versions else _unmeasured(row, earliest) for name, row in rows.items()}
    return Table(data["date"], frozenset(data["forms"]), known)


def _row(name: str, row: Mapping[str, Any]) -> Runtime:
    faults = {form: frozenset(opsets) for form, opsets in row.get("faults", {}).items()}
    return Runtime(name, row["opset"], row["ir"], tuple(row.get("versions", ())), faults)


def _unmeasured(row: Runtime, earliest: Runtime) -> Runtime:
    return Runtime(row.name, row.opset, row.ir, (), earliest.faults)


def form_of(op: ops.Op, *, open_size: bool) -> str:
    """The table's name for a node of an op: the op's name, and for a pool what affects its result."""
    if not isinstance(op, ops.Pool2d):
        return type(op).__name__
    words = [op.noun.removesuffix(" pool"), "ceil" if op.ceil_mode else "floor", _padding(op.padding)]
    words += ["counted"] if op.counts_padding else []
    if op.may_overhang:
        words.append("overhanging")
    return " ".join([*words, "open" if open_size else "fixed"])


def padded_form(op: ops.AvgPool2d) -> str:
    """The table's name for a Pad node followed by an unpadded average of an open size."""
    return f"average {'ceil' if op.ceil_mode else 'floor'} behind zeros open"


def _padding(padding: Padding) -> str:
    """`equal` on all four sides, else `symmetric` at both ends of each axis, else `uneven`."""
    if padding == Padding():
        return "unpadded"
    if padding.symmetric:
        return "equal" if padding.top == padding.left else "symmetric"
    return "uneven"


@dataclass(frozen=True, slots=True)
class Target:
    """A server: its name, the minor release of its onnxruntime, and what that can load and compute."""

    name: str
    version: str
    runtime: Runtime

    @property
    def remark(self) -> str | None:
        """A remark for a row that was not measured."""
        if self.runtime.versions:
            return None
        earliest = table().measured[0].name
        return (
            f"onnxruntime {self.version} was not measured: its opset and IR version are from onnxruntime's "
            f"documentation, and it is taken to compute as {earliest} does; try the file there before use"
        )

    def __str__(self) -> str:
        own = f"onnxruntime=={self.version}"
        return self.name if self.name.startswith("onnxruntime") else f"{self.name} ({own})"


def known_targets() -> list[str]:
    """Every target by name: the releases of Triton, then the minor releases of onnxruntime."""
    return [*(f"triton=={name}" for name in TRITON), *(f"onnxruntime=={name}" for name in table().runtimes)]


def find_target(text: str) -> Target:
    """`onnxruntime==1.15`, `onnxruntime==1.15.1` or `triton==24.10`. Raises ExportError, naming what is known."""
    server, _, version = (part.strip() for part in text.partition("=="))
    if server not in ("onnxruntime", "triton") or not version:
        raise ExportError(
            Code.EXPORT_OPTION, f"{text!r} is not a target", hint="write onnxruntime==1.15 or triton==24.10"
        )
    known = table().runtimes
    if server == "triton":
        if version not in TRITON:
            raise ExportError(
                Code.EXPORT_OPTION,
                f"the onnxruntime version of Triton {version} is unknown",
                hint=f"known: {', '.join(TRITON)}",
            )
        return Target(f"triton=={version}", TRITON[version], known[TRITON[version]])
    minor = ".".join(version.split(".")[:2])
    if minor not in known or not version.replace(".", "").isdigit():
        raise ExportError(Code.EXPORT_OPTION, f"onnxruntime {version} is unknown", hint=f"known: {', '.join(known)}")
    return Target(f"onnxruntime=={version}", minor, known[minor])
