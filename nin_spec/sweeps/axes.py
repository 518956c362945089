"""The space of a sweep: axes, the values that they choose, and `$names` in place of values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, cast

from nin_spec.diagnostics import Span
from nin_spec.language.document import Entry, Items, Node, Table, Value, plain
from nin_spec.language.emit import flow

Param = str | int | float
"""What Optuna stores for an axis: the number of a range, the text of a choice."""
Chosen = dict[str, Node]
"""The value of each axis that is used."""
NAME = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class ChoiceAxis:
    """One of several values, by its text in flow style."""

    key: str
    key_span: Span
    values: Mapping[str, Node]
    when: Mapping[str, frozenset[str]]

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to choose."""
        return len(self.values) == 1

    @property
    def size(self) -> float:
        """How many values it has."""
        return len(self.values)

    def node(self, param: Param) -> Node:
        """The value that a parameter stands for."""
        return self.values[str(param)]

    def suggest(self, trial: Any) -> Param:
        """What a trial of Optuna chooses."""
        return cast("str", trial.suggest_categorical(self.key, list(self.values)))

    def draw(self, rng: Random) -> Param:
        """A value at random, all alike."""
        return rng.choice(list(self.values))

    def grid(self) -> list[Param]:
        """Every value."""
        return list(self.values)


@dataclass(frozen=True)
class RangeAxis:
    """A number between two, both included."""

    key: str
    key_span: Span
    span: Span
    low: float
    high: float
    log: bool
    step: float | None
    whole: bool
    when: Mapping[str, frozenset[str]]

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to choose."""
        return self.low == self.high

    @property
    def size(self) -> float:
        """How many values it has; infinite for real numbers without a step."""
        if self.step is None and not self.whole:
            return 1 if self.is_fixed else math.inf
        return round((self.high - self.low) / (self.step or 1)) + 1

    def node(self, param: Param) -> Node:
        """The value that a parameter stands for."""
        return Value(param, self.span)

    def suggest(self, trial: Any) -> Param:
        """What a trial of Optuna chooses."""
        if self.whole:
            step = int(self.step or 1)
            return cast("int", trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log, step=step))
        return cast("float", trial.suggest_float(self.key, self.low, self.high, log=self.log, step=self.step))

    def draw(self, rng: Random) -> Param:
        """A value at random: with `log`, each order of magnitude alike."""
        if self.size < math.inf and not self.log:
            return self._at(rng.randrange(int(self.size)))
        if not self.log:
            return rng.uniform(self.low, self.high)
        value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return round(value) if self.whole else min(max(value, self.low), self.high)

    def grid(self) -> list[Param]:
        """Every value, of an axis that has finitely many."""
        return [self._at(k) for k in range(int(self.size))]

    def _at(self, k: int) -> Param:
        value = self.low + k * (self.step or 1)
        return int(value) if self.whole else value


Axis = ChoiceAxis | RangeAxis


def choose(axes: Iterator[Axis] | tuple[Axis, ...], pick: Callable[[Axis], Param]) -> dict[str, Param]:
    """A parameter for each axis that is used, in their order: a condition names axes above."""
    params: dict[str, Param] = {}
    texts: dict[str, str] = {}
    for axis in axes:
        if all(texts.get(key) in allowed for key, allowed in axis.when.items()):
            params[axis.key] = axis.grid()[0] if axis.is_fixed else pick(axis)
            texts[axis.key] = text_of(axis.node(params[axis.key]))
    return params


def text_of(node: Node) -> str:
    """A value in flow style, by which choices and conditions are compared."""
    return flow(plain(node))


def resolved(node: Node, names: Mapping[str, Node]) -> Node:
    """A value with each `$name` in it replaced; the replaced values keep their own positions."""
    match node:
        case Value(value=str(text)) if text in names:
            return names[text]
        case Value():
            return node
        case Items():
            return Items(tuple(resolved(item, names) for item in node.items), node.span)
        case Table():
            entries = {k: Entry(e.key_span, resolved(e.node, names)) for k, e in node.entries.items()}
            return Table(entries, node.span)


def names_in(node: Node) -> Iterator[tuple[str, Span]]:
    """Each `$name` in a value, and its position."""
    match node:
        case Value(value=str(text)) if NAME.fullmatch(text):
            yield text, node.span
        case Value():
            return
        case Items():
            for item in node.items:
                yield from names_in(item)
        case Table():
            for entry in node.entries.values():
                yield from names_in(entry.node)


def is_whole(node: Node) -> bool:
    """Whether a range was written with whole numbers alone."""
    found = [node.get(key) for key in ("from", "to", "step")] if isinstance(node, Table) else []
    return all(n is None or (isinstance(n, Value) and isinstance(n.value, int)) for n in found)
