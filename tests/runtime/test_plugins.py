"""Plug-in providers: found without being imported, registered once, refused with cause and fix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from fake_plugins import NOT_SERVED, install, openvino_problem, plugin_problem
from onnx import helper
from small_models import FLOAT, content, other_graph, refusal

from nin_spec.diagnostics import Code, DeviceError, InputError
from nin_spec.runtime import plugins
from nin_spec.runtime.options import OpenvinoOptions
from nin_spec.runtime.plugins import Plugin, PluginError, discover, find_hardware, register
from nin_spec.runtime.providers import explain
from nin_spec.runtime.session import open_session

PROMISES = "def get_library_path(): return {library!r}\ndef get_ep_name(): return 'MadeUp'\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the module path."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_plugins_are_found_without_being_imported(folder: Path) -> None:
    """Folders and single files, by name; metadata and files that are no modules are not taken for one."""
    install(folder, "one", "raise AssertionError")
    (folder / "onnxruntime_ep_two.py").write_text("raise AssertionError")
    (folder / "onnxruntime_ep_three.txt").write_text("")
    (folder / "onnxruntime_ep_").mkdir()
    found = discover()
    assert {"one", "two"} <= set(found)
    assert not {"three", ""} & set(found)
    assert found["one"] == Plugin("one", "onnxruntime_ep_one")
    assert (found["one"].version, found["two"].version) == ("1.2", None)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import a_library_that_is_gone", "can't be imported: No module named"),
        ("x = 1", "is broken: module"),
        (
            "def get_ep_names(): return []\ndef get_library_path(): raise FileNotFoundError('gone.so')",
            "broken: gone.so",
        ),
        (PROMISES.format(library="/no/such/library.so"), "can't load /no/such/library.so"),
    ],
    ids=["import", "interface", "says so", "missing"],
)
def test_a_broken_plugin_is_refused(folder: Path, capfd: pytest.CaptureFixture[str], body: str, words: str) -> None:
    """For any fault of the package, the device is unavailable, its cause named and its fix a command."""
    name = f"b{abs(hash(body))}"
    install(folder, name, body)
    found = refusal(DeviceError, lambda: open_session(content(), name))
    assert found.code is Code.DEVICE_UNAVAILABLE
    assert words in found.message
    assert f"pip install --force-reinstall --no-deps onnxruntime-ep-{name}" in found.hint
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("library", ["text", "foreign"])
def test_a_library_that_is_not_a_plugin_is_refused(folder: Path, library: str) -> None:
    """A file that is not a library, and a library without the functions of a plug-in."""
    file = folder / "plugin.so"
    file.write_bytes(b"no library" if library == "text" else Path(sys.modules["_ctypes"].__file__ or "").read_bytes())
    install(folder, library, PROMISES.format(library=str(file)))
    with pytest.raises(PluginError, match="can't load"):
        register(Plugin(library, f"onnxruntime_ep_{library}"))


def test_a_library_is_registered_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second time would be refused, also by another name; and what is there already is used."""
    calls: list[tuple[str, str]] = []
    monkeypatch.setattr(onnxruntime, "register_execution_provider_library", lambda *given: calls.append(given))
    install(folder, "once", PROMISES.format(library="once.so"))
    install(folder, "there", "def get_library_path(): return 'x'\ndef get_ep_names(): return ['CPUExecutionProvider']")
    plugin = Plugin("once", "onnxruntime_ep_once")
    assert register(plugin) == register(plugin) == ("MadeUp",)
    assert register(Plugin("there", "onnxruntime_ep_there")) == ("CPUExecutionProvider",)
    assert calls == [("onnxruntime_ep_once", "once.so")]


def _devices(*kinds: str, name: str = "Made") -> list[Any]:
    return [
        SimpleNamespace(ep_name=name, device=SimpleNamespace(type=SimpleNamespace(name=k), vendor="V")) for k in kinds
    ]


def test_the_best_hardware_is_taken_unless_another_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPU before NPU before CPU, of the plug-in's own devices only; what is not there is refused."""
    plugin = Plugin("made", "onnxruntime_ep_made")
    offered = [*_devices("CPU", "NPU"), *_devices("GPU", name="Other")]
    monkeypatch.setattr(plugins, "register", lambda _plugin: ("Made",))
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: offered)
    assert find_hardware(plugin) is offered[1]
    assert find_hardware(plugin, "CPU") is offered[0]
    with pytest.raises(PluginError, match=r"finds no supported GPU; it has CPU, NPU"):
        find_hardware(plugin, "GPU")
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: _devices("CPU", name="Other"))
    with pytest.raises(PluginError, match=r"finds no supported hardware; this machine has CPU \(V\)"):
        find_hardware(plugin)


# ------------------------------------------------------------------ OpenVINO, where it serves this machine


@pytest.fixture
def openvino() -> None:
    """The real one, built in or a plug-in."""
    if problem := openvino_problem():
        pytest.skip(problem)


@pytest.fixture
def openvino_plugin() -> None:
    """The real plug-in."""
    if problem := plugin_problem():
        pytest.skip(problem)


