"""The run folder: what was trained, on what and how, and the result. Everything needed to repeat it.

spec.yaml            the resolved spec, with its recipe and labels
run.json             data, seeds, versions, settings, state, and the file of the result
metrics.csv          a row per epoch; the same bytes for the same seed
timings.csv          the speed of each epoch
best.safetensors     the weights of the best epoch
last.safetensors     the weights of the last epoch
checkpoints/         the state from which the run resumes
curves.png           a plot of metrics.csv, drawn at the end
tensorboard/         the same rows for TensorBoard, written after each epoch
temperature.json     what `nin-spec calibrate` fitted
evaluation.*.json    what `nin-spec evaluate` found, by split
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from nin_spec import __version__
from nin_spec import network as networks
from nin_spec.diagnostics import Code, TrainingError, counted
from nin_spec.files import refuse_url, write_atomic
from nin_spec.language import document
from nin_spec.language.load import load_source
from nin_spec.named import RECORD, is_run
from nin_spec.network import Network
from nin_spec.notebook import Facts, Picture, view
from nin_spec.passes.temperature import calibrated
from nin_spec.training.settings import TrainSettings
from nin_spec.weights.temperature import TEMPERATURE, FittedTemperature, read_temperature

if TYPE_CHECKING:
    from nin_spec.language.recipe import Recipe
    from nin_spec.model import Model

FILES = frozenset(
    {
        "spec.yaml",
        RECORD,
        "metrics.csv",
        "timings.csv",
        "best.safetensors",
        "last.safetensors",
        "curves.png",
    }
)
"""The files of a run folder: no command writes another one in their place."""
LATER = frozenset({TEMPERATURE, "evaluation.test.json", "evaluation.validation.json", "evaluation.train.json"})
"""The same, of those that later commands add."""

Status = Literal["running", "interrupted", "diverged", "finished"]


class DataRecord(BaseModel):
    """The data of a run."""

    model_config = ConfigDict(extra="forbid")

    dataset: str
    location: str | None
    train_fingerprint: str
    train_images: int
    scored_on: Literal["test", "validation"]
    scored_images: int
    scored_fingerprint: str | None = None


Origin = Literal["carried", "by class", "fresh"]
"""Where a tensor comes from at the start: a file, a file for the rows of some classes, or the seed."""


class StartRecord(BaseModel):
    """The file of weights that a run started from: its path then, and what was carried.

    `origins` are those of the network's tensors, `classes` the labels whose rows were carried, `dropped` the file's
    tensors that the network lacks.
    """

    model_config = ConfigDict(extra="forbid")

    file: str
    sha256: str
    new_head: bool
    origins: dict[str, Origin]
    classes: list[str]
    dropped: list[str]


class Record(BaseModel):
    """run.json. `final` is the last row of metrics.csv, `best` that of the epoch in best.safetensors.

    `ended` is the reason if it ended before its last epoch. `agents` are the launchers of its processes, by which
    processes restarted by torchrun find their run.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    format: Literal[1] = 1
    name: str
    hash: str
    spec_sha256: str | None = None
    status: Status
    result: Literal["best.safetensors", "last.safetensors"] = "last.safetensors"
    chosen: str = "the last epoch"
    data: DataRecord
    seed: int
    settings: TrainSettings
    started_from: str | None = None
    start: StartRecord | None = None
    agents: list[str] = []
    versions: dict[str, str]
    warnings: list[str] = []
    ended: str | None = None
    final: dict[str, float | int] = {}
    best: dict[str, float | int] = {}


Read = TypeVar("Read")
_Stamp = tuple[int, int, int]
"""When a file was changed, in nanoseconds, its size, and its inode."""


