"""Where cases are run: how many at a time, and the facts by which a run may be resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nin_spec.conformance import place as places
from nin_spec.conformance.place import Place, facts_of, plan, precisions_of, target_of
from nin_spec.diagnostics import DeviceError
from nin_spec.runtime.doctor import small_model
from nin_spec.runtime.providers import PROVIDERS
from nin_spec.runtime.session import open_session


def test_a_cpu_runs_several_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one thread each, or as many threads as are asked for; another device runs one case with all threads."""
    monkeypatch.setattr(places, "available_threads", lambda: 6)
    assert plan("cpu", {}, None) == (Place("cpu", {}, 1), 6)
    assert plan("cpu", {}, 2) == (Place("cpu", {}, 2), 3)
    assert plan("cpu", {}, 64) == (Place("cpu", {}, 64), 1)
    assert plan("cuda", {}, None) == (Place("cuda", {}, 6), 1)
    monkeypatch.setattr(places, "available_threads", lambda: 128)
    assert plan("cpu", {}, None)[1] == places.MOST


def test_an_unknown_device_or_option_has_no_plan() -> None:
    """Before any worker is started."""
    with pytest.raises(DeviceError, match="unknown device"):
        plan("abacus", {}, None)
    with pytest.raises(DeviceError, match="unknown option"):
        plan("cpu", {"spin": "1"}, None)


def test_facts_name_all_that_a_verdict_depends_on() -> None:
    """The provider, the hardware, the options, the threads and every version."""
    place = Place("cpu", {"spinning": "never"}, 1)
    facts = facts_of(place, open_session(small_model(), "cpu", 1))
    assert facts.keys() == {"device", "provider", "hardware", "options", "threads", "versions"}
    assert facts["hardware"].keys() == {"cpu"}
    assert facts["options"] == {"spinning": "never"}
    assert "nin-spec" in facts["versions"]
    assert any(name.startswith("onnxruntime") for name in facts["versions"])


def test_a_gpu_is_named_with_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict on one driver says nothing of the next."""
    (tmp_path / "version").write_text("570.12\n")
    monkeypatch.setattr(places, "_NVIDIA_DRIVER", tmp_path / "version")
    monkeypatch.setattr(places, "compute_capability", lambda _: (9, 0))
    target = replace(target_of(Place("cpu", {}, 1)), provider=PROVIDERS["cuda"])
    assert places._hardware(target) == {"compute capability": "9.0", "driver": "570.12"}


def test_claimed_precisions_are_proved() -> None:
    """The CPU has additions in float64, but no network runs in it."""
    assert precisions_of(Place("cpu", {}, 1)) == ["float32", "int8"]
