"""From a sweep file to its results: what `nin-spec sweep` and Python call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nin_spec.extras import require
from nin_spec.sweeps import folder as folders
from nin_spec.sweeps import manager, store
from nin_spec.sweeps.candidates import probe
from nin_spec.sweeps.folder import Record, Settings
from nin_spec.sweeps.load import Sweep, load
from nin_spec.sweeps.results import SweepResult, of_study

if TYPE_CHECKING:
    from optuna import Study

Report = Callable[[SweepResult, float | None], None]


@dataclass(frozen=True)
class Begun:
    """A sweep folder that is ready for workers."""

    folder: Path
    record: Record
    sweep: Sweep
    study: Study

    @property
    def result(self) -> SweepResult:
        """What there is now."""
        return of_study(self.folder, self.record, self.sweep, self.study)


def begin(loaded: Sweep, output: Path, settings: Settings = Settings()) -> Begun:  # noqa: B008 frozen
    """Create a sweep folder and its study, or open those of the same sweep.

    Raises SweepError: a folder of another sweep, a storage that can't be used, or limits that nothing meets.
    """
    require("optuna", purpose="nin-spec sweep", extra="sweep")
    require("filelock", "matplotlib", purpose="nin-spec sweep")
    if not folders.is_sweep(output):
        probe(loaded)
    record = folders.begin(output, loaded, settings)
    return Begun(output, record, loaded, store.create(output, record, loaded, join=settings.join is not None))


def resume(folder: Path) -> Begun:
    """Open a sweep folder for workers. Raises SweepError."""
    record, loaded = folders.open_sweep(folder)
    return Begun(folder, record, loaded, store.create(folder, record, loaded))


def run(  # noqa: PLR0913 keywords
    begun: Begun,
    *,
    workers: int = 1,
    trials: int | None = None,
    threads: int | None = None,
    report: Report = lambda _result, _left: None,
    log: Callable[[str], None] = lambda _text: None,
    stop: Callable[[], bool] = lambda: False,
) -> SweepResult:
    """Train candidates in worker processes until `trials` of them are trained. Raises SweepError, DataError, ..."""
    from nin_spec.runtime.providers import available_threads

    asked = manager.Asked(
        workers, trials or begun.sweep.file.trials, threads or max(1, available_threads() // workers), report, log, stop
    )
    with folders.alone(begun.folder):
        return manager.Manager(begun.folder, begun.record, begun.sweep, begun.study, asked).run()


def sweep(  # noqa: PLR0913 keywords
    file: str | Path,
    output: str | Path | None = None,
    *,
    overrides: Iterable[str] = (),
    data: str | Path | None = None,
    workers: int = 1,
    trials: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    report: Report = lambda _result, _left: None,
) -> SweepResult:
    """Train the candidates of a sweep file and return what was found: `sweep("pets.sweep.yaml").best()`.

    `output` is the sweep folder, by default `sweeps/NAME`; the same call resumes it. `overrides` are dotted
    `path=value` strings for every candidate. `report` is called after each candidate with the results so far and the
    seconds left.

    Raises:
        SpecError: a sweep file or a base that is wrong, with every diagnostic.
        SweepError: limits that nothing meets, or a folder of another sweep.
        InputError: Optuna is not installed (the extra `sweep`).
        DataError: a data set that is missing, damaged, or does not fit.
    """
    loaded = load(file, overrides)
    target = Path(output) if output is not None else default_folder(Path(file))
    place = None if data is None else str(data)
    begun = begin(loaded, target, Settings(data=place, device=device))
    return run(begun, workers=workers, trials=trials, threads=threads, report=report)


def default_folder(file: Path) -> Path:
    """`sweeps/NAME`."""
    return Path("sweeps") / folders.name_of(file)
