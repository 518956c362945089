"""Divides a chain into blocks: the paper's mlpconv layers.

A block begins at a spatial convolution, or after a pool. The steps around a convolution belong to the
one before them or, for the kinds named in `before` (as in norm-activation-conv), to the one after them.
Steps that belong to none get a bare block.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nin_spec.importers.chain import Step, refusal
from nin_spec.ir import ops
from nin_spec.ir.types import Padding
from nin_spec.words import step_of

_BARE_ORDER = ("shuffle", "norm", "activation", "pool", "dropout")


def kind_of(step: Step) -> str:
    """The language's word for a step on maps. Raises ForeignModelError for one that has none there."""
    kind = step_of(step.op)
    if kind is None:
        raise refusal(step.origin, f"the language does not allow {type(step.op).__name__} here")
    return kind


@dataclass
class Unit:
    """A convolution and the steps around it, in order."""

    steps: dict[str, Step]

    @property
    def conv(self) -> ops.Conv2d:
        """The convolution itself."""
        op = self.steps["conv"].op
        assert isinstance(op, ops.Conv2d)  # noqa: S101 the key says so
        return op


@dataclass
class Part:
    """A block: units and then a pool and a dropout; or, without units, single steps by kind."""

    units: list[Unit] = field(default_factory=list)
    alone: dict[str, Step] = field(default_factory=dict)

    @property
    def pooled(self) -> bool:
        """Whether nothing but a dropout can follow."""
        return "pool" in self.alone

    def take(self, kind: str, step: Step) -> bool:
        """Add a step other than a convolution, if it fits here."""
        if self.units and kind != "pool" and not self.alone and kind not in self.units[-1].steps:
            self.units[-1].steps[kind] = step
            return True
        order = ("pool", "dropout") if self.units else _BARE_ORDER
        if kind not in order or any(order.index(k) >= order.index(kind) for k in self.alone):
            return False
        self.alone[kind] = step
        return True


def find_blocks(steps: Sequence[Step], before: Iterable[str] = ()) -> list[Part]:
    """The blocks of steps on maps; kinds in `before` lead to the convolution after them."""
    parts: list[Part] = []
    waiting: list[tuple[str, Step]] = []
    for step in steps:
        kind = kind_of(step)
        if kind != "conv":
            waiting.append((kind, step))
            continue
        cut = _led(waiting, frozenset(before))
        for other in waiting[:cut]:
            _place(parts, *other)
        unit = Unit({**dict(waiting[cut:]), "conv": step})
        if not parts or parts[-1].alone or (is_spatial(unit.conv) and parts[-1].units):
            parts.append(Part())
        parts[-1].units.append(unit)
        waiting = []
    for other in waiting:
        _place(parts, *other)
    for part in parts:
        _free_dropout(part)
    return parts


def _led(waiting: Sequence[tuple[str, Step]], before: frozenset[str]) -> int:
    """Where the steps begin that lead to the next convolution: each kind at most once."""
    cut = len(waiting)
    while cut and waiting[cut - 1][0] in before and waiting[cut - 1][0] not in dict(waiting[cut:]):
        cut -= 1
    return cut


def _place(parts: list[Part], kind: str, step: Step) -> None:
    """A step in the last block, or in a bare one of its own."""
    if not parts or not parts[-1].take(kind, step):
        parts.append(Part())
        parts[-1].take(kind, step)


def is_spatial(conv: ops.Conv2d) -> bool:
    """Whether a convolution sees more than one cell: such a convolution begins a block."""
    return (conv.kernel_size, conv.stride, conv.dilation) != ((1, 1), (1, 1), (1, 1))


def is_plain(conv: ops.Conv2d) -> bool:
    """Whether `channels` alone can say a convolution that is not the first of its block."""
    return not is_spatial(conv) and conv.padding == Padding() and conv.groups == 1


def _free_dropout(part: Part) -> None:
    """A dropout at the end of the last convolution is the block's, which is shorter to write."""
    if not part.units or "dropout" in part.alone:
        return
    steps = part.units[-1].steps
    if list(steps)[-1] == "dropout":
        dropped = steps.pop("dropout")
        part.alone = {"dropout": dropped, **part.alone}
