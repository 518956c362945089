"""Sessions: the model that was asked for, on the device that was asked for, or a clear refusal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from small_models import FLOAT, classifier, content, has_nvidia_driver, other_graph, refusal

from nin_spec.diagnostics import Code, DeviceError, InputError
from nin_spec.runtime import creation
from nin_spec.runtime.options import CpuOptions
from nin_spec.runtime.providers import PROVIDERS, ProviderStatus, explain, find_providers
from nin_spec.runtime.session import open_session


def test_a_session_computes_what_onnxruntime_computes() -> None:
    """The scores are those of a bare onnxruntime session, for any batch."""
    model = content()
    x = np.random.default_rng(1).normal(size=(5, 3, 8, 8)).astype(np.float32)
    expected = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"input": x})[0]
    np.testing.assert_allclose(open_session(model, "cpu").run(x), expected, rtol=1e-5, atol=1e-6)


def test_a_session_describes_itself() -> None:
    """Shapes, numbers, provider, threads and the place of every node can be read back."""
    session = open_session(content(), "cpu", threads=1)
    assert session.input_shape == (None, 3, 8, 8)
    assert session.output_shape == (None, 4)
    assert session.dtype == np.float32
    assert (session.device, session.provider, session.threads) == ("cpu", "CPUExecutionProvider", 1)
    assert session.placement == {"CPUExecutionProvider": ("conv", "relu", "pool", "flatten")}
    assert session.choice == "cpu, as requested"
    assert (session.precision, session.remarks) == ("float32", ())
    assert session.inference.get_session_options().intra_op_num_threads == 1


def test_a_path_opens_as_bytes_do(tmp_path: Path) -> None:
    """A model is given as bytes, as a path, or as a path's text."""
    file = tmp_path / "model.onnx"
    file.write_bytes(content())
    x = np.ones((1, 3, 8, 8), np.float32)
    results = [open_session(given, "cpu").run(x) for given in (file, str(file), file.read_bytes())]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_weights_in_a_file_beside_the_model_are_found(tmp_path: Path) -> None:
    """External data works when the model is given as a path."""
    onnx.save(classifier(), tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, location="m.data")
    assert open_session(tmp_path / "m.onnx", "cpu").run(np.ones((2, 3, 8, 8), np.float32)).shape == (2, 4)


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((1, 3, 8, 9), np.float32),
        np.zeros((3, 8, 8), np.float32),
        np.zeros((1, 3, 8, 8), np.float64),
        np.zeros((1, 3, 8, 8), np.dtype(">f4")),
        np.zeros((1, 3, 8, 8), np.uint8),
    ],
    ids=["size", "rank", "double", "byte order", "bytes"],
)
def test_an_input_that_does_not_fit_is_refused(x: np.ndarray[Any, Any]) -> None:
    """The message names what the model takes and what it was given."""
    session = open_session(content(), "cpu")
    found = refusal(InputError, lambda: session.run(x))
    assert found.code is Code.INPUT_UNUSABLE
    shape = ", ".join(map(str, x.shape))
    assert found.message == f"the model takes float32 of shape (?, 3, 8, 8), but got {x.dtype} of shape ({shape})"


def test_a_size_too_small_for_an_open_model_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """What only shows at run time is still the input's error, and onnxruntime prints nothing."""
    session = open_session(content(("N", 3, "H", "W")), "cpu")
    assert session.input_shape == (None, 3, None, None)
    assert session.run(np.zeros((1, 3, 9, 5), np.float32)).shape == (1, 4)
    found = refusal(InputError, lambda: session.run(np.zeros((1, 3, 2, 2), np.float32)))
    assert found.code is Code.INPUT_UNUSABLE
    assert "(1, 3, 2, 2)" in found.message
    assert capfd.readouterr() == ("", "")


def test_an_open_model_that_takes_one_size_alone_is_proved_at_it() -> None:
    """The usual sizes are tried, 224 among them: many published networks are made for it."""
    grid = numpy_helper.from_array(np.zeros((1, 1, 224, 224), np.float32))
    nodes = [
        helper.make_node("Constant", [], ["grid"], value=grid, name="grid"),
        helper.make_node("Add", ["input", "grid"], ["sum"], name="add"),
        helper.make_node("GlobalAveragePool", ["sum"], ["mean"], name="pool"),
        helper.make_node("Flatten", ["mean"], ["scores"], name="flatten"),
    ]
    model = other_graph(nodes, [("input", FLOAT, ["N", 3, "H", "W"])], [("scores", FLOAT, ["N", 3])])
    assert open_session(model, "cpu").input_shape == (None, 3, None, None)


def test_half_precision_models_run() -> None:
    """The input's numbers are the model's own."""
    session = open_session(content(dtype=np.float16), "cpu")
    assert session.dtype == np.float16
    assert session.run(np.ones((1, 3, 8, 8), np.float16)).dtype == np.float16
    assert session.precision == "float16"
    assert session.remarks == ("cpu computes a float16 file in float32 if it has no float16 arithmetic",)


