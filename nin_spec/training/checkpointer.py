"""Writes the results of a training: checkpoints, the best and the last weights, the rows of its epochs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, DivergedError
from nin_spec.training.checkpoint import Checkpoint, State, write_checkpoint
from nin_spec.training.engine import Engine
from nin_spec.training.folder import read_rows, unusable, write_rows
from nin_spec.training.optimizer import restore_state, state_of
from nin_spec.training.reporter import Pace, Row
from nin_spec.weights.storage import save

Array = NDArray[np.floating[Any]]
_EPOCH_SECONDS = 2.0
"""Epochs shorter than this many seconds share a checkpoint."""


@dataclass
class Checkpointer:
    """Writes into a run folder. `names` are the network's parameters, in order.

    `about` returns the metadata of the weights file after a step.
    """

    folder: Path
    engine: Engine
    names: tuple[str, ...]
    about: Callable[[int], Mapping[str, str]]
    choose_by: str
    minutes: float
    written: float = field(default_factory=time.monotonic)
    best: tuple[dict[str, Array], int] | None = None
    paces: list[dict[str, float | int]] = field(default_factory=list)

    def note(self, state: State) -> None:
        """After a step within an epoch: write if it is time."""
        if time.monotonic() - self.written > self.minutes * 60:
            self.write(state)

    def note_epoch(self, state: State, pace: Pace, *, last: bool) -> None:
        """After an epoch: write, unless it was very short."""
        self._time(state.rows[-1], pace)
        self._choose(state)
        if last or time.monotonic() - self.written > _EPOCH_SECONDS:
            self.write(state)

    def write(self, state: State) -> None:
        """Write everything now.

        Raises DivergedError instead of storing weights that are NaN or infinite; the results of earlier epochs are
        still written.
        """
        self._write_best()
        write_rows(self.folder / "metrics.csv", state.rows)
        write_rows(self.folder / "timings.csv", self.paces)
        kept = self.weights()
        weights = kept if self.engine.average is None else self._current()
        both = (*weights.items(), *kept.items())
        broken = next((n for n, a in both if not np.isfinite(a).all()), None)
        if broken is not None:
            message = f"after step {state.step}, {broken} has values that are NaN or infinite: training has diverged"
            hint = (
                "lower optimizer.lr, add a warmup or a gradient_clip; the last good weights are kept in the run folder"
            )
            raise DivergedError(Code.DIVERGED, message, hint=hint)
        save(self.folder / "last.safetensors", kept, self.about(state.step))
        memory = state_of(self.engine.optimizer, self.engine.bare.named_parameters())
        tensors = {f"weights/{n}": a for n, a in weights.items()}
        tensors |= {f"optimizer/{n}": t.detach().cpu().numpy() for n, t in memory.items()}
        if self.engine.average is not None:
            tensors |= {f"average/{n}": array for n, array in kept.items()}
        write_checkpoint(self.folder / "checkpoints", Checkpoint(state, tensors))
        self.written = time.monotonic()

    def _write_best(self) -> None:
        """Write the weights of the best epoch, once."""
        if self.best is not None:
            best, step = self.best
            save(self.folder / "best.safetensors", best, self.about(step))
            self.best = None

    def weights(self) -> dict[str, Array]:
        """A copy of the tensors that are evaluated, under our names: those of the average, if there is one."""
        with self.engine.scored():
            return self._current()

    def _current(self) -> dict[str, Array]:
        """A copy of the network's tensors under our names."""
        found = self.engine.bare.state_dict()
        # In contiguous format, regardless of the memory format.
        return {name: np.array(found[name].detach().cpu().contiguous().numpy()) for name in self.names}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore a checkpoint's weights and optimiser state. Raises TrainingError if they don't fit."""
        bare = self.engine.bare
        own = bare.state_dict()
        weights, memory = checkpoint.of("weights"), checkpoint.of("optimizer")
        if {n: a.shape for n, a in weights.items()} != {n: tuple(own[n].shape) for n in self.names}:
            raise unusable(self.folder, "the tensors of its checkpoint do not match its network")
        with torch.no_grad():
            for name, array in weights.items():
                own[name].copy_(torch.from_numpy(np.array(array)))
        tensors = {k: torch.from_numpy(np.array(v)) for k, v in memory.items()}
        if not restore_state(self.engine.optimizer, list(bare.named_parameters()), tensors):
            raise unusable(self.folder, "the optimiser state of its checkpoint does not match its network")
        if (average := self.engine.average) is not None:
            # Before the first step it is the weights.
            values = checkpoint.of("average") or weights
            if not average.restore({n: torch.from_numpy(np.array(a)) for n, a in values.items()}):
                raise unusable(self.folder, "the averaged weights of its checkpoint do not match its network")
        done = len(checkpoint.state.rows) if self.engine.world.is_main else 0
        self.paces = [dict(row) for row in read_rows(self.folder / "timings.csv")[:done]]

    def _time(self, row: Row, pace: Pace) -> None:
        """Record the speed of an epoch."""
        self.paces.append(
            {
                "epoch": row["epoch"],
                "seconds": round(pace.seconds, 3),
                "images_per_second": round(pace.images_per_second, 1),
                "data_share": round(pace.data_share, 5),
            }
        )

    def _choose(self, state: State) -> None:
        """Remember the weights if the newest epoch is the best so far."""
        row = state.rows[-1]
        if state.best is not None and state.best[0] >= row["epoch"]:
            return
        # Higher accuracy or lower loss is better; of equal ones, the first wins.
        value = float(row[self.choose_by]) * (1 if self.choose_by.endswith("accuracy") else -1)
        if state.best is None or value > state.best[1]:
            state.best = (int(row["epoch"]), value)
            self.best = self.weights(), state.step
