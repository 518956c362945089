"""The answer of nin-spec evaluate, as plain data and as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nin_spec.data import Split
    from nin_spec.evaluation import Agreement, Comparison, Evaluation, Subject
    from nin_spec.evaluation.confidence import Confidence

SUREST = 0.9
"""Of this fraction of the pictures, those with the highest confidence, the accuracy is printed."""


def as_dict(subject: Subject, split: Split, total: int, comparison: Comparison, role: str) -> dict[str, Any]:
    """The answer as plain data."""
    session, found = subject.session, comparison.as_dict()
    info = session.metadata
    found["onnxruntime"] |= {
        "device": session.device,
        "provider": session.provider,
        "precision": session.precision,
    }
    if found["torch"] is not None:
        found["torch"] |= {"device": subject.torch_device}
    about = {
        "model": {"name": info.name, "hash": info.hash, "weights": info.weights},
        "dataset": split.dataset,
        "split": role,
        "where": split.where,
        "split_images": total,
    }
    keys = ("accuracy", "top5", "loss", "ece", "images", "correct")
    return {key: found.pop(key) for key in keys} | about | found


def wrong_as_dict(comparison: Comparison) -> dict[str, Any]:
    """What is wrong as plain data: pictures, pairs of classes, and pictures that two runtimes see differently."""
    from nin_spec.training.evaluated import confused_pairs

    evaluation, names = comparison.onnxruntime, comparison.onnxruntime.classes
    agreement = comparison.agreement
    pairs = confused_pairs(evaluation.confusion.tolist())
    return {
        "wrong": [mistake.as_dict() for mistake in comparison.mistakes],
        "confused": [{"true": names[i], "said": names[j], "images": n} for i, j, n in pairs],
        "seen_differently": [] if agreement is None else [asdict(d) for d in agreement.first],
    }


def wrong_lines(comparison: Comparison) -> list[str]:
    """The same as text."""
    from nin_spec.printing import columns, share
    from nin_spec.training.evaluated import confused_pairs

    evaluation, found = comparison.onnxruntime, comparison.mistakes
    names, total = evaluation.classes, evaluation.images - evaluation.correct
    if not total:
        return ["no picture is classified wrongly", *_seen_differently(comparison)]
    rows = [(m.file, m.true, m.said, share(m.probability), share(m.own)) for m in found]
    header = ("wrong, the surest first", "true", "said", "probability", "of the true class")
    lines = [*columns([header, *rows], right={3, 4}), f"{len(found):,} of {total:,} wrong pictures", ""]
    pairs = [(names[i], names[j], f"{n:,}") for i, j, n in confused_pairs(evaluation.confusion.tolist())]
    lines += columns([("most often confused: true", "said", "images"), *pairs], right={2})
    return [*lines, *_seen_differently(comparison)]


def _seen_differently(comparison: Comparison) -> list[str]:
    """The pictures for which torch and onnxruntime, or float32 and a lower precision, predict different classes."""
    from nin_spec.printing import columns

    agreement, names = comparison.agreement, comparison.onnxruntime.classes
    if agreement is None or agreement.complete:
        return []
    other = comparison.precision or "onnxruntime"
    seen = [(d.file, names[d.true], names[d.torch], names[d.onnxruntime]) for d in agreement.first]
    apart = agreement.images - agreement.same
    table = columns([("seen differently", "true", "torch", other), *seen])
    return ["", *table, f"{len(seen):,} of {apart:,} pictures that the two see differently"]


def whose_accuracy(subject: str, weights: str) -> tuple[str, str]:
    """Whose accuracy onnxruntime's is, and whose torch's, where a file is compared with other weights."""
    return f": {subject} in onnxruntime", f": its network with {weights} in torch"


def show(
    subject: Subject, split: Split, total: int, comparison: Comparison, name: str, owners: tuple[str, str] = ("", "")
) -> None:
    """The totals, how far torch and onnxruntime agree, one row per class, and the confusion matrix."""
    from nin_spec.evaluation.metrics import MATRIX_CLASSES

    evaluation, session = comparison.onnxruntime, subject.session
    count = f"{total:,}" if evaluation.images == total else f"{evaluation.images:,} of {total:,}"
    click.echo(f"accuracy {evaluation.accuracy:.2%} of {count} ({split.dataset} {name}){owners[0]}")
    if owners[1] and comparison.torch is not None:
        click.echo(f"accuracy {comparison.torch.accuracy:.2%} of the same{owners[1]}")
    click.echo("  ".join(_further(evaluation)))
    if evaluation.confidence is not None:
        click.echo(confidence_line(evaluation.confidence, session.metadata.temperature))
    click.echo(f"pictures from {split.where}")
    place = f"onnxruntime on {session.device} ({session.provider}, {session.precision})"
    if comparison.agreement is None:
        click.echo(f"{place}; no comparison with torch: {comparison.not_compared}")
    else:
        click.echo(f"torch on {subject.torch_device}, {place}")
        click.echo("\n".join(agreement_lines(comparison.agreement, comparison)))
    click.echo("\n" + "\n".join(class_lines(evaluation)))
    if len(evaluation.classes) <= MATRIX_CLASSES:
        click.echo("\n" + "\n".join(matrix_lines(evaluation)))


def _further(evaluation: Evaluation) -> list[str]:
    """The totals beside the accuracy, as far as they are known."""
    top5 = [] if evaluation.top5 is None else [f"top-5 {evaluation.top5:.2%}"]
    loss = "unknown: the file does not say what its scores are" if evaluation.loss is None else f"{evaluation.loss:.4f}"
    return [*top5, f"mean cross-entropy {loss}"]


def confidence_line(found: Confidence, temperature: float | None) -> str:
    """How far the probabilities can be trusted."""
    at = "" if temperature is None else f" at temperature {temperature:g}"
    error = f"expected calibration error {found.ece:.4f}{at} (mean confidence {found.mean:.2%})"
    return f"{error}; {1 - found.risk_at(SUREST):.2%} of the surest {SUREST:.0%} correct"


def agreement_lines(agreement: Agreement, comparison: Comparison) -> list[str]:
    """How far torch and onnxruntime agree; where they do not, on which pictures."""
    close = f"the scores differ by {agreement.max_difference:.1e} at most"
    if comparison.precision:
        return reduced_lines(agreement, comparison, close)
    if agreement.complete:
        return [f"both predict the same class for all {agreement.images:,}; {close}"]
    apart = agreement.images - agreement.same
    ours = comparison.torch.accuracy if comparison.torch else float("nan")
    head = f"THEY DISAGREE on {apart:,} of {agreement.images:,}; torch alone has {ours:.2%}; {close}"
    names = comparison.onnxruntime.classes
    lines = [
        f"  picture {d.image} ({names[d.true]}): torch says {names[d.torch]}, "
        f"onnxruntime {names[d.onnxruntime]}, torch's scores being {d.margin:.1e} apart"
        for d in agreement.first
    ]
    more = [f"  and {apart - len(lines):,} more"] if apart > len(lines) else []
    return [head, *lines, *more]


def reduced_lines(agreement: Agreement, comparison: Comparison, close: str) -> list[str]:
    """How far a file of lower precision is from torch, and whether it stays within its budget."""
    lost, allowed = comparison.drop or 0.0, comparison.max_drop
    budget = "it was made without a budget" if allowed is None else f"its budget of {allowed:g} points"
    if allowed is not None:
        budget += " holds" if comparison.holds else " DOES NOT HOLD"
    ours = comparison.torch.accuracy if comparison.torch else float("nan")
    same = f"{agreement.same:,} of {agreement.images:,} ({agreement.same / agreement.images:.2%})"
    head = f"{comparison.precision}: both predict the same class for {same}; {close}"
    return [head, f"torch has {ours:.2%}: {lost:.2f} points lost, {budget}"]


def class_lines(evaluation: Evaluation) -> list[str]:
    """One row per class."""
    from nin_spec.evaluation.metrics import CLASS_HEADERS, CLASS_RIGHT
    from nin_spec.printing import columns

    return columns([CLASS_HEADERS, *(row.cells() for row in evaluation.per_class)], right=CLASS_RIGHT)


def matrix_lines(evaluation: Evaluation) -> list[str]:
    """The confusion matrix, a row for each true class; classes are columns by number."""
    from nin_spec.printing import columns

    numbers = [str(k) for k in range(len(evaluation.classes))]
    rows: list[Sequence[str]] = [("true \\ predicted", *numbers)]
    for number, label, counts in zip(numbers, evaluation.classes, evaluation.confusion, strict=True):
        name = number if label == number else f"{number:>2} {label}"
        rows.append((name, *(str(n) if n else "." for n in counts)))
    return columns(rows, right=range(1, len(rows)))
