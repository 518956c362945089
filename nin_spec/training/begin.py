"""A training put together: from a network, its recipe and a data set to a run folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from nin_spec import network as networks
from nin_spec.data import Frame, Part, fingerprint, frame_of, hold_out, match_classes, open_part, sample, subset
from nin_spec.diagnostics import Code, Diagnostic, DivergedError, TrainingError
from nin_spec.extras import require
from nin_spec.files import write_atomic
from nin_spec.ir import ops
from nin_spec.language.emit import emit
from nin_spec.language.load import loads
from nin_spec.language.recipe import Recipe
from nin_spec.lower import aliases
from nin_spec.network import Network
from nin_spec.torch_module import build_module
from nin_spec.training import folder as folders
from nin_spec.training.batches import Batches, Share
from nin_spec.training.checkpoint import State, has_checkpoints, newest_checkpoint
from nin_spec.training.devices import autocast_for, choose_device, default_threads, slow_precision
from nin_spec.training.engine import Engine
from nin_spec.training.feed import Feed
from nin_spec.training.finish import draw_curves
from nin_spec.training.folder import DataRecord, Record, Run
from nin_spec.training.guard import Guard
from nin_spec.training.keeper import Keeper
from nin_spec.training.loop import Loop
from nin_spec.training.optimizer import build_optimizer
from nin_spec.training.parallel import World, find_world, joined, share_norms
from nin_spec.training.random_layers import Moment, key_dropout
from nin_spec.training.reporter import Reporter, Silent
from nin_spec.training.scoring import Scorer
from nin_spec.training.settings import Precision, Settings


@dataclass(frozen=True)
class Sets:
    """The pictures: those learned from, those scored on after each epoch, and what the second are."""

    learned: Part
    scored: Part
    scored_on: str
    record: DataRecord


def train(  # noqa: PLR0913 keyword-only
    network: Network,
    *,
    data: Path | None = None,
    output: Path | None = None,
    weights: Path | None = None,
    settings: Settings = Settings(),  # noqa: B008 frozen
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Train a network by its recipe into a new run folder (`runs/NAME` unless said), and return it.

    `data` is where the data set lies (see nin_spec.data); `weights` a file to start from instead of fresh
    ones; `stop` is asked after each step. Under torchrun, each process calls this.

    Raises:
        TrainingError: no recipe, one that can't be followed here, or a folder that is taken.
        DataError: a data set that is missing, damaged, or does not fit the network.
        DeviceError: a device that is not there.
        DivergedError: the loss is no number any more; the last good weights are kept.
    """
    recipe = recipe_of(network)
    world = find_world()
    device = choose_device(settings.device, world)
    settings = replace(
        settings,
        device=device.type,
        precision=settings.precision or recipe.precision,
        threads=settings.threads or default_threads(world),
    )
    with joined(world, device):
        sets = open_sets(network, recipe, data, settings.limit)
        network = with_labels(network, sets.learned)
        target = Path(world.word(str(output or folders.default_folder(network.card.name))))
        session = _Session(network, recipe, sets, settings, world, device, target, reporter or Silent(), stop)
        if world.leads:
            _create(target, network, sets, settings, recipe, weights)
        return session.run(State(), weights)


def resume(
    path: Path, *, data: Path | None = None, reporter: Reporter | None = None, stop: Callable[[], bool] = lambda: False
) -> Run:
    """Go on where a run stopped, killed or interrupted, with its own settings; `data` where the data has moved.

    Raises what `train` raises, and TrainingError when the folder is no run, has no whole checkpoint, or
    the data is other data.
    """
    run = folders.open_run(path)
    settings = Settings(**run.record.settings)
    recipe = recipe_of(run.network)
    world = find_world()
    device = choose_device(settings.device, world)
    with joined(world, device):
        sets = open_sets(run.network, recipe, data or run.location, settings.limit)
        if sets.record.train_fingerprint != run.record.data.train_fingerprint:
            hint = (
                f"say --data with the same pictures, or train anew from its weights: --weights {path}/last.safetensors"
            )
            raise folders.unusable(path, "the data is not what it was trained on", hint)
        session = _Session(run.network, recipe, sets, settings, world, device, path, reporter or Silent(), stop)
        return session.resume(run)


