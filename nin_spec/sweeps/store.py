"""Optuna's study: where it is stored, its sampler and pruner, and trials that a lost process has left.

Each trial has user attributes, which Optuna's dashboard shows:

    at             the token of the sweep folder that trains it
    folder         its run folder, from which a lost trial resumes
    outcome        trained, pruned, diverged, duplicate, limit, invalid; missing while it is not decided
    why            why it was not trained
    identity       equal for candidates that would train the same
    hash, changes, facts    semantic hash, what was chosen, the totals of the shape table
    metrics, seconds        what came of the training, by name, and how long it took
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_spec.diagnostics import Code, SweepError
from nin_spec.extras import need
from nin_spec.sweeps.folder import Record, trial_lock, unusable
from nin_spec.sweeps.load import Sweep

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

DECIDED = frozenset({"trained", "pruned", "diverged", "duplicate", "limit", "invalid"})
"""The outcomes after which a trial is never repeated."""
LEARNED = frozenset({"trained", "pruned", "diverged"})
"""Those of candidates that were trained."""
_HEARTBEAT, _GRACE = 60, 240
"""Seconds between the heartbeats of a trial in a server's database, and without one before it is lost."""
_UNMARKED = 60.0
"""Seconds after which a trial that no process has marked is lost."""


def optuna() -> Any:
    """Optuna, without its log: what happens is reported by nin-spec. Raises InputError if it is not installed."""
    module = need("optuna", "nin-spec sweep", "sweep")
    module.logging.set_verbosity(module.logging.ERROR)
    return module


