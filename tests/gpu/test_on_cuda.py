"""What the rows do on a GPU alone, with the CPU behind its name: options, judgements, the card's facts."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gpu import conformity, speed, survey
from gpu.found import Found
from gpu.rows import ROWS, Ask
from nin_spec.diagnostics import Code, DeviceError
from nin_spec.runtime.doctor import Cpu, Report, Torch
from nin_spec.runtime.options import CudaOptions, TensorrtOptions, read_options
from nin_spec.runtime.providers import ProviderStatus
from nin_spec.runtime.session import Session, open_session

posix = pytest.mark.skipif(sys.platform == "win32", reason="a program in sh")


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """The GPU, with little of all."""
    return Ask("cuda", quick=True, folder=str(tmp_path))


@pytest.fixture
def found(tmp_path: Path) -> Found:
    """An empty report."""
    return Found(tmp_path / "row.json")


def holds(found: Found) -> dict[str, str]:
    """What is wrong with each check, "" where it holds."""
    return {check["what"]: check["why"] for check in found.checks}


def test_every_row_calls_what_there_is() -> None:
    """With arguments that it takes; names are those of files, each once."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        module, _, name = row.call.partition(":")
        inspect.signature(getattr(importlib.import_module(f"gpu.{module}"), name)).bind(None, None, **row.arguments)
        assert row.least < row.seconds
        assert set(row.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")


# ------------------------------------------------------------------ doctor


def report(*devices: ProviderStatus, torch: Torch) -> Report:
    """A diagnosis of a machine."""
    return Report("1", "3", "linux", {}, "13.0", torch, Cpu("a CPU", None, 2), devices, ())


def status(device: str, reason: str = "") -> ProviderStatus:
    """A device that works, or not for a reason."""
    return ProviderStatus(device, f"{device} provider", usable=not reason, reason=reason)


def test_an_old_driver_hinders_the_rows_that_need_a_newer_one(ask: Ask) -> None:
    """Those of onnxruntime; PyTorch for an older CUDA trains."""
    old = "the NVIDIA driver supports CUDA 12.4, but onnxruntime was built for CUDA 13"
    found = survey.hindrances(ask, report(status("cuda", old), status("tensorrt", old), torch=Torch("12.4", True)))
    assert found[""] == found["torch"] == ""
    assert found["onnxruntime"] == found["tf32"] == f"cuda can't be used: {old}"
    assert found["tensorrt"] == f"tensorrt can't be used: {old}"


def test_where_all_works_nothing_hinders(ask: Ask) -> None:
    """TensorRT may be missing alone, and PyTorch without a GPU hinders the training."""
    works = report(status("cuda"), status("tensorrt"), torch=Torch("13.0", True))
    assert set(survey.hindrances(ask, works).values()) == {""}
    for torch, words in (
        (Torch("13.0"), "PyTorch (CUDA 13.0) finds no GPU"),
        (Torch(None), "built without CUDA"),
        (Torch(error="not installed"), "torch can't be used: not installed"),
    ):
        found = survey.hindrances(ask, report(status("cuda"), torch=torch))
        assert words in found["torch"]
        assert found["onnxruntime"] == ""
        assert found["tensorrt"] == "this onnxruntime has no TensorRT provider"


def test_the_stand_in_needs_only_the_cpu(ask: Ask) -> None:
    """And has no TF32: by the reason against CUDA."""
    here = replace(ask, device="cpu")
    found = survey.hindrances(here, report(status("cuda", "no driver"), status("cpu"), torch=Torch(None)))
    assert found == {
        "": "",
        "onnxruntime": "",
        "tensorrt": "",
        "tf32": "cuda can't be used: no driver",
        "torch": "",
    }


@posix
def test_the_card_is_described_by_nvidia_smi(tmp_path: Path, found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """All fields, or the first three of a version that does not know the others; without it there is a remark."""
    program = tmp_path / "nvidia-smi"
    answer = ", ".join(["A card", "580.1", "143771 MiB", *"0123456789"])
    for script, expected in (
        (f"echo '{answer}'", {"name": "A card", "mig.mode.current": "9"}),
        (f'case "$1" in *clocks*) exit 2;; esac; echo "{answer}"', {"name": "A card", "driver_version": "580.1"}),
        ("exit 9", None),
    ):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        cards = survey.nvidia_smi(found)
        assert (cards == []) if expected is None else (expected.items() <= cards[0].items())
    assert not found.remarks
    program.unlink()
    assert survey.nvidia_smi(found) == []
    assert "nvidia-smi is not on the path" in found.remarks[0]


# ------------------------------------------------------------------ prove


def verdict(op: str, outcome: str, difference: float | None) -> dict[str, Any]:
    """As `nin-spec prove -o` writes it."""
    return {"op": op, "precision": "float32", "outcome": outcome, "difference": difference, "reason": "because"}


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_judged_by_the_tolerance_of_as_many_bits(*, tf32: bool) -> None:
    """What differs from float32 by 1e-3 is wrong without it, and expected with it; a crash never is."""
    verdicts = [verdict("conv", "exact", 1e-7), verdict("conv", "wrong", 1e-3), verdict("conv", "refused", None)]
    what, why = conformity.judgement(verdicts, tf32=tf32)
    assert why == ("" if tf32 else "1 of conv")
    assert not tf32 or what == "1 cases differ from float32, and none by more than 0.01"
    for difference in (0.02, None):
        _, why = conformity.judgement([*verdicts, verdict("dense", "wrong", difference)], tf32=tf32)
        assert why.endswith("1 of dense")


def test_prove_reports_what_was_reached_before_the_time_was_up(
    ask: Ask, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With TF32 as an option of the device, and the table of what there is; nothing reached is a failure."""
    asked: list[str] = []

    def interrupted(_: float, command: Sequence[str]) -> tuple[int, str]:
        asked.extend(command)
        row = {"op": "conv", "precision": "float32", "exact": 1, "refused": 0, "wrong": 1, "worst": 1e-3}
        row["smallest"] = {"reason": "it rounds"}
        content = {"totals": {}, "rows": [row], "verdicts": {"a": verdict("conv", "wrong", 1e-3)}}
        Path(command[command.index("-o") + 1]).write_text(json.dumps(content))
        return 130, ""

    monkeypatch.setattr(conformity, "interrupted_after", interrupted)
    conformity.prove(ask, found, precision="float32", tf32=True)
    assert asked[asked.index("prove") :][:2] == ["prove", "cuda"]
    assert asked[asked.index("--device-option") + 1] == "use_tf32=true"
    assert read_options("cuda", CudaOptions, {"use_tf32": "true"}).use_tf32
    assert found.remarks == ["The time was up after 1 cases.", "conv: it rounds"]
    assert set(holds(found).values()) == {""}
    monkeypatch.setattr(conformity, "interrupted_after", lambda *_: (2, "error: no driver"))
    with pytest.raises(RuntimeError, match="exited with status 2: error: no driver"):
        conformity.prove(ask, found, precision="float32")


# ------------------------------------------------------------------ int8, graphs, TensorRT


def test_an_int8_file_must_be_refused_for_its_precision(
    ask: Ask, found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By that reason, while `auto` computes it on the CPU; a session on the GPU, or another reason, is a miss."""

    def opened(said: str, data: bytes, device: str, threads: int = 1) -> Session:
        if device == "cuda":
            raise DeviceError(Code.DEVICE_UNAVAILABLE, said, hint="pass --device cpu")
        return open_session(data, "cpu", threads)

    for said, missed in (("cuda can't compute in int8 here", ""), ("there is no memory", "there is no memory")):
        monkeypatch.setattr(conformity, "open_session", partial(opened, said))
        found.checks.clear()
        conformity.int8(ask, found)
        assert holds(found)["cuda refuses it, because it can't compute in int8"] == missed
        assert holds(found)["auto computes it on the CPU"] == ""
    monkeypatch.setattr(conformity, "open_session", lambda data, _device, threads=1: open_session(data, "cpu", threads))
    found.checks.clear()
    conformity.int8(ask, found)
    assert holds(found)["cuda refuses it, because it can't compute in int8"] == "it was opened on cpu"


def test_graphs_are_asked_for_by_options_and_proved(ask: Ask, found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that CUDA's sessions take; the same options for the session and for the proof."""
    asked: list[object] = []

    def opened(data: bytes, device: str, *, options: dict[str, object] | None = None) -> Session:
        assert device == "cuda"
        asked.append(options)
        return open_session(data, "cpu")

    monkeypatch.setattr(conformity, "open_session", opened)
    monkeypatch.setattr(conformity, "parity", lambda *given: asked.append(given[-1]))
    conformity.graphs(ask, found)
    none, options, proved = asked
    assert none is None
    assert options == proved
    assert isinstance(options, dict)
    assert read_options("cuda", CudaOptions, options).batches() == conformity.BUCKETS
    assert set(holds(found).values()) == {""}


@pytest.mark.parametrize(("second", "missed"), [(False, ""), (True, "it wrote others")])
def test_a_second_start_must_take_the_engine_of_the_first(
    ask: Ask,
    found: Found,
    monkeypatch: pytest.MonkeyPatch,
    second: bool,  # noqa: FBT001 a parameter of a test
    missed: str,
) -> None:
    """An engine that is written again was not taken from the cache."""
    starts: list[Path] = []

    def started(_: Path, device: str, options: dict[str, object]) -> dict[str, Any]:
        assert device == "tensorrt"
        cache = Path(str(options["engine_cache"]))
        assert read_options("tensorrt", TensorrtOptions, options).engine_cache == cache
        if not starts or second:
            (cache / f"{len(starts)}.engine").touch()
        starts.append(cache)
        return {"seconds": 1.0}

    monkeypatch.setattr(conformity, "started", started)
    monkeypatch.setattr(conformity, "parity", lambda *_: None)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "")
    conformity.engine(ask, found, spec="nin_cifar")
    assert holds(found) == {"the first start leaves an engine in the cache": "", "the second start builds none": missed}


# ------------------------------------------------------------------ speed


def test_contenders_on_the_gpu_have_options_that_it_takes(found: Found, ask: Ask) -> None:
    """Ours first and needed, the others left out where they are not available; graphs for the sizes recorded."""
    made = speed.entries(replace(ask, quick=False), found)
    missing = [remark.partition(" ")[0] for remark in found.remarks]
    assert [entry.label for entry in made] + missing == ["nin-spec", speed.GRAPHS, *speed.PEERS_HERE]
    assert {entry.device for entry in made} == {"cuda"}
    assert [entry.spare for entry in made] == [False] + [True] * (len(made) - 1)
    options = read_options("cuda", CudaOptions, made[1].options)
    assert options.batches() == made[1].only
    assert set(made[1].only) < set(speed.BATCHES)
