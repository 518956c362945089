"""The served models: names and versions, opened and warmed up before they take requests, replaced atomically."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nin_spec.diagnostics import Code, InputError, NinSpecError, WeightsError
from nin_spec.opened import model_of
from nin_spec.serving.batcher import Batcher, Limits
from nin_spec.serving.engine import Engine, Plan, open_engine, open_worker, plan
from nin_spec.serving.errors import NotFoundError
from nin_spec.serving.logs import logger
from nin_spec.serving.metrics import Statistics
from nin_spec.weights import weights_file
from nin_spec.weights.temperature import TEMPERATURE

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Source:
    """A file or a run folder to serve. The default name is the model's own (nin_spec.name), else the path's stem."""

    path: Path
    name: str = ""
    version: str = "1"


def parse_source(text: str) -> Source:
    """`FILE`, `NAME=FILE` or `NAME:VERSION=FILE`. Raises InputError."""
    name, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        return Source(Path(text))
    name, colon, version = name.partition(":")
    if not _NAME.fullmatch(name) or (colon and not _VERSION.fullmatch(version)):
        message = (
            f"{text!r} is not a valid model: a name has letters, digits, '.', '_' and '-', a version is a "
            "positive number"
        )
        raise InputError(Code.SERVE_UNUSABLE, message, hint="write NAME=FILE.onnx or NAME:2=FILE.onnx")
    return Source(Path(path), name, version or "1")


@dataclass(frozen=True, slots=True)
class Choice:
    """How models are opened: device and its options, intra-op threads, and how requests may share a run."""

    device: str = "auto"
    threads: int | None = None
    rows: int = 32
    delay: float = 0.0
    queue: int = 256
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opened:
    """A running model, warmed up and measured, with the stamp of its file.

    `most`: limit of rows per request. `worker`: the same model on one core, if parallel runs pay off.
    """

    source: Source
    engine: Engine
    worker: Engine | None
    plan: Plan
    stamp: tuple[int, ...]
    most: int

    @property
    def name(self) -> str:
        """The name for clients."""
        return self.source.name


def open_model(source: Source, choice: Choice) -> Opened:
    """Open, test and warm up. Takes seconds. Raises InputError or DeviceError."""
    stamp = stamp_of(source.path)
    content = model_of(source.path, choice.device)
    engine = open_engine(source.path, choice.device, choice.threads, choice.options, content)
    name = source.name or _safe(engine.info.name) or _safe(source.path.stem) or "model"
    # A delay fills runs, but workers would divide what it collected.
    worker = None if choice.delay else open_worker(engine, content, choice.options)
    if worker and stamp_of(source.path) != stamp:  # two files would have one name
        message = f"{source.path} changed while it was opened"
        raise InputError(Code.SERVE_UNUSABLE, message, hint="try again once it is written")
    found = plan(engine, choice.rows, worker)
    logger.info(
        found.remark,
        extra={"model": name, "version": source.version, "file": str(source.path), "device": engine.session.choice},
    )
    if engine.info.weights.startswith("fresh"):
        logger.warning("untrained weights: the classes are meaningless", extra={"model": name})
    return Opened(replace(source, name=name), engine, worker if found.workers > 1 else None, found, stamp, choice.rows)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[:128].lstrip("._-")


def stamp_of(path: Path) -> tuple[int, ...]:
    """A stamp that changes with a file, or with a run's weights or temperature; empty if there are none."""
    try:
        files = [weights_file(path), path / TEMPERATURE] if path.is_dir() else [path]
        found = [file.stat() for file in files if file.name != TEMPERATURE or file.exists()]
    except WeightsError:
        return ()
    except OSError:
        return ()
    return tuple(n for status in found for n in (status.st_ino, status.st_size, status.st_mtime_ns))


def open_all(sources: Sequence[Source], choice: Choice) -> list[Opened]:
    """Open all models. Raises InputError for two with the same name and version, and what `open_model` raises."""
    opened = [open_model(source, choice) for source in sources]
    seen: dict[tuple[str, str], Path] = {}
    for model in opened:
        key = (model.name, model.source.version)
        if key in seen:
            message = f"{seen[key]} and {model.source.path} are both version {key[1]} of {key[0]!r}"
            hint = f"use different versions: {key[0]}:1={seen[key]} {key[0]}:2={model.source.path}"
            raise InputError(Code.SERVE_UNUSABLE, message, hint=hint)
        seen[key] = model.source.path
    return opened


