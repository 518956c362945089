"""Servers that a file is made for, and what each can load: its highest opset, its highest IR version.

onnxruntime, from 1.15: measured with wheels for Python 3.11 (CPU): the first and the last patch release
of 1.15 to 1.25 and of 1.31, one release each of 1.26 to 1.30 and of 1.32. `opset` is the highest at which
a graph with every op of ours runs and is right, `ir` the highest IR version that loads. Two faults were
found by it and are kept out: 1.15 loads opset 19 and has no kernel for its average pool; before 1.21 a
padded ceil-mode average of an open size is wrong at every opset that can say it, and before 1.16 one
without padding can't be said. Found later, with 1.15.1, 1.20.1 and 1.21 to 1.24: before 1.21 a ceil-mode pool of
either kind, of an open size, has a window behind the input where its stride is larger than its kernel reaches.
onnxruntime before 1.15 has no such wheel: its rows are those of docs/reference/compatibility.md in
microsoft/onnxruntime.

Triton: docs/introduction/compatibility.md in triton-inference-server/server for 24.04 to 26.08; for 23.12
the build.py of its development version. 23.05 is as its users report it.
"""

from __future__ import annotations

from dataclasses import dataclass

from nin_spec.diagnostics import Code, Diagnostic, ExportError


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a release of onnxruntime loads. `rounded` is which ceil-mode pools of an open size are right in it.

    Averages are `unpadded` or `padded`; of either kind are those `overhanging` (Pool2d.may_overhang).
    """

    opset: int
    ir: int
    rounded: frozenset[str] = frozenset()


_UNPADDED = frozenset({"unpadded"})
_ALL = frozenset({"unpadded", "padded", "overhanging"})

ONNXRUNTIME = {
    "1.8": Runtime(14, 7),
    "1.9": Runtime(15, 8),
    "1.10": Runtime(15, 8),
    "1.11": Runtime(16, 8),
    "1.12": Runtime(17, 8),
    "1.13": Runtime(17, 8),
    "1.14": Runtime(18, 8),
    "1.15": Runtime(18, 9),
    "1.16": Runtime(19, 9, _UNPADDED),
    "1.17": Runtime(20, 9, _UNPADDED),
    "1.18": Runtime(21, 10, _UNPADDED),
    "1.19": Runtime(21, 10, _UNPADDED),
    "1.20": Runtime(21, 10, _UNPADDED),
    "1.21": Runtime(22, 10, _ALL),
    "1.22": Runtime(22, 10, _ALL),
    "1.23": Runtime(23, 11, _ALL),
    "1.24": Runtime(25, 13, _ALL),
    **{f"1.{minor}": Runtime(26, 13, _ALL) for minor in range(25, 32)},
    "1.32": Runtime(28, 14, _ALL),
}

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


@dataclass(frozen=True, slots=True)
class Target:
    """A server: its name, the minor release of its onnxruntime, and what that loads."""

    name: str
    version: str
    runtime: Runtime

    def __str__(self) -> str:
        own = f"onnxruntime=={self.version}"
        return self.name if self.name.startswith("onnxruntime") else f"{self.name} ({own})"


def find_target(text: str) -> Target:
    """`onnxruntime==1.15`, `onnxruntime==1.15.1` or `triton==24.10`. Raises ExportError, naming what is known."""
    server, _, version = (part.strip() for part in text.partition("=="))
    if server not in ("onnxruntime", "triton") or not version:
        raise _unknown(f"{text!r} is no target", "write onnxruntime==1.15 or triton==24.10")
    if server == "triton":
        if version not in TRITON:
            raise _unknown(f"it is not known which onnxruntime is in Triton {version}", f"known: {', '.join(TRITON)}")
        return Target(f"triton=={version}", TRITON[version], ONNXRUNTIME[TRITON[version]])
    minor = ".".join(version.split(".")[:2])
    if minor not in ONNXRUNTIME or not version.replace(".", "").isdigit():
        raise _unknown(f"it is not known what onnxruntime {version} loads", f"known: {', '.join(ONNXRUNTIME)}")
    return Target(f"onnxruntime=={version}", minor, ONNXRUNTIME[minor])


def _unknown(message: str, hint: str) -> ExportError:
    return ExportError(Diagnostic(Code.EXPORT_OPTION, message, hint=hint))
