"""A training put together: from a network, its recipe and a data set to a run folder."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from nin_spec import network as networks
from nin_spec.data import Part
from nin_spec.diagnostics import Code, DataError, Diagnostic, SpecError, TrainingError
from nin_spec.extras import need
from nin_spec.files import write_atomic
from nin_spec.language import load as language
from nin_spec.language.recipe import Recipe
from nin_spec.network import Network
from nin_spec.training import folder as folders
from nin_spec.training.checkpoint import State
from nin_spec.training.devices import choose_device, default_threads
from nin_spec.training.folder import Record, Run, recipe_of
from nin_spec.training.parallel import World, agreed, find_world, joined, said_once
from nin_spec.training.reporter import Reporter, Silent
from nin_spec.training.session import TrainingSession
from nin_spec.training.sets import Sets, open_sets, require_pictures
from nin_spec.training.settings import TrainSettings
from nin_spec.weights import weights_file

Place = str | Path


def train(  # noqa: PLR0913 keyword-only
    network: Network,
    *,
    data: Place | None = None,
    output: Place | None = None,
    weights: Place | None = None,
    settings: TrainSettings = TrainSettings(),  # noqa: B008 frozen
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Train a network by its recipe into a new run folder, and return it: `train(nin_spec.compile("nin_digits"))`.

    `output` is the folder, `runs/NAME` unless said. `data` is where the recipe's data set lies, a folder or
    an .npz (nin_spec.data.open_part says which); None is where `nin-spec data fetch` puts it. `weights` is a
    file or a run folder to start from instead of fresh ones. A `reporter` is told how it goes
    (nin_spec.training.reporter.Reporter has its methods), nobody unless given; `stop` is asked after each step.
    Under torchrun, each process calls this.

    The run has `record` (what came of it), `model()` (the trained network, for `export` and `evaluate`), and
    `path`; `open_run(path)` opens it again, nin_spec.training.begin.resume goes on with it.

    Raises:
        TrainingError: no recipe, one that can't be followed here, or a folder that is taken.
        DataError: a data set that is missing, damaged, or does not fit the network.
        DeviceError: a device that is not there.
        DivergedError: the loss is no number any more; the last good weights are kept.
    """
    if not isinstance(network, Network):
        raise TypeError(f"train takes a network, not {network!r}: nin_spec.compile(a file, or a shipped name)")
    data, output, start = (None if place is None else Path(place) for place in (data, output, weights))
    world = find_world()
    with said_once(world):
        recipe = recipe_of(network)
        device = choose_device(settings.device, world)
    settings = replace(
        settings,
        device=device.type,
        precision=settings.precision or recipe.precision,
        threads=settings.threads or default_threads(world),
    )
    with joined(world, device):
        sets = _agreed_sets(network, data, settings, world)
        network = with_labels(network, sets.learned)
        target = Path(world.word(str(output or folders.default_folder(network.card.name))))
        # All that can be refused is refused before there is a folder.
        with agreed(world):
            start = None if start is None else weights_file(start)
            session = TrainingSession(
                network, recipe, sets, settings, world, device, target, reporter or Silent(), stop
            )
            model = session.beginning(start)
            if world.leads:
                _create(target, network, sets, settings, recipe, start)
        with _alone(target, world):
            return session.run(State(), model, start)


