"""Precision settings: the precision, the pictures for measurement, and the allowed loss of accuracy."""

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
    """How to convert a float32 file to `precision`.

    `max_drop` is the budget in percentage points of accuracy; None disables measuring. `data` is the path of the data
    set, by default where `nin-spec data fetch` puts it. `calibrate` is the number of training pictures for the ranges
    of int8, `limit` that of the evaluation pictures, by default all. Raises ExportError for invalid values.
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
                    Code.EXPORT_OPTION, f"{name} can't be {count}", hint="pass the number of pictures, at least 1"
                )


_DROP = "pass percentage points from 0 to 100, for example 0.5% or 0.5; or none, to disable measuring"


def parse_drop(text: str) -> float | None:
    """`0.5%` and `0.5` are half a percentage point; `none` disables measuring. Raises ExportError.

    Fractions are not supported: 0.005 means 0.005%.
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