@pytest.mark.parametrize(
    ("metadata", "asked", "words", "hint"),
    [
        (
            {"precision": "bfloat16"},
            None,
            "cpu can't compute in bfloat16 here",
            "pass --device openvino, or export with",
        ),
        ({}, "bfloat16", "cpu can't compute in bfloat16 here", "pass --device openvino, or pass another precision"),
        ({}, "float16", "cpu can't compute in float16 here", "pass another precision"),
        ({"precision": "int8"}, "float32", "the file is int8", "export it with --precision float32"),
    ],
)
def test_a_precision_that_the_device_does_not_have_is_refused(
    metadata: dict[str, str], asked: str | None, words: str, hint: str
) -> None:
    """Nothing is computed in other numbers than those asked for, by a person or by the file."""
    found = refusal(DeviceError, lambda: open_session(content(metadata=metadata), "cpu", precision=asked))
    assert words in found.message
    assert found.hint.startswith(hint)


def test_what_a_file_declares_can_be_overridden() -> None:
    """A file meant for bfloat16 holds float32, and runs in it where that is asked for."""
    session = open_session(content(metadata={"precision": "bfloat16"}), "cpu", precision="float32")
    assert session.precision == "float32"


def test_an_unknown_precision_is_damage() -> None:
    """The metadata are read before they are believed."""
    found = refusal(InputError, lambda: open_session(content(metadata={"precision": "float8"}), "cpu"))
    assert "nin_spec.precision is not one of" in found.message


def test_options_reach_the_session() -> None:
    """A mapping, or the typed options, of the device that was named."""
    for options in ({"spinning": "never"}, CpuOptions(spinning="never")):
        session = open_session(content(), "cpu", options=options)
        entry = session.inference.get_session_options().get_session_config_entry
        assert entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.skipif(
    tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 26),
    reason="onnxruntime supports the limit from 1.26 on",
)
def test_an_idle_session_is_soon_asleep() -> None:
    """By default its threads spin a moment after a run, far less than onnxruntime lets them (in CPU time)."""
    spent: dict[str, float] = {}
    for spinning in ("brief", "always"):
        session = open_session(content(), "cpu", threads=2, options={"spinning": spinning})
        x = np.zeros((64, 3, 8, 8), np.float32)
        for _ in range(20):
            session.run(x)
            begun = time.process_time()
            time.sleep(0.05)
            spent[spinning] = spent.get(spinning, 0.0) + time.process_time() - begun
    assert spent["brief"] < spent["always"] / 2


def test_auto_takes_no_options() -> None:
    """What they would mean depends on the device."""
    found = refusal(DeviceError, lambda: open_session(content(), options={"spinning": "never"}))
    assert (found.code, found.hint) == (Code.DEVICE_OPTION, "pass the device")


def test_no_threads_are_refused() -> None:
    """Zero would mean "as many as you like" to onnxruntime."""
    with pytest.raises(ValueError, match="at least 1"):
        open_session(content(), "cpu", threads=0)


# ------------------------------------------------------------------ devices fail closed


@pytest.fixture
def cuda_looks_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check before the session finds nothing wrong, so that those after it have to."""
    real = explain
    usable = {d: ProviderStatus(d, PROVIDERS[d].name, usable=True) for d in PROVIDERS}
    monkeypatch.setattr(creation, "explain", lambda d, options: usable.get(d) or real(d, options))


class Elsewhere(onnxruntime.InferenceSession):  # type: ignore[misc]
    """Claims to have CUDA, and runs every node on the CPU, as onnxruntime does when a kernel is missing."""

    def __init__(self, model: object, options: object, **_: object) -> None:
        super().__init__(model, options, providers=["CPUExecutionProvider"])

    def get_providers(self) -> list[str]:
        """What a session with a fallback answers."""
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]


class OnCuda(Elsewhere):
    """Places every node on CUDA; the inference fails, as it does without cuDNN."""

    def get_provider_graph_assignment_info(self) -> list[Any]:
        """The real nodes under another provider's name."""

        class Split:
            def __init__(self, part: Any) -> None:
                self.ep_name, self.get_nodes = "CUDAExecutionProvider", part.get_nodes

        return [Split(part) for part in super().get_provider_graph_assignment_info()]

    def run(self, *_: object, **__: object) -> list[Any]:
        """What a convolution without cuDNN answers."""
        raise RuntimeError("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : cuDNN is not available")


