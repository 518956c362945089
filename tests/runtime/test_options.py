"""Options of devices: what can be said, what that means to onnxruntime, and that nothing else can."""

from __future__ import annotations

import json
from pathlib import Path

import onnxruntime
import pytest

from nin_spec.diagnostics import Code, DeviceError
from nin_spec.runtime.options import (
    CpuOptions,
    CudaOptions,
    DeviceOptions,
    OpenvinoOptions,
    TensorrtOptions,
    Use,
    read_options,
)

USE = Use("float32", 3, "input", (None, 3, 32, 32))
TABLES = (CpuOptions, CudaOptions, TensorrtOptions, OpenvinoOptions)


@pytest.mark.parametrize("kind", TABLES)
def test_every_option_says_what_it_is_for(kind: type[DeviceOptions]) -> None:
    """The texts are what a person gets for a wrong value."""
    assert kind.__doc__
    assert all(field.description for field in kind.model_fields.values())


def test_the_defaults_of_cuda_keep_parity_and_search_once() -> None:
    """TF32 off, the heuristic search, channels last for float16 alone."""
    assert CudaOptions().for_provider(USE) == {
        "device_id": "0",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
        "prefer_nhwc": "0",
        "enable_cuda_graph": "0",
    }
    half = Use("float16", 3)
    assert CudaOptions().for_provider(half)["prefer_nhwc"] == "1"
    assert CudaOptions(prefer_nhwc=False, gpu_mem_limit=5).for_provider(half)["prefer_nhwc"] == "0"


def test_cuda_graphs_bring_their_batches() -> None:
    """As a person types them; without graphs nothing is bound."""
    options = read_options("cuda", CudaOptions, {"enable_cuda_graph": "true", "cuda_graph_batches": "1, 4,16"})
    assert (options.batches(), options.buffers()) == ((1, 4, 16), ("cuda", 0))
    assert CudaOptions().batches() == ()


def test_tensorrt_replays_one_graph_of_one_size() -> None:
    """Its provider doesn't know gpu_graph_id: a second size would be answered by the first one's graph."""
    options = TensorrtOptions(enable_cuda_graph=True, opt_batch=4)
    assert (options.batches(), options.buffers()) == ((4,), ("cuda", 0))
    assert TensorrtOptions().batches() == ()


def test_tensorrt_still_has_one_graph_alone() -> None:
    """The reason for it: CUDA's library holds the option's name, in immediate operands, and TensorRT's doesn't."""
    folder = Path(onnxruntime.__file__).parent / "capi"
    libraries = {name: folder / f"libonnxruntime_providers_{name}.so" for name in ("cuda", "tensorrt")}
    if not all(path.is_file() for path in libraries.values()):
        pytest.skip("the providers' libraries are not installed")
    assert {name: b"gpu_grap" in path.read_bytes() for name, path in libraries.items()} == {
        "cuda": True,
        "tensorrt": False,
    }


def test_tensorrt_gets_one_profile_for_its_batches(tmp_path: Path) -> None:
    """Least, best and largest of the open batch; none where the file fixes it or opens more than it."""
    options = TensorrtOptions(engine_cache=tmp_path, max_batch=16)
    found = options.for_provider(Use("bfloat16", 1, "input", (None, 3, 32, 32)))
    assert found["trt_profile_min_shapes"] == "input:1x3x32x32"
    assert found["trt_profile_opt_shapes"] == "input:8x3x32x32"
    assert found["trt_profile_max_shapes"] == "input:16x3x32x32"
    assert (found["trt_bf16_enable"], found["trt_fp16_enable"]) == ("1", "0")
    assert found["trt_engine_cache_path"] == found["trt_timing_cache_path"] == str(tmp_path)
    for shape in ((4, 3, 32, 32), (None, 3, None, None)):
        assert "trt_profile_min_shapes" not in options.for_provider(Use("float32", 1, "input", shape))


