"""The sweep folder: everything that the same command needs to resume, on one machine.

sweep.yaml     the sweep file as it was started
sweep.json     where that file was, the overrides, the data, the storage and the settings of its trainings
study.db       Optuna's study in SQLite, unless the storage is a server
runs/          a run folder for each training, by the number of its trial
locks/         a lock for each trial that is being trained
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nin_spec.diagnostics import Code, Source, SweepError
from nin_spec.extras import need
from nin_spec.files import refuse_url, write_atomic
from nin_spec.language import document
from nin_spec.sweeps.load import Sweep, load_source

RECORD = "sweep.json"
"""The file by which a sweep folder is known."""
FILE = "sweep.yaml"
HINT = "pass the folder that nin-spec sweep FILE -o DIR wrote"


class Record(BaseModel):
    """sweep.json. `token` marks the trials of this folder in a storage that several machines share."""

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    name: str
    token: str
    file: str
    overrides: list[str] = []
    data: str | None = None
    storage: str | None = None
    limit: int | None = None
    device: str = "auto"
    fingerprint: str


def is_sweep(path: str | Path) -> bool:
    """Whether a path is a sweep folder."""
    return (Path(path) / RECORD).is_file()


def fingerprint_of(sweep: Sweep) -> str:
    """The SHA-256 of what the results depend on: a sweep is resumed only with the same."""
    given = document.plain(sweep.root)
    kept = {key: given.get(key) for key in ("set", "space", "objectives", "within", "seeds")}
    parts = [kept, document.plain(sweep.base)]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def name_of(file: Path) -> str:
    """The name of a sweep: that of its file without `.sweep.yaml`."""
    return file.name.removesuffix(".yaml").removesuffix(".yml").removesuffix(".sweep") or "sweep"


@dataclass(frozen=True)
class Settings:
    """How a sweep is run.

    `limit` uses only so many pictures of each split; `join` is the URL of a storage in which the same sweep was
    started, for example on another machine.
    """

    data: str | None = None
    limit: int | None = None
    device: str = "auto"
    join: str | None = None


def begin(folder: Path, sweep: Sweep, settings: Settings) -> Record:
    """Create a sweep folder, or open the one of the same sweep. Raises SweepError if it is of another one."""
    refuse_url(str(folder))
    place = None if settings.data is None else str(Path(settings.data).resolve())
    now: dict[str, Any] = {"file": str(Path(sweep.source.name).resolve()), "device": settings.device}
    if is_sweep(folder):
        record = read_record(folder)
        _require_same(folder, record, sweep, settings)
        record = record.model_copy(update=now if place is None else {**now, "data": place})
    else:
        _require_free(folder)
        record = Record(
            **now,
            name=name_of(Path(sweep.source.name)),
            token=secrets.token_hex(8),
            overrides=list(sweep.overrides),
            data=place,
            storage=settings.join or sweep.file.storage,
            limit=settings.limit,
            fingerprint=fingerprint_of(sweep),
        )
    try:
        for part in ("runs", "locks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(folder, f"it can't be created: {error.strerror}") from None
    write_atomic(folder / FILE, sweep.source.text.encode())
    write_atomic(folder / RECORD, (record.model_dump_json(indent=2) + "\n").encode())
    return record


def _require_same(folder: Path, record: Record, sweep: Sweep, settings: Settings) -> None:
    if record.fingerprint != fingerprint_of(sweep):
        hint = "pass another -o, or undo the change: only trials, time_limit, sampler and prune may change"
        raise unusable(folder, f"it is of another sweep than {sweep.source.name} or its base are now", hint)
    if settings.join not in {None, record.storage}:
        raise unusable(folder, "it was started with another storage", "pass another -o")
    if settings.limit not in {None, record.limit}:
        raise unusable(folder, f"it was started with --limit {record.limit}", "leave --limit out, or pass another -o")


def _require_free(folder: Path) -> None:
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise unusable(folder, f"it can't be read: {error.strerror}") from None
    if taken:
        raise unusable(folder, "it exists already, and was not made by nin-spec sweep", "pass another -o")


def read_record(folder: Path) -> Record:
    """Read sweep.json. Raises SweepError."""
    try:
        return Record.model_validate_json((folder / RECORD).read_bytes())
    except OSError as error:
        raise unusable(folder, f"{RECORD}: {error.strerror}", HINT) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise unusable(folder, f"{RECORD} is damaged: {'.'.join(map(str, first['loc']))} {first['msg']}") from None


def open_sweep(folder: Path) -> tuple[Record, Sweep]:
    """The record of a sweep folder, and its sweep as it was started. Raises SweepError, SpecError."""
    record = read_record(folder)
    text = document.decode(str(folder / FILE), document.read_bytes(folder / FILE)).text
    # Under the name of the file it was started with, for `base` is relative to it.
    return record, load_source(Source(record.file, text), record.overrides)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock a sweep folder against a second command. Raises SweepError if it is locked."""
    filelock = need("filelock", "nin-spec sweep")
    lock = filelock.FileLock(folder / ".lock", timeout=0)  # the system releases it when the process ends
    try:
        lock.acquire()
    except filelock.Timeout:
        raise unusable(folder, "another command is running it", "wait until it ends, or stop it") from None
    try:
        yield
    finally:
        lock.release()


def trial_lock(folder: Path, number: int) -> Any:
    """The lock that the process which trains a trial holds."""
    filelock = need("filelock", "nin-spec sweep")
    return filelock.FileLock(folder / "locks" / f"{number:04}.lock", timeout=0)


def run_folder(number: int, seed: int) -> str:
    """The run folder of a trial and of one of its seeds, relative to the sweep folder."""
    return f"runs/{number:04}" + (f"-{seed}" if seed else "")


def unusable(folder: Path | str, why: str, hint: str | None = None) -> SweepError:
    """The error of an unusable folder."""
    return SweepError(Code.SWEEP_UNUSABLE, f"{folder} can't be used as a sweep: {why}", hint=hint)
