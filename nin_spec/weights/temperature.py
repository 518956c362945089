"""The temperature of a run: `temperature.json`, written by `nin-spec calibrate`, and valid for the weights it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nin_spec.diagnostics import Code, TrainingError, counted
from nin_spec.files import write_atomic
from nin_spec.named import is_run

TEMPERATURE = "temperature.json"


class Quality(BaseModel):
    """How far the probabilities of the pictures that a temperature was fitted on can be trusted."""

    model_config = ConfigDict(extra="forbid")

    ece: float
    loss: float
    mean_confidence: float


class FittedTemperature(BaseModel):
    """The file: a temperature, the SHA-256 of the weights that it was fitted for, and on which pictures it was."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    temperature: float = Field(gt=0, allow_inf_nan=False)
    weights_sha256: str
    split: Literal["validation"] = "validation"
    images: int
    fingerprint: str
    accuracy: float
    before: Quality
    after: Quality
    versions: dict[str, str]

    @property
    def remark(self) -> str:
        """What is reported where it is used."""
        return f"temperature: {self.temperature:g}, fitted on {counted(self.images, 'validation picture')}"

    def unfit_for(self, sha256: str, *, same_function: bool = True) -> str:
        """Why it is not used for a file of weights with that SHA-256; empty if it is.

        `same_function` is false for a network that computes something else of these weights.
        """
        if self.weights_sha256 != sha256:
            return "was fitted for other weights, and is not used"
        return "" if same_function else "was fitted for another function of these weights, and is not used"


def temperature_beside(weights: Path) -> FittedTemperature | None:
    """The temperature in the run folder of a weights file, None without one; for which weights it is, it says itself.

    Raises TrainingError (RUN_UNUSABLE) if it is damaged.
    """
    return read_temperature(weights.parent) if is_run(weights.parent) else None


def read_temperature(folder: Path) -> FittedTemperature | None:
    """The file of a run, None without one. Raises TrainingError (RUN_UNUSABLE) if it is damaged."""
    path = folder / TEMPERATURE
    try:
        return FittedTemperature.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        why = str(error.strerror)
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        why = f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()
    message = f"{folder} can't be used as a run: {TEMPERATURE} is damaged: {why}"
    hint = f"remove {path}, or fit it again: nin-spec calibrate {folder}"
    raise TrainingError(Code.RUN_UNUSABLE, message, hint=hint)


def write_temperature(folder: Path, found: FittedTemperature) -> Path:
    """Write the file, and return its path. Raises ExportError."""
    path = folder / TEMPERATURE
    write_atomic(path, (found.model_dump_json(indent=2) + "\n").encode())
    return path
