"""One trial: a candidate is compiled and judged by its table, then trained into its run folder and measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_spec.diagnostics import Code, DivergedError, SpecError, TrainingError
from nin_spec.language import family
from nin_spec.language import load as language
from nin_spec.language.document import Entry, Value
from nin_spec.named import is_run
from nin_spec.network import Network
from nin_spec.network import compile as compile_network
from nin_spec.sweeps import candidates
from nin_spec.sweeps.axes import choose
from nin_spec.sweeps.candidates import Candidate
from nin_spec.sweeps.folder import Record, run_folder, trial_lock
from nin_spec.sweeps.load import Sweep
from nin_spec.sweeps.measure import measure
from nin_spec.sweeps.store import LEARNED, optuna, quietly
from nin_spec.training import begin
from nin_spec.training.folder import Run, open_run, read_rows
from nin_spec.training.reporter import Pace, Row, Silent
from nin_spec.training.settings import TrainSettings

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial


class Refused(Exception):  # noqa: N818 not an error of the program: Optuna marks the trial as failed
    """The candidate is not trained, or its training can't be used; the trial's attributes say why."""


class Interrupted(Exception):  # noqa: N818 likewise
    """The training was asked to stop; it resumes from its run folder."""


@dataclass
class Judge(Silent):
    """Reports the accuracy of each epoch to Optuna's pruner, and remembers what it says."""

    trial: Trial | None
    quantity: str
    pruned: bool = False

    def finished_epoch(self, row: Row, pace: Pace) -> None:
        if self.trial is not None:
            self.trial.report(float(row[self.quantity]), int(row["epoch"]))
            self.pruned = self.pruned or self.trial.should_prune()


