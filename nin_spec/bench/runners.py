"""What a worker runs: each way to compute a network, opened from a job. Libraries load on demand.

Only the call that `ready` returns is timed: from an array in memory to scores in memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nin_spec.bench.contenders import Job
from nin_spec.runtime.installation import import_onnxruntime
from nin_spec.runtime.options import CudaOptions, read_options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from nin_spec.model import Model

    Array = NDArray[np.floating[Any]]


class Runner(Protocol):
    """One way to compute a network. `facts` reports its actual device and precision."""

    facts: dict[str, Any]

    def around(self) -> AbstractContextManager[Any]:
        """The context of the calls of a turn."""
        ...

    def ready(self, x: Array) -> Callable[[], Any]:
        """A function that computes this batch (N, C, H, W) once per call."""
        ...

    def scores(self, result: Any) -> Array | None:
        """The result of a call as an array; None if it does not compute a network."""
        ...

    def rest(self) -> None:
        """Release memory while others are measured."""
        ...


# ------------------------------------------------------------------ onnxruntime


class SessionRunner:
    """A file in nin-spec's session."""

    def __init__(self, job: Job) -> None:
        from nin_spec.runtime.session import open_session

        asked = {"precision": job.precision, "options": job.options}
        self.session = open_session(Path(job.file), job.device, job.threads, **asked)  # type: ignore[arg-type]
        self.facts = _session_facts(self.session.inference, str(self.session.dtype), job) | {
            "device": self.session.device,
            "provider": self.session.provider,
            "choice": self.session.choice,
            "remarks": list(self.session.remarks),
            "options": dict(job.options),
        }

    def around(self) -> AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def ready(self, x: Array) -> Callable[[], Any]:
        self.x = x.astype(self.session.dtype, copy=False)
        return partial(self.session.run, self.x)

    def scores(self, result: Any) -> Array | None:
        array: Array = result
        return array

    def rest(self) -> None:
        _shrink(self.session.inference, {self.session.input_name: self.x})


class InferenceRunner(SessionRunner):
    """The same without our session's overhead: only onnxruntime, with the same settings."""

    def ready(self, x: Array) -> Callable[[], Any]:
        padded = super().ready(x)
        if self.session.runner is not None:
            return padded  # CUDA graphs replay only from their own buffers
        return partial(self.session.inference.run, [self.session.output_name], {self.session.input_name: self.x})

    def scores(self, result: Any) -> Array | None:
        array: Array = result if self.session.runner is not None else result[0]
        return array


class BareRunner:
    """A file in plain onnxruntime: the CPU provider, its threads, and defaults otherwise."""

    def __init__(self, job: Job) -> None:
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.intra_op_num_threads = job.threads
        self.inference = ort.InferenceSession(job.file, options, providers=["CPUExecutionProvider"])
        self.name = self.inference.get_inputs()[0].name
        self.facts = _session_facts(self.inference, job.dtype, job) | {
            "device": "cpu",
            "provider": "CPUExecutionProvider",
        }

    def around(self) -> AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def ready(self, x: Array) -> Callable[[], Any]:
        self.feed = {self.name: x.astype(self.facts["dtype"], copy=False)}
        return partial(self.inference.run, None, self.feed)

    def scores(self, result: Any) -> Array | None:
        array: Array = result[0]
        return array

    def rest(self) -> None:
        _shrink(self.inference, self.feed)


def _session_facts(inference: Any, dtype: str, job: Job) -> dict[str, Any]:
    """The requested precision, else that of the file's metadata, else that of its tensors."""
    said = inference.get_modelmeta().custom_metadata_map.get("nin_spec.precision")
    return {"dtype": dtype, "precision": job.precision or said or dtype}


def _shrink(inference: Any, feed: dict[str, Array]) -> None:
    """Shrink the CPU provider's arena after a large batch, by a run of one image."""
    ort = import_onnxruntime()
    if inference.get_providers()[0] != "CPUExecutionProvider":
        return
    node = inference.get_inputs()[0]
    small = feed if isinstance(node.shape[0], int) else {name: x[:1] for name, x in feed.items()}
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    inference.run(None, small, options)


# ------------------------------------------------------------------ torch


