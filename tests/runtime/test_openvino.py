"""OpenVINO inside onnxruntime: a row of its own, its hardware asked of OpenVINO's C API."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from fake_plugins import install, openvino_is_built_in
from small_models import content, refusal

import nin_spec
from nin_spec.diagnostics import Code, DeviceError
from nin_spec.exporter import make
from nin_spec.provider_gaps import GAPS, Gap
from nin_spec.runtime import openvino, providers
from nin_spec.runtime.openvino import capabilities
from nin_spec.runtime.openvino_faults import faults
from nin_spec.runtime.options import OpenvinoOptions, Use
from nin_spec.runtime.plugins import PluginError
from nin_spec.runtime.providers import explain, find_providers
from nin_spec.runtime.session import open_session
from nin_spec.runtime.tolerances import relative_difference

built_in = pytest.mark.skipif(not openvino_is_built_in(), reason="this onnxruntime is not that of onnxruntime-openvino")


class Library:
    """A stand-in for OpenVINO's C API, of a machine with these devices and their capabilities."""

    def __init__(self, devices: dict[str, bytes], *, broken: str = "") -> None:
        self.devices, self.broken, self.freed = devices, broken, 0

    def _status(self, call: str) -> int:
        return -1 if call == self.broken else 0

    def ov_core_create(self, core: Any) -> int:
        return self._status("create")

    def ov_core_free(self, core: Any) -> None:
        self.freed += 1

    def ov_core_get_available_devices(self, core: Any, found: Any) -> int:
        names = [name.encode() for name in self.devices]
        self.names = (ctypes.c_char_p * len(names))(*names)
        found._obj.names = ctypes.cast(self.names, type(found._obj.names))
        found._obj.size = len(names)
        return self._status("devices")

    def ov_available_devices_free(self, found: Any) -> None:
        self.freed += 1

    def ov_core_get_property(self, core: Any, kind: bytes, key: bytes, value: Any) -> int:
        assert key == b"OPTIMIZATION_CAPABILITIES"
        value._obj.value = self.devices[kind.decode()]
        return self._status("property")

    def ov_free(self, value: Any) -> None:
        self.freed += 1


@pytest.fixture(autouse=True)
def _asked_again() -> Iterator[None]:
    """What one test's machine has is not remembered for the next."""
    capabilities.cache_clear()
    yield
    capabilities.cache_clear()


def machine(monkeypatch: pytest.MonkeyPatch, library: Library | None) -> None:
    monkeypatch.setattr(openvino, "_load", lambda: library)


def test_the_hardware_is_asked_and_the_answer_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the C API's memory is kept: the value, the list of devices and the core."""
    library = Library({"CPU": b"BF16 FP32 INT8"})
    machine(monkeypatch, library)
    assert capabilities("CPU") == "BF16 FP32 INT8"
    assert library.freed == 3


def test_hardware_that_is_not_there_is_refused_with_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs are one kind."""
    machine(monkeypatch, Library({"CPU": b"FP32", "GPU.0": b"FP16", "GPU.1": b"FP16"}))
    with pytest.raises(PluginError, match="finds no supported NPU; it has CPU, GPU") as caught:
        capabilities("NPU")
    assert caught.value.remedy == "set its option device to CPU, GPU"


@pytest.mark.parametrize("library", [None, Library({"CPU": b"BF16"}, broken="create")], ids=["none", "broken"])
def test_one_that_cannot_be_asked_has_float32_only(monkeypatch: pytest.MonkeyPatch, library: Library | None) -> None:
    """A lower precision is never assumed: OpenVINO would compute in another one without a word."""
    machine(monkeypatch, library)
    assert capabilities("CPU") == "FP32"


def test_a_property_that_is_refused_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same."""
    machine(monkeypatch, Library({"CPU": b"BF16"}, broken="property"))
    assert capabilities("CPU") == "FP32"


