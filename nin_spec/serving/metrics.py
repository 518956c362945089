"""Counters with Triton's names, in Prometheus' text format.

Requests only add to plain numbers, and the text is made on request: prometheus_client would lock for each number of
each request, and append _total to names that Triton's dashboards have without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from nin_spec.serving.errors import ServingError

Labels = tuple[str, str]


@dataclass(slots=True)
class Statistics:
    """One model version's sums. Times are in seconds, and count once per request, as in Triton."""

    success: int = 0
    failure: dict[str, int] = field(default_factory=dict)
    inferences: int = 0
    executions: int = 0
    request: float = 0.0
    queue: float = 0.0
    compute_input: float = 0.0
    compute_infer: float = 0.0
    compute_output: float = 0.0

    def ran(self, rows: int, executions: int) -> None:
        """Record a run of some requests' rows."""
        self.inferences += rows
        self.executions += executions

    def took(self, requests: int, queued: float, gather: float, infer: float, split: float) -> None:
        """Record the times of a run; `queued` is already a sum over its requests."""
        self.queue += queued
        self.compute_input += gather * requests
        self.compute_infer += infer * requests
        self.compute_output += split * requests

    def failed(self, reason: str) -> None:
        """Record a rejected request."""
        self.failure[reason] = self.failure.get(reason, 0) + 1

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Count an exception raised here as a rejected request."""
        try:
            yield
        except ServingError as error:
            self.failed(error.reason)
            raise


@dataclass(frozen=True, slots=True)
class Observed:
    """The observed state of a model version."""

    statistics: Statistics
    pending: int


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table: its name and its value."""

    name: str
    kind: str
    text: str
    value: Callable[[Observed], int]


def _sum(name: str, text: str, attribute: str) -> Metric:
    def total(seen: Observed) -> int:
        return int(getattr(seen.statistics, attribute))

    return Metric(f"nv_inference_{name}", "counter", text, total)


def _time(name: str, text: str, attribute: str) -> Metric:
    def microseconds(seen: Observed) -> int:
        return int(getattr(seen.statistics, attribute) * 1e6)

    return Metric(f"nv_inference_{name}_duration_us", "counter", f"{text}, cumulative, in microseconds", microseconds)


METRICS = (
    _sum("request_success", "Successful requests", "success"),
    _sum("count", "Rows run; a request of n rows counts n", "inferences"),
    _sum("exec_count", "Runs of the model; a batch counts one", "executions"),
    _time("request", "Time of successful requests", "request"),
    _time("queue", "Time in the queue", "queue"),
    _time("compute_input", "Time to put batches together", "compute_input"),
    _time("compute_infer", "Time in the model", "compute_infer"),
    _time("compute_output", "Time to divide batches", "compute_output"),
    Metric("nv_inference_pending_request_count", "gauge", "Requests waiting for a run", lambda seen: seen.pending),
)
_FAILURE = "nv_inference_request_failure"
_REASONS = {"BACKEND": 0, "REJECTED": 0, "CANCELED": 0}


def exposition(seen: Mapping[Labels, Observed]) -> str:
    """The text that Prometheus scrapes (exposition format 0.0.4), for each (model, version)."""
    lines: list[str] = []
    for metric in METRICS:
        lines += _head(metric.name, metric.text, metric.kind)
        lines += [f"{metric.name}{{{_labels(*who)}}} {metric.value(observed)}" for who, observed in seen.items()]
    lines += _head(_FAILURE, "Requests rejected or failed, by reason", "counter")
    for who, observed in seen.items():
        for reason, count in (_REASONS | observed.statistics.failure).items():
            lines.append(f'{_FAILURE}{{{_labels(*who)},reason="{reason}"}} {count}')
    return "\n".join(lines) + "\n"


def _head(name: str, text: str, kind: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _labels(model: str, version: str) -> str:
    return f'model="{_escape(model)}",version="{_escape(version)}"'


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
