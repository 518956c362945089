"""A model in the server: its declaration, runs on arrays, warm-up and measurement."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nin_spec.diagnostics import Code, InputError, NinSpecError
from nin_spec.runtime.creation import File
from nin_spec.runtime.session import PROBE_SIZES, Session, open_session, reopen_session
from nin_spec.serving.errors import BadRequestError, FailedError
from nin_spec.serving.protocol import TensorSpec
from nin_spec.serving.tensors import Array, Shape, has_rows

if TYPE_CHECKING:
    from nin_spec.runtime.metadata import ModelInfo

LEVEL = 0.97
"""Speeds within this fraction are equal: less is measurement noise."""
LANES = 0.9
"""Parallel runs, on one core each, are used if they reach this fraction of the speed of runs on all cores. In isolation
they are about as fast; they win under load, when divided operators wait for a busy core.
"""
_FEW = 8
"""Rows per run even if fewer are as fast, which amortises the server's own work."""
_ROUNDS, _SECONDS = 7, 3.0
"""A measurement ends after this many rounds, or seconds."""
_RUNS = 4
"""Runs of each thread in a round of parallel runs."""
_KINDS = {"tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(float16)": "FP16"} | {
    f"tensor({kind})": name
    for kind, name in (
        *((f"{sign}int{n}", f"{sign.upper()}INT{n}") for sign in ("", "u") for n in (8, 16, 32, 64)),
        ("bool", "BOOL"),
        ("string", "BYTES"),
    )
}


@dataclass(frozen=True)
class Engine:
    """An opened model. Shapes have the batch axis first; -1 is an open axis."""

    session: Session
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def info(self) -> ModelInfo:
        """The file's card."""
        return self.session.metadata

    @property
    def batches(self) -> bool:
        """Whether requests can share a run: the file has an open batch axis."""
        return all(spec.shape[:1] == (-1,) for spec in (*self.inputs, *self.outputs))

    @property
    def open_size(self) -> bool:
        """Whether requests may have different sizes."""
        return any(-1 in spec.shape[1:] for spec in self.inputs)

    @cached_property
    def _names(self) -> tuple[list[str], list[str]]:
        return [s.name for s in self.inputs], [s.name for s in self.outputs]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """All outputs for all inputs, in the declared order. Raises BadRequestError or FailedError."""
        inputs, outputs = self._names
        if self.session.runner is not None:
            return [self._padded(arrays[0])]
        feed = {name: _plain(array) for name, array in zip(inputs, arrays, strict=True)}
        try:
            found: list[Array] = self.session.inference.run(outputs, feed)
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise self._explain(arrays, error) from error
        return [_encoded(array) if array.dtype == object else array for array in found]

    def _padded(self, array: Array) -> Array:
        try:
            return self.session.run(array)
        except NinSpecError as error:
            raise FailedError(error.diagnostics[0].message) from error

    def _explain(self, arrays: Sequence[Array], error: Exception) -> BadRequestError | FailedError:
        """A size that an open axis allows but the network doesn't is the client's error, others are ours."""
        shapes = ", ".join(str(list(a.shape)) for a in arrays)
        why = str(error).splitlines()[-1][-300:] if str(error) else type(error).__name__
        if self.open_size:
            return BadRequestError(f"the model can't take an input of shape {shapes}: {why}")
        return FailedError(f"the model failed on an input of shape {shapes}: {why}")

    def example(self, rows: int) -> list[Array]:
        """Zeros as an input of the model, with a valid size for open axes. Raises NinSpecError."""
        spec = self.inputs[0]
        batch, *rest = spec.shape
        dtype = self.session.dtype
        for size in PROBE_SIZES if -1 in rest else (0,):
            shape = (rows if batch == -1 else batch, *(size if axis == -1 else axis for axis in rest))
            x = np.zeros(shape, dtype)
            try:
                self.session.run(x)
            except NinSpecError as error:
                failure = error
            else:
                return [x]
        raise failure


def _plain(array: Array) -> Array:
    """Aligned and contiguous, as onnxruntime requires; a view into a request's body may be neither."""
    return array if array.flags.aligned and array.flags.c_contiguous else np.array(array)


def _encoded(texts: Array) -> Array:
    """Strings from onnxruntime as the bytes of the protocol's BYTES."""
    encoded: Array = np.array([text.encode() for text in texts.ravel()], object).reshape(texts.shape)
    return encoded


def open_engine(
    path: Path,
    device: str,
    threads: int | None,
    options: Mapping[str, object] | None = None,
    content: Path | bytes | None = None,
) -> Engine:
    """A model opened on a device and tested to run there.

    Raises InputError or DeviceError. `content` is opened instead of `path`: the export of a run folder at that path.
    """
    session = open_session(path if content is None else content, device, threads, options=options)
    inference = session.inference
    engine = Engine(session, _declared(path, inference.get_inputs()), _declared(path, inference.get_outputs()))
    if session.runner is not None and len(engine.inputs) + len(engine.outputs) > 2:
        message = f"{path}: CUDA graphs need one input and one output, but the model has more"
        hint = "remove enable_cuda_graph, or export the model without the other outputs"
        raise InputError(Code.SERVE_UNUSABLE, message, hint=hint)
    return engine