def test_the_built_in_provider_comes_before_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One device of that name, behind the CPU: a plug-in with the same provider can't be registered beside it."""
    install(tmp_path, "openvino", "raise AssertionError('it is not imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(openvino, "is_built_in", lambda: True)
    found = find_providers()
    assert found["openvino"].plugin is None
    assert found["openvino"].options is OpenvinoOptions
    assert list(found).index("openvino") > list(found).index("cpu")
    assert "openvino_plugin" not in found


@pytest.mark.parametrize(("name", "there"), [("libonnxruntime_providers_openvino.so", True), ("libother.so", False)])
def test_it_is_built_in_where_its_library_is(tmp_path: Path, name: str, *, there: bool) -> None:
    """Found without importing onnxruntime, which would make the completion of a device wait."""
    (tmp_path / "onnxruntime" / "capi").mkdir(parents=True)
    (tmp_path / "onnxruntime" / "__init__.py").write_text("raise AssertionError('imported')")
    (tmp_path / "onnxruntime" / "capi" / name).touch()
    code = "import sys; sys.path.insert(0, sys.argv[1]); from nin_spec.runtime import openvino; "
    code += "print(openvino.is_built_in())"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(there)


@pytest.mark.skipif(openvino_is_built_in(), reason="it is really there")
def test_a_package_without_the_providers_library_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is named, and the package to install again."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [openvino.PROVIDER])
    monkeypatch.setattr(openvino, "is_built_in", lambda: True)
    monkeypatch.setattr(providers, "onnxruntime_packages", lambda: ("onnxruntime-openvino",))
    status = explain("openvino")
    assert not status.usable
    assert "onnxruntime_providers_openvino" in status.reason
    assert status.remedy.startswith("pip uninstall onnxruntime-openvino, then pip install onnxruntime-openvino")


def test_only_the_built_in_provider_is_passed_its_hardware() -> None:
    """A plug-in gets onnxruntime's own device instead."""
    options = OpenvinoOptions(device="GPU")
    assert options.for_provider(Use("float32", 1))["device_type"] == "GPU"
    assert "device_type" not in options.for_provider(Use("float32", 1, plugged=True))


# ------------------------------------------------------------------ the real one


@built_in
def test_openvino_computes_here_whoever_made_the_cpu() -> None:
    """Without a plug-in, on AMD too."""
    status = explain("openvino")
    assert (status.usable, status.reason) == (True, "")
    assert "float32" in status.computes


@built_in
def test_auto_takes_openvino_for_bfloat16_alone() -> None:
    """In float32 it is the CPU provider, and why not OpenVINO is said; in bfloat16 both times are."""
    assert open_session(content()).device == "cpu"
    assert "openvino is used only for what cpu can't compute" in open_session(content()).choice
    if "bfloat16" not in explain("openvino").computes:
        assert refusal(DeviceError, lambda: open_session(content(), precision="bfloat16"))
        return
    session = open_session(content(), precision="bfloat16")
    assert (session.device, session.precision) == ("openvino", "bfloat16")
    assert session.choice.startswith("openvino, the best that works here in bfloat16 (it takes ")
    assert "of cpu's time in float32, and is " in session.choice


@built_in
def test_a_precision_that_openvino_would_replace_is_refused() -> None:
    """A hint for float16 makes a CPU without it compute in bfloat16 or float32, silently."""
    if "float16" in explain("openvino").computes:
        pytest.skip("this CPU has float16")
    found = refusal(DeviceError, lambda: open_session(content(), "openvino", precision="float16"))
    assert found.message.startswith("openvino can't compute in float16 here; it has ")


@built_in
@pytest.mark.skipif(sys.platform != "linux", reason="/proc/cpuinfo")
def test_bfloat16_is_refused_on_a_cpu_without_it() -> None:
    """OpenVINO is made to see a CPU without such instructions: the hint would be taken, and ignored."""
    code = "from nin_spec.runtime.providers import explain; print('bfloat16' in explain('openvino').computes)"
    has = "avx512_bf16" in Path("/proc/cpuinfo").read_text() or "amx_bf16" in Path("/proc/cpuinfo").read_text()
    for variables, said in (({}, has), ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, False)):
        env = {**os.environ, **variables}
        done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
        assert done.stdout.strip() == str(said)


@built_in
def test_the_hardware_is_an_option() -> None:
    """What is not here is refused before a model is opened on something else."""
    if "GPU" in _kinds():
        pytest.skip("there is a GPU")
    found = refusal(DeviceError, lambda: open_session(content(), "openvino", options={"device": "GPU"}))
    assert found.code is Code.DEVICE_UNAVAILABLE
    assert "OpenVINO finds no supported GPU; it has CPU" in found.message


