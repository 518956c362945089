"""A training put together: from a network, its recipe and a data set to a run folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch import nn

from nin_spec import network as networks
from nin_spec.data import Frame, Part, frame_of
from nin_spec.diagnostics import Code, DataError, Diagnostic, DivergedError, TrainingError, counted
from nin_spec.extras import require
from nin_spec.files import write_atomic
from nin_spec.ir import ops
from nin_spec.language.emit import emit
from nin_spec.language.load import loads
from nin_spec.language.recipe import Recipe
from nin_spec.lower import aliases
from nin_spec.model import Model
from nin_spec.network import Network
from nin_spec.torch_module import build_module
from nin_spec.training import folder as folders
from nin_spec.training.batches import Batches, Share
from nin_spec.training.checkpoint import State, has_checkpoints, last_step, newest_checkpoint
from nin_spec.training.devices import autocast_for, choose_device, default_threads, slow_precision
from nin_spec.training.engine import Engine
from nin_spec.training.feed import Feed
from nin_spec.training.finish import draw_curves
from nin_spec.training.folder import Record, Run, recipe_of
from nin_spec.training.guard import Guard
from nin_spec.training.keeper import Keeper
from nin_spec.training.loop import Loop
from nin_spec.training.optimizer import build_optimizer
from nin_spec.training.parallel import World, agreed, find_world, joined, said_once, share_gradients, share_norms
from nin_spec.training.random_layers import Moment, key_dropout
from nin_spec.training.reporter import Reporter, Silent
from nin_spec.training.scoring import Scorer
from nin_spec.training.sets import Sets, open_sets, require_pictures
from nin_spec.training.settings import Precision, Settings
from nin_spec.weights import weights_file

Place = str | Path


def train(  # noqa: PLR0913 keyword-only
    network: Network,
    *,
    data: Place | None = None,
    output: Place | None = None,
    weights: Place | None = None,
    settings: Settings = Settings(),  # noqa: B008 frozen
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
            session = _Session(network, recipe, sets, settings, world, device, target, reporter or Silent(), stop)
            model = session.beginning(start)
            if world.leads:
                _create(target, network, sets, settings, recipe, start)
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
        settings = Settings(**run.record.settings)
        recipe = recipe_of(run.network)
        device = choose_device(settings.device, world)
    with joined(world, device):
        sets = _agreed_sets(run.network, run.location if data is None else Path(data), settings, world)
        with agreed(world):
            if sets.record.train_fingerprint != run.record.data.train_fingerprint:
                hint = f"say --data with the same pictures, or {_anew(run)}"
                raise folders.unusable(run.path, "the data is not what it was trained on", hint)
            told = reporter or Silent()
            session = _Session(run.network, recipe, sets, settings, world, device, run.path, told, stop)
        return session.resume(run)


def _agreed_sets(network: Network, location: Path | None, settings: Settings, world: World) -> Sets:
    """The pictures, proved usable in every process."""
    with agreed(world):
        sets = open_sets(network, location, settings.limit)
        if world.leads:
            require_pictures(sets)
    return sets


def _anew(run: Run) -> str:
    """How to begin again with what a run has learned, if it has learned something."""
    spec = f"nin-spec train {run.path}/spec.yaml"
    learned = (run.path / run.record.result).is_file() and not run.model().card.weights.startswith("fresh")
    return f"train on from its weights: {spec} --weights {run.path}" if learned else f"train anew: {spec}"


def with_labels(network: Network, part: Part) -> Network:
    """The network with the data set's class names, where its spec only counts them."""
    if network.card.labels:
        return network
    data = {**network.spec.data, "classes": list(part.classes)}
    return networks.compile(loads(emit(data), network.spec.root.source.name))


def _create(  # noqa: PLR0913, PLR0917 what run.json tells
    target: Path, network: Network, sets: Sets, settings: Settings, recipe: Recipe, weights: Path | None
) -> None:
    """A new run folder, there with all it needs or not at all. Raises TrainingError when the name is taken."""
    folders.require_free(target)
    record = Record(
        name=network.card.name,
        hash=network.hash,
        status="running",
        result="best.safetensors" if recipe.validation else "last.safetensors",
        chosen="the best epoch on the validation part" if recipe.validation else "the last epoch",
        data=sets.record,
        seed=recipe.seed,
        settings=folders.settings_json(settings),
        started_from=None if weights is None else str(weights.resolve()),
        versions=folders.versions_of(("nin-spec", "torch", "numpy", "pillow")),
    )
    head = "# Written by nin-spec train: the resolved spec of this run.\n"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
        write_atomic(beside / "spec.yaml", (head + network.spec.text).encode())
        folders.write_record(beside, record)
        beside.chmod(0o755)
        beside.replace(target)  # an empty folder may be there already
    except OSError as error:
        message = f"{target} can't be made: {error.strerror}"
        raise TrainingError(Diagnostic(Code.RUN_UNUSABLE, message)) from None


