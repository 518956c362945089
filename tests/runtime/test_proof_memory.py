"""What a proof takes is known before it runs: it compares the batches that fit, and says what it did not compare."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_parity import POOL, changed, export, scale, small

import nin_spec
from nin_spec.cli import main
from nin_spec.diagnostics import Code, DeviceError, ParityError
from nin_spec.runtime import parity, proof_memory
from nin_spec.runtime.parity import check_parity
from nin_spec.runtime.proof_memory import ProofMemory, reference_bytes, session_bytes
from nin_spec.torch_module import NiNModule

WIDE = """\
spec: 1
name: wide
input: {channels: 3, size: SIZE}
classes: 4
blocks:
  - {channels: [64, 64], kernel: KERNEL}
  - {convs: [{channels: classes, activation: none}], kernel: 1}
head: {pool: global_avg}
"""
GIB = 1 << 30


def wide(size: int, kernel: int = 1) -> str:
    """64 channels at full size."""
    return WIDE.replace("SIZE", str(size)).replace("KERNEL", str(kernel))


def with_free(monkeypatch: pytest.MonkeyPatch, free: int | None) -> None:
    """As if so many bytes were free."""
    monkeypatch.setattr(parity, "free_memory", lambda: free)


def test_all_batches_are_compared_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """And where the system does not say what is free."""
    for free in (GIB, None):
        with_free(monkeypatch, free)
        report = check_parity(small(), export(small()))
        assert [case.images for case in report.cases] == [1, 2, 7]
        assert report.left_out == ()
        assert "not compared" not in str(report)


def test_what_does_not_fit_is_left_out_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest batch first; the report says which, and what each would take."""
    model = small()
    memory = ProofMemory(model.graph, None, 4)
    seven = memory.needed(7, (12, 12))
    with_free(monkeypatch, seven - 1)
    report = check_parity(model, export(model))
    assert [case.images for case in report.cases] == [1, 2]
    assert report.as_dict()["not_compared"] == [[7, 3, 12, 12]]
    assert "; not compared for lack of memory: 7x3x12x12 (" in str(report)


def test_the_reference_goes_picture_by_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a batch does not fit beside what onnxruntime holds, and a fault still shows."""
    model = small()
    free = iter([None, 1000, 1000, 1000])  # for the plan, then for each batch
    monkeypatch.setattr(parity, "free_memory", lambda: next(free))
    monkeypatch.setattr(proof_memory, "_LITTLE", 0)
    pieces: list[int] = []
    whole = NiNModule.forward

    def noted(self: NiNModule, x: torch.Tensor) -> torch.Tensor:
        pieces.append(len(x))
        return whole(self, x)

    monkeypatch.setattr(NiNModule, "forward", noted)
    report = check_parity(model, export(model))
    assert [case.images for case in report.cases] == [1, 2, 7]
    assert pieces == [1] * 10
    free = iter([None, 1000, None])
    with pytest.raises(ParityError, match=r"first at blocks\.0\."):
        check_parity(model, changed(export(model), scale("blocks.0.convs.0.weight", 2)))


def test_nodes_are_not_looked_at_where_their_values_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The difference is reported all the same."""
    model = small()
    free = iter([None, 1000])
    monkeypatch.setattr(parity, "free_memory", lambda: next(free))
    with pytest.raises(ParityError, match=r"differs from the nn.Module .*; its nodes can't be compared: that needs"):
        check_parity(model, changed(export(model), scale("blocks.0.convs.0.weight", 2)))


@pytest.mark.parametrize(("batch", "cure"), [("dynamic", "a smaller --input"), (64, "--batch dynamic")])
def test_where_nothing_fits_it_is_refused(monkeypatch: pytest.MonkeyPatch, batch: str | int, cure: str) -> None:
    """Before any work: what it needs, what is free, and how to export all the same."""
    model = small()
    data = export(model, batch=batch)
    with_free(monkeypatch, 1000)
    monkeypatch.setattr(parity, "open_session", lambda *_, **__: pytest.fail("work began"))
    with pytest.raises(DeviceError, match=r"needs \d+\.\d [KM]iB of memory, but 1000 B are free") as caught:
        check_parity(model, data)
    (found,) = caught.value.diagnostics
    assert found.code is Code.MEMORY
    assert "--no-parity (in Python parity=False)" in str(found.hint)
    assert cure in str(found.hint)


