"""A training put together: from a network, its recipe and a data set to a run folder."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch

from nin_spec import network as networks
from nin_spec.data import Part
from nin_spec.diagnostics import Code, DataError, Diagnostic, SpecError, TrainingError
from nin_spec.extras import need
from nin_spec.files import write_atomic
from nin_spec.language import load as language
from nin_spec.named import is_run
from nin_spec.network import Network
from nin_spec.training import folder as folders
from nin_spec.training.checkpoint import State
from nin_spec.training.devices import choose_device, default_threads, require_own_gpu
from nin_spec.training.folder import Record, Run, recipe_of
from nin_spec.training.parallel import share_run
from nin_spec.training.reporter import Reporter, Silent
from nin_spec.training.session import TrainingSession
from nin_spec.training.sets import Sets, beside, open_sets, require_pictures
from nin_spec.training.settings import TrainSettings
from nin_spec.training.world import PEER_TIMEOUT, World, agreed, connected, joined, require_same
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
    peer_timeout: float = PEER_TIMEOUT,
) -> Run:
    """Train a network by its recipe into a new run folder, and return it: `train(nin_spec.compile("nin_digits"))`.

    `output` is the folder, `runs/NAME` unless said. `data` is where the recipe's data set lies, a folder or
    an .npz (nin_spec.data.open_part says which); None is what bears its name beside the spec, else where
    `nin-spec data fetch` puts it. `weights` is a file or a run folder to start from instead of fresh ones. A `reporter`
    is told how it goes (nin_spec.training.reporter.Reporter has its methods), nobody unless given; `stop` is asked
    after each step.

    Under torchrun, Slurm's srun or mpirun, each process calls this, and the pictures are on each machine; process 0
    alone writes the run folder, so the others need not see it. A process group of torch.distributed that exists
    already (Ray Train, Accelerate) is used on the current device, and left as it is. Otherwise a process that is
    stopped, killed or cut off is noticed after `peer_timeout` seconds without a sign of life (0: not watched), and
    the others end: with PeerLostError, or, where they wait in a collective operation, with exit code 1. Where
    torchrun restarts the processes, they resume the run folder that they began.

    The run has `record` (what came of it), `model()` (the trained network, for `export` and `evaluate`), and
    `path`; `open_run(path)` opens it again, nin_spec.training.begin.resume goes on with it.

    Raises:
        TrainingError: no recipe, one that can't be followed here, or a folder that is taken.
        DataError: a data set that is missing, damaged, or does not fit the network.
        DeviceError: a device that is not there.
        DivergedError: the loss is no number any more; the last good weights are kept.
        PeerLostError: another process was stopped, killed or cut off.
    """
    if not isinstance(network, Network):
        raise TypeError(f"train takes a network, not {network!r}: nin_spec.compile(a file, or a shipped name)")
    with joined(peer_timeout) as world:
        return train_in(world, network, data, output, weights, settings, reporter or Silent(), stop)


def train_in(  # noqa: PLR0913, PLR0917 what `train` takes
    world: World,
    network: Network,
    data: Place | None,
    output: Place | None,
    weights: Place | None,
    settings: TrainSettings,
    reporter: Reporter,
    stop: Callable[[], bool],
) -> Run:
    """The same among processes that have met."""
    data, output, start = (None if place is None else Path(place) for place in (data, output, weights))
    data = beside(network) if data is None else data
    require_same(
        world, {"network": network.spec.text, "output": str(output), "weights": str(start), **asdict(settings)}
    )
    with agreed(world):
        recipe = recipe_of(network)
        settings = replace(
            settings,
            device=choose_device(settings.device, world).type,
            precision=settings.precision or recipe.precision,
            threads=settings.threads or default_threads(world),
        )
    settings = TrainSettings(**world.broadcast(asdict(settings)))  # the number of threads, too, decides the last digit
    device = _agreed_device(settings, world)
    sets = _agreed_sets(network, data, settings, world)
    begun = None
    with agreed(world):
        network = with_labels(network, sets.learned)
        if world.leads:
            begun = _begun(network, settings, output, world) if world.restarted else None
            output = begun or output or folders.default_folder(network.card.name)
    target, resumes = world.broadcast([str(output), begun is not None])
    if resumes:
        return _continue(share_run(world, Path(target)), sets, device, world, reporter, stop)
    # All that can be refused is refused before there is a folder.
    with agreed(world):
        start = weights_file(start) if start is not None and world.leads else None
        session = TrainingSession(network, recipe, sets, settings, world, device, Path(target), reporter, stop)
        model = session.beginning(start)
        if world.leads:
            _create(Path(target), network, sets, settings, world, start)
    with _alone(Path(target), world), connected(world, device):
        return session.run(State(), model, start)


def resume(
    path: Place,
    *,
    data: Place | None = None,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
    peer_timeout: float = PEER_TIMEOUT,
) -> Run:
    """Go on where a run stopped, killed or interrupted, with its own settings; `data` where the data has moved.

    Process 0 alone reads and writes the folder. Raises what `train` raises, and TrainingError when the folder is no
    run, has no whole checkpoint, or the data is other data.
    """
    with joined(peer_timeout) as world:
        return resume_in(world, path, data, reporter or Silent(), stop)


def resume_in(world: World, path: Place, data: Place | None, reporter: Reporter, stop: Callable[[], bool]) -> Run:
    """The same among processes that have met."""
    require_same(world, {"run folder": str(path)})
    run = share_run(world, Path(path))
    device = _agreed_device(run.record.settings, world)
    sets = _agreed_sets(run.network, run.location if data is None else Path(data), run.record.settings, world)
    return _continue(run, sets, device, world, reporter, stop)


def _continue(  # noqa: PLR0913, PLR0917 what a session takes
    run: Run, sets: Sets, device: torch.device, world: World, reporter: Reporter, stop: Callable[[], bool]
) -> Run:
    settings = run.record.settings
    with agreed(world):
        _same_data(run, sets)
        recipe = recipe_of(run.network)
        session = TrainingSession(run.network, recipe, sets, settings, world, device, run.path, reporter, stop)
    with _alone(run.path, world), connected(world, device):
        return session.resume(run)


def _agreed_device(settings: TrainSettings, world: World) -> torch.device:
    """The device of each process, of the kind that process 0 has chosen."""
    with agreed(world):
        device = choose_device(settings.device, world)
    require_own_gpu(world, device)
    return device


def _agreed_sets(network: Network, location: Path | None, settings: TrainSettings, world: World) -> Sets:
    """The pictures, proved usable on every machine, and the same in every process."""
    with agreed(world):
        sets = open_sets(network, location, settings.limit)
        if world.local == 0:
            require_pictures(sets)
    found = sets.record
    said = world.all_gather([found.train_fingerprint, found.scored_fingerprint, list(sets.learned.classes)])
    with agreed(world):
        for rank, other in enumerate(said):
            if other != said[0]:
                message = f"process {rank} ({world.peers[rank]}) has other pictures than process 0"
                hint = "copy the same data set to each machine"
                raise DataError(Diagnostic(Code.DATA_MISFIT, message, hint=hint))
    return sets


def _begun(network: Network, settings: TrainSettings, output: Path | None, world: World) -> Path | None:
    """The run folder that these processes began before they were restarted; None where there was no time for it."""
    seal = hashlib.sha256(_spec_of(network)).hexdigest()
    for place in folders.runs_of(network.card.name) if output is None else [output]:
        record = folders.read_record(place) if is_run(place) else None
        if record and record.spec_sha256 == seal and record.settings == settings and {*record.agents} & {*world.agents}:
            return place
    return None


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


def _spec_of(network: Network) -> bytes:
    """The spec.yaml of a run."""
    return f"# Written by nin-spec train: the resolved spec of this run.\n{network.spec.text}".encode()


def _create(  # noqa: PLR0913, PLR0917 what run.json tells
    target: Path, network: Network, sets: Sets, settings: TrainSettings, world: World, weights: Path | None
) -> None:
    """A new run folder, there with all it needs or not at all. Raises TrainingError when the name is taken."""
    folders.require_free(target)
    spec, recipe = _spec_of(network), recipe_of(network)
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
        agents=list(world.agents),
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
