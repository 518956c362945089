"""A file that makes onnxruntime end its process is a diagnostic: another process opens it first."""

from __future__ import annotations

import crashing_models
import endless_models
import numpy as np
import onnx
import pytest
import small_models

import nin_spec
from nin_spec import children, seals
from nin_spec.diagnostics import Code, InputError
from nin_spec.exporter import make
from nin_spec.runtime import isolation, session
from nin_spec.runtime.creation import File
from nin_spec.runtime.session import open_session

NOT_PLAIN = b"\xa2\x01\x00"
"""The field `training_info`, empty: it changes nothing."""


def refusal(data: bytes, device: str = "cpu") -> str:
    """Why a file is refused, as MODEL_UNREADABLE."""
    with pytest.raises(InputError) as caught:
        open_session(data, device)
    (found,) = caught.value.diagnostics
    assert found.code is Code.MODEL_UNREADABLE
    return found.message


@pytest.mark.parametrize("name", crashing_models.FAULTS)
def test_a_signal_is_reported_and_not_suffered(name: str) -> None:
    assert "ends the process that opens or runs it: it was killed by SIGFPE" in refusal(crashing_models.FAULTS[name])


@pytest.mark.parametrize("name", crashing_models.LATER)
def test_a_division_that_some_picture_makes_a_fault_is_refused(name: str) -> None:
    """Whatever the device, with the node."""
    assert "its node 'quotient'" in refusal(crashing_models.LATER[name], "auto")


@pytest.mark.parametrize("name", crashing_models.HARMLESS)
def test_what_is_like_them_opens(name: str) -> None:
    found = open_session(crashing_models.HARMLESS[name], "cpu")
    x = np.random.default_rng(0).integers(1, 200, (2, 3, 8, 8)).astype(np.float32)
    assert np.isfinite(found.run(x)).all()


def test_metadata_makes_no_file_our_own() -> None:
    """Everybody can write it."""
    (data,) = make(nin_spec.compile("nin_digits").initialise(), "onnx", {}).files.values()
    ours = {p.key: p.value for p in onnx.load_model_from_string(data).metadata_props}
    hostile = seals.sealed(crashing_models.divided("Div", np.int64, -1, metadata=ours), seals.Kind.ONNX)
    assert seals.kind_of_bytes(hostile) is seals.Kind.ONNX
    assert "SIGFPE" in refusal(hostile)


def test_what_the_other_process_finds_is_what_this_one_would() -> None:
    """One error with its name and its hint, and no second opening."""
    for data in (b"junk", small_models.content(tail="NoSuchOperator"), endless_models.misnamed() + NOT_PLAIN):
        with pytest.raises(InputError) as here:
            session.reopen_session(File.of(data))
        with pytest.raises(InputError) as caught:
            open_session(data, "cpu")
        assert caught.value.diagnostics == here.value.diagnostics


def test_a_plain_file_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "COMMAND", ("/nowhere",))
    assert open_session(small_models.content(), "cpu").device == "cpu"
    assert "no process to try it can be started: No such file" in refusal(small_models.content(tail="Sin"))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit(3)", "it exited with status 3"),
        ("1 / 0", "it exited with status 1: ZeroDivisionError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it was killed by SIGSEGV"),
        ("import time; time.sleep(60)", "no response within 2.5 s"),
    ],
)
def test_any_end_of_the_other_process_is_reported(code: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exit status, a traceback's last line, a signal, a limit."""
    monkeypatch.setattr(isolation, "COMMAND", children.python("-c", code))
    monkeypatch.setattr(isolation, "_GRACE", 2.0)
    monkeypatch.setattr(session, "OPENING", 0.5)
    assert told in refusal(crashing_models.HARMLESS["by 2"])
