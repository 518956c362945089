"""A view of a split: some of its pictures, or other class indices; nothing is copied."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nin_spec.data.faults import misfit
from nin_spec.data.held_out import hold_out
from nin_spec.data.split import Headed, Indices, Split, SplitName, evidence_of, names_of
from nin_spec.diagnostics import Diagnostic
from nin_spec.pictures import Frame, Pixels


@dataclass(frozen=True, eq=False)
class View:
    """Picture k is picture `chosen[k]` of `base`, with the view's labels and classes."""

    base: Split = field(repr=False)
    chosen: Indices = field(repr=False)
    labels: Indices
    classes: tuple[str, ...]

    @property
    def dataset(self) -> str:
        return self.base.dataset

    @property
    def name(self) -> SplitName:
        return self.base.name

    @property
    def where(self) -> str:
        return self.base.where

    def pictures(self, indices: Indices, frame: Frame) -> Pixels:
        return self.base.pictures(self.chosen[indices], frame)

    def names(self, indices: Indices) -> list[str]:
        """The names of the base."""
        return names_of(self.base, self.chosen[indices])

    def evidence(self, indices: Indices) -> bytes:
        """The evidence of the base."""
        return evidence_of(self.base, self.chosen[indices])

    def headers(self, indices: Indices) -> list[Diagnostic]:
        """The headers of the base, if it has files."""
        return self.base.headers(self.chosen[indices]) if isinstance(self.base, Headed) else []

    def __len__(self) -> int:
        return len(self.chosen)


def subset(split: Split, indices: Indices) -> Split:
    """The pictures at these indices, in this order."""
    chosen = np.array(indices, np.int64)
    return View(split, chosen, split.labels[chosen], split.classes)


def sample(split: Split, count: int, seed: int) -> Split:
    """A sample of `count` pictures, stratified by class, since the first pictures of a folder all belong to one.

    Raises DataError if every class has only one picture.
    """
    if count >= len(split):
        return split
    chosen = hold_out(split.labels, count / len(split), seed)[1]
    if not len(chosen):
        hint = f"pass {len(split):,} or more, or remove the limit"
        raise misfit(f"{split.where} has too few pictures per class for a stratified sample of {count:,}", hint)
    return subset(split, chosen)


def renamed(split: Split, classes: tuple[str, ...]) -> Split:
    """The same split under other class names."""
    return View(split, np.arange(len(split)), split.labels, classes)


def renumbered(split: Split, classes: tuple[str, ...], numbers: Indices) -> Split:
    """The same split where class k becomes `numbers[k]`, with the names `classes`."""
    return View(split, np.arange(len(split)), numbers[split.labels], classes)