def resume(
    path: Place,
    *,
    data: Place | None = None,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Go on where a run stopped, killed or interrupted, with its own settings; `data` where the data has moved.

    Raises what `train` raises, and TrainingError when the folder is no run, has no whole checkpoint, or
    the data is other data.
    """
    world = find_world()
    with said_once(world):
        run = folders.open_run(path)
        settings = run.record.settings
        recipe = recipe_of(run.network)
        device = choose_device(settings.device, world)
    with joined(world, device):
        sets = _agreed_sets(run.network, run.location if data is None else Path(data), settings, world)
        with agreed(world):
            _same_data(run, sets)
            told = reporter or Silent()
            session = TrainingSession(run.network, recipe, sets, settings, world, device, run.path, told, stop)
        with _alone(run.path, world):
            return session.resume(run)


def _agreed_sets(network: Network, location: Path | None, settings: TrainSettings, world: World) -> Sets:
    """The pictures, proved usable in every process."""
    with agreed(world):
        sets = open_sets(network, location, settings.limit)
        if world.leads:
            require_pictures(sets)
    return sets


def _same_data(run: Run, sets: Sets) -> None:
    """Raise TrainingError when the pictures learned from, or those scored on, are others than the run began with."""
    before, now = run.record.data, sets.record
    hint = f"say --data with the same pictures, or {_anew(run)}"
    if now.train_fingerprint != before.train_fingerprint:
        raise folders.unusable(run.path, "the data is not what it was trained on", hint)
    if before.scored_fingerprint not in {None, now.scored_fingerprint}:
        raise folders.unusable(run.path, "the pictures that it is scored on are not those that it began with", hint)


@contextmanager
def _alone(target: Path, world: World) -> Iterator[None]:
    """No other training writes into the folder meanwhile. Raises TrainingError when one does."""
    filelock = need("filelock", "training")
    lock = filelock.FileLock(target / ".lock", timeout=0)  # the system lets go of it when the process ends
    with agreed(world):
        try:
            if world.leads:
                lock.acquire()
        except filelock.Timeout:
            hint = "wait until it is done, or stop it"
            raise folders.unusable(target, "another process is training in it", hint) from None
        except OSError as error:
            raise folders.unusable(target, f"it can't be locked: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def _anew(run: Run) -> str:
    """How to begin again with what a run has learned, if it has learned something."""
    spec = f"nin-spec train {run.path}/spec.yaml"
    return f"train on from its weights: {spec} --weights {run.path}" if run.has_learned else f"train anew: {spec}"


def with_labels(network: Network, part: Part) -> Network:
    """The network with the data set's class names, where its spec only counts them.

    Raises DataError for names that no spec can hold.
    """
    if network.card.labels:
        return network
    try:
        return networks.compile(language.with_labels(network.spec, part.classes))
    except SpecError as error:
        hint = "rename the classes of the data set, or list labels of your own under classes in the spec"
        message = f"the class names of {part.where} can't be the spec's labels"
        found = [replace(d, code=Code.DATA_MISFIT, message=f"{message}: {d.message}") for d in error.diagnostics]
        raise DataError([*found[:-1], replace(found[-1], hint=hint)]) from None


def _create(  # noqa: PLR0913, PLR0917 what run.json tells
    target: Path, network: Network, sets: Sets, settings: TrainSettings, recipe: Recipe, weights: Path | None
) -> None:
    """A new run folder, there with all it needs or not at all. Raises TrainingError when the name is taken."""
    folders.require_free(target)
    head = "# Written by nin-spec train: the resolved spec of this run.\n"
    spec = (head + network.spec.text).encode()
    record = Record(
        name=network.card.name,
        hash=network.hash,
        spec_sha256=hashlib.sha256(spec).hexdigest(),
        status="running",
        result="best.safetensors" if recipe.validation else "last.safetensors",
        chosen="the best epoch on the validation part" if recipe.validation else "the last epoch",
        data=sets.record,
        seed=recipe.seed,
        settings=settings,
        started_from=None if weights is None else str(weights.resolve()),
        versions=folders.versions_of(("torch", "numpy", "pillow")),
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".nin-spec-", suffix=".part", dir=target.parent))
        try:
            write_atomic(beside / "spec.yaml", spec)
            folders.write_record(beside, record)
            beside.chmod(0o755)
            beside.replace(target)  # an empty folder may be there already
        finally:
            shutil.rmtree(beside, ignore_errors=True)  # still there when it could not get its name
    except OSError as error:
        message = f"{target} can't be made: {error.strerror}"
        raise TrainingError(Diagnostic(Code.RUN_UNUSABLE, message)) from None