@dataclass
class Trainer:
    """What Optuna calls with each trial: its values, or an exception that says what became of it."""

    folder: Path
    record: Record
    sweep: Sweep
    study: Study
    settings: TrainSettings
    stop: Callable[[], bool]
    outcome: str | None = field(default=None, init=False)
    """That of the last trial; None if it was interrupted."""

    def __call__(self, trial: Trial) -> Sequence[float]:
        self.outcome = None
        with trial_lock(self.folder, trial.number):
            trial.set_user_attr("at", self.record.token)
            params = choose(self.sweep.axes, lambda axis: axis.suggest(trial))
            try:
                candidate = candidates.candidate(self.sweep, params)
            except SpecError as error:
                raise self._refuse(trial, "invalid", _gist(error)) from None
            self._describe(trial, candidate)
            self._require_limits(trial, candidate)
            twin = self._twin(trial, candidate)
            if twin is not None:
                refusal = self._refuse(trial, "duplicate", f"the same as trial {twin.number}")
                if twin.values is None:
                    raise refusal
                return list(twin.values)  # a repeated training would have the same result
            return self._learn(trial, candidate)

    # ------------------------------------------------------------------ before training

    def _describe(self, trial: Trial, candidate: Candidate) -> None:
        trial.set_user_attr("changes", candidates.changes(self.sweep, candidate.params))
        trial.set_user_attr("hash", candidate.network.hash)
        trial.set_user_attr("facts", candidate.facts)
        trial.set_user_attr("identity", candidate.identity)

    def _require_limits(self, trial: Trial, candidate: Candidate) -> None:
        """Raise TrialPruned for a candidate over a limit, whose excess is a constraint for the sampler."""
        excess = candidates.over_limits(self.sweep.limits, candidate.facts)
        if not excess:
            return
        with quietly():
            for name, factor in excess.items():
                trial.set_constraint(name, factor - 1)
        self._refuse(
            trial, "limit", ", ".join(f"{name} {factor:.2f} times the limit" for name, factor in excess.items())
        )
        raise optuna().TrialPruned

    def _twin(self, trial: Trial, candidate: Candidate) -> FrozenTrial | None:
        """An earlier trial of the same network and recipe that was trained, or is being trained."""
        for other in self.study.get_trials(deepcopy=False):
            same = other.number != trial.number and other.user_attrs.get("identity") == candidate.identity
            running = other.state.name == "RUNNING" and other.number < trial.number
            told = other.state.name in {"COMPLETE", "PRUNED", "FAIL"} and other.user_attrs.get("outcome") in LEARNED
            if same and (running or (told and not (other.state.name == "FAIL" and _unsettled(other)))):
                return other
        return None

    def _refuse(self, trial: Trial, outcome: str, why: str) -> Refused:
        trial.set_user_attr("outcome", outcome)
        trial.set_user_attr("why", why)
        self.outcome = outcome
        return Refused(why)

    # ------------------------------------------------------------------ training

    def _learn(self, trial: Trial, candidate: Candidate) -> Sequence[float]:
        if "folder" not in trial.user_attrs:  # a trial that is resumed has that of the one it continues
            trial.set_user_attr("folder", run_folder(trial.number, 0))
        first = str(trial.user_attrs["folder"])
        found: list[Mapping[str, float]] = []
        for k in range(self.sweep.file.seeds):
            spent = time.process_time()
            network = candidate.network if k == 0 else with_seed(candidate, k)
            judge = Judge(trial if self.sweep.file.prune is not None and k == 0 else None, self._first_trained)
            try:
                run = self._train(network, self.folder / (first if k == 0 else f"{first}-{k}"), judge)
            except DivergedError as error:
                raise self._refuse(trial, "diverged", _gist(error)) from None
            except TrainingError as error:
                if error.diagnostics and error.diagnostics[0].code is Code.RECIPE:
                    raise self._refuse(trial, "invalid", _gist(error)) from None
                raise
            if judge.pruned:
                self._refuse(trial, "pruned", f"stopped after epoch {int(run.record.final['epoch'])}")
                trial.set_user_attr("metrics", metrics_of(run))
                raise optuna().TrialPruned
            if run.record.status != "finished":
                raise Interrupted
            cpu = time.process_time() - spent
            found.append(metrics_of(run) | {"cpu_seconds": cpu} | measure(run, self.sweep.objectives))
        metrics = {name: statistics.fmean(each[name] for each in found) for name in found[0]}
        trial.set_user_attr("metrics", metrics)
        trial.set_user_attr("outcome", "trained")
        self.outcome = "trained"
        values = metrics | candidate.facts
        return [values[objective.name] for objective in self.sweep.objectives]

    @property
    def _first_trained(self) -> str:
        return self.sweep.objectives[0].name

    def _train(self, network: Network, target: Path, judge: Judge) -> Run:
        data = None if self.record.data is None else Path(self.record.data)

        def stop() -> bool:
            return judge.pruned or self.stop()

        if not is_run(target):
            return begin.train(network, data=data, output=target, settings=self.settings, reporter=judge, stop=stop)
        run = open_run(target)
        if run.record.status == "finished":
            return run
        return begin.resume(target, data=data, reporter=judge, stop=stop)


def with_seed(candidate: Candidate, more: int) -> Network:
    """The same network with a recipe whose seed is that much higher."""
    recipe = candidate.network.spec.spec.train
    assert recipe is not None  # noqa: S101 candidates have one
    span = candidate.network.spec.where("train", "seed")
    entry = Entry(span, Value((recipe.seed + more) % 2**63, span))
    return compile_network(language.complete(family.put(candidate.tree, "train.seed", entry)))


def metrics_of(run: Run) -> dict[str, float]:
    """What came of a training: the accuracy of the best epoch, the least loss, and its seconds."""
    rows = read_rows(run.path / "metrics.csv")
    seconds = sum(row["seconds"] for row in read_rows(run.path / "timings.csv"))
    accuracy = max(row["validation_accuracy"] for row in rows)
    loss = min(row["validation_loss"] for row in rows)
    return {"validation_accuracy": accuracy, "validation_loss": loss, "seconds": seconds}


def _unsettled(trial: FrozenTrial) -> bool:
    """Whether a failed trial was interrupted between its result and Optuna's note of it."""
    return trial.user_attrs.get("outcome") in {"trained", "pruned"}


def _gist(error: SpecError | DivergedError | TrainingError) -> str:
    found: Any = error.diagnostics[0]
    return f"{found.code.code} {found.message}"
