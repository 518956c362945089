"""Start or resume a training: from a network, its recipe and a data set to a run folder."""

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
from nin_spec.data import Split
from nin_spec.diagnostics import Code, DataError, SpecError, TrainingError
from nin_spec.extras import need
from nin_spec.files import write_atomic
from nin_spec.language import load as language
from nin_spec.model import Model
from nin_spec.named import is_run
from nin_spec.network import Network
from nin_spec.training import folder as folders
from nin_spec.training.carrying import start_from
from nin_spec.training.checkpoint import beginning_of, write_checkpoint
from nin_spec.training.devices import choose_device, default_threads, require_own_gpu
from nin_spec.training.folder import Record, Run, StartRecord, recipe_of
from nin_spec.training.loss import require_classes
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
    new_head: bool = False,
    settings: TrainSettings = TrainSettings(),  # noqa: B008 frozen
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
    peer_timeout: float = PEER_TIMEOUT,
) -> Run:
    """Train a network by its recipe into a new run folder, and return it: `train(nin_spec.compile("nin_digits"))`.

    `output` is the folder, by default `runs/NAME`. `data` is the path of the recipe's data set, a folder or an .npz
    (see nin_spec.data.open_split); by default, the one with its name beside the spec, else the target of `nin-spec data
    fetch`. `weights` is a file or a run folder to start from instead of initial weights; with `new_head` its head may
    be another (see nin_spec.weights.transfer). `reporter` receives progress (see nin_spec.training.reporter.Reporter);
    `stop` is polled after each step.

    Under torchrun, Slurm's srun or mpirun, each process calls this, and the pictures are on each machine; only process
    0 writes the run folder, so the others need no access to it. An existing torch.distributed process group (Ray Train,
    Accelerate) is used on the current device, and not destroyed. Otherwise a process that is stopped, killed or
    disconnected is detected after `peer_timeout` seconds without a heartbeat (0: disabled), and the others end: with
    PeerLostError, or, while waiting in a collective operation, with exit code 1. If torchrun restarts the processes,
    they resume their run folder.

    The run has `record` (its result), `model()` (the trained network, for `export` and `evaluate`) and `path`;
    `open_run(path)` opens it again, nin_spec.training.begin.resume resumes it.

    Raises:
        TrainingError: no recipe, one that can't be run here, or a folder that exists.
        DataError: a data set that is missing, damaged, or does not fit the network.
        DeviceError: a device that is not available.
        DivergedError: the loss became NaN or infinite; the last good weights are kept.
        PeerLostError: another process stopped, was killed or lost its connection.
    """
    if not isinstance(network, Network):
        raise TypeError(f"train takes a network, not {network!r}: pass nin_spec.compile(PATH or a shipped name)")
    with joined(peer_timeout) as world:
        return train_in(world, network, data, output, weights, new_head, settings, reporter or Silent(), stop)


def train_in(  # noqa: PLR0913, PLR0917 the arguments of `train`
    world: World,
    network: Network,
    data: Place | None,
    output: Place | None,
    weights: Place | None,
    new_head: bool,  # noqa: FBT001
    settings: TrainSettings,
    reporter: Reporter,
    stop: Callable[[], bool],
) -> Run:
    """The same in an existing world of processes."""
    data, output, start = (None if place is None else Path(place) for place in (data, output, weights))
    data = beside(network) if data is None else data
    asked = {"output": str(output), "weights": str(start), "new_head": new_head}
    require_same(world, {"network": network.spec.text, **asked, **asdict(settings)})
    with agreed(world):
        recipe = recipe_of(network)
        settings = replace(
            settings,
            device=choose_device(settings.device, world).type,
            precision=settings.precision or recipe.precision,
            threads=settings.threads or default_threads(world),
        )
    settings = TrainSettings(**world.broadcast(asdict(settings)))  # the number of threads also affects the last digit
    device = _agreed_device(settings, world)
    sets = _agreed_sets(network, data, settings, world)
    begun = None
    with agreed(world):
        require_classes(network, sets.learned.classes)
        network = with_labels(network, sets.learned)
        if world.is_main:
            begun = _begun(network, settings, output, world) if world.restarted else None
            output = begun or output or folders.default_folder(network.card.name)
    target, resumes = world.broadcast([str(output), begun is not None])
    if resumes:
        return _continue(share_run(world, Path(target)), sets, device, world, reporter, stop)
    # Everything is checked before the folder is created.
    with agreed(world):
        session = TrainingSession(network, recipe, sets, settings, world, device, Path(target), reporter, stop)
        model, carried = network.initialise(recipe.seed), None
        if start is not None and world.is_main:
            model, carried = start_from(network, weights_file(start), new_head=new_head)
        record = _create(Path(target), network, sets, settings, world, model, carried) if world.is_main else None
    with _alone(Path(target), world), connected(world, device):
        return session.run(model, record)


def resume(
    path: Place,
    *,
    data: Place | None = None,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
    peer_timeout: float = PEER_TIMEOUT,
) -> Run:
    """Resume a run that was killed or interrupted, with its own settings; pass `data` if the data set has moved.

    Only process 0 reads and writes the folder. Raises what `train` raises, and TrainingError if the folder is not a
    run, has no complete checkpoint, or the data differs.
    """
    with joined(peer_timeout) as world:
        require_same(world, {"run folder": str(path)})
        return resume_in(world, share_run(world, Path(path)), data, reporter or Silent(), stop)


