"""One training in one process: sets up, runs and records it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch import nn

from nin_spec.data import Frame, frame_of
from nin_spec.diagnostics import Code, DataError, DivergedError, ExportError, TrainingError, counted
from nin_spec.extras import require
from nin_spec.ir import ops
from nin_spec.language.recipe import Recipe
from nin_spec.model import Model
from nin_spec.network import Network
from nin_spec.recipe_names import aliases
from nin_spec.torch_module import build_module
from nin_spec.training import folder as folders
from nin_spec.training.average import Average
from nin_spec.training.batches import Batches, Share
from nin_spec.training.board import Board
from nin_spec.training.checkpoint import State, has_checkpoints, last_step, newest_checkpoint
from nin_spec.training.checkpointer import Checkpointer
from nin_spec.training.devices import autocast_for, default_threads, slow_precision
from nin_spec.training.engine import Engine
from nin_spec.training.feed import Feed
from nin_spec.training.finish import draw_curves
from nin_spec.training.folder import Record, Run
from nin_spec.training.freezing import doubts, freeze, frozen_names
from nin_spec.training.guard import Guard
from nin_spec.training.loop import Loop
from nin_spec.training.loss import Loss, weights_of
from nin_spec.training.optimizer import build_optimizer
from nin_spec.training.parallel import share_checkpoint, share_gradients, share_norms, share_run, share_weights
from nin_spec.training.random_layers import StepContext, key_dropout
from nin_spec.training.reporter import Reporter
from nin_spec.training.scoring import Scorer
from nin_spec.training.sets import Sets
from nin_spec.training.settings import Precision, TrainSettings
from nin_spec.training.world import World, agreed
from nin_spec.weights import labels_entry

_MAX_BATCH = 1 << 33
"""Limit in bytes of a batch of stored pictures, three of which are in memory at once."""


@dataclass
class TrainingSession:
    """One training in one process."""

    network: Network
    recipe: Recipe
    sets: Sets
    settings: TrainSettings
    world: World
    device: torch.device
    target: Path
    reporter: Reporter
    stop: Callable[[], bool]

    def __post_init__(self) -> None:
        # Import them now: a missing package must not fail after hours.
        require("matplotlib", "tensorboardX", "tqdm", purpose="training")
        self.precision: Precision = self.settings.precision or self.recipe.precision
        torch.set_num_threads(self.settings.threads or default_threads(self.world))
        self.frozen = frozen_names(self.network)
        self.batches = self._batches()

    def run(self, model: Model, record: Record | None) -> Run:
        """Train from the start."""
        engine, checkpointer = self._engine(model)
        state = State()
        if self.world.is_main:
            checkpointer.write(state)
        return self._train(state, engine, checkpointer, record)

    def resume(self, run: Run) -> Run:
        """Resume from the newest checkpoint. Raises TrainingError if it is missing."""
        data = run.record.data.model_copy(update={"location": self.sets.record.location})
        changes = {"status": "running", "data": data, "agents": list(self.world.agents)}
        again = run.record.model_copy(update=changes) if self.world.is_main else None
        checkpoint, remarks = None, list[str]()
        with agreed(self.world):
            # Killed before the first checkpoint: start from the beginning. With weights of a file there is always one.
            if self.world.is_main and (has_checkpoints(self.target / "checkpoints") or run.has_learned):
                checkpoint, remarks = newest_checkpoint(self.target / "checkpoints")
        checkpoint = share_checkpoint(self.world, checkpoint, self.device)
        if checkpoint is None:
            with agreed(self.world):
                if run.record.started_from is not None:
                    raise folders.unusable(self.target, "it has no checkpoint", "start again with another --output")
                self._write(again)
            return self.run(self.network.initialise(self.recipe.seed), again)
        engine, checkpointer = self._engine(self.network.initialise(self.recipe.seed))
        with agreed(self.world):
            checkpointer.restore(checkpoint)
            self._write(again)
        if self.world.is_main:
            for remark in remarks:
                self.reporter.logged(remark)
        return self._train(checkpoint.state, engine, checkpointer, again)

    def _write(self, record: Record | None) -> None:
        if record is not None:
            folders.write_record(self.target, record)

    def _train(
        self,
        state: State,
        engine: Engine,
        checkpointer: Checkpointer,
        record: Record | None,
    ) -> Run:
        guard = Guard(self.network.graph, self.network.card.classes, state.warnings, state.losses)
        frame = input_frame(self.network)
        scorer = Scorer(self.sets.scored, frame, self.sets.scored_on)
        loop = Loop(engine, self.recipe, self.batches, scorer, guard, state, self.reporter, checkpointer, self.stop)
        if self.world.is_main and self.settings.charts:
            loop.board = Board(self.target / "tensorboard", state.rows, self.reporter.logged)
        if self.world.is_main:
            facts = self._facts() | {"start": None if record is None or state.step else record.start}
            self.reporter.started(facts, state.step, loop.steps, self.batches.batch)
            slow = slow_precision(self.device, self.precision)
            frozen = doubts(self.frozen, record.start if record is not None else None) if not state.step else []
            for remark in (*self.sets.doubts, *([slow] if slow else []), *frozen):
                self.reporter.logged(remark)
        try:
            finished = loop.run()
        except DivergedError as error:
            self._note(record, state, "diverged")
            raise error if self.world.is_main else DivergedError(()) from None
        except DataError as error:
            self._give_up(error, loop, record)
        finally:
            if loop.board is not None:
                loop.board.close()
        if self.world.is_main:
            self._note(record, state, "finished" if finished else "interrupted")
            if self.settings.charts:
                self._draw(state)
        return share_run(self.world, self.target)

    def _draw(self, state: State) -> None:
        chosen = int(state.best[0]) if state.best and self.sets.scored_on == "validation" else None
        try:
            draw_curves(self.target, state.rows, self.network.card.name, chosen)
        except ExportError as error:
            self.reporter.logged(f"the curves are not drawn: {error.diagnostics[0].message}")

    def _give_up(self, error: DataError, loop: Loop, record: Record | None) -> NoReturn:
        """Raise the error of an unreadable picture, with what was kept and how to resume."""
        if not self.world.is_main:
            raise error
        place = self.sets.record.location or self.recipe.dataset
        checkpoints = self.target / "checkpoints"
        if self.world.size == 1 and (loop.state.rows or last_step(checkpoints)):  # else others may wait for it
            loop.settle()
            loop.checkpointer.write(loop.state)
        if last_step(checkpoints):
            self._note(record, loop.state, "interrupted")
            said = f"progress is kept: repair the file, then resume with nin-spec train {self.target} --resume"
        else:
            shutil.rmtree(self.target)
            said = f"no step was done yet, so {self.target} is removed"
        said += f"; nin-spec data check {place} lists every such picture"
        *others, last = error.diagnostics
        raise DataError([*others, replace(last, hint=said)]) from None

    def _note(self, record: Record | None, state: State, status: folders.Status) -> None:
        if record is not None:
            final = dict(state.rows[-1]) if state.rows else {}
            best = dict(state.rows[state.best[0] - 1]) if state.best else {}
            changes: dict[str, object] = {"status": status, "warnings": state.warnings, "final": final, "best": best}
            changes["ended"] = state.ended
            if self.recipe.validation and best:
                score = f"{best['validation_accuracy']:.2%} of {counted(self.sets.record.scored_images, 'picture')}"
                changes["chosen"] = f"epoch {best['epoch']}, the best on the validation split ({score})"
            folders.write_record(self.target, record.model_copy(update=changes))

    # -------------------------------------------------------------- parts

    def _batches(self) -> Batches:
        recipe, frame = self.recipe, input_frame(self.network)
        stored = stored_frame(frame, recipe)
        room = min(stored.height - frame.height, stored.width - frame.width) + 2 * recipe.augment.pad_and_crop
        if room < 0 and recipe.augment.resized_crop is None:
            message = f"pictures resized to {recipe.resize} are smaller than the input, {frame.height}x{frame.width}"
            span = self.network.spec.where("train", "resize")
            raise TrainingError(Code.RECIPE, message, span, "resize to at least the input's size")
        held = recipe.batch_size * stored.height * stored.width * stored.channels
        if held > _MAX_BATCH:
            message = f"a batch of {recipe.batch_size} pictures of {stored.height}x{stored.width} is {held:,} bytes"
            hint = "lower resize or batch_size"
            raise TrainingError(Code.RECIPE, message, self.network.spec.where("train"), hint)
        share = Share(self.world.rank, self.world.size, self.settings.accumulate)
        size = (frame.height, frame.width)
        learned, balanced = self.sets.learned, recipe.balance == "sampling"
        made = Batches(learned, recipe.batch_size, recipe.seed, stored, size, recipe.augment, share, balanced)
        if made.batch < share.ranks * share.micro_batches:
            message = (
                f"a batch of {made.batch} can't be divided among {share.ranks} processes with {share.micro_batches} "
                "micro-batches each"
            )
            raise TrainingError(Code.RECIPE, message, hint="raise batch_size, or use fewer processes or micro-batches")
        if made.batch == share.ranks * share.micro_batches:
            self._require_statistics()
        return made

    def _require_statistics(self) -> None:
        """Raise TrainingError if a batch norm would have only one value per channel, which has no variance."""
        for node in self.network.graph:
            if isinstance(node.op, ops.BatchNorm) and math.prod(node.input.shape[1:]) == 1:
                message = f"with a batch of one picture, {node.name} has one value per channel, which has no variance"
                hint = "raise batch_size, or lower --accumulate"
                raise TrainingError(Code.RECIPE, message, node.span, hint)

    def _engine(self, model: Any) -> tuple[Engine, Checkpointer]:
        bare = build_module(model)
        # The loss takes raw scores, before any softmax.
        last = self.network.graph.nodes[-1]
        if isinstance(last.op, ops.Softmax | ops.LogSoftmax):
            bare.order = bare.order[:-1]
        context = StepContext(self.recipe.seed)
        key_dropout(bare, context)
        layout = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        bare = bare.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        share_weights(self.world, bare)
        freeze(bare, self.frozen)
        if self.world.size > 1:
            share_norms(bare, self.device)
        called: nn.Module = bare
        if self.world.size > 1:
            called = share_gradients(bare, self.device)
        if self.settings.compile:
            called = cast("nn.Module", torch.compile(called))
        spec = self.network.spec.spec
        learned = ((name, parameter) for name, parameter in bare.named_parameters() if parameter.requires_grad)
        optimizer = build_optimizer(learned, self.recipe, partial(aliases, spec=spec))
        dtype = next(bare.parameters()).dtype
        channels = self.network.graph.input.shape[0]
        feed = Feed(self.network.card.preprocessing, channels, dtype, self.device, layout)
        autocast = autocast_for(self.device, self.precision)
        average = None if self.recipe.ema is None else Average.of(bare, self.recipe.ema.decay)
        loss = self._loss(dtype)
        engine = Engine(called, bare, optimizer, feed, context, autocast, self.world, loss, average)
        return engine, self._checkpointer(engine)

    def _loss(self, dtype: torch.dtype) -> Loss:
        weights = weights_of(self.recipe, self.network.card.labels, self.sets.learned.labels)
        told = None if weights is None else torch.tensor(weights, dtype=dtype, device=self.device)
        return Loss(self.recipe.label_smoothing, told)

    def _checkpointer(self, engine: Engine) -> Checkpointer:
        choose = "validation_accuracy" if self.sets.scored_on == "validation" else "train_loss"
        names = tuple(self.network.graph.parameters())
        return Checkpointer(self.target, engine, names, self._about, choose, self.settings.checkpoint_minutes)

    def _about(self, step: int) -> dict[str, str]:
        """The metadata of a weights file."""
        card, seed, total = self.network.card, self.recipe.seed, self.batches.per_epoch * self.recipe.epochs
        trained = f"trained on {self.recipe.dataset}, {step} of {total} steps, seed {seed}"
        facts = {"name": card.name, "hash": card.hash, "dataset": self.recipe.dataset}
        facts["weights"] = trained if step else f"fresh, seed {seed}"
        return {f"nin_spec.{key}": value for key, value in facts.items()} | labels_entry(card.labels)

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
            "micro_batches": self.settings.accumulate,
            "folder": str(self.target),
        }


def stored_frame(frame: Frame, recipe: Recipe) -> Frame:
    """The frame of pictures before augmentation: the input's, or a larger one for crops."""
    if recipe.resize is not None:
        return replace(frame, height=recipe.resize, width=recipe.resize, target=None)
    augment = recipe.augment
    return frame.whole if augment.crop or augment.pad_and_crop or augment.resized_crop is not None else frame


def input_frame(network: Network) -> Frame:
    """The frame of the network's input. Raises TrainingError if the input is not a picture."""
    channels, height, width = network.graph.input.shape
    if channels not in (1, 3):
        message = f"pictures have 1 or 3 channels, but the network takes {channels}"
        raise TrainingError(Code.RECIPE, message, network.spec.where("input", "channels"))
    return frame_of((channels, height, width), network.card.preprocessing)
