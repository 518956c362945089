"""The training loop, from a state to the end."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from nin_spec.diagnostics import Code, DivergedError
from nin_spec.language.recipe import Recipe
from nin_spec.training.batches import Batches, MicroBatch
from nin_spec.training.board import Board
from nin_spec.training.checkpoint import State
from nin_spec.training.checkpointer import Checkpointer
from nin_spec.training.ending import out_of_time, without_patience
from nin_spec.training.engine import Engine
from nin_spec.training.guard import LOOK_AT, Guard
from nin_spec.training.optimizer import rate_factor, set_rates
from nin_spec.training.reporter import Pace, Reporter
from nin_spec.training.scoring import Scorer

_READ_EVERY = 20
"""Steps between reads of the losses on a GPU, since each read synchronises."""


@dataclass
class Loop:
    """Runs a recipe; the main process writes results and reports progress. `stop` is polled after each step."""

    engine: Engine
    recipe: Recipe
    batches: Batches
    scorer: Scorer
    guard: Guard
    state: State
    reporter: Reporter
    checkpointer: Checkpointer
    stop: Callable[[], bool]
    board: Board | None = None
    unread: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steps = self.batches.per_epoch * self.recipe.epochs
        self.clock = Clock()
        self.before, self.begun = self.state.seconds, time.perf_counter()

    def run(self) -> bool:
        """Train to the end; returns False if it was asked to stop before. Raises DivergedError."""
        engine, state = self.engine, self.state
        if state.ended is not None:
            return True
        engine.called.train()
        self.clock.restart()
        with contextlib.closing(self.batches.steps(state.step, self.steps)) as coming:
            for micro_batches in self.clock.watch(coming):
                if engine.world.is_main and state.step in LOOK_AT:
                    self._look(micro_batches)
                self.unread.append(self._step(micro_batches))
                state.step += 1
                if self.recipe.time_limit is not None:
                    self._count_time()
                ends = state.step % self.batches.per_epoch == 0
                stop = self._due(ends) and self._read()
                if ends:
                    self._finish_epoch()
                if state.ended is not None:
                    return True
                if stop and state.step < self.steps:
                    if engine.world.is_main:
                        self.checkpointer.write(state)
                    return False
                if not self.unread and engine.world.is_main:
                    self.checkpointer.note(state)
        return True

    def _step(self, micro_batches: list[MicroBatch]) -> Tensor:
        """One update; returns (summed loss, correct, stop requested) of this process."""
        engine, recipe = self.engine, self.recipe
        factor = rate_factor(recipe.schedule, self.state.step, self.batches.per_epoch, recipe.epochs)
        set_rates(engine.optimizer, factor)
        engine.optimizer.zero_grad(set_to_none=True)
        loss_sum = correct = torch.zeros((), device=engine.feed.device)
        for k, micro_batch in enumerate(micro_batches):
            with self._unsynced(last=k == len(micro_batches) - 1):
                loss, right = self._micro_batch(micro_batch)
            loss_sum, correct = loss_sum + loss, correct + right
        if recipe.gradient_clip is not None:
            nn.utils.clip_grad_norm_(engine.bare.parameters(), recipe.gradient_clip)
        engine.optimizer.step()
        if engine.average is not None:
            engine.average.follow(engine.bare, self.state.step + 1)
        stop = torch.tensor(float(self.stop()), device=loss_sum.device)
        return torch.stack([loss_sum.double(), correct.double(), stop.double()])

    def _micro_batch(self, micro_batch: MicroBatch) -> tuple[Tensor, Tensor]:
        """Forward and backward of one micro-batch; returns its summed loss and correct count."""
        engine, now = self.engine, self.engine.context
        now.step, now.start, now.stop, now.total = (
            self.state.step,
            micro_batch.start,
            micro_batch.stop,
            micro_batch.total,
        )
        labels = torch.from_numpy(micro_batch.labels).to(engine.feed.device, non_blocking=True)
        with engine.autocast():
            scores = engine.called(self._inputs(micro_batch))
        scores = scores.float() if scores.dtype == torch.bfloat16 else scores
        loss, right = engine.loss(scores, labels, micro_batch.mixture)
        # The mean over the whole batch; DistributedDataParallel averages over processes, hence the factor.
        (loss * (engine.world.size / micro_batch.total)).backward()  # type: ignore[no-untyped-call]
        return loss.detach(), right

    def _inputs(self, micro_batch: MicroBatch) -> Tensor:
        """The network's input: the pictures, blended with their partners."""
        feed, mixture = self.engine.feed, micro_batch.mixture
        x = feed(micro_batch.pictures)
        if mixture is None or mixture.partners is None:
            return x
        blend = torch.from_numpy(mixture.blend).to(x).reshape(-1, 1, 1, 1)
        return x.mul_(blend).add_(feed(mixture.partners).mul_(1 - blend))

    def _unsynced(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Synchronise gradients after the last micro-batch only."""
        called = self.engine.called
        if not last and isinstance(called, nn.parallel.DistributedDataParallel):
            return called.no_sync()
        return contextlib.nullcontext()

    @property
    def _eager(self) -> bool:
        return self.engine.feed.device.type == "cpu"

    def _due(self, ends: bool) -> bool:  # noqa: FBT001
        return ends or self._eager or len(self.unread) >= _READ_EVERY

    def _read(self) -> bool:
        """Read the losses of the steps since the last read; True if some process was asked to stop."""
        state, batch = self.state, self.batches.batch
        values = self.engine.world.total(torch.stack(self.unread)).tolist()
        first = state.step - len(values) + 1
        self.unread.clear()
        for number, (loss, correct, _) in enumerate(values, first):
            if not math.isfinite(loss):
                raise self._diverged(number, loss)
            state.loss, state.correct, state.seen = state.loss + loss, state.correct + int(correct), state.seen + batch
            if self.engine.world.is_main:
                self.reporter.stepped(number, loss / batch)
                self._tell(self.guard.judge(number, loss / batch))
        return any(stop for *_, stop in values)

    def settle(self) -> None:
        """Read the losses of finished steps that are still unread."""
        if self.unread:
            self._read()

    def _finish_epoch(self) -> None:
        state = self.state
        pace = self.clock.pace(state.seen)
        rates = [group["lr"] for group in self.engine.optimizer.param_groups]
        row: dict[str, float | int] = {
            "epoch": state.step // self.batches.per_epoch,
            "step": state.step,
            "lr": max(rates),
            "train_loss": state.loss / state.seen,
            "train_accuracy": state.correct / state.seen,
        }
        with self.engine.scored():
            row |= self.scorer(self.engine)
        self.engine.called.train()
        state.rows.append(row)
        state.loss, state.correct, state.seen = 0.0, 0, 0
        last = state.step == self.steps
        if not last:
            state.ended = self._ending()
        if self.engine.world.is_main:
            if self.board is not None:
                self.board.add(row)
            self.reporter.finished_epoch(row, pace)
            self.checkpointer.note_epoch(state, pace, last=last or state.ended is not None)
        self.clock.restart()

    def _ending(self) -> str | None:
        """Why the training ends here, as the main process finds it."""
        recipe, state = self.recipe, self.state
        if recipe.patience is None and recipe.time_limit is None:
            return None
        ended: str | None = self.engine.world.broadcast(without_patience(recipe, state) or out_of_time(recipe, state))
        return ended

    def _count_time(self) -> None:
        self.state.seconds = self.before + time.perf_counter() - self.begun

    def _look(self, micro_batches: list[MicroBatch]) -> None:
        """Check the activations of a few pictures, in evaluation mode."""
        bare = self.engine.bare
        bare.eval()
        with torch.no_grad(), self.engine.autocast():
            self._tell(self.guard.look(bare.trace(self.engine.feed(micro_batches[0].pictures[:32]))))
        bare.train()

    def _tell(self, messages: Iterable[str]) -> None:
        for message in messages:
            self.state.warnings.append(message)
            self.reporter.logged(message)

    def _diverged(self, number: int, loss: float) -> DivergedError:
        epoch = (number - 1) // self.batches.per_epoch + 1
        message = f"the loss of step {number} (epoch {epoch}) is {loss}: training has diverged"
        hint = "lower optimizer.lr, add a warmup or a gradient_clip; the last good weights are kept in the run folder"
        return DivergedError(Code.DIVERGED, message, hint=hint)


class Clock:
    """Measures the time of steps, and how much of it is waiting for pictures."""

    def restart(self) -> None:
        """Start a new epoch."""
        self.begun, self.waited = time.perf_counter(), 0.0

    def watch(self, coming: Iterator[list[MicroBatch]]) -> Iterator[list[MicroBatch]]:
        """The same steps, timed."""
        while True:
            before = time.perf_counter()
            micro_batches = next(coming, None)
            self.waited += time.perf_counter() - before
            if micro_batches is None:
                return
            yield micro_batches

    def pace(self, seen: int) -> Pace:
        """The pace of the epoch so far, with `seen` pictures over all processes."""
        seconds = time.perf_counter() - self.begun
        return Pace(seconds, seen / seconds, self.waited / seconds)
