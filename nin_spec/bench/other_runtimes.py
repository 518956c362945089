"""Runtimes of others that read the same ONNX file on the CPU: OpenVINO itself, and MNN. Neither comes with nin-spec.

Each gets what its own documentation advises for the lowest latency: the shape of the batch fixed before it compiles.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_spec.bench.contenders import Job
from nin_spec.diagnostics import Code, InputError
from nin_spec.runtime.arithmetic import Dtypes, dtypes_of_file, intel_arithmetic
from nin_spec.runtime.options import OPENVINO_HINTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


class OpenvinoRunner:
    """A file in OpenVINO's own Python API (OpenVINO: CPU device, performance hints)."""

    def __init__(self, job: Job) -> None:
        import openvino

        dtypes = dtypes_of_file(job.file)
        precision = job.precision or dtypes.declared
        self.core, self.openvino = openvino.Core(), openvino
        has = intel_arithmetic(" ".join(self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")))
        _refuse_missing(precision, has, dtypes)
        self.model = self.core.read_model(job.file)
        self.settings = {
            # A float16 file is computed in float32 without such instructions, as by onnxruntime's CPU provider.
            "INFERENCE_PRECISION_HINT": OPENVINO_HINTS.get(precision, "f32") if precision in has else "f32",
            "INFERENCE_NUM_THREADS": job.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        self.facts = _facts("OpenVINO", version("openvino"), precision, dtypes)

    def around(self) -> AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def ready(self, x: Array) -> Callable[[], Any]:
        x = x.astype(self.facts["dtype"], copy=False)
        self.model.reshape(list(x.shape))
        request = self.core.compile_model(self.model, "CPU", self.settings).create_infer_request()
        return partial(request.infer, [x], share_inputs=True)

    def scores(self, result: Any) -> Array | None:
        array: Array = result[0]
        return array

    def rest(self) -> None:
        """Nothing to release: the compiled batch is kept until the next."""


def _refuse_missing(precision: str, has: frozenset[str], dtypes: Dtypes) -> None:
    """Raise InputError for a precision that this CPU lacks: OpenVINO would silently compute in another one."""
    if precision not in has and precision != dtypes.held:
        message = f"OpenVINO can't compute in {precision} here; it has {', '.join(sorted(has))}"
        raise InputError(Code.BENCH_CONTENDER, message, hint="pass another --precision")


class MnnRunner:
    """A file converted by MNN's converter, in MNN's interpreter (MNN: Python API, Interpreter)."""

    def __init__(self, job: Job) -> None:
        # Not MNN.tools: importing it runs pip, and its converter reports to a server. This is what it calls.
        import _tools
        import MNN
        import numpy as np

        dtypes = dtypes_of_file(job.file)
        self.mnn = MNN
        with tempfile.TemporaryDirectory(prefix="nin-spec-mnn-") as folder:
            converted = str(Path(folder) / "model.mnn")
            _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", job.file, "--MNNModel", converted])
            if not Path(converted).is_file():
                raise InputError(Code.BENCH_CONTENDER, "MNN can't convert the file", hint="remove mnn from --against")
            self.interpreter = MNN.Interpreter(converted)
        # High is float32; lower ones may round it.
        self.session = self.interpreter.createSession({"backend": "CPU", "numThread": job.threads, "precision": "high"})
        self.empty = np.empty
        self.facts = _facts("MNN", version("MNN"), dtypes.held, dtypes) | {"dtype": "float32"}

    def around(self) -> AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def ready(self, x: Array) -> Callable[[], Any]:
        self.x = x.astype("float32")
        source = self.interpreter.getSessionInput(self.session)
        self.interpreter.resizeTensor(source, self.x.shape)
        self.interpreter.resizeSession(self.session)
        given = self._tensor(self.x)

        def call() -> Any:
            source.copyFrom(given)
            self.interpreter.runSession(self.session)
            result = self.interpreter.getSessionOutput(self.session)
            scores = self._tensor(self.empty(result.getShape(), "float32"))
            result.copyToHostTensor(scores)
            return scores

        return call

    def _tensor(self, array: Array) -> Any:
        """A tensor in host memory in the layout of ONNX."""
        return self.mnn.Tensor(array.shape, self.mnn.Halide_Type_Float, array, self.mnn.Tensor_DimensionType_Caffe)

    def scores(self, result: Any) -> Array | None:
        array: Array = result.getNumpyData().reshape(result.getShape()).copy()
        return array

    def rest(self) -> None:
        """Nothing to release: the memory of the batch is kept until the next."""


def _facts(name: str, number: str, precision: str, dtypes: Dtypes) -> dict[str, Any]:
    dtype = dtypes.held if dtypes.held in {"float16", "float64"} else "float32"
    return {"device": "cpu", "provider": f"{name} {number}", "precision": precision, "dtype": dtype}
