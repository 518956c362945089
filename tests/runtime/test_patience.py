"""A file that never ends or takes all memory is given up, with a diagnostic and an end of the process."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import endless_models
import pytest

from nin_spec import children
from nin_spec.diagnostics import InputError
from nin_spec.runtime import patience
from nin_spec.runtime.session import open_session

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the process's memory is read from /proc")


def test_what_ends_is_returned_or_raised() -> None:
    """As if it were called."""
    assert patience.within(60, "a", "running it", lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        patience.within(60, "a", "running it", lambda: 1 // 0)


def test_what_does_not_end_is_given_up() -> None:
    """InputError with the file and the limit, while the thread keeps running."""
    end = threading.Event()
    with pytest.raises(InputError) as caught:
        patience.within(0.1, "a.onnx", "opening it", end.wait)
    assert "a.onnx can't be used: opening it takes more than 0.1 s" in caught.value.diagnostics[0].message
    end.set()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_what_is_interrupted_is_left_behind(interrupt: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while onnxruntime computes: the process ends without waiting, and without Python's own end."""
    ended: list[int] = []
    end, looks = threading.Event(), iter([0])

    def look() -> int:
        for bytes_at_first in looks:
            return bytes_at_first
        raise interrupt

    monkeypatch.setattr(patience, "_resident", look)
    with pytest.raises(interrupt):
        patience.within(60, "a.onnx", "opening it", lambda: end.wait(60))
    monkeypatch.setattr("os._exit", ended.append)
    patience.leave(130)
    assert ended == [130]
    end.set()


@LINUX
def test_what_takes_all_memory_is_given_up() -> None:
    """By the growth of the process."""
    end, held = threading.Event(), []

    def grow() -> None:
        held.append(b"x" * (64 << 20))
        end.wait(60)

    with pytest.raises(InputError, match=r"."):
        patience.within(60, "a.onnx", "opening it", grow, memory=16 << 20)
    end.set()


@pytest.mark.parametrize(
    ("model", "limit", "told"),
    [
        ("looping", "session.OPENING = 1.0", "takes more than 1 s"),
        pytest.param("unfolding", "session.MEMORY = 1 << 29", "takes more than 512 MiB of memory", marks=LINUX),
    ],
)
@pytest.mark.parametrize(("call", "code"), [("open_session({}, 'cpu')", 0), ("reopen_session(File.of({}))", 2)])
def test_a_file_without_end_is_not_opened(model: str, limit: str, told: str, call: str, code: int) -> None:
    """The trial run of a session is within the limits, too, and the process ends; a file of the same kind opens.

    The process that tries a file first takes what does not end with it: nothing is left to be ended by `leave`.
    """
    assert open_session(endless_models.plain(), "cpu").device == "cpu"
    script = (
        f"import sys; from endless_models import {model}; from nin_spec.runtime import patience, session\n"
        "from nin_spec.diagnostics import InputError\n"
        "from nin_spec.runtime.creation import File\n"
        f"{limit}\n"
        f"try: session.{call.format(model + '()')}\n"
        "except InputError as error: sys.stdout.write(error.diagnostics[0].message)\n"
        "patience.leave(2)"
    )
    start = f"import sys; sys.path.insert(0, {str(Path(endless_models.__file__).parent)!r})\n"
    done = subprocess.run(
        children.python("-c", start + script), capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (code, "")
    assert told in done.stdout


def test_a_name_that_is_not_utf8_is_reported() -> None:
    """InputError, not UnicodeDecodeError."""
    with pytest.raises(InputError) as caught:
        open_session(endless_models.misnamed(), "cpu")
    assert "can't be used" in caught.value.diagnostics[0].message


LARGE = 1 << 62
SHAPES: list[endless_models.Shape] = [
    ("N", 3, LARGE, LARGE),
    (LARGE, 3, 8, 8),
    ("N", 3, 1, 1 << 40),
    (1 << 32, 3, 1 << 16, 1 << 16),
    ("N", 3, 0, 8),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sizes_that_no_memory_holds_are_refused(shape: tuple[str | int, ...]) -> None:
    """A dimension of 2^62, a product of many, and none at all: InputError before anything is allocated."""
    with pytest.raises(InputError) as caught:
        open_session(endless_models.plain(shape), "cpu")
    assert "can't be used" in caught.value.diagnostics[0].message