def recipe_of(network: Network) -> Recipe:
    """The recipe. Raises TrainingError when the spec has none."""
    recipe = network.spec.spec.train
    if recipe is None:
        message = f"{network.card.name} has no recipe: its spec has no train section"
        hint = "add train: {dataset: ..., epochs: ..., optimizer: {kind: adamw, lr: 0.001}}; see nin-spec schema"
        raise TrainingError(Diagnostic(Code.RECIPE, message, network.spec.root, hint))
    return recipe


def open_sets(network: Network, recipe: Recipe, location: Path | None, limit: int | None) -> Sets:
    """The pictures that the recipe names. Raises DataError."""
    card = network.card
    train, test = (
        match_classes(open_part(recipe.dataset, part, location), card.labels, card.classes)
        for part in ("train", "test")
    )
    if limit is not None:
        train, test = (sample(part, limit, recipe.seed) for part in (train, test))
    scored, scored_on = test, "test"
    if recipe.validation:
        kept, held = hold_out(train.labels, recipe.validation, recipe.seed)
        train, scored, scored_on = subset(train, kept), subset(train, held), "validation"
    record = DataRecord(
        dataset=recipe.dataset,
        location=None if location is None else str(location.resolve()),
        train_fingerprint=fingerprint(train),
        train_images=len(train),
        scored_on=cast("Any", scored_on),
        scored_images=len(scored),
    )
    return Sets(train, scored, scored_on, record)


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
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        hint = f"nin-spec train {target} --resume goes on with it; or say another --output"
        raise TrainingError(Diagnostic(Code.RUN_UNUSABLE, f"{target} exists already", hint=hint))
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

    def run(self, state: State, weights: Path | None) -> Run:
        """Train from the beginning."""
        model = self.network.with_weights(weights) if weights else self.network.initialise(self.recipe.seed)
        engine, keeper = self._engine(model)
        if self.world.leads:
            keeper.write(state)
        return self._train(state, engine, keeper)

    def resume(self, run: Run) -> Run:
        """Train on from the newest checkpoint."""
        if not has_checkpoints(self.target / "checkpoints"):
            # Killed before the first was written: nothing is lost by beginning.
            return self.run(State(), None if run.record.started_from is None else Path(run.record.started_from))
        checkpoint, remarks = newest_checkpoint(self.target / "checkpoints")
        engine, keeper = self._engine(self.network.initialise(self.recipe.seed))
        keeper.restore(checkpoint)
        if self.world.leads:
            for remark in remarks:
                self.reporter.told(remark)
            folders.write_record(self.target, run.record.model_copy(update={"status": "running"}))
        return self._train(checkpoint.state, engine, keeper)

    def _train(self, state: State, engine: Engine, keeper: Keeper) -> Run:
        guard = Guard(self.network.graph, self.network.card.classes, state.warnings)
        frame = input_frame(self.network)
        scorer = Scorer(self.sets.scored, frame, self.sets.scored_on)
        loop = Loop(engine, self.recipe, self.batches, scorer, guard, state, self.reporter, keeper, self.stop)
        if self.world.leads:
            self.reporter.started(self._facts(), state.step, loop.steps, self.batches.batch)
            slow = slow_precision(self.device, self.precision)
            if slow:
                self.reporter.told(slow)
        try:
            finished = loop.run()
        except DivergedError:
            self._note(state, "diverged")
            raise
        if self.world.leads:
            self._note(state, "finished" if finished else "interrupted")
            draw_curves(self.target, state.rows, self.network.card.name)
        return folders.open_run(self.target)

    def _note(self, state: State, status: folders.Status) -> None:
        if self.world.leads:
            record = folders.open_run(self.target).record
            final = dict(state.rows[-1]) if state.rows else {}
            changes = {"status": status, "warnings": state.warnings, "final": final}
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
            ids = [self.device.index] if self.device.type == "cuda" else None
            called = nn.parallel.DistributedDataParallel(bare, ids, broadcast_buffers=False)
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
