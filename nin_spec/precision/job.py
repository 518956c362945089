"""The inputs of one conversion: the float32 file, the pictures, the budget, and the reporter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from nin_spec.data import Split
from nin_spec.diagnostics import BudgetError, Code, Span
from nin_spec.evaluation.scores import Array, Progress, Shape, inputs
from nin_spec.model import Model
from nin_spec.precision.calibration import Ranges, calibrate
from nin_spec.precision.samples import SEED, Pictures
from nin_spec.precision.settings import PrecisionSettings
from nin_spec.precision.trial import BATCH, Outcome, Trial
from nin_spec.runtime.session import Session


@dataclass(frozen=True)
class Watch:
    """Receives messages, line by line, and progress."""

    say: Callable[[str], None] = lambda _: None
    progress: Callable[[str, int], Progress | None] = lambda _, __: None


@dataclass(frozen=True)
class Job:
    """`data` is the float32 file and `session` is its session on the measuring device; `pictures` if there are any."""

    model: Model
    data: bytes = field(repr=False)
    settings: PrecisionSettings
    session: Session
    pictures: Pictures | None
    watch: Watch

    def ranges(self) -> Ranges:
        """The range of each value over the calibration pictures."""
        split = self.known.calibration
        batches = batches_of(self.session, self.model, split)
        return calibrate(self.data, self.session.input_name, batches, self.watch.progress("calibrating", len(split)))

    def begin(self) -> Trial:
        """Measure and report the float32 file on the evaluation pictures."""
        pictures = self.known
        split = pictures.evaluation
        progress = self.watch.progress("float32", len(split))
        trial = Trial.begin(self.model, split, self.session, progress, self.settings.options)
        count = f"{len(split):,}" + ("" if len(split) == pictures.whole else f" of {pictures.whole:,}")
        where = f"{count} pictures ({split.dataset} {pictures.name}) on {trial.device}"
        self.watch.say(f"float32: {trial.before / len(split):.2%} of {where}")
        return trial

    def attempt(self, trial: Trial, data: bytes, name: str) -> Outcome:
        """Measure and report a reduced file."""
        outcome = trial.of(data, self.watch.progress(self.settings.precision, len(trial.split)))
        self.watch.say(f"{name}: {outcome} (allowed: {self.budget:g} points)")
        return outcome

    @property
    def known(self) -> Pictures:
        """The pictures. Raises without pictures."""
        if self.pictures is None:
            raise ValueError("this job has no pictures")
        return self.pictures

    @property
    def budget(self) -> float:
        """The allowed loss in points. Raises without a budget."""
        if self.settings.max_drop is None:
            raise ValueError("this job has no budget")
        return self.settings.max_drop

    def exceeded(self, why: str) -> BudgetError:
        """The error of a file that exceeds the budget."""
        message = f"{why}; {self.budget:g} are allowed on the {self.known.name} pictures of the data set"
        hint = "raise --max-drop, or use a wider precision; see `nin-spec guide precision`"
        return BudgetError(Code.BUDGET, message, hint=hint)

    def line_of(self, layer: str) -> str:
        """The position of a layer in the spec: `spec.yaml:12`."""
        span = span_of(self.model, layer)
        return f"{Path(span.source.name).name}:{span.line}" if span else ""

    def facts(self, outcome: Outcome | None, float_layers: Sequence[str] = (), *, calibrated: bool) -> dict[str, Any]:
        """The file's metadata on the conversion, as plain data. Values not measured are null."""
        found: dict[str, Any] = {"max_drop": None if outcome is None else self.budget, "float_layers": [*float_layers]}
        if calibrated:
            used = self.known.calibration
            found["calibration"] = {"dataset": used.dataset, "images": len(used), "seed": SEED}
        if outcome is not None:
            split = self.known.evaluation
            found["evaluation"] = {
                "dataset": split.dataset,
                "split": self.known.name,
                "device": self.session.device,
                "images": outcome.images,
                "float32": outcome.before / outcome.images,
                self.settings.precision: outcome.after / outcome.images,
                "same_class": outcome.same / outcome.images,
            }
        return found


def span_of(model: Model, value: str) -> Span | None:
    """The span in the spec of the layer that computes a value of the file."""
    name = value.partition("/")[0]
    return next((n.span for n in model.graph if n.name == name), None)


def batches_of(session: Session, model: Model, split: Split) -> Iterator[Array]:
    """A split as inputs of the file, in batches; a fixed batch size is padded with the last picture."""
    size = session.input_shape[0]
    shape = cast("Shape", model.graph.input.shape)
    contract = model.card.preprocessing
    raw_as = contract if session.takes_pixels else None
    for x in inputs(split, contract, shape, session.dtype, size or BATCH, raw_as):
        missing = (size or len(x)) - len(x)
        yield np.concatenate([x, np.repeat(x[-1:], missing, 0)]) if missing else x
