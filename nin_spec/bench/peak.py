"""The machine's peak: the speed of its best matrix product in a precision, with a number of threads.

The best of several libraries and shapes is found once, and then takes turns with the contenders, so that the fraction
of the peak compares simultaneous measurements.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from nin_spec.bench.contenders import Job
from nin_spec.diagnostics import Code, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

SHAPES = ((512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (4096, 1024, 192))
"""(m, k, n): square shapes, and a long narrow one like a convolution's. The first is the smallest."""

NATIVE = {
    "bfloat16": ("avx512_bf16", "amx_bf16"),
    "float16": ("avx512_fp16", "amx_fp16"),
    "int8": ("avx512_vnni", "avx_vnni", "amx_int8"),
}
"""Instructions, by torch.cpu's names; without all of them a precision is only emulated on x86."""

_RUNS, _SECONDS, _FINALISTS = 3, 0.3, 3
_HOPELESS = 4
"""An engine this many times slower than the best at the smallest shape is not tried at the others."""


@dataclass(frozen=True)
class Product:
    """One library's product of two matrices (m, k) and (k, n), ready to run."""

    engine: str
    shape: tuple[int, int, int]
    run: Callable[[], Any]

    @property
    def operations(self) -> int:
        """Multiplications and additions per run."""
        m, k, n = self.shape
        return 2 * m * k * n

    def gflops(self) -> float:
        """Billions of operations per second, the median of some runs after a warm-up."""
        self.run()
        times: list[float] = []
        end = time.perf_counter() + _SECONDS
        while len(times) < _RUNS or time.perf_counter() < end:
            begin = time.perf_counter()
            self.run()
            times.append(time.perf_counter() - begin)
        return self.operations / statistics.median(times) / 1e9


class PeakRunner:
    """The best product found; its work is the same at every batch size."""

    def __init__(self, job: Job) -> None:
        refuse_emulated(job.precision or "float32")
        self.best, self.found = best_product(job.precision or "float32", job.threads)
        self.facts = {
            "device": "cpu",
            "precision": job.precision or "float32",
            "engine": self.best.engine,
            "shape": list(self.best.shape),
            "operations": self.best.operations,
            "tried": self.found,
        }

    def around(self) -> AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def ready(self, x: Array) -> Callable[[], Any]:
        return self.best.run

    def scores(self, result: Any) -> Array | None:
        return None

    def rest(self) -> None:
        """Nothing to release: the matrices are small."""


def refuse_emulated(precision: str) -> None:
    """Raise InputError (BENCH_CONTENDER) for a precision that this CPU only emulates."""
    import torch

    known = torch.cpu.get_capabilities()
    if precision in NATIVE and known.get("architecture") == "x86_64" and not any(map(known.get, NATIVE[precision])):
        message = (
            f"this CPU has none of {', '.join(NATIVE[precision])}: {precision} is emulated and has no separate peak"
        )
        raise InputError(Code.BENCH_CONTENDER, message)


def best_product(precision: str, threads: int) -> tuple[Product, list[dict[str, Any]]]:
    """The fastest product, and the speed of each one that was tried."""
    import torch

    torch.set_num_threads(threads)
    reached: list[tuple[float, Product]] = []
    for shape in SHAPES:
        hopeless = _hopeless(reached)
        tried = (product for product in products(precision, shape, threads) if product.engine not in hopeless)
        reached.extend((product.gflops(), product) for product in tried)
    if not reached:
        message = f"no installed library multiplies matrices in {precision}"
        raise InputError(Code.BENCH_CONTENDER, message)
    # The best ones run again, so that a short disturbance does not decide.
    finalists = [product for _, product in sorted(reached, key=lambda each: -each[0])[:_FINALISTS]]
    best = max(finalists, key=Product.gflops)
    return best, [{"engine": p.engine, "shape": list(p.shape), "gflops": round(g, 1)} for g, p in reached]


def _hopeless(reached: list[tuple[float, Product]]) -> set[str]:
    first = [(gflops, p.engine) for gflops, p in reached if p.shape == SHAPES[0]]
    return {engine for gflops, engine in first if gflops * _HOPELESS < max(first)[0]}


def products(precision: str, shape: tuple[int, int, int], threads: int) -> Iterator[Product]:
    """Each library's product of that shape, if it has one."""
    import torch

    m, k, n = shape
    if precision == "int8":
        a, b = (torch.randint(-127, 128, size, dtype=torch.int8) for size in ((m, k), (k, n)))
        yield Product("torch._int_mm", shape, partial(torch._int_mm, a, b))  # noqa: SLF001 the one that it has
        yield Product("onnxruntime MatMulInteger", shape, _in_onnxruntime("MatMulInteger", "uint8", shape, threads))
        return
    dtype = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if precision not in dtype:
        return
    a, b = torch.rand(m, k).to(dtype[precision]), torch.rand(k, n).to(dtype[precision])
    yield Product("torch.mm", shape, partial(torch.mm, a, b))
    if precision in {"float32", "float64"}:
        yield Product("numpy.matmul", shape, partial(_numpy_product, a.numpy(), b.numpy()))
        yield Product("onnxruntime MatMul", shape, _in_onnxruntime("MatMul", precision, shape, threads))


def _numpy_product(a: Array, b: Array) -> Array:
    product: Array = a @ b
    return product


def _in_onnxruntime(op: str, dtype: str, shape: tuple[int, int, int], threads: int) -> Callable[[], Any]:
    """A product with a constant right side, which onnxruntime prepacks like a layer's weights."""
    import numpy as np
    from onnx import helper, numpy_helper

    from nin_spec.runtime.installation import import_onnxruntime

    ort = import_onnxruntime()
    m, k, n = shape
    random = np.random.default_rng(0)
    left = (random.random((m, k)) * 127).astype(dtype)
    right = (random.random((k, n)) * 127).astype("int8" if dtype == "uint8" else dtype)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    target = helper.np_dtype_to_tensor_dtype(np.dtype("int32" if dtype == "uint8" else dtype))
    graph = helper.make_graph(
        [helper.make_node(op, ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", kind, [m, k])],
        [helper.make_tensor_value_info("c", target, [m, n])],
        [numpy_helper.from_array(right, "b")],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return partial(session.run, None, {"a": left})
