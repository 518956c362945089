"""What nin-spec diff prints of two runs, below the difference of their networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nin_spec.printing import changed, columns, share

if TYPE_CHECKING:
    from nin_spec.training.run_difference import RunDifference
    from nin_spec.training.runs import RunRow


def lines_of(found: RunDifference) -> list[str]:
    """The sections, each with what differs, and the results side by side."""
    lines: list[str] = []
    for name, values in found.sections().items():
        lines += ["", f"{name}: the same" if not values else name]
        lines += [f"  {changed(*value)}" for value in values]
    return [*lines, "", *result_lines(found)]


def result_lines(found: RunDifference) -> list[str]:
    """The results as a table, and whether the weights are the same."""
    a, b = found.rows
    rows = [("result", "before", "after", "change")]
    rows += [(f"{split} accuracy", *_accuracies(getattr(a, split), getattr(b, split))) for split in _SPLITS]
    rows += [("status", a.status, b.status, ""), ("best epoch", _epoch(a), _epoch(b), "")]
    rows += [("parameters", *_counts(a.parameters, b.parameters)), ("MACs", *_counts(a.macs, b.macs))]
    rows += [("seconds", f"{a.seconds:,.1f}", f"{b.seconds:,.1f}", _growth(a.seconds, b.seconds))]
    return [*columns(rows, right={1, 2, 3}), _weights(found)]


def _weights(found: RunDifference) -> str:
    without = [str(run.path) for run in (found.before, found.after) if not run.has_weights]
    if without:
        return f"no weights to compare: {' and '.join(without)} {'has' if len(without) == 1 else 'have'} none yet"
    return "the same weights, to the byte" if found.same_weights else "other weights"


_SPLITS = ("train", "validation", "test")


def _accuracies(a: float | None, b: float | None) -> tuple[str, str, str]:
    change = "" if a is None or b is None or a == b else f"{100 * (b - a):+.2f} points"
    return share(a), share(b), change


def _epoch(row: RunRow) -> str:
    return f"{'-' if row.epoch is None else row.epoch} of {row.epochs}"


def _counts(a: int, b: int) -> tuple[str, str, str]:
    return f"{a:,}", f"{b:,}", "" if a == b else f"{b - a:+,}"


def _growth(a: float, b: float) -> str:
    return "" if a == b or not a else f"{(b - a) / a:+.1%}"
