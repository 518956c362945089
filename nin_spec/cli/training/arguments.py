"""What `nin-spec train` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nin_spec.training.settings import Precision, TrainSettings

PRECISIONS: dict[str, Precision] = {
    "float32": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
}


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of the command, named as click passes them."""

    target: str
    overrides: tuple[str, ...]
    size: str | None
    data: str | None
    output: str | None
    resumed: bool
    weights: str | None
    new_head: bool
    device: str
    precision: str | None
    threads: int | None
    accumulate: int
    compiled: bool
    channels_last: bool
    limit: int | None
    checkpoint_minutes: float
    peer_timeout: float

    @property
    def settings(self) -> TrainSettings:
        """How the recipe is run."""
        from nin_spec.training.settings import TrainSettings

        return TrainSettings(
            self.device,
            None if self.precision is None else PRECISIONS[self.precision],
            self.threads,
            self.accumulate,
            self.compiled,
            self.channels_last,
            self.limit,
            self.checkpoint_minutes,
        )