@pytest.mark.skipif(has_nvidia_driver(), reason="this machine has an NVIDIA driver")
def test_a_device_that_is_not_there_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """Asked for by name, CUDA without a driver is an error that says what to install; nothing is printed."""
    found = refusal(DeviceError, lambda: open_session(content(), "cuda"))
    assert found.code is Code.DEVICE_UNAVAILABLE
    assert "CUDAExecutionProvider" in found.message
    assert "pip install" in found.hint
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(has_nvidia_driver(), reason="this machine has an NVIDIA driver")
@pytest.mark.usefixtures("cuda_looks_usable")
def test_a_provider_that_onnxruntime_leaves_out_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """The fallback of onnxruntime, a CPU session for a CUDA request, is noticed and not printed."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime without CUDA")
    found = refusal(DeviceError, lambda: open_session(content(), "cuda"))
    assert found.code is Code.DEVICE_UNAVAILABLE
    assert "onnxruntime did not use CUDAExecutionProvider" in found.message
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("cuda_looks_usable")
def test_nodes_placed_elsewhere_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that has the provider and doesn't use it is a fallback."""
    monkeypatch.setattr(onnxruntime, "InferenceSession", Elsewhere)
    found = refusal(DeviceError, lambda: open_session(content(), "cuda"))
    assert found.code is Code.DEVICE_FALLBACK
    for node in ("conv", "relu", "pool", "flatten"):
        assert f"{node} on CPUExecutionProvider" in found.message


@pytest.mark.usefixtures("cuda_looks_usable")
def test_a_first_inference_that_fails_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is complete and can't run is found out at the start."""
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnCuda)
    found = refusal(DeviceError, lambda: open_session(content(), "cuda"))
    assert found.code is Code.DEVICE_UNAVAILABLE
    assert "the first inference fails" in found.message
    assert "cuDNN is not available" in found.message
    assert "onnxruntime-gpu[cuda,cudnn]" in found.hint


@pytest.mark.usefixtures("cuda_looks_usable")
def test_a_device_that_cannot_load_the_model_is_not_the_files_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of the device at creation is a DeviceError."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA failure 2: out of memory")

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    found = refusal(DeviceError, lambda: open_session(content(), "cuda"))
    assert found.code is Code.DEVICE_UNAVAILABLE
    assert "out of memory" in found.message


@pytest.mark.usefixtures("cuda_looks_usable")
def test_the_retry_of_onnxruntime_on_the_cpu_is_switched_off(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its Python layer would print, and try again on the CPU, when a provider can't be created."""
    create = onnxruntime.InferenceSession._create_inference_session

    def fail_on_cuda(self: Any, providers: list[Any], *rest: Any) -> None:
        if "CUDAExecutionProvider" in str(providers):
            raise RuntimeError("the provider can't be created")
        create(self, providers, *rest)

    monkeypatch.setattr(onnxruntime.InferenceSession, "_create_inference_session", fail_on_cuda)
    found = refusal(DeviceError, lambda: open_session(content(), "cuda"))
    assert "the provider can't be created" in found.message
    assert capfd.readouterr() == ("", "")


def test_memory_that_runs_out_is_the_devices_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch too large for the device is not called an unusable input."""
    session = open_session(content(), "cpu")

    def fail(*_: object) -> None:
        raise MemoryError("bad allocation")

    monkeypatch.setattr(session.inference, "run", fail)
    found = refusal(DeviceError, lambda: session.run(np.zeros((1, 3, 8, 8), np.float32)))
    assert found.hint == "try a smaller batch"


@pytest.mark.skipif(has_nvidia_driver(), reason="this machine has an NVIDIA driver")
def test_auto_says_what_it_took_and_why_not_the_others() -> None:
    """Without a GPU, auto is the CPU, and the reason against CUDA is kept."""
    session = open_session(content())
    assert session.device == "cpu"
    assert session.choice.startswith("cpu, the best that works here; cuda (CUDAExecutionProvider) can't run here: ")


@pytest.mark.usefixtures("cuda_looks_usable")
def test_auto_passes_over_a_device_that_would_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice makes the checks that a named device gets, and falls back in the open."""
    monkeypatch.setattr(onnxruntime, "InferenceSession", Elsewhere)
    session = open_session(content())
    assert session.device == "cpu"
    assert "CUDAExecutionProvider doesn't run the whole model" in session.choice


def test_auto_with_no_device_at_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every provider out of order the reasons are all given."""
    broken = {d: ProviderStatus(d, p.name, usable=False, reason=f"no {d}") for d, p in find_providers().items()}
    monkeypatch.setattr(creation, "explain", lambda d, _options: broken[d])
    found = refusal(DeviceError, lambda: open_session(content()))
    assert "no cuda" in found.message
    assert "no cpu" in found.message


def test_an_unknown_device_is_refused() -> None:
    """An unknown device is an error, not the CPU."""
    assert refusal(DeviceError, lambda: open_session(content(), "gpu")).code is Code.DEVICE_UNAVAILABLE


@pytest.mark.skipif(not has_nvidia_driver(), reason="needs an NVIDIA driver")
def test_cuda_agrees_with_the_cpu() -> None:
    """On a machine with a GPU the scores are the CPU's, and every node is there."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime without CUDA")
    x = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)
    session = open_session(content(), "cuda")
    assert set(session.placement) == {"CUDAExecutionProvider"}
    np.testing.assert_allclose(session.run(x), open_session(content(), "cpu").run(x), rtol=1e-4, atol=1e-5)