@contextmanager
def quietly() -> Iterator[None]:
    """Without warnings about parts of Optuna that are documented but may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna().exceptions.ExperimentalWarning)
        yield


def open_storage(folder: Path, record: Record) -> RDBStorage:
    """The storage of a sweep, created if it is not there yet. Raises SweepError."""
    module = optuna()
    url, arguments = _url(folder, record.storage)
    try:
        with quietly():
            retry = module.storages.RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)
            server = {"heartbeat_interval": _HEARTBEAT, "grace_period": _GRACE, "heartbeat_stale_trial_callback": retry}
            found: RDBStorage = module.storages.RDBStorage(url, arguments, **({} if record.storage is None else server))
            return found
    except ImportError as error:
        message = f"the storage needs a database driver: {str(error).partition(chr(10))[0]}"
        raise SweepError(Code.SWEEP_UNUSABLE, message, hint="for PostgreSQL: pip install 'psycopg[binary]'") from None
    except Exception as error:
        if not type(error).__module__.startswith(("sqlalchemy", "optuna", "alembic")):
            raise
        raise _unreachable(folder, record, error) from None


def _url(folder: Path, storage: str | None) -> tuple[str, dict[str, Any]]:
    from sqlalchemy import URL

    if storage is None:
        url = URL.create("sqlite", database=str((folder / "study.db").absolute()))
        text = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
        return text, {"connect_args": {"timeout": 60}}
    if storage.partition("://")[0].partition("+")[0] not in {"postgresql", "mysql", "mariadb"}:
        message = f"{storage} is not the URL of a PostgreSQL or MySQL database"
        hint = "postgresql://USER:PASSWORD@HOST/DATABASE; leave storage out for SQLite in the sweep folder"
        raise SweepError(Code.SWEEP_UNUSABLE, message, hint=hint)
    return storage.replace("{", "{{").replace("}", "}}"), {"pool_pre_ping": True}


def _unreachable(folder: Path, record: Record, error: Exception) -> SweepError:
    line = str(error).partition("\n")[0]
    return unusable(folder, f"its storage, {hidden(record.storage)}, can't be used: {line}")


def hidden(storage: str | None) -> str:
    """The name of a storage without its password."""
    if storage is None:
        return "study.db"
    from sqlalchemy import make_url

    return make_url(storage).render_as_string()


def create(folder: Path, record: Record, sweep: Sweep, *, join: bool = False) -> Study:
    """The study, created by the first command. Raises SweepError if it is of another sweep, or to `join` is missing.

    Worker processes open it afterwards: two that create a new SQLite file at once disturb each other.
    """
    module = optuna()
    storage = open_storage(folder, record)
    names = module.study.get_all_study_names(storage)
    if join and record.name not in names:
        message = f"{hidden(record.storage)} has no study {record.name!r} to join"
        raise SweepError(Code.SWEEP_UNUSABLE, message, hint="start the sweep without --join first")
    directions = [objective.direction for objective in sweep.objectives]
    study: Study = module.create_study(
        storage=storage,
        sampler=module.samplers.RandomSampler(),
        study_name=record.name,
        directions=directions,
        load_if_exists=True,
    )
    fingerprint = study.user_attrs.get("nin_spec")
    if fingerprint is None:
        study.set_user_attr("nin_spec", record.fingerprint)
        with quietly():
            study.set_metric_names([objective.name for objective in sweep.objectives])
    elif fingerprint != record.fingerprint:
        raise unusable(folder, f"the study {record.name!r} in its storage is of another sweep", "rename the sweep file")
    return study


def opened(folder: Path, record: Record, sweep: Sweep | None = None) -> Study:
    """The study of a sweep that was started; with its pruner for a worker. Raises SweepError."""
    module = optuna()
    if record.storage is None and not (folder / "study.db").is_file():
        raise unusable(folder, "it has no study.db", "start it again in another folder")
    storage = open_storage(folder, record)
    pruner = None if sweep is None else pruner_of(sweep)
    try:
        study: Study = module.load_study(
            study_name=record.name, storage=storage, sampler=module.samplers.RandomSampler(), pruner=pruner
        )
    except KeyError:
        raise unusable(folder, f"{hidden(record.storage)} has no study {record.name!r}") from None
    return study


def pruner_of(sweep: Sweep) -> BasePruner:
    """The pruner that the file names."""
    pruners, asked = optuna().pruners, sweep.file.prune
    pruner: BasePruner
    if asked is None:
        pruner = pruners.NopPruner()
    elif asked.kind == "median":
        pruner = pruners.MedianPruner(n_startup_trials=asked.after, n_warmup_steps=asked.epoch)
    else:
        pruner = pruners.SuccessiveHalvingPruner(min_resource=asked.epoch, reduction_factor=asked.factor)
    return pruner


def sampler_of(sweep: Sweep, judged: int, worker: int, *, stuck: bool = False) -> BaseSampler:
    """The sampler of the next trial: what it suggests depends on the seed, the trials so far, and the worker alone.

    `stuck`: it has repeated itself, so that the next trial is drawn at random.
    """
    import numpy as np

    samplers, file = optuna().samplers, sweep.file
    seed = int(np.random.SeedSequence([file.seed, judged, worker]).generate_state(1)[0])
    sampler: BaseSampler
    if file.sampler == "grid":
        space = {axis.key: axis.grid() for axis in sweep.axes if not axis.is_fixed}
        sampler = samplers.GridSampler(space, seed=file.seed)
    elif file.sampler == "random" or stuck:
        sampler = samplers.RandomSampler(seed=seed)
    elif file.sampler == "nsga2":
        sampler = samplers.NSGAIISampler(seed=seed)
    else:
        sampler = samplers.TPESampler(seed=seed)
    return sampler


# ------------------------------------------------------------------ trials


def is_lost(trial: FrozenTrial) -> bool:
    """Whether a trial failed only because its process ended, not for what it is."""
    return trial.state.name == "FAIL" and trial.user_attrs.get("outcome") not in DECIDED - {"trained", "pruned"}


def is_judged(trial: FrozenTrial) -> bool:
    """Whether it is known what a trial is worth."""
    return trial.state.is_finished() and not is_lost(trial)


def learned(trials: Iterable[FrozenTrial]) -> int:
    """How many candidates were trained."""
    return sum(is_judged(trial) and trial.user_attrs.get("outcome") in LEARNED for trial in trials)


def training_elsewhere(trials: Iterable[FrozenTrial], record: Record) -> int:
    """How many candidates other machines are training now."""
    running = (trial.user_attrs.get("at") for trial in trials if trial.state.name == "RUNNING")
    return sum(token not in {None, record.token} for token in running)


def reap(study: Study, folder: Path, record: Record) -> int:
    """Queue what lost processes have left, so that the next worker resumes it. Returns how many trials these are.

    A trial is lost if it runs, and no process holds its lock; or if it was interrupted, and nobody has taken it over.
    """
    module = optuna()
    for trial in study.get_trials(deepcopy=False, states=(module.trial.TrialState.RUNNING,)):
        if _is_abandoned(trial, folder, record):
            study.tell(trial.number, state=module.trial.TrialState.FAIL, skip_if_finished=True)
    trials = study.get_trials(deepcopy=False)
    with quietly():
        retry = module.storages.RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)
        taken = {number for trial in trials for number in retry.retry_history(trial)}
        left = [t for t in trials if is_lost(t) and t.number not in taken and _is_ours(t, record) and _has_begun(t)]
        for trial in left:
            retry(study, trial)
    return len(left)


def _is_ours(trial: FrozenTrial, record: Record) -> bool:
    return trial.user_attrs.get("at", record.token if record.storage is None else None) == record.token


def _has_begun(trial: FrozenTrial) -> bool:
    """Whether anything would be lost. What the sampler chooses in its place is the same, but for a grid."""
    return "folder" in trial.user_attrs or "grid_id" in trial.system_attrs


def _is_abandoned(trial: FrozenTrial, folder: Path, record: Record) -> bool:
    if not _is_ours(trial, record):
        return False
    if "at" not in trial.user_attrs:
        begun = trial.datetime_start
        return begun is None or time.time() - begun.timestamp() > _UNMARKED or not _anybody(folder)
    return not _is_held(folder, trial.number)


def _is_held(folder: Path, number: int) -> bool:
    lock = trial_lock(folder, number)
    try:
        lock.acquire()
    except need("filelock", "nin-spec sweep").Timeout:
        return True
    lock.release()
    return False


def _anybody(folder: Path) -> bool:
    """Whether any process trains a trial in the folder."""
    return any(_is_held(folder, int(path.stem)) for path in (folder / "locks").glob("[0-9]*.lock"))
