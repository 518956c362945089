"""A part seen otherwise: some of its pictures, or other class numbers; nothing is copied."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nin_spec.data.faults import misfit
from nin_spec.data.part import Headed, Numbers, Part, PartName, evidence_of
from nin_spec.data.split import hold_out
from nin_spec.diagnostics import Diagnostic
from nin_spec.pictures import Frame, Pixels


@dataclass(frozen=True, eq=False)
class View:
    """Picture k is picture `chosen[k]` of `base`; labels and classes are the view's own."""

    base: Part = field(repr=False)
    chosen: Numbers = field(repr=False)
    labels: Numbers
    classes: tuple[str, ...]

    @property
    def dataset(self) -> str:
        return self.base.dataset

    @property
    def part(self) -> PartName:
        return self.base.part

    @property
    def where(self) -> str:
        return self.base.where

    def pictures(self, indices: Numbers, frame: Frame) -> Pixels:
        return self.base.pictures(self.chosen[indices], frame)

    def evidence(self, indices: Numbers) -> bytes:
        """That of the base."""
        return evidence_of(self.base, self.chosen[indices])

    def headers(self, indices: Numbers) -> list[Diagnostic]:
        """Those of the base, where it has files."""
        return self.base.headers(self.chosen[indices]) if isinstance(self.base, Headed) else []

    def __len__(self) -> int:
        return len(self.chosen)


def subset(part: Part, indices: Numbers) -> Part:
    """The pictures of these numbers, in this order, numbered anew from 0."""
    chosen = np.array(indices, np.int64)
    return View(part, chosen, part.labels[chosen], part.classes)


def sample(part: Part, count: int, seed: int) -> Part:
    """So many of the pictures, of each class alike: the first of a folder would all be of one.

    Raises DataError where each class has one picture only, of which no share can be taken.
    """
    if count >= len(part):
        return part
    chosen = hold_out(part.labels, count / len(part), seed)[1]
    if not len(chosen):
        hint = f"take {len(part):,} or more, or leave out the limit"
        raise misfit(f"{part.where} has too few pictures in each class to take {count:,} of them evenly", hint)
    return subset(part, chosen)


def renamed(part: Part, classes: tuple[str, ...]) -> Part:
    """The same part under other class names."""
    return View(part, np.arange(len(part)), part.labels, classes)


def renumbered(part: Part, classes: tuple[str, ...], numbers: Numbers) -> Part:
    """The same part where class k is called `numbers[k]`, and named by `classes`."""
    return View(part, np.arange(len(part)), numbers[part.labels], classes)
