"""What can be said about a precision: which, measured on what, and how much accuracy it may cost."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from nin_spec.diagnostics import Code, ExportError, did_you_mean
from nin_spec.exporter import Artifact

Precision = Literal["float32", "float16", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

MAX_DROP = 0.5
CALIBRATE = 512


@dataclass(frozen=True, slots=True)
class PrecisionSettings:
    """How a float32 file becomes one of `precision`.

    `max_drop` is the budget, in percentage points of accuracy; None measures nothing. `data` is where the
    data set lies, where `nin-spec data fetch` puts it unless said. `calibrate` pictures of the training part
    show int8 the range of each value, `limit` of the evaluation part are measured, all unless said.

    Raises ExportError for what can't be.
    """

    precision: Precision
    max_drop: float | None = MAX_DROP
    data: Path | None = None
    calibrate: int = CALIBRATE
    limit: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ExportError(
                Code.EXPORT_OPTION,
                f"{self.precision!r} is not a precision",
                hint=did_you_mean(str(self.precision), PRECISIONS),
            )
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise ExportError(Code.EXPORT_OPTION, f"max_drop can't be {self.max_drop}", hint=_DROP)
        for name, count in (("calibrate", self.calibrate), ("limit", self.limit)):
            if count is not None and count < 1:
                raise ExportError(
                    Code.EXPORT_OPTION, f"{name} can't be {count}", hint="say how many pictures, 1 at least"
                )


_DROP = "say it in percentage points, 0 to 100, as 0.5% or 0.5; or none, to measure nothing"


def parse_drop(text: str) -> float | None:
    """`0.5%` and `0.5` are half a percentage point; `none` is no measurement. Raises ExportError.

    A share (0.005) is not read as one: of two meanings a number has one, and 0.005 is that of 0.005%.
    """
    if text.strip().lower() == "none":
        return None
    match = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{1,9})?|\.\d{1,9})\s*%?\s*", text)
    points = float(match[1]) if match else math.nan
    if not 0 <= points <= 100:
        raise ExportError(Code.EXPORT_OPTION, f"--max-drop can't be {text!r}", hint=_DROP)
    return points


def renamed(artifact: Artifact, precision: Precision) -> Artifact:
    """The artifact with its models called `NAME.int8.onnx`: beside the float32 file, and not in its place."""
    if precision == "float32":
        return artifact
    paths = {name: PurePosixPath(name) for name in artifact.models}
    names = {name: str(path.with_name(f"{path.stem}.{precision}{path.suffix}")) for name, path in paths.items()}
    files = {names.get(name, name): data for name, data in artifact.files.items()}
    return replace(artifact, files=files, models=tuple(names.values()))