def test_openvino_is_refused_where_it_does_not_serve() -> None:
    """The real plug-in on hardware that is not Intel's: it is there, loads, and offers nothing."""
    if plugin_problem() != NOT_SERVED:
        pytest.skip("it serves this processor, or is not installed")
    found = refusal(DeviceError, lambda: open_session(content(), "openvino"))
    assert "finds no supported hardware; this machine has CPU" in found.message
    assert "Intel" in found.hint
    assert "then pip install onnxruntime-openvino, or pass --device cpu" in found.hint


@pytest.mark.usefixtures("openvino")
def test_openvino_computes_what_the_cpu_provider_computes() -> None:
    """In float32 by default, every node there, the threads its own."""
    x = np.random.default_rng(1).normal(size=(5, 3, 8, 8)).astype(np.float32)
    session = open_session(content(), "openvino", threads=1)
    assert session.provider == "OpenVINOExecutionProvider"
    assert session.placement == {"OpenVINOExecutionProvider": ("conv", "relu", "pool", "flatten")}
    assert (session.device, session.precision, session.remarks) == ("openvino", "float32", ())
    np.testing.assert_allclose(session.run(x), open_session(content(), "cpu").run(x), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("openvino")
@pytest.mark.parametrize("how", ["metadata", "argument", "option"])
def test_openvino_has_bfloat16_or_says_that_it_has_not(how: str) -> None:
    """Scores that differ from float32's where the processor has it; else a refusal, never float32 in silence."""
    x = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)
    model = content(metadata={"precision": "bfloat16"} if how == "metadata" else {})
    options = OpenvinoOptions(precision="bfloat16") if how == "option" else None
    precision = "bfloat16" if how == "argument" else None
    if "bfloat16" in explain("openvino").computes:
        session = open_session(model, "openvino", precision=precision, options=options)
        exact = open_session(model, "openvino", precision="float32").run(x)
        assert session.precision == "bfloat16"
        assert not np.array_equal(session.run(x), exact)
        np.testing.assert_allclose(session.run(x), exact, rtol=0.05, atol=0.02)
        return
    found = refusal(DeviceError, lambda: open_session(model, "openvino", precision=precision, options=options))
    assert found.message.startswith("openvino can't compute in bfloat16 here; it has float32")


@pytest.mark.usefixtures("openvino_plugin")
def test_an_unknown_plugin_runs_and_says_so(folder: Path) -> None:
    """The same library under another name: a device without options, whose numbers are its own affair."""
    install(folder, "nobody", "from onnxruntime_ep_openvino import *\nfrom onnxruntime_ep_openvino import get_ep_names")
    session = open_session(content(), "nobody")
    assert session.provider == "OpenVINOExecutionProvider"
    assert session.remarks[0].startswith("nobody chooses its own precision")
    found = refusal(DeviceError, lambda: open_session(content(), "nobody", options={"device": "GPU"}))
    assert found.hint == "it has no known options"


@pytest.mark.usefixtures("openvino")
def test_a_node_that_openvino_cannot_take_is_refused() -> None:
    """The CPU provider would get it: the node is named."""
    nodes = [
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Det", ["b"], ["scores"], name="odd"),
    ]
    model = other_graph(nodes, [("a", FLOAT, [1, 2, 2])], [("scores", FLOAT, [1])])
    found = refusal(DeviceError, lambda: open_session(model, "openvino"))
    assert found.code is Code.DEVICE_FALLBACK
    assert "odd on CPUExecutionProvider" in found.message


@pytest.mark.usefixtures("openvino")
def test_openvino_refuses_doubles_and_files_that_are_not_models() -> None:
    """It would compute float64 in float32; and a broken file is the file's fault."""
    assert "float64" in refusal(DeviceError, lambda: open_session(content(dtype=np.float64), "openvino")).message
    found = refusal(InputError, lambda: open_session(b"no model at all", "openvino"))
    assert "not an ONNX file" in found.message


@pytest.mark.usefixtures("openvino")
def test_a_hardware_that_is_not_here_is_refused() -> None:
    """Asked for the NPU, it is not the CPU that computes."""
    found = refusal(DeviceError, lambda: open_session(content(), "openvino", options={"device": "NPU"}))
    assert "finds no supported NPU" in found.message


def test_opening_a_session_imports_no_torch(tmp_path: Path) -> None:
    """Nor does looking for plug-ins, in a fresh process; on the CPU onnx stays out, too."""
    (tmp_path / "m.onnx").write_bytes(content())
    code = (
        "import sys; from nin_spec.runtime.session import open_session;"
        f"open_session({str(tmp_path / 'm.onnx')!r}, sys.argv[1]);"
        "print({'torch', 'onnx'} & set(sys.modules))"
    )
    for device, loaded in (("auto", "set()"), ("cpu", "set()"), ("openvino", "{'onnx'}")):
        if device == "openvino" and openvino_problem():
            continue
        done = subprocess.run([sys.executable, "-c", code, device], check=True, capture_output=True, text=True)
        assert done.stdout.strip() == loaded
