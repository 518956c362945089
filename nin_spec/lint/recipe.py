"""Rules about the recipe: entries without effect, and pictures of two scales."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from nin_spec.diagnostics import MAX_FINDINGS, Code, Severity, Source, Span, counted, short
from nin_spec.ir.types import Pair
from nin_spec.language.document import Table
from nin_spec.language.parts import target_of
from nin_spec.lint.finding import Finding, Subject, size_of
from nin_spec.recipe_names import HINT, fits, suggestion, trainable

if TYPE_CHECKING:
    from nin_spec.language.recipe import Recipe

Aliases = dict[str, tuple[str, ...]]

_KINDS = {"weight", "bias", "convs", "norms", "norm", "activations", "activation", "dense", "head", "blocks", "", "*"}
"""Words common to the parameters of many networks: a pattern of these alone may be meant for other networks."""


def idle_entries(subject: Subject) -> Iterator[Finding]:
    """NIN912: patterns that match no parameter or are overridden; milestones after the end; crops of the whole."""
    train = subject.network.spec.spec.train
    if train is not None:
        known = trainable(subject.network.graph, subject.network.spec.spec)
        found = (*_patterns(subject, train, known), *_milestones(subject, train), *_crop(subject, train))
        yield from islice(found, MAX_FINDINGS)


def _patterns(subject: Subject, train: Recipe, known: Aliases) -> Iterator[Finding]:
    """Entries of both keys that match nothing; multipliers overridden in the same text; no_decay without a decay."""
    decided: dict[Source, set[str]] = {}  # a spec overrides the one it extends on purpose
    for pattern in reversed(train.lr_multipliers):
        span, fitting = _key(subject, pattern), _fitting(pattern, known)
        later = decided.setdefault(span.source, set())
        if not fitting:
            yield _unmatched("lr_multipliers", pattern, span, known)
        elif fitting <= later:
            message = f"train.lr_multipliers: {short(pattern)!r} has no effect: later entries match the same parameters"
            yield Finding(Code.IDLE_ENTRY, message, span, "move it after them: the last match counts")
        later |= fitting
    for i, pattern in enumerate(train.no_decay):
        span = subject.where("train", "no_decay", i)
        if not _fitting(pattern, known):
            yield _unmatched("no_decay", pattern, span, known)
        elif not train.optimizer.weight_decay:
            message = f"train.no_decay: {short(pattern)!r} has no effect: the optimizer has no weight decay"
            hint = "set optimizer.weight_decay, or remove no_decay"
            yield Finding(Code.IDLE_ENTRY, message, span, hint, severity=Severity.NOTE)


def _key(subject: Subject, pattern: str) -> Span:
    """The span of a multiplier's pattern."""
    table = subject.written(("train", "lr_multipliers"))
    if isinstance(table, Table) and pattern in table.entries:
        return table.entries[pattern].key_span
    return subject.where("train", "lr_multipliers", pattern)


def _fitting(pattern: str, known: Aliases) -> set[str]:
    return {name for name, names in known.items() if fits(pattern, names)}


def _unmatched(key: str, pattern: str, span: Span, known: Aliases) -> Finding:
    near = suggestion(pattern, (name for names in known.values() for name in names))
    general = set(pattern.split(".")) <= _KINDS
    return Finding(
        Code.IDLE_ENTRY,
        f"train.{key}: {short(pattern)!r} matches none of the network's parameters",
        span,
        f"did you mean {near!r}?" if near and not general else HINT,
        severity=Severity.NOTE if general else Severity.WARNING,
    )


def _milestones(subject: Subject, train: Recipe) -> Iterator[Finding]:
    """Milestones at or after the last epoch."""
    if train.schedule.kind != "step":
        return
    for i, milestone in enumerate(train.schedule.milestones):
        if milestone >= train.epochs:
            yield Finding(
                Code.IDLE_ENTRY,
                f"train.schedule.milestones: {milestone:g} has no effect: training ends after "
                f"{counted(train.epochs, 'epoch')}",
                subject.where("train", "schedule", "milestones", i),
                "choose earlier milestones, or train for more epochs",
            )


def _crop(subject: Subject, train: Recipe) -> Iterator[Finding]:
    """A random crop of pictures no larger than the input."""
    size = subject.network.spec.spec.input.size
    if train.augment.crop and not train.augment.pad_and_crop and _learned(subject, train) == size:
        yield Finding(
            Code.IDLE_ENTRY,
            f"train.augment.crop has no effect: pictures are resized to the input's {size_of(size)}",
            subject.where("train", "augment", "crop"),
            f"resize to a larger size first: {_resize_hint(subject, max(size) * 8 // 7)}",
        )


def _scored(subject: Subject) -> Pair:
    """The (height, width) that pictures are resized to at inference."""
    given = subject.network.spec.spec.input
    return target_of(given.preprocess.resize) or given.size


def _learned(subject: Subject, train: Recipe) -> Pair:
    """The same in training."""
    return _scored(subject) if train.resize is None else (train.resize, train.resize)


def _resize_hint(subject: Subject, side: int) -> str:
    """The setting that resizes pictures to a size."""
    kind = subject.network.spec.spec.input.preprocess.resize.kind
    return f"input.preprocess.resize: {{kind: {kind}, {'size' if kind == 'stretch' else 'shorter'}: {side}}}"


def two_scales(subject: Subject) -> Iterator[Finding]:
    """NIN913: pictures trained on at one scale and scored at another."""
    given, train = subject.network.spec.spec.input, subject.network.spec.spec.train
    if train is None:
        return
    learned, scored = _learned(subject, train), _scored(subject)
    if learned != scored and train.resize is not None:
        yield Finding(
            Code.TWO_SCALES,
            f"train.resize: training resizes pictures to {size_of(learned)}, evaluation and serving to "
            f"{size_of(scored)}",
            subject.where("train", "resize"),
            f"instead set {_resize_hint(subject, train.resize)}, and train.augment.crop: true for random crops",
        )
    elif given.open and target_of(given.preprocess.resize) is None:
        yield Finding(
            Code.TWO_SCALES,
            f"input.open: training and evaluation resize pictures to {size_of(learned)}, `run` and the server keep "
            "each picture's own size",
            subject.where("input", "open"),
            f"to give them one scale, set {_resize_hint(subject, max(given.size))}",
            severity=Severity.NOTE,
        )
