"""The bars of `make bench-openvino`: judged as they are written, on results made by hand."""

from __future__ import annotations

import bench_openvino
import pytest
from bench_openvino import BFLOAT16, bars, entries
from test_bench_graphs import result

from nin_spec.evaluation import Agreement, Comparison

CPU = entries()[0].label


def judged(seconds: float, same: int | None, unjudged: str = "") -> list[str]:
    """The verdicts on times of batches of 1 and 64, and on the classes of a thousand pictures."""
    found = result({CPU: 1.0, BFLOAT16: seconds}, ours=CPU)
    agreed = None if same is None else Comparison(None, None, Agreement(1000, same, 0.0))  # type: ignore[arg-type]
    return [bar.verdict for bar in bars(found, agreed, unjudged)]


@pytest.mark.parametrize(
    ("seconds", "same", "verdicts"),
    [
        (0.5, 995, ["holds", "holds", "holds"]),
        (0.57, 994, ["holds", "MISSED", "MISSED"]),
        (0.7, None, ["MISSED", "MISSED", "not judged here: no --run RUN"]),
    ],
)
def test_time_and_agreement_are_judged(seconds: float, same: int | None, verdicts: list[str]) -> None:
    """At each batch size by its own bar; without a trained network there is no agreement to judge."""
    assert judged(seconds, same) == verdicts


def test_a_machine_without_bfloat16_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """For its CPU, or because OpenVINO does not run there."""
    monkeypatch.setattr(bench_openvino, "no_openvino", lambda: "")
    assert bench_openvino.unable(["avx2"]).startswith("this CPU has none of")
    assert bench_openvino.unable(["avx512_bf16"]) == ""
    monkeypatch.setattr(bench_openvino, "no_openvino", lambda: "it is not installed")
    assert bench_openvino.unable(["avx512_bf16"]) == "it is not installed"
    assert set(judged(0.5, 1000, "it is not installed")) == {"not judged here: it is not installed"}


def test_a_contender_that_was_not_measured_is_not_a_success() -> None:
    """As where it failed."""
    assert [bar.verdict for bar in bars(result({CPU: 1.0}, ours=CPU), None)][:2] == ["NOT MEASURED"] * 2