def resume_in(world: World, run: Run, data: Place | None, reporter: Reporter, stop: Callable[[], bool]) -> Run:
    """The same, for an open run, in an existing world of processes."""
    device = _agreed_device(run.record.settings, world)
    sets = _agreed_sets(run.network, run.location if data is None else Path(data), run.record.settings, world)
    return _continue(run, sets, device, world, reporter, stop)


def _continue(  # noqa: PLR0913, PLR0917 the arguments of a session
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
    """The pictures, checked on every machine to be usable and the same."""
    with agreed(world):
        sets = open_sets(network, location, settings.limit)
        if world.local == 0:
            require_pictures(sets)
    found = sets.record
    said = world.all_gather([found.train_fingerprint, found.scored_fingerprint, list(sets.learned.classes)])
    with agreed(world):
        for rank, other in enumerate(said):
            if other != said[0]:
                message = f"process {rank} ({world.peers[rank]}) has different pictures from process 0"
                hint = "copy the same data set to each machine"
                raise DataError(Code.DATA_MISFIT, message, hint=hint)
    return sets


def _begun(network: Network, settings: TrainSettings, output: Path | None, world: World) -> Path | None:
    """The run folder of these processes before their restart; None if they had not created one."""
    seal = hashlib.sha256(_spec_of(network)).hexdigest()
    for place in folders.runs_of(network.card.name) if output is None else [output]:
        record = folders.read_record(place) if is_run(place) else None
        if record and record.spec_sha256 == seal and record.settings == settings and {*record.agents} & {*world.agents}:
            return place
    return None


def _same_data(run: Run, sets: Sets) -> None:
    """Raise TrainingError if the pictures for training or scoring differ from those of the run's start."""
    before, now = run.record.data, sets.record
    hint = f"pass --data with the same pictures, or {_restart(run)}"
    if now.train_fingerprint != before.train_fingerprint:
        raise folders.unusable(run.path, "the data differs from what it was trained on", hint)
    if before.scored_fingerprint not in {None, now.scored_fingerprint}:
        raise folders.unusable(run.path, "the pictures that it is scored on differ from those at its start", hint)


@contextmanager
def _alone(target: Path, world: World) -> Iterator[None]:
    """Lock the folder against other trainings. Raises TrainingError if it is locked."""
    filelock = need("filelock", "training")
    lock = filelock.FileLock(target / ".lock", timeout=0)  # the system releases it when the process ends
    with agreed(world):
        try:
            if world.is_main:
                lock.acquire()
        except filelock.Timeout:
            hint = "wait until it ends, or stop it"
            raise folders.unusable(target, "another process is training in it", hint) from None
        except OSError as error:
            raise folders.unusable(target, f"it can't be locked: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def _restart(run: Run) -> str:
    """How to start again, from a run's weights if it has any."""
    spec = f"nin-spec train {run.path}/spec.yaml"
    return f"start from its weights: {spec} --weights {run.path}" if run.has_learned else f"start again: {spec}"


def with_labels(network: Network, split: Split) -> Network:
    """The network with the data set's class names, if its spec has only their number.

    Raises DataError for names that are not valid labels.
    """
    if network.card.labels:
        return network
    try:
        return networks.compile(language.with_labels(network.spec, split.classes))
    except SpecError as error:
        hint = "rename the classes of the data set, or list your own labels under classes in the spec"
        message = f"the class names of {split.where} are not valid labels"
        found = [replace(d, code=Code.DATA_MISFIT, message=f"{message}: {d.message}") for d in error.diagnostics]
        raise DataError([*found[:-1], replace(found[-1], hint=hint)]) from None


def _spec_of(network: Network) -> bytes:
    """The spec.yaml of a run."""
    return f"# Written by nin-spec train: the resolved spec of this run.\n{network.spec.text}".encode()


def _create(  # noqa: PLR0913, PLR0917 the contents of the folder
    target: Path,
    network: Network,
    sets: Sets,
    settings: TrainSettings,
    world: World,
    model: Model,
    start: StartRecord | None,
) -> Record:
    """Create a complete run folder, or none, and return its run.json. Raises TrainingError if the name is taken.

    Weights that came from a file are its first checkpoint, so that the run never needs the file again.
    """
    folders.require_free(target)
    spec, recipe = _spec_of(network), recipe_of(network)
    record = Record(
        name=network.card.name,
        hash=network.hash,
        spec_sha256=hashlib.sha256(spec).hexdigest(),
        status="running",
        result="best.safetensors" if recipe.validation else "last.safetensors",
        chosen="the best epoch on the validation split" if recipe.validation else "the last epoch",
        data=sets.record,
        seed=recipe.seed,
        settings=settings,
        started_from=None if start is None else start.file,
        start=start,
        agents=list(world.agents),
        versions=folders.versions_of(("torch", "numpy", "pillow")),
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".nin-spec-", suffix=".part", dir=target.parent))
        try:
            write_atomic(beside / "spec.yaml", spec)
            folders.write_record(beside, record)
            if start is not None:
                write_checkpoint(beside / "checkpoints", beginning_of(model.weights))
            beside.chmod(0o755)
            beside.replace(target)  # an empty folder may exist already
        finally:
            shutil.rmtree(beside, ignore_errors=True)  # it remains if it could not be renamed
    except OSError as error:
        message = f"{target} can't be created: {error.strerror}"
        raise TrainingError(Code.RUN_UNUSABLE, message) from None
    return record