def _kinds() -> set[str]:
    """Asked of onnxruntime's own binding."""
    state = SimpleNamespace(get_available_openvino_device_ids=list)
    state = getattr(onnxruntime.capi, "_pybind_state", state)
    return {name.partition(".")[0] for name in state.get_available_openvino_device_ids()}


@built_in
def test_several_streams_and_a_bfloat16_of_ones_own_choice() -> None:
    """Every option reaches OpenVINO, which rejects what it doesn't know."""
    x = np.random.default_rng(1).normal(size=(4, 3, 8, 8)).astype(np.float32)
    exact = open_session(content(), "openvino").run(x)
    streams = open_session(content(), "openvino", options={"streams": 2})
    np.testing.assert_allclose(streams.run(x), exact, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------ what it computes wrongly

ROWS = [gap for gap in GAPS if gap.device == "openvino"]


@built_in
@pytest.mark.parametrize("gap", ROWS, ids=lambda gap: gap.name)
def test_each_row_is_still_true(gap: Gap) -> None:
    """In a bare session its graph has other scores than the CPU provider's; else the row and its lowering can go."""
    proto = onnx.parser.parse_model(gap.graph)
    open_sizes = (1, 1, 7, 8)
    dims = enumerate(proto.graph.input[0].type.tensor_type.shape.dim)
    x = np.random.default_rng(0).normal(size=[d.dim_value or open_sizes[k] for k, d in dims]).astype(np.float32)
    own = (openvino.PROVIDER, OpenvinoOptions().for_provider(Use("float32", 1)))
    scores = [
        onnxruntime.InferenceSession(proto.SerializeToString(), providers=[p]).run(None, {"input": x})[0]
        for p in ("CPUExecutionProvider", own)
    ]
    gone = f"the gap {gap.name!r} of openvino is gone: remove its row, and its lowering"
    assert relative_difference(scores[1], scores[0]) > 1e-2, gone


@built_in
@pytest.mark.parametrize("gap", ROWS, ids=lambda gap: gap.name)
def test_a_file_that_would_be_computed_wrongly_is_refused(gap: Gap) -> None:
    """Whoever wrote it: with the fault, and what to do."""
    data = onnx.parser.parse_model(gap.graph).SerializeToString()
    found = refusal(DeviceError, lambda: open_session(data, "openvino"))
    assert found.message.endswith(f" wrongly: {gap.what}")
    assert ("--device openvino" in found.hint) == bool(gap.instead)


@pytest.mark.parametrize("gap", ROWS, ids=lambda gap: gap.name)
def test_a_fault_is_found_in_a_file(gap: Gap, tmp_path: Path) -> None:
    """In its bytes and by its path; the other rows are not found in it."""
    (tmp_path / "m.onnx").write_bytes(onnx.parser.parse_model(gap.graph).SerializeToString())
    assert faults(str(tmp_path / "m.onnx")) == faults((tmp_path / "m.onnx").read_bytes()) == (gap.name,)


@pytest.mark.parametrize("name", ["nin_cifar", "nin_imagenet", "nin_digits"])
def test_shipped_networks_meet_no_fault(name: str) -> None:
    """As they are exported for any device."""
    (data,) = make(nin_spec.compile(name).initialise(), "onnx", {}).files.values()
    assert faults(data) == ()


def test_what_is_no_fault_passes() -> None:
    """A whole k, an order that is its own inverse, a pool without ceil mode, an average without padding or gated."""
    texts = {
        "bias = 1.5": "bias = 2.0",
        "{0, 3, 1, 4, 2, 5}": "{0, 4, 2, 3, 1, 5}",
        " ceil_mode = 1": " ceil_mode = 0",
        "count_include_pad = 1": "count_include_pad = 0",
        "MaxPool": "AveragePool",
    }
    for gap in ROWS:
        text = gap.graph
        for wrong, right in texts.items():
            text = text.replace(wrong, right)
        assert text != gap.graph
        assert faults(onnx.parser.parse_model(text).SerializeToString()) == ()