def test_a_legal_network_of_4096_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command, in one line and with exit code 2; --no-parity exports it."""
    spec = tmp_path / "wide.yaml"
    spec.write_text(wide(4096, 3))
    with_free(monkeypatch, 16 * GIB)
    command = ["export", str(spec), "--onnx", str(tmp_path / "wide.onnx")]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert not (tmp_path / "wide.onnx").exists()
    with pytest.raises(SystemExit) as ended:
        main([*command, "--no-parity"])
    assert ended.value.code == 0
    assert (tmp_path / "wide.onnx").is_file()


def test_an_open_network_is_proved_at_the_sizes_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nominal size alone is left out, and reported."""
    model = small(POOL.replace("KIND", "avg").replace("size: 14", "size: 3000"))
    with_free(monkeypatch, 40 << 20)
    report = check_parity(model, export(model))
    assert [batch.shape for batch in report.left_out] == [(1, 1, 3000, 3000)]
    assert {case.images for case in report.cases} == {2, 7}


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 3), st.sampled_from([4, 8]), st.integers(10, 36))
def test_the_plan_keeps_its_promise(size: int, kernel: int, stride: int, itemsize: int, free: int) -> None:
    """More memory never proves less; every batch is kept or reported; what is kept fits, and what is not does not."""
    text = wide(size + kernel, kernel).replace("kernel: 1}", f"kernel: 1, stride: {stride}}}")
    graph = nin_spec.compile(nin_spec.loads(text)).graph
    shapes = [(batch, graph.input.maps()[1:]) for batch in (1, 2, 7)]
    plans = []
    for most in (1 << free, 1 << (free + 1), None):
        memory = ProofMemory(graph, most, itemsize)
        try:
            kept, left = memory.plan(shapes)
        except DeviceError:
            kept, left = [], []
        else:
            assert len(kept) + len(left) == 3
        assert most is None or all(memory.needed(*shape) <= most for shape in kept)
        assert most is None or all(batch.needed > most for batch in left)
        plans.append(len(kept))
    assert all(less <= more for less, more in pairwise(plans))
    assert plans[-1] == 3


MEASURE = """
import sys
import numpy as np, torch
import nin_spec
from nin_spec.runtime.proof_memory import reference_bytes
from nin_spec.torch_module import build_module

torch.set_num_threads(1)
graph = nin_spec.compile(nin_spec.loads(sys.stdin.read())).graph
module = build_module(graph).double()


def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


with torch.inference_mode():
    module(torch.zeros(1, *graph.input.shape, dtype=torch.float64)[..., :8, :8] if graph.open_size else torch.zeros(0))
    x = torch.ones(1, *graph.input.shape, dtype=torch.float64)
    before = peak()
    module(x)
print(reference_bytes(graph, graph.input.shape[1:]), peak() - before)
"""

LAYERS = {
    "pointwise": "{channels: [16, 16], kernel: 1}",
    "windows": "{channels: [16, 16], kernel: 3, padding: 1}",
    "strided": "{channels: [32, 16], kernel: 1, stride: 2}",
    "groups": "{convs: [{channels: 16}, {channels: 16, kernel: 3, padding: 1, groups: 4}], kernel: 1}",
    "norm": "{channels: [16, 16], kernel: 1, norm: lrn}",
    "pool": "{channels: [16, 16], kernel: 1, pool: {kind: max, kernel: 3, stride: 1, padding: 1}}",
}


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_the_estimate_is_what_pytorch_takes(layers: str) -> None:
    """Within a quarter above, which the margin allows for, and no more than twice too much."""
    # Maps of more than 32 MiB, which the C library gives back to the system as soon as they are freed.
    text = wide(544).replace("size: 544", "size: 544, open: true").replace("{channels: [64, 64], kernel: 1}", layers)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], input=text, capture_output=True, text=True, check=True, timeout=300
    )
    estimate, taken = map(int, done.stdout.split())
    assert estimate / 2 < taken < 1.25 * estimate


LIMITED = """
import resource, sys
import torch
import nin_spec
from nin_spec.runtime.installation import import_onnxruntime

import_onnxruntime()
torch.set_num_threads(1)
model = nin_spec.compile(nin_spec.loads(sys.stdin.read())).initialise(0)
size = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize"))) << 10
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[1]),) * 2)
from nin_spec.api import prove
from nin_spec.exporter import make

try:
    (report,) = prove(model, make(model, "onnx", {}))
except nin_spec.NinSpecError as error:
    print(error.diagnostics[0].code.code, error)
else:
    print([case.images for case in report.cases], [batch.shape[0] for batch in report.left_out])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is not kept elsewhere")
@pytest.mark.parametrize(
    ("size", "room", "told"),
    [(64, 700, "[1, 2, 7] []"), (320, 700, "[1, 2] [7]"), (1024, 700, "NIN707")],
)
def test_under_a_real_limit_no_allocation_fails(size: int, room: int, told: str) -> None:
    """A process of its own that may take so many MiB more proves what fits, and refuses the rest by itself."""
    command = [sys.executable, "-c", textwrap.dedent(LIMITED), str(room << 20)]
    done = subprocess.run(command, input=wide(size), capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.startswith(told), done.stdout + done.stderr


def test_a_device_with_memory_of_its_own_costs_the_reference_alone() -> None:
    """What onnxruntime takes is not taken here."""
    graph = small().graph
    own, shared = (ProofMemory(graph, None, itemsize).needed(7, (12, 12)) for itemsize in (0, 4))
    assert session_bytes(graph, (12, 12), 0) == 0
    assert reference_bytes(graph, (12, 12)) < own < shared
