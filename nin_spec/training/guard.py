"""Early warnings of dead starts: a loss that stays at ln(classes), scores or layers whose ReLU never fires.

Network-in-Network is prone to them (the issue trackers of five re-implementations report it): Gaussian weights of the
wrong scale, a learning rate too high for the first steps, a ReLU on the class maps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node

LOOK_AT = frozenset({10, 100, 1000})
"""Steps after which the activations are checked."""

JUDGE_AT = frozenset({100, 200, 500, 1000, 2000, 5000})
"""Steps after which the loss is checked."""

_WINDOW, _NEAR, _DEAD = 50, 0.01, 0.9
_FIX = "try init: {kind: kaiming_normal}, norm: batch, a smaller lr, or a warmup (`nin-spec guide training`)"


class Guard:
    """Watches the first steps of a training on `classes` classes. Each warning is reported once.

    `reported` are the warnings from before a run was resumed, `losses` the latest losses until then.
    """

    def __init__(
        self, graph: Graph, classes: int, reported: Iterable[str] = (), losses: list[float] | None = None
    ) -> None:
        self.chance = math.log(classes)
        self.losses = [] if losses is None else losses
        self.reported = {_kind(message) for message in reported}
        self.relus = {node.name: node for node in graph if isinstance(node.op, ops.ReLU)}
        last = next((n for n in reversed(list(graph)) if isinstance(n.op, ops.Conv2d | ops.Linear)), None)
        after = list(graph)[list(graph).index(last) + 1 :] if last else []
        self.scores = next((n.name for n in after if isinstance(n.op, ops.ReLU)), None)

    def judge(self, step: int, loss: float) -> list[str]:
        """Warnings about the losses after `step` steps."""
        self.losses.append(loss)
        del self.losses[:-_WINDOW]
        if step not in JUDGE_AT or len(self.losses) < _WINDOW:
            return []
        mean = sum(self.losses) / len(self.losses)
        if abs(mean - self.chance) > _NEAR * self.chance:
            return []
        return self._once(
            f"the loss has been at {mean:.4f} for {len(self.losses)} steps, and ln(classes) is {self.chance:.4f}: "
            f"after {step} steps the network has learned nothing; {_FIX}"
        )

    def look(self, activations: Iterable[tuple[str, Tensor]]) -> list[str]:
        """Warnings about dead ReLUs, from the outputs of the layers by name."""
        found = []
        for name, value in activations:
            if name not in self.relus:
                continue
            axes = [k for k in range(value.ndim) if k != 1]
            silent = int((value.amax(axes) <= 0).sum())
            channels = value.shape[1]
            if name == self.scores and silent * 2 > channels:
                found += self._once(self._dead_scores(self.relus[name], silent, channels))
            elif name != self.scores and silent >= _DEAD * channels:
                found += self._once(
                    f"{_position(self.relus[name])}: {silent} of {channels} channels never fire; {_FIX}"
                )
        return found

    def _dead_scores(self, node: Node, silent: int, channels: int) -> str:
        return (
            f"{_position(node)}: the ReLU on the class scores is dead for {silent} of {channels} classes, which get no "
            f"gradient; set activation: none for that layer, or {_FIX}"
        )

    def _once(self, message: str) -> list[str]:
        if _kind(message) in self.reported:
            return []
        self.reported.add(_kind(message))
        return [message]


def _kind(message: str) -> str:
    """A message without its numbers and its position: a resumed run reads its spec from another file."""
    return message.partition(":")[0].partition(" (")[0].partition(" has been at ")[0]


def _position(node: Node) -> str:
    """A node and its position in the spec."""
    if node.span is None:
        return node.name
    source = node.span.source
    return f"{node.name} ({source.text if source.name == '--set' else f'{source.name} line {node.span.line}'})"