@dataclass
class _Session:
    """One training in one process."""

    network: Network
    recipe: Recipe
    sets: Sets
    settings: Settings
    world: World
    device: torch.device
    target: Path
    reporter: Reporter
    stop: Callable[[], bool]

    def __post_init__(self) -> None:
        # Asked for now: their absence must not show after hours.
        require("matplotlib", "tensorboardX", "tqdm", purpose="training")
        self.precision: Precision = self.settings.precision or self.recipe.precision
        torch.set_num_threads(self.settings.threads or default_threads(self.world))
        self.batches = self._batches()

    def beginning(self, weights: Path | None) -> Model:
        """The network before the first step. Raises WeightsError."""
        return self.network.with_weights(weights) if weights else self.network.initialise(self.recipe.seed)

    def run(self, state: State, model: Model, weights: Path | None) -> Run:
        """Train from the beginning; `weights` is where the model's are from."""
        engine, keeper = self._engine(model)
        if self.world.leads:
            keeper.write(state)
        return self._train(state, engine, keeper, weights)

    def resume(self, run: Run) -> Run:
        """Train on from the newest checkpoint."""
        if not has_checkpoints(self.target / "checkpoints"):
            # Killed before the first was written: nothing is lost by beginning.
            weights = None if run.record.started_from is None else Path(run.record.started_from)
            return self.run(State(), self.beginning(weights), weights)
        checkpoint, remarks = newest_checkpoint(self.target / "checkpoints")
        engine, keeper = self._engine(self.network.initialise(self.recipe.seed))
        keeper.restore(checkpoint)
        if self.world.leads:
            for remark in remarks:
                self.reporter.told(remark)
            folders.write_record(self.target, run.record.model_copy(update={"status": "running"}))
        return self._train(checkpoint.state, engine, keeper)

    def _train(self, state: State, engine: Engine, keeper: Keeper, weights: Path | None = None) -> Run:
        guard = Guard(self.network.graph, self.network.card.classes, state.warnings)
        frame = input_frame(self.network)
        scorer = Scorer(self.sets.scored, frame, self.sets.scored_on)
        loop = Loop(engine, self.recipe, self.batches, scorer, guard, state, self.reporter, keeper, self.stop)
        if self.world.leads:
            facts = self._facts() | {"weights": None if weights is None else str(weights)}
            self.reporter.started(facts, state.step, loop.steps, self.batches.batch)
            slow = slow_precision(self.device, self.precision)
            for remark in (*self.sets.doubts, *([slow] if slow else [])):
                self.reporter.told(remark)
        try:
            finished = loop.run()
        except DivergedError as error:
            self._note(state, "diverged")
            raise error if self.world.leads else DivergedError(()) from None
        except DataError as error:
            self._give_up(error, loop)
        if self.world.leads:
            self._note(state, "finished" if finished else "interrupted")
            chosen = int(state.best[0]) if state.best and self.sets.scored_on == "validation" else None
            draw_curves(self.target, state.rows, self.network.card.name, chosen)
        return folders.open_run(self.target)

    def _give_up(self, error: DataError, loop: Loop) -> NoReturn:
        """Raise the error of a picture that can't be read, with what is left and how to go on."""
        place = self.sets.record.location or self.recipe.dataset
        checkpoints = self.target / "checkpoints"
        if self.world.size == 1 and (loop.state.rows or last_step(checkpoints)):  # else another may wait for this one
            loop.settle()
            loop.keeper.write(loop.state)
        if last_step(checkpoints):
            self._note(loop.state, "interrupted")
            said = f"what was learned is kept: mend it, and nin-spec train {self.target} --resume goes on"
        else:
            if self.world.leads:
                shutil.rmtree(self.target)
            said = f"nothing was learned yet, so {self.target} is removed"
        said += f"; nin-spec data check {place} lists every such picture"
        *others, last = error.diagnostics
        raise DataError([*others, replace(last, hint=said)]) from None

    def _note(self, state: State, status: folders.Status) -> None:
        if self.world.leads:
            record = folders.open_run(self.target).record
            final = dict(state.rows[-1]) if state.rows else {}
            best = dict(state.rows[state.best[0] - 1]) if state.best else {}
            changes: dict[str, object] = {"status": status, "warnings": state.warnings, "final": final, "best": best}
            if self.recipe.validation and best:
                score = f"{best['validation_accuracy']:.2%} of {counted(self.sets.record.scored_images, 'picture')}"
                changes["chosen"] = f"epoch {best['epoch']}, the best on the validation part ({score})"
            folders.write_record(self.target, record.model_copy(update=changes))

    # -------------------------------------------------------------- parts

    def _batches(self) -> Batches:
        recipe, frame = self.recipe, input_frame(self.network)
        stored = frame if recipe.resize is None else replace(frame, height=recipe.resize, width=recipe.resize)
        room = min(stored.height - frame.height, stored.width - frame.width) + 2 * recipe.augment.pad_and_crop
        if room < 0:
            message = f"pictures resized to {recipe.resize} are smaller than the input, {frame.height}x{frame.width}"
            span = self.network.spec.where("train", "resize")
            raise TrainingError(Diagnostic(Code.RECIPE, message, span, "resize to at least the input's size"))
        share = Share(self.world.rank, self.world.size, self.settings.accumulate)
        size = (frame.height, frame.width)
        made = Batches(self.sets.learned, recipe.batch_size, recipe.seed, stored, size, recipe.augment, share)
        if made.batch < share.ranks * share.pieces:
            message = (
                f"a batch of {made.batch} can't be divided among {share.ranks} processes, {share.pieces} pieces each"
            )
            raise TrainingError(
                Diagnostic(Code.RECIPE, message, hint="raise batch_size, or use fewer processes or pieces")
            )
        return made

    def _engine(self, model: Any) -> tuple[Engine, Keeper]:
        bare = build_module(model)
        # The loss takes scores: what turns them into probabilities comes after.
        last = self.network.graph.nodes[-1]
        if isinstance(last.op, ops.Softmax | ops.LogSoftmax):
            bare.order = bare.order[:-1]
        moment = Moment(self.recipe.seed)
        key_dropout(bare, moment)
        layout = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        bare = bare.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        if self.world.size > 1:
            share_norms(bare, self.device)
        called: nn.Module = bare
        if self.world.size > 1:
            called = share_gradients(bare, self.device)
        if self.settings.compile:
            called = cast("nn.Module", torch.compile(called))
        spec = self.network.spec.spec
        optimizer = build_optimizer(bare.named_parameters(), self.recipe, partial(aliases, spec=spec))
        dtype = next(bare.parameters()).dtype
        channels = self.network.graph.input.shape[0]
        feed = Feed(self.network.card.preprocessing, channels, dtype, self.device, layout)
        engine = Engine(called, bare, optimizer, feed, moment, autocast_for(self.device, self.precision), self.world)
        return engine, self._keeper(engine)

    def _keeper(self, engine: Engine) -> Keeper:
        choose = "validation_accuracy" if self.sets.scored_on == "validation" else "train_loss"
        names = tuple(self.network.graph.parameters())
        return Keeper(self.target, engine, names, self._about, choose, self.settings.checkpoint_minutes)

    def _about(self, step: int) -> dict[str, str]:
        """What a weights file says of itself."""
        card, seed, total = self.network.card, self.recipe.seed, self.batches.per_epoch * self.recipe.epochs
        trained = f"trained on {self.recipe.dataset}, {step} of {total} steps, seed {seed}"
        facts = {"name": card.name, "hash": card.hash, "dataset": self.recipe.dataset}
        facts["weights"] = trained if step else f"fresh, seed {seed}"
        return {f"nin_spec.{key}": value for key, value in facts.items()}

    def _facts(self) -> dict[str, object]:
        data = self.sets.record
        return {
            "network": self.network.card.name,
            "parameters": self.network.table.parameters,
            "dataset": data.dataset,
            "train_images": data.train_images,
            "scored_on": data.scored_on,
            "scored_images": data.scored_images,
            "epochs": self.recipe.epochs,
            "device": str(self.device),
            "threads": self.settings.threads,
            "precision": self.precision,
            "processes": self.world.size,
            "pieces": self.settings.accumulate,
            "folder": str(self.target),
        }


def input_frame(network: Network) -> Frame:
    """What pictures are brought to for the network's input. Raises TrainingError when that is no picture."""
    channels, height, width = network.graph.input.shape
    if channels not in (1, 3):
        message = f"pictures have 1 or 3 channels, and the network takes {channels}"
        raise TrainingError(Diagnostic(Code.RECIPE, message, network.spec.where("input", "channels")))
    return frame_of((channels, height, width), network.card.preprocessing)
