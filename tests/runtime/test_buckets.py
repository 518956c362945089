"""Bound buffers: what they give is what a plain run gives, for any batch; here on the CPU provider."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import content, refusal

from nin_spec.diagnostics import Code, DeviceError, InputError
from nin_spec.runtime import session as module
from nin_spec.runtime.buckets import BucketRunner
from nin_spec.runtime.options import CpuOptions, DeviceOptions
from nin_spec.runtime.session import Session, open_session

FLOAT = np.dtype(np.float32)
INFERENCE = onnxruntime.InferenceSession(content(), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def runner() -> BucketRunner:
    """Buckets of 2, 4 and 7, given out of order and twice."""
    return BucketRunner(INFERENCE, ("input", (3, 8, 8), FLOAT), ("scores", (4,), FLOAT), (7, 2, 4, 2))


def plain(x: np.ndarray[Any, Any]) -> Any:
    """What onnxruntime gives without us."""
    return INFERENCE.run(["scores"], {"input": x})[0]


@given(batches=st.lists(st.integers(0, 20), min_size=1, max_size=6), seed=st.integers(0, 9))
def test_any_run_of_batches_gives_what_plain_runs_give(runner: BucketRunner, batches: list[int], seed: int) -> None:
    """Padded to the next bucket, cut into pieces beyond the largest, one after another through the same buffers."""
    random = np.random.default_rng(seed)
    taken = [random.normal(size=(n, 3, 8, 8)).astype(np.float32) for n in batches]
    given_back = [runner.run(x) for x in taken]
    for x, scores in zip(taken, given_back, strict=True):  # after all runs: none may overwrite another's answer
        assert scores.shape == (len(x), 4)
        np.testing.assert_allclose(scores, plain(x), rtol=1e-5, atol=1e-6)


def test_buckets_are_the_sizes_once_and_rising(runner: BucketRunner) -> None:
    """What is asked for twice is prepared once."""
    assert runner.sizes == (2, 4, 7)


def test_padding_is_zeros_and_not_what_a_batch_left(runner: BucketRunner) -> None:
    """Five after six in a bucket of seven: nothing of the sixth picture is computed with again."""
    for count in (6, 5):
        runner.run(np.full((count, 3, 8, 8), count, np.float32))
    assert runner._buckets[7].staging[:, 0, 0, 0].tolist() == [5, 5, 5, 5, 5, 0, 0]


def test_arrays_that_do_not_lie_in_order_are_copied(runner: BucketRunner) -> None:
    """A transposed view is read as what it shows."""
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(runner.run(x), plain(x), rtol=1e-5, atol=1e-6)


def test_callers_wait_for_each_other(runner: BucketRunner) -> None:
    """The buffers are shared, and no thread sees another's batch."""
    batches = [np.full((n % 7 + 1, 3, 8, 8), n, np.float32) for n in range(40)]
    with ThreadPoolExecutor(4) as pool:
        for x, scores in zip(batches, pool.map(runner.run, batches), strict=True):
            np.testing.assert_allclose(scores, plain(x), rtol=1e-5, atol=1e-6)


class Bound(CpuOptions):
    """The CPU provider as CUDA graphs are run."""

    def batches(self) -> tuple[int, ...]:
        return (1, 4)


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens a session whose options ask for bound buffers."""
    monkeypatch.setattr(module, "read_options", lambda *_: Bound())

    def opened(model: bytes, options: DeviceOptions | None = None) -> Session:
        return open_session(model, "cpu", options=options)

    return opened


def test_a_session_runs_through_its_buffers(bound: Any) -> None:
    """Warmed at the start, the same scores, the same refusal of what does not fit."""
    session = bound(content())
    assert session.runner is not None
    x = np.random.default_rng(0).normal(size=(6, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(session.run(x), plain(x), rtol=1e-5, atol=1e-6)
    found = refusal(InputError, lambda: session.run(np.ones((2, 3, 8, 1), np.float32)))
    assert found.code is Code.INPUT_UNUSABLE


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), ("N", 3, "H", "W")], ids=["fixed batch", "open size"])
def test_a_model_without_one_open_batch_has_no_buckets(bound: Any, shape: tuple[Any, ...]) -> None:
    """Addresses and shapes must be known: the refusal shows both shapes."""
    found = refusal(DeviceError, lambda: bound(content(shape)))
    assert found.code is Code.DEVICE_OPTION
    assert "need an open batch and fixed sizes" in found.message