def test_what_is_sent_is_what_the_library_knows(tmp_path: Path) -> None:
    """A misspelt key would be overlooked in silence: each of ours stands in its provider's own library."""
    folder = Path(onnxruntime.__file__).parent / "capi"
    sent = {
        "libonnxruntime_providers_cuda.so": CudaOptions(gpu_mem_limit=1).for_provider(USE),
        "libonnxruntime_providers_tensorrt.so": TensorrtOptions(engine_cache=tmp_path).for_provider(USE),
    }
    for name, keys in sent.items():
        if not (folder / name).is_file():
            pytest.skip(f"{name} is not installed")
        content = (folder / name).read_bytes()
        assert [key for key in keys if f"{key}\0".encode() not in content] == []


def test_rounded_products_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """TF32 is not float32: asked for on CUDA, and on TensorRT unless the environment forbids it."""
    assert CudaOptions().remarks("float32") == CudaOptions(use_tf32=True).remarks("float16") == ()
    assert "10 bits" in CudaOptions(use_tf32=True).remarks("float32")[0]
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    assert "NVIDIA_TF32_OVERRIDE=0" in TensorrtOptions().remarks("float32")[0]
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert TensorrtOptions().remarks("float32") == ()


def test_openvino_is_passed_its_precision_always() -> None:
    """Left alone it takes bfloat16 where the processor has it; threads are the CPU's, the NPU has no streams."""

    def told(options: OpenvinoOptions, use: Use = USE) -> object:
        return json.loads(options.for_provider(use)["load_config"])

    assert told(OpenvinoOptions()) == {
        "CPU": {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": "3"}
    }
    half = Use("float16", 3)
    assert told(OpenvinoOptions(device="GPU", streams=2), half) == {
        "GPU": {"INFERENCE_PRECISION_HINT": "f16", "NUM_STREAMS": "2"}
    }
    assert told(OpenvinoOptions(device="NPU"), half) == {"NPU": {"INFERENCE_PRECISION_HINT": "f16"}}
    assert OpenvinoOptions(device="NPU").hardware() == "NPU"


def test_idle_threads_spin_for_a_moment_at_most() -> None:
    """By default; not after a run or never at all on a shared machine."""
    assert CpuOptions().for_session() == {"session.intra_op.spin_duration_us": "1000"}
    assert CpuOptions(spinning="run").for_session() == {"session.force_spinning_stop": "1"}
    assert CpuOptions(spinning="never").for_session() == {"session.intra_op.allow_spinning": "0"}
    assert CpuOptions(spinning="always").for_session() == {}


def test_a_wrong_name_gets_the_right_ones() -> None:
    """The nearest, and all there are; each wrong one is reported."""
    with pytest.raises(DeviceError) as caught:
        read_options("cuda", CudaOptions, {"use_tf31": "1", "device_id": "-1", "prefer_nhwc": "so"})
    found = {d.message: d.hint or "" for d in caught.value.diagnostics}
    assert all(d.code is Code.DEVICE_OPTION for d in caught.value.diagnostics)
    assert found["cuda: unknown option 'use_tf31'"].startswith("did you mean 'use_tf32'? it has device_id, ")
    assert found["cuda: device_id can't be '-1': input should be greater than or equal to 0"] == "index of the GPU"
    assert any(message.startswith("cuda: prefer_nhwc can't be 'so'") for message in found)


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (DeviceOptions, {"a": 1}, "unknown option 'a'"),
        (TensorrtOptions, {"min_batch": 9}, "min_batch <= opt_batch <= max_batch is required"),
        (TensorrtOptions, {"engine_cache": "/no/such/folder"}, "engine_cache can't be '/no/such/folder'"),
        (CudaOptions, {"cuda_graph_batches": "1,x"}, "cuda_graph_batches can't be '1,x'"),
        (CudaOptions, {"cuda_graph_batches": ()}, "cuda_graph_batches can't be ()"),
        (CudaOptions, CpuOptions(), "CpuOptions is not its options"),
    ],
)
def test_what_cannot_be_is_refused(kind: type[DeviceOptions], given: object, words: str) -> None:
    """A value of the wrong kind, values that contradict each other, another device's options."""
    with pytest.raises(DeviceError) as caught:
        read_options("it", kind, given)  # type: ignore[arg-type]
    assert words in caught.value.diagnostics[0].message