def open_worker(engine: Engine, path: Path | bytes, options: Mapping[str, object] | None = None) -> Engine | None:
    """The same model on one core, for parallel runs.

    None if the device divides its work by itself. One session serves all workers: with one thread it runs on the
    caller's thread, and stores the weights once.
    """
    session = engine.session
    if session.device != "cpu" or session.threads == 1 or session.runner is not None:
        return None
    return replace(engine, session=reopen_session(File.of(path), 1, options))


def _declared(path: Path, nodes: Sequence[Any]) -> tuple[TensorSpec, ...]:
    for node in nodes:
        if node.type not in _KINDS:
            message = f"{path}: {node.name!r} is a {node.type}, which the protocol does not support"
            raise InputError(Code.SERVE_UNUSABLE, message, hint="export it with numeric tensors only")
    return tuple(TensorSpec(node.name, _KINDS[node.type], _shape(node.shape)) for node in nodes)


def _shape(axes: Sequence[Any]) -> Shape:
    return tuple(n if isinstance(n, int) and n > 0 else -1 for n in axes)


# ------------------------------------------------------------------ warm-up


@dataclass(frozen=True, slots=True)
class Plan:
    """How requests share runs: at most `rows` in one (1 disables batching), padded to a bucket if there are any.

    `workers`: parallel runs, on one core each, when several requests wait. `size`: bytes of inputs in the largest
    measured run, a limit for others; 0 if all rows have equal size.
    """

    rows: int
    buckets: tuple[int, ...] = ()
    remark: str = ""
    workers: int = 1
    size: int = 0


def plan(
    engine: Engine, most: int, worker: Engine | None = None, *, clock: Callable[[], float] = time.perf_counter
) -> Plan:
    """Warm up and measure the model, and decide whether batching and parallel runs pay off.

    On a GPU every new batch size costs a search for kernels, so sizes are padded to powers of two, which are warmed up
    here; a CPU runs any size, and preallocated buffers pad by themselves.
    """
    found = _shared(engine, most, clock)
    if worker is None:
        return found
    workers = engine.session.threads
    whole, beside = (side_by_side(each, found.rows, count, clock) for each, count in ((engine, 1), (worker, workers)))
    if beside < LANES * whole:
        told = f"{workers} parallel runs don't pay off: {beside:.0f} rows/s, {whole:.0f} one after another"
        return replace(found, remark=f"{found.remark}; {told}")
    told = f"under load {workers} parallel runs: {beside:.0f} rows/s"
    return replace(found, workers=workers, remark=f"{found.remark}; {told}")


def _shared(engine: Engine, most: int, clock: Callable[[], float]) -> Plan:
    """The number of rows per run."""
    if not engine.batches:
        engine.example(1)
        return Plan(1, remark="the file has a fixed batch size: every request runs alone")
    sizes = tuple(sorted({2**k for k in range(most.bit_length()) if 2**k < most} | {most}))
    if most > 1 and not all(has_rows(output, most) for output in engine.run(engine.example(most))):
        return Plan(1, remark="an output's first axis is not the batch: every request runs alone")
    speeds = speeds_of(engine, sizes, clock)
    buckets = sizes if engine.session.fixed_sizes and engine.session.runner is None else ()
    if most == 1:
        return Plan(1, buckets, "batching is off, as requested")
    rows = worthwhile(speeds)
    best = max(sizes[1:], key=lambda size: speeds[size])
    size = rows if rows > 1 else best
    told = f"{speeds[1]:.0f} rows/s one at a time, {speeds[size]:.0f} with {size}"
    if rows == 1:
        return Plan(1, buckets, f"batching doesn't pay off and is off: {told}")
    size = sum(array.nbytes for array in engine.example(rows)) if engine.open_size else 0
    return Plan(rows, buckets, f"batching up to {rows} rows: {told}", size=size)


def worthwhile(speeds: Mapping[int, float]) -> int:
    """Rows per run, by the rows per second of each size.

    1 if batching makes the model slower. Equal speed is enough: the server's work per run is then shared by several
    requests. More rows without a gain would only increase latency.
    """
    shared = {size: speed for size, speed in speeds.items() if size > 1}
    best = max(shared.values())
    if best < LEVEL * speeds[1]:
        return 1
    good = [size for size, speed in shared.items() if speed >= LEVEL * best]
    return min((size for size in good if size >= _FEW), default=max(good))


def speeds_of(engine: Engine, sizes: Sequence[int], clock: Callable[[], float]) -> dict[int, float]:
    """Rows per second for each number of rows: the best of a few rounds, as disturbances only slow one down.

    The sizes take turns, so that a disturbance affects all.
    """
    examples = {size: engine.example(size) for size in sizes}
    least = dict.fromkeys(sizes, math.inf)
    start = clock()
    for _ in range(_ROUNDS):
        for size, arrays in examples.items():
            begun = clock()
            engine.run(arrays)
            least[size] = min(least[size], clock() - begun)
        if clock() - start > _SECONDS:
            break
    return {size: size / seconds for size, seconds in least.items()}


def side_by_side(engine: Engine, rows: int, count: int, clock: Callable[[], float]) -> float:
    """Total rows per second in the best of a few rounds of runs in `count` threads."""
    arrays = engine.example(rows)

    def runs(_: int) -> None:
        for _ in range(_RUNS):
            engine.run(arrays)

    least, start = math.inf, clock()
    with ThreadPoolExecutor(count) as pool:
        for _ in range(_ROUNDS):
            begun = clock()
            list(pool.map(runs, range(count)))
            least = min(least, clock() - begun)
            if clock() - start > _SECONDS / 2:
                break
    return len(arrays[0]) * _RUNS * count / least