@dataclass(eq=False)
class Served:
    """A served model version: its engine and its batcher."""

    opened: Opened
    limits: Limits
    statistics: Statistics = field(default_factory=Statistics)

    def __post_init__(self) -> None:
        self.name, self.version = self.opened.name, self.opened.source.version
        self.engine, worker = self.opened.engine, self.opened.worker
        name = f"{self.name}:{self.version}"
        self.batcher = Batcher(self.engine.run, self.limits, self.statistics, name, worker.run if worker else None)


@dataclass(eq=False)
class Repository:
    """The models by name and version. Used in the event loop's thread only."""

    choice: Choice
    _served: dict[str, dict[str, Served]] = field(default_factory=dict)
    _retiring: dict[asyncio.Task[None], Batcher] = field(default_factory=dict)
    _reloading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _asked: bool = False

    def add(self, opened: Opened) -> None:
        """Serve a model, replacing that of the same name and version, which finishes its requests."""
        versions = self._served.setdefault(opened.name, {})
        old = versions.get(opened.source.version)
        statistics = old.statistics if old else Statistics()
        versions[opened.source.version] = Served(opened, self._limits(opened.plan), statistics)
        if old:
            task = asyncio.get_running_loop().create_task(old.batcher.close())
            self._retiring[task] = old.batcher
            task.add_done_callback(self._retiring.pop)

    def _limits(self, found: Plan) -> Limits:
        return Limits(found.rows, self.choice.delay, self.choice.queue, found.buckets, found.workers, found.size)

    def find(self, name: str, version: str = "") -> Served:
        """A version of a model, by default the highest. Raises NotFoundError."""
        versions = self._served.get(name)
        if versions is None:
            there = ", ".join(self._served)
            raise NotFoundError(f"unknown model {name[:128]!r}; this server has {there}")
        if not version:
            return versions[max(versions, key=int)] if len(versions) > 1 else next(iter(versions.values()))
        if version not in versions:
            raise NotFoundError(f"the model {name!r} has no version {version[:32]!r}")
        return versions[version]

    def now(self, served: Served) -> Served:
        """The current model of the same name and version, after reloads."""
        return self._served[served.name][served.version]

    def versions(self, name: str) -> list[str]:
        """A model's versions, lowest first."""
        return sorted(self._served.get(name, {}), key=int)

    def all(self) -> Mapping[tuple[str, str], Served]:
        """Every model version."""
        return {(s.name, s.version): s for versions in self._served.values() for s in versions.values()}

    async def close(self, *, at_once: bool = False) -> None:
        """Run the waiting requests, then end; `at_once` drops them."""
        batchers = [*(served.batcher for served in self.all().values()), *self._retiring.values()]
        await asyncio.gather(*(batcher.close(at_once=at_once) for batcher in batchers))

    # -------------------------------------------------------------- reload

    async def reload(self, *, changed_only: bool) -> None:
        """Open each file again beside the old model, and replace that once the new one runs.

        If a file is unusable, the old model stays, and the error is logged. One reload at a time: of two, the older
        file could win. If one is already waiting, it covers later requests.
        """
        if not changed_only:
            if self._asked:
                return
            self._asked = True
        async with self._reloading:
            if not changed_only:
                self._asked = False
            for served in list(self.all().values()):
                source = served.opened.source
                if not changed_only or stamp_of(source.path) not in {served.opened.stamp, ()}:
                    await self._reload(served, source)

    async def _reload(self, served: Served, source: Source) -> None:
        told = {"model": served.name, "version": served.version, "file": str(source.path)}
        stamp = stamp_of(source.path)
        try:
            opened = await asyncio.to_thread(open_model, source, self.choice)
        except NinSpecError as error:
            logger.error("reload failed, the old model stays: %s", error.diagnostics[0].message, extra=told)
            served.opened = replace(served.opened, stamp=stamp)  # not retried until it changes again
            return
        except Exception:  # noqa: BLE001 on any error, the served model and the watch continue
            logger.exception("reload failed, the old model stays: an internal error", extra=told)
            served.opened = replace(served.opened, stamp=stamp)
            return
        if (opened.engine.inputs, opened.engine.outputs) != (served.engine.inputs, served.engine.outputs):
            # The new model would reject every client of the old one.
            logger.error("reload failed, the old model stays: the file has different inputs or outputs", extra=told)
            served.opened = replace(served.opened, stamp=stamp)
            return
        self.add(opened)
        logger.info("reloaded", extra={**told, "hash": opened.engine.info.hash})

    async def watch(self, seconds: float) -> None:
        """Reload changed files, forever."""
        while True:
            await asyncio.sleep(seconds)
            await self.reload(changed_only=True)
