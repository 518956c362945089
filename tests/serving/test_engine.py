"""What a model declares, how it is warmed, and when batching pays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from server_process import model_file
from small_models import FLOAT, other_graph

from nin_spec.diagnostics import InputError
from nin_spec.runtime.buckets import BucketRunner
from nin_spec.serving import engine as engine_module
from nin_spec.serving import models
from nin_spec.serving.engine import Engine, Plan, open_engine, open_worker, plan, worthwhile
from nin_spec.serving.errors import BadRequestError, FailedError
from nin_spec.serving.models import Choice, Source, open_model
from nin_spec.serving.protocol import TensorSpec
from nin_spec.serving.tensors import Array, to_values


def engine(folder: Path, **options: Any) -> Engine:
    return open_engine(model_file(folder, **options), "cpu", 1)


def test_an_engine_declares_inputs_and_outputs(tmp_path: Path) -> None:
    """In the protocol's words, -1 for an open axis."""
    found = engine(tmp_path, shape=("N", 3, "H", "W"), dtype=np.float32)
    assert found.inputs == (TensorSpec("input", "FP32", (-1, 3, -1, -1)),)
    assert found.outputs == (TensorSpec("scores", "FP32", (-1, 4)),)


def test_every_output_is_answered(tmp_path: Path) -> None:
    """A file with more outputs than scores gives them all."""
    nodes = [
        helper.make_node("Relu", ["input"], ["active"]),
        helper.make_node("Flatten", ["active"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
    ]
    content = other_graph(
        nodes, [("input", FLOAT, ["N", 3])], [("scores", FLOAT, ["N", 3]), ("best", TensorProto.INT64, ["N"])]
    )
    (tmp_path / "two.onnx").write_bytes(content)
    found = open_engine(tmp_path / "two.onnx", "cpu", 1)
    assert [spec.datatype for spec in found.outputs] == ["FP32", "INT64"]
    scores, best = found.run([np.array([[1, 5, 2], [7, 0, 0]], np.float32)])
    assert scores.tolist() == [[1, 5, 2], [7, 0, 0]]
    assert best.tolist() == [1, 0]


def test_a_view_at_any_address_is_run(tmp_path: Path) -> None:
    """Bytes in the middle of a request's body are seldom aligned."""
    found, x = engine(tmp_path), np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    skewed = np.frombuffer(b"x" + x.tobytes(), np.uint8)[1:].view(np.float32)
    assert not skewed.flags.aligned
    assert np.array_equal(found.run([skewed.reshape(x.shape)])[0], found.run([x])[0])


def test_bound_buffers_are_run_and_pad_by_themselves(tmp_path: Path) -> None:
    """As CUDA graphs need them; here on the CPU, which binds them as well."""
    found, x = engine(tmp_path), np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype(np.float32)
    session = found.session
    takes, gives = (session.input_name, (3, 8, 8), session.dtype), (session.output_name, (4,), session.output_dtype)
    runner = BucketRunner(session.inference, takes, gives, (1, 4))
    bound = replace(found, session=replace(session, runner=runner, fixed_sizes=True))
    assert np.array_equal(bound.run([x])[0], found.run([x])[0])
    assert plan(bound, 4).buckets == ()
    with pytest.raises(FailedError, match="but got"):
        bound.run([x[:, :, :4]])


def test_a_size_that_the_network_refuses_is_the_clients_error(tmp_path: Path) -> None:
    """Where the file leaves the size open, too small a picture is a bad request."""
    with pytest.raises(BadRequestError, match="can't take an input of shape"):
        engine(tmp_path, shape=("N", 3, "H", "W")).run([np.zeros((1, 3, 1, 1), np.float32)])


def test_a_fixed_batch_runs_alone(tmp_path: Path) -> None:
    """And says so."""
    found = plan(engine(tmp_path, shape=(2, 3, 8, 8)), 32)
    assert (found.rows, found.buckets) == (1, ())
    assert "has a fixed batch size" in found.remark


def test_a_plan_says_what_it_decided(tmp_path: Path) -> None:
    """With the speeds that it measured; a CPU needs no buckets."""
    found = plan(engine(tmp_path), 8)
    assert found.buckets == ()
    assert "rows/s" in found.remark


@pytest.mark.parametrize(
    ("speeds", "rows"),
    [
        ({1: 100, 2: 150, 4: 200, 8: 300, 16: 302, 32: 301}, 8),
        ({1: 100, 2: 150, 4: 200, 8: 300, 16: 400, 32: 500}, 32),
        ({1: 100, 2: 99, 4: 99, 8: 99, 16: 98}, 8),  # level: shared costs still make it worth while
        ({1: 100, 2: 60, 4: 50, 8: 40}, 1),
        ({1: 100, 2: 130, 4: 80, 8: 40}, 2),
        ({1: 100, 3: 130}, 3),
    ],
)
def test_batching_is_as_large_as_it_pays(speeds: dict[int, float], rows: int) -> None:
    """Off where it makes the model slower; else the least size of eight or more that is level with the best."""
    assert worthwhile(speeds) == rows


class Timed:
    """An engine on a device of fixed or any sizes, and its clock: a run of n rows takes as long as it is set to."""

    batches, open_size = True, False

    def __init__(self, seconds: Callable[[int], float], *, fixed_sizes: bool = False) -> None:
        self.seconds, self.now, self.ran = seconds, 0.0, set[int]()
        self.session = SimpleNamespace(fixed_sizes=fixed_sizes, runner=None)

    def clock(self) -> float:
        return self.now

    def example(self, rows: int) -> list[Array]:
        return [np.zeros((rows, 1), np.float32)]

    def run(self, arrays: list[Array]) -> list[Array]:
        self.ran.add(len(arrays[0]))
        self.now += self.seconds(len(arrays[0]))
        return arrays


def planned(timed: Any, most: int) -> Plan:
    """What is decided for it."""
    return plan(timed, most, clock=timed.clock)


def test_batching_is_off_where_it_does_not_pay() -> None:
    """Where two rows take four times as long as one; the log says so, with the best that batching gave."""
    told = "batching doesn't pay off and is off: 1000 rows/s one at a time, 500 with 2"
    assert planned(Timed(lambda rows: 0.001 * rows**2), 8) == Plan(1, (), told)


def test_batching_is_on_where_it_pays() -> None:
    """Where eight rows take as long as one, and more take in proportion."""
    told = "batching up to 8 rows: 1000 rows/s one at a time, 8000 with 8"
    assert planned(Timed(lambda rows: 0.001 * max(1, rows / 8)), 32) == Plan(8, (), told)


@pytest.mark.parametrize(
    ("most", "power", "rows"), [(6, 0, 6), (6, 2, 1), (1, 0, 1)], ids=["it pays", "it doesn't", "as asked"]
)
def test_a_device_that_wants_fixed_sizes_has_buckets(most: int, power: int, rows: int) -> None:
    """Each is warmed, whether requests share runs or not: one request may have as many rows."""
    timed = Timed(lambda rows: 0.001 * rows**power, fixed_sizes=True)
    found = planned(timed, most)
    assert (found.rows, found.buckets) == (rows, {6: (1, 2, 4, 6), 1: (1,)}[most])
    assert timed.ran == set(found.buckets)


# ------------------------------------------------------------------ workers


def speeds(monkeypatch: pytest.MonkeyPatch, whole: float, beside: float) -> None:
    """What the warm-up finds, runs on all cores and runs side by side."""

    def measured(_engine: Engine, _rows: int, count: int, _clock: Any) -> float:
        return whole if count == 1 else beside

    monkeypatch.setattr(engine_module, "side_by_side", measured)


def test_a_lane_is_the_same_model_on_one_core(tmp_path: Path) -> None:
    """Where there are several to share out: with one thread, or buffers that are bound, there is none."""
    path = model_file(tmp_path)
    whole, x = open_engine(path, "cpu", 2), np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype(np.float32)
    worker = open_worker(whole, path)
    assert worker is not None
    assert (worker.session.threads, worker.inputs, worker.outputs) == (1, whole.inputs, whole.outputs)
    np.testing.assert_allclose(worker.run([x])[0], whole.run([x])[0], rtol=1e-5, atol=1e-6)
    assert open_worker(open_engine(path, "cpu", 1), path) is None


def test_lanes_are_measured_for_real(tmp_path: Path) -> None:
    """Every worker thread runs, and all rows count."""
    found, seconds = engine(tmp_path), iter(range(10_000))
    assert engine_module.side_by_side(found, 8, 2, lambda: next(seconds)) == 8 * 4 * 2  # four runs each, in a second


@pytest.mark.parametrize(("beside", "workers"), [(101, 2), (91, 2), (89, 1)])
def test_lanes_are_taken_where_they_pay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: float, workers: int
) -> None:
    """And the log says what was found."""
    speeds(monkeypatch, 100, beside)
    path = model_file(tmp_path)
    opened = open_model(Source(path), Choice("cpu", 2))
    assert (opened.plan.workers, opened.worker is not None) == (workers, workers == 2)
    assert f"{beside} rows/s" in opened.plan.remark


def test_a_delay_or_one_thread_has_no_lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a delay gathered isn't shared out again."""
    speeds(monkeypatch, 100, 200)
    for choice in (Choice("cpu", 2, delay=0.01), Choice("cpu", 1)):
        opened = open_model(Source(model_file(tmp_path)), choice)
        assert (opened.worker, opened.plan.workers) == (None, 1)


def test_a_file_that_changes_while_it_is_opened_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or requests would be answered by two models, the waiting ones by the newer."""
    path = model_file(tmp_path)

    def late(whole: Engine, where: Path, options: Any) -> Engine | None:
        model_file(tmp_path, where.name, tail="Softmax")
        return open_worker(whole, where, options)

    monkeypatch.setattr(models, "open_worker", late)
    with pytest.raises(InputError, match="changed while it was opened"):
        open_model(Source(path), Choice("cpu", 2))


def test_texts_are_answered_as_bytes(tmp_path: Path) -> None:
    """What a classifier of another tool may name its classes with: the protocol's BYTES."""
    nodes = [
        helper.make_node("Relu", ["input"], ["scores"]),
        helper.make_node("Cast", ["scores"], ["words"], to=TensorProto.STRING),
    ]
    outputs = [("scores", FLOAT, ["N", 2]), ("words", TensorProto.STRING, ["N", 2])]
    (tmp_path / "texts.onnx").write_bytes(other_graph(nodes, [("input", FLOAT, ["N", 2])], outputs))
    found = open_engine(tmp_path / "texts.onnx", "cpu", 1)
    assert found.outputs[1] == TensorSpec("words", "BYTES", (-1, 2))
    words = found.run([np.array([[1, 2], [3, 4]], np.float32)])[1]
    assert [[float(word.decode()) for word in row] for row in words] == [[1, 2], [3, 4]]
    assert to_values(words)[0] == words[0, 0].decode()


def test_an_output_of_other_rows_keeps_requests_apart(tmp_path: Path) -> None:
    """Its first axis is open, as the batch is, and is another."""
    nodes = [
        helper.make_node("Relu", ["input"], ["scores"]),
        helper.make_node("Unique", ["scores"], ["found"]),
    ]
    outputs = [("scores", FLOAT, ["N", 3]), ("found", FLOAT, ["M"])]
    (tmp_path / "other.onnx").write_bytes(other_graph(nodes, [("input", FLOAT, ["N", 3])], outputs))
    found = plan(open_engine(tmp_path / "other.onnx", "cpu", 1), 8)
    assert (found.rows, found.buckets) == (1, ())
    assert "first axis is not the batch" in found.remark


def test_an_open_size_is_batched_up_to_what_was_measured(tmp_path: Path) -> None:
    """Bytes of inputs in a run: rows of larger pictures would need more memory than anyone has seen."""
    found = plan(engine(tmp_path, shape=("N", 3, "H", "W")), 4)
    assert found.size == (found.rows * 3 * 32 * 32 * 4 if found.rows > 1 else 0)
    assert plan(engine(tmp_path), 4).size == 0