@dataclass(frozen=True)
class Run:
    """A run folder that was read. Each of its files is read once, and again only after it changed."""

    path: Path
    network: Network
    record: Record
    _kept: dict[str, tuple[_Stamp, Any]] = field(default_factory=dict, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"<run {str(self.path)!r} of {self.network.card.name!r}: {self.record.status}, {self.record.chosen}>"

    def _repr_html_(self) -> str:
        facts = [
            ("network", f"{self.network.card.name} ({self.network.hash})"),
            ("status", self.record.status),
            ("data set", self.dataset),
            *((key.replace("_", " "), f"{value:,.6g}") for key, value in self.result.items()),
            *(("remark", remark) for remark in self.remarks),
        ]
        curves = self.path / "curves.png"
        drawn = [Picture(curves.read_bytes(), "loss and accuracy by epoch")] if curves.is_file() else []
        return view(str(self.path), Facts(facts), *drawn)

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return self.record.data.dataset

    @property
    def location(self) -> Path | None:
        """The path of the data, if it was passed."""
        return None if self.record.data.location is None else Path(self.record.data.location)

    @property
    def remarks(self) -> list[str]:
        """The weights that `model` returns, and remarks on them."""
        told = [f"weights: {self.record.result} of {self.path}, from {self.record.chosen}"]
        if self.record.status != "finished":
            done = counted(int(self.record.final.get("epoch", 0)), "epoch")
            told.append(f"this run is not finished ({self.record.status}, {done} done at the last record)")
        found = self._fitted
        if found is not None and self.has_weights and (unfit := found.unfit_for(self.digest)):
            told.append(f"{TEMPERATURE} {unfit}: nin-spec calibrate {self.path}")
        elif found is not None:
            told.append(found.remark)
        return told

    @property
    def result(self) -> dict[str, float | int]:
        """The row of metrics.csv for the resulting weights; empty before the first epoch is done."""
        return self.record.final if self.record.result == "last.safetensors" else self.record.best

    @property
    def has_learned(self) -> bool:
        """Whether its weights have had at least one step."""
        last = self.path / "last.safetensors"
        if not last.is_file():
            return bool(self.record.final)
        return not self.network.with_weights(last, temperature=False).card.weights.startswith("fresh")

    @property
    def longer(self) -> str:
        """The command that continues training from the result, in a new run."""
        return f"nin-spec train {self.path}/spec.yaml --weights {self.path} --set train.epochs=N"

    @property
    def weights(self) -> Path:
        """The file of the trained weights. Raises TrainingError while there is none."""
        path = self.path / self.record.result
        if not is_run(self.path):
            raise unusable(self.path, "only process 0 writes it, on its machine")
        if not path.is_file():
            hint = f"finish the training first: nin-spec train {self.path} --resume"
            raise unusable(self.path, f"it has no {self.record.result} yet", hint)
        return path

    @property
    def has_weights(self) -> bool:
        """Whether the file of the trained weights is there yet."""
        return (self.path / self.record.result).is_file()

    @property
    def digest(self) -> str:
        """The SHA-256 of the file of the trained weights: what is stored beside it belongs to it. Raises likewise."""
        return self._trained[1]

    @property
    def temperature(self) -> float | None:
        """The temperature that `nin-spec calibrate` fitted for the trained weights, None without one.

        Raises TrainingError for a damaged file.
        """
        found = self._fitted
        return None if found is None or found.unfit_for(self.digest) else found.temperature

    def model(self) -> Model:
        """The network with the trained weights, and with their temperature if the run is calibrated.

        Raises TrainingError if there are no weights yet.
        """
        return calibrated(self.uncalibrated(), self.temperature)

    def uncalibrated(self) -> Model:
        """The network with the trained weights alone. Raises TrainingError if there are none yet."""
        return self._trained[0]

    @property
    def _trained(self) -> tuple[Model, str]:
        """The network with the trained weights, and the SHA-256 of their file."""
        from nin_spec.weights import load_hashed

        def read() -> tuple[Model, str]:
            adoption, sha256 = load_hashed(self.weights, self.network.graph)
            return self.network.carrying(adoption), sha256

        return self._once(self.weights, read)

    @property
    def _fitted(self) -> FittedTemperature | None:
        path = self.path / TEMPERATURE
        return self._once(path, lambda: read_temperature(self.path)) if path.exists() else None

    def _once(self, path: Path, read: Callable[[], Read]) -> Read:
        """What was read from a file, kept until the file changes."""
        status = path.stat()
        stamp = status.st_mtime_ns, status.st_size, status.st_ino
        if path.name not in self._kept or self._kept[path.name][0] != stamp:
            self._kept[path.name] = stamp, read()
        found: Read = self._kept[path.name][1]
        return found


def open_run(path: str | Path) -> Run:
    """Open a run folder that `train` wrote: its network, its record, and its weights by `run.model()`.

    Raises TrainingError (RUN_UNUSABLE), or SpecError if its spec is damaged.
    """
    folder = Path(path)
    record = read_record(folder)
    spec = folder / "spec.yaml"
    data = document.read_bytes(spec)
    network = networks.compile(load_source(document.decode(str(spec), data)))
    hint = "restore spec.yaml, which is part of the run's result, and train the changed spec in a new run"
    if network.hash != record.hash:
        raise unusable(folder, "spec.yaml declares a different network from the one trained", hint)
    if record.spec_sha256 not in {None, hashlib.sha256(data).hexdigest()}:
        raise unusable(folder, "spec.yaml was changed after the training started", hint)
    return Run(folder, network, record)


def read_record(folder: Path) -> Record:
    """Read run.json. Raises TrainingError (RUN_UNUSABLE)."""
    try:
        return Record.model_validate_json((folder / RECORD).read_bytes())
    except OSError as error:
        raise unusable(folder, f"run.json: {error.strerror}", "pass a folder that nin-spec train wrote") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise unusable(folder, f"run.json is damaged: {where} {first['msg']}") from None


def write_record(folder: Path, record: Record) -> None:
    """Write run.json."""
    write_atomic(folder / RECORD, (record.model_dump_json(indent=2) + "\n").encode())


def write_rows(path: Path, rows: Sequence[Mapping[str, float | int]]) -> None:
    """Write a CSV file of rows with equal keys; numbers in full precision."""
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue().encode())


