"""A trained network evaluated in torch and in onnxruntime on the same pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nin_spec.data import Split, match_classes, open_split
from nin_spec.diagnostics import Code, DataError, counted
from nin_spec.evaluation.agreement import SHOWN, Agreement, agreement_of
from nin_spec.evaluation.metrics import Evaluation, evaluation_of
from nin_spec.evaluation.mistakes import Mistake, mistakes_of
from nin_spec.evaluation.scores import BATCH, Progress, module_scores, session_scores, torch_threads
from nin_spec.evaluation.subjects import Subject, subject_of
from nin_spec.model import Model
from nin_spec.notebook import Table, view
from nin_spec.printing import share
from nin_spec.runtime.providers import Device
from nin_spec.training.folder import Run
from nin_spec.training.sets import Role, open_run_split

ProgressOf = Callable[[str], Progress]
"""Creates the progress callback of a runtime, `torch` or `onnxruntime`."""


@dataclass(frozen=True)
class Comparison:
    """The evaluation of onnxruntime, and if there is a module to compare with, that of torch and their agreement.

    `not_compared` says why there is none. `precision` is set for a reduced-precision file, which may predict different
    classes for some pictures: the criterion then is its budget, a loss of at most `max_drop` points of accuracy, if it
    has one. `mistakes` are the wrong pictures that were asked for, the surest first.
    """

    onnxruntime: Evaluation
    torch: Evaluation | None
    agreement: Agreement | None
    not_compared: str = ""
    precision: str = ""
    max_drop: float | None = None
    mistakes: tuple[Mistake, ...] = field(default=(), repr=False)

    @property
    def accuracy(self) -> float:
        """The accuracy in onnxruntime, as in serving."""
        return self.onnxruntime.accuracy

    @property
    def drop(self) -> float | None:
        """Percentage points of accuracy that onnxruntime loses compared to torch; None without torch."""
        return None if self.torch is None else 100 * (self.torch.correct - self.onnxruntime.correct) / self.torch.images

    @property
    def holds(self) -> bool:
        """True if both always agree; in reduced precision, if the loss is within the budget."""
        if self.agreement is None or self.drop is None:
            return True
        if self.precision:
            return self.max_drop is None or self.drop <= self.max_drop + 1e-9
        return self.agreement.complete

    @property
    def agreed(self) -> str:
        """How far torch and onnxruntime agree, in a sentence."""
        found = self.agreement
        if found is None:
            return f"in onnxruntime; no comparison with torch: {self.not_compared}"
        same = f"{found.same:,} of {counted(found.images, 'picture')}"
        return f"torch and onnxruntime predict the same class for {same}; scores differ by {found.max_difference:.1e}"

    def _repr_html_(self) -> str:
        seen = () if self.agreement is None else self.agreement.parts(self.onnxruntime.classes)
        rows = [(m.file, m.true, m.said, share(m.probability)) for m in self.mistakes]
        wrong = [Table(("wrong, the surest first", "true", "said", "probability"), rows, {3})] if rows else []
        return view(f"accuracy {self.accuracy:.2%}", *self.onnxruntime.parts(), *seen, *wrong, about=self.agreed)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: onnxruntime's evaluation, then each runtime's totals, then the agreement."""
        return self.onnxruntime.as_dict() | {
            "onnxruntime": self.onnxruntime.headline(),
            "torch": self.torch.headline() if self.torch else None,
            "agreement": self.agreement.as_dict() if self.agreement else None,
            "not_compared": self.not_compared or None,
            "precision": self.precision or None,
            "max_drop": self.max_drop,
            "drop": self.drop,
        }


def evaluate(
    model: Model | Run,
    split: Split | Role = "test",
    device: Device = "cpu",
    *,
    data: str | Path | None = None,
    dataset: str | None = None,
) -> Comparison:
    """Evaluate a model or a run's result in torch and, exported, in onnxruntime: `evaluate(model, "test")`.

    `split` is the split `test` or `train` of the recipe's data set, or of `dataset`, read from the folder or .npz
    `data`, else from its fetched location (for a run, from its recorded path). For a run, `train` has the pictures
    trained on, and `validation` those that chose its epoch. It may also be a Split, from
    nin_spec.data.open_split("mnist", "test", Path("mnist")).

    Raises:
        DataError: unreadable pictures, none at all, or classes that are not the model's.
        TrainingError: a run without a validation split, or without weights yet.
        DeviceError: the device can't run here.
        InputError: scores that are not finite.
    """
    if not isinstance(model, Model | Run):
        raise TypeError("evaluate takes a model or a run: network.with_weights(file), or nin_spec.open_run(folder)")
    location = None if data is None else Path(data)
    pictures = _opened(model, split, location, dataset) if isinstance(split, str) else split
    return compare(subject_of(model if isinstance(model, Model) else model.model(), device), pictures)


def _opened(model: Model | Run, split: Role, location: Path | None, dataset: str | None) -> Split:
    """The split of that name."""
    if isinstance(model, Run) and dataset in {None, model.dataset}:
        return open_run_split(model, split, location)
    if split == "validation":
        raise ValueError("only a run has a validation split: pass nin_spec.open_run(folder)")
    name = dataset or (model.card.dataset if isinstance(model, Model) else model.dataset)
    if not name and location is None:
        raise ValueError("the model's spec does not name a data set: pass dataset=NAME, or data=PATH")
    return open_split(name or Path(str(location)).resolve().stem, split, location)


def compare(
    subject: Subject, split: Split, batch: int = BATCH, progress: ProgressOf | None = None, wrong: int = 0
) -> Comparison:
    """The same for a subject, with at most `wrong` mistakes. torch evaluates all pictures first, then onnxruntime."""
    split = match_classes(split, subject.labels, subject.classes)
    if not len(split):
        raise DataError(Code.DATA_MISFIT, f"{split.where} has no pictures to score")
    given = (split, subject.contract, subject.shape, batch)
    output = subject.session.metadata.output
    ours = None
    if subject.module is not None:
        with torch_threads(subject.session.threads):
            ours = module_scores(
                subject.module, *given, progress("torch") if progress else None, pixels=subject.module_takes_pixels
            )
    theirs = session_scores(subject.session, *given, progress("onnxruntime") if progress else None)
    return Comparison(
        evaluation_of(theirs, split.labels, split.classes, output),
        None if ours is None else evaluation_of(ours, split.labels, split.classes, output),
        None if ours is None else agreement_of(ours, theirs, split, max(SHOWN, wrong)),
        subject.not_compared,
        subject.session.metadata.precision,
        subject.session.metadata.max_drop,
        mistakes_of(theirs, split, output, wrong),
    )
