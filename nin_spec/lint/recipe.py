"""Rules about the recipe: entries without effect, pictures of two scales, settings at cross purposes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

from nin_spec.diagnostics import MAX_FINDINGS, Code, Severity, Source, Span, counted, short
from nin_spec.ir.types import Pair
from nin_spec.language.document import Table
from nin_spec.language.parts import target_of
from nin_spec.lint.finding import Finding, Subject, size_of
from nin_spec.recipe_names import HINT, aliases, covers, fits, suggestion, trainable

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
        parts = (_patterns(subject, train, known), _frozen(subject, train), _milestones(subject, train))
        found = (*chain.from_iterable(parts), *_crop(subject, train), *_gray(subject, train))
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


def _frozen(subject: Subject, train: Recipe) -> Iterator[Finding]:
    """Patterns of `freeze` that match nothing, and multipliers of parameters that are all frozen."""
    network = subject.network
    known = {name: aliases(name, network.spec.spec) for name in network.graph.parameters()}
    frozen = {name for name, names in known.items() if any(covers(pattern, names) for pattern in train.freeze)}
    for i, pattern in enumerate(train.freeze):
        if not any(covers(pattern, names) for names in known.values()):
            yield _unmatched("freeze", pattern, subject.where("train", "freeze", i), known)
    for pattern in train.lr_multipliers:
        fitting = _fitting(pattern, known)
        if fitting and fitting <= frozen:
            message = f"train.lr_multipliers: {short(pattern)!r} has no effect: freeze holds all its parameters"
            yield Finding(Code.IDLE_ENTRY, message, _key(subject, pattern), "remove it, or freeze fewer layers")


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


def _gray(subject: Subject, train: Recipe) -> Iterator[Finding]:
    """Saturation of gray pictures."""
    jitter = train.augment.jitter
    if jitter is not None and jitter.saturation and subject.network.card.preprocessing.color == "gray":
        yield Finding(
            Code.IDLE_ENTRY,
            "train.augment.jitter.saturation has no effect: gray pictures have none",
            subject.where("train", "augment", "jitter", "saturation"),
            "remove it",
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


def cross_purposes(subject: Subject) -> Iterator[Finding]:
    """NIN914: an early end of a rate that falls until the last epoch; rare classes favoured twice."""
    train = subject.network.spec.spec.train
    if train is None:
        return
    if train.schedule.kind in {"cosine", "one_cycle"}:
        for key, severity in (("patience", Severity.WARNING), ("time_limit", Severity.NOTE)):
            if getattr(train, key) is not None:
                message = (
                    f"train.{key} may end the training while the learning rate is high: {train.schedule.kind} lowers "
                    f"it until epoch {train.epochs}"
                )
                hint = "set schedule to constant or step, or choose epochs and leave out the early end"
                yield Finding(Code.CROSS_PURPOSES, message, subject.where("train", key), hint, severity=severity)
    if train.balance == "sampling" and train.class_weights:
        yield Finding(
            Code.CROSS_PURPOSES,
            "train.class_weights comes on top of balance: sampling, which already shows all classes equally often",
            subject.where("train", "class_weights"),
            "keep one of them, or set balance: loss, whose weights are multiplied by class_weights",
        )