class TorchRunner:
    """The network as PyTorch users write it: its layers in an nn.Sequential, in inference mode."""

    def __init__(self, job: Job) -> None:
        import torch

        torch.set_num_threads(job.threads)
        set_tf32(allowed=job.device == "cuda" and read_options("cuda", CudaOptions, job.options).use_tf32)
        self.module = sequence(job).to(torch_device(job.device))
        self.dtype = next((p.dtype for p in self.module.parameters()), torch.float32)
        self.facts = {"device": torch_device(job.device), "precision": job.dtype, "dtype": job.dtype}

    def around(self) -> AbstractContextManager[Any]:
        import torch

        return torch.inference_mode()

    def ready(self, x: Array) -> Callable[[], Any]:
        import torch

        return self._call(self.module, torch.from_numpy(x).to(self.dtype))

    def _call(self, module: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], Tensor]:
        if self.facts["device"] == "cpu":
            return partial(module, x)
        # Like onnxruntime: the batch comes from host memory, and the scores return there.
        return lambda: module(x.to(self.facts["device"])).cpu()

    def scores(self, result: Any) -> Array | None:
        array: Array = result.numpy()
        return array

    def rest(self) -> None:
        """Nothing to release: PyTorch does not cache host memory."""


class CompiledRunner(TorchRunner):
    """The same through torch.compile, compiled separately for each batch size, at its best for each shape."""

    def ready(self, x: Array) -> Callable[[], Any]:
        import torch

        torch.compiler.reset()
        # fullgraph: an op that can't be compiled is an error instead of a silent fallback.
        compiled = torch.compile(self.module, fullgraph=True, dynamic=False)
        return self._call(compiled, torch.from_numpy(x).to(self.dtype))


def set_tf32(*, allowed: bool) -> None:
    """Whether PyTorch may round the factors of float32 products to 10 bits on a GPU: as our session does, or not.

    PyTorch does so in convolutions by default, and in matrix products not.
    """
    import torch

    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed


def torch_device(device: str) -> str:
    """PyTorch's device for one of ours: cuda for providers on NVIDIA GPUs."""
    return "cuda" if device in {"cuda", "tensorrt"} else "cpu"


def sequence(job: Job) -> nn.Sequential:
    """The job's network with its weights, in the file's dtype."""
    import torch

    from nin_spec.torch_module import build_module

    module = build_module(model_of(job))
    layers = [module.get_submodule(name) for name in module.order]
    dtype = torch.float64 if job.dtype == "float64" else torch.float32
    return torch.nn.Sequential(*layers).to(dtype).eval()


def model_of(job: Job) -> Model:
    """The job's network with its weights; for a file, the graph after its passes, to which the weights belong."""
    from nin_spec.evaluation.subjects import as_given, graph_after
    from nin_spec.model import Model
    from nin_spec.network import compile as compile_network
    from nin_spec.passes.temperature import calibrated
    from nin_spec.weights import load

    network = compile_network(job.spec)
    if job.passes is None:
        return calibrated(network.with_weights(job.weights), job.temperature)
    graph = graph_after(network, job.passes, temperature=job.temperature)
    return as_given(Model(graph, load(Path(job.weights), graph).weights, network.card), job.output)


def export_with_torch(job: Job) -> None:
    """Write `job.file` by torch.onnx.export(dynamo=True), for any batch size."""
    import torch

    from nin_spec.network import compile as compile_network

    module = sequence(job)
    shape = compile_network(job.spec).graph.input.shape
    example = torch.zeros((2, *shape), dtype=torch.float64 if job.dtype == "float64" else torch.float32)
    torch.onnx.export(
        module,
        (example,),
        job.file,
        dynamo=True,
        verbose=False,
        input_names=["input"],
        output_names=["scores"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )


def make_runner(job: Job) -> Runner:
    """The runner of a job."""
    from nin_spec.bench.other_runtimes import MnnRunner, OpenvinoRunner
    from nin_spec.bench.peak import PeakRunner

    runners: dict[str, Callable[[Job], Runner]] = {
        "session": SessionRunner,
        "inference": InferenceRunner,
        "bare": BareRunner,
        "torch": TorchRunner,
        "torch-compile": CompiledRunner,
        "openvino": OpenvinoRunner,
        "mnn": MnnRunner,
        "peak": PeakRunner,
    }
    return runners[job.runner](job)
