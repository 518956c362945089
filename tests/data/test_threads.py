"""Work on many pictures: the same results in the same order on any number of threads."""

from __future__ import annotations

import threading

import pytest

from nin_spec.data import threads
from nin_spec.data.threads import each


@pytest.mark.parametrize("cores", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_results_are_in_order(cores: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "THREADS", cores)
    assert each(lambda k: k * k, count) == [k * k for k in range(count)]


@pytest.mark.parametrize("cores", [1, 3])
def test_the_first_error_is_raised(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the pictures, whichever thread finds one first."""
    monkeypatch.setattr(threads, "THREADS", cores)

    def fail(k: int) -> None:
        if k >= 20:
            raise ValueError(str(k))

    with pytest.raises(ValueError, match=r"^20$"):
        each(fail, 100)


def test_few_pictures_are_shared_among_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four threads must meet before any of four pictures is done."""
    monkeypatch.setattr(threads, "THREADS", 4)
    meeting = threading.Barrier(4, timeout=20)
    each(lambda _: meeting.wait(), 4)