def read_rows(path: Path) -> list[dict[str, float]]:
    """The rows of such a file; empty if it does not exist. Raises TrainingError if it is damaged."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="") as file:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file, strict=True)]
    except (OSError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise unusable(path.parent, f"{path.name} is damaged: {error}", f"remove {path}") from None


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """The versions of Python, nin-spec and installed packages."""
    from importlib.metadata import version
    from platform import python_version

    return {"python": python_version(), "nin-spec": __version__, **{name: version(name) for name in packages}}


def recipe_of(network: Network) -> Recipe:
    """The recipe. Raises TrainingError if the spec has none."""
    recipe = network.spec.spec.train
    if recipe is None:
        message = f"{network.card.name} has no recipe: its spec has no train section"
        hint = (
            "add train: {dataset: ..., epochs: ..., optimizer: {kind: adamw, lr: 0.001}}; see `nin-spec guide training`"
        )
        raise TrainingError(Code.RECIPE, message, network.spec.root, hint)
    return recipe


def require_free(target: Path) -> None:
    """Raise TrainingError unless the target is free, or an empty folder."""
    refuse_url(str(target))
    try:
        if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
            return
    except OSError as error:
        raise TrainingError(Code.RUN_UNUSABLE, f"{target} can't be read: {error.strerror}") from None
    if is_run(target):
        hint = f"run nin-spec train {target} --resume to resume it, or pass another --output"
        raise TrainingError(Code.RUN_UNUSABLE, f"{target} exists already: it is a run", hint=hint)
    message = f"{target} exists already, and was not made by nin-spec train"
    raise TrainingError(Code.RUN_UNUSABLE, message, hint="pass another --output")


def default_folder(name: str) -> Path:
    """`runs/NAME`, or the first free of `runs/NAME-2`, `runs/NAME-3`, ..."""
    free = Path("runs") / name
    number = 1
    while free.exists():
        number += 1
        free = Path("runs") / f"{name}-{number}"
    return free


def latest_folder(name: str) -> Path:
    """The newest run of a name under `runs`, by number. Raises TrainingError if there is none."""
    found = runs_of(name)
    if not found:
        message = f"runs/ has no run of {name} to resume"
        raise TrainingError(Code.RUN_UNUSABLE, message, hint="pass the folder: nin-spec train RUNDIR --resume")
    return found[0]


def runs_of(name: str) -> list[Path]:
    """The runs of a name under `runs`, the newest first, by number."""
    found = [p for p in Path("runs").glob(f"{name}*") if is_run(p) and _number(p, name) is not None]
    return sorted(found, key=lambda p: _number(p, name) or 0, reverse=True)


def _number(path: Path, name: str) -> int | None:
    rest = path.name.removeprefix(name)
    if not rest:
        return 1
    return int(rest[1:]) if rest[0] == "-" and rest[1:].isdecimal() else None


def unusable(folder: Path, why: str, hint: str | None = None) -> TrainingError:
    """The error of an unusable folder."""
    return TrainingError(Code.RUN_UNUSABLE, f"{folder} can't be used as a run: {why}", hint=hint)
