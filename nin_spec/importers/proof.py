"""The proof of an import: the result must compute the same as the original.

Both run on inputs of several scales: of usual size, a thousand times as large, and preprocessed pictures. The tolerance
applies to each picture separately, so that a large one can't hide a small one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from nin_spec.diagnostics import Code, ParityError
from nin_spec.exporter import Exporter, artifact_of, check_options, find
from nin_spec.importers.chain import Array, reading
from nin_spec.model import Model, Preprocessing

TOLERANCE = 1e-4
"""Largest difference from the original, relative to its largest value; see nin_spec.runtime.tolerances."""
LARGE = 1000.0
"""The largest of the scales that inputs are drawn at."""
_LAST_BITS = 2.0**-21
"""What a few of the last bits of a float32 are, relative to it."""
_AMPLIFIED, _DRAWS = 8.0, 4
Compute = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Proof:
    """A comparison that passed: the largest relative difference, and the allowed one."""

    max_relative: float
    tolerance: float


# ------------------------------------------------------------------ inputs


def trial_pictures(
    shape: tuple[int, int, int], batch: int | None, contract: Preprocessing | None, *, raw: bool = False, seed: int = 0
) -> Iterator[Array]:
    """Batches (N, C, H, W) of inputs of several scales; of pictures alone, from 0 to 255, if `raw`.

    `contract` is the preprocessing of pictures. `batch` is a size that the original fixes.
    """
    rng = np.random.default_rng(seed)
    pixels = [rng.integers(low, high, shape).astype(np.float64) for low, high in ((0, 256), (200, 256), (0, 30))]
    if raw:
        rows = [*pixels, np.full(shape, 255.0)]
    else:
        normal = [rng.standard_normal(shape) for _ in range(2)]
        rows = [normal[0], LARGE * normal[1], *(_prepared(x, contract) for x in pixels[:2])]
    size = batch or len(rows)
    for start in range(0, len(rows), size):
        yield np.stack([rows[k % len(rows)] for k in range(start, start + size)])


def _prepared(pixels: Array, contract: Preprocessing | None) -> Array:
    """The network's input for pixels: from 0 to 255 without a contract."""
    if contract is None:
        return pixels
    mean, std = (np.array(v).reshape(-1, 1, 1) for v in (contract.mean, contract.std))
    found: Array = (pixels * contract.scale - mean) / std
    return found


# ------------------------------------------------------------------ comparison


def compare(mine: Array, theirs: Array, name: str) -> Proof:
    """Compare two outputs. Raises ParityError above the tolerance."""
    theirs = theirs.reshape(mine.shape) if theirs.size == mine.size else theirs
    difference = _apart(mine, theirs)
    if not difference <= TOLERANCE:
        raise differs(name, difference)
    return Proof(difference, TOLERANCE)


def compare_all(
    trials: Iterable[Array], ours: Compute, theirs: Compute, name: str, tolerance: float = TOLERANCE
) -> Proof:
    """Compare each picture of the batches. Raises ParityError above the tolerance.

    A picture for which the original gives no finite numbers counts for nothing, but the very first. Where two differ by
    more, they may differ by what changes in either when the last bits of its input do: that is rounding. (onnxruntime's
    LRN on the CPU adds and subtracts squares along the channels: of large inputs that leaves 1e-4.)
    """
    found = [_compared(x, ours, theirs, name, tolerance, first=k == 0) for k, x in enumerate(trials)]
    return Proof(max(found), tolerance)


def _compared(  # noqa: PLR0913 what a comparison is made of
    x: Array, ours: Compute, theirs: Compute, name: str, tolerance: float, *, first: bool
) -> float:
    """The largest difference of a batch, whose first picture must give finite numbers if it is the `first` batch."""
    mine, wanted = _by_picture(ours(x), len(x)), _by_picture(theirs(x), len(x))
    if mine.shape != wanted.shape:
        raise differs(name, float("inf"))
    finite = np.isfinite(wanted).all(axis=1) | (first & (np.arange(len(x)) == 0))
    found = np.array([_apart(a, b) for a, b in zip(mine, wanted, strict=True)])
    if (bad := finite & ~(found <= tolerance)).any():
        rounding = np.maximum(_rounding(x, ours, mine), _rounding(x, theirs, wanted))
        if (bad & ~(found <= _AMPLIFIED * rounding)).any():
            raise differs(name, float(found[bad].max()))
    return float(found[finite].max(initial=0.0))


def _by_picture(found: Array, count: int) -> Array:
    """A result as (N, F); as it is where its rows are not the pictures."""
    return found.reshape(count, -1) if count == 1 or found.shape[:1] == (count,) else found


def _rounding(x: Array, function: Compute, known: Array) -> Array:
    """For each picture, what the last bits of the input change in a result that is known: the most of some draws."""
    rng, found = np.random.default_rng(1), []
    for _ in range(_DRAWS):
        moved = function(x * (1 + _LAST_BITS * rng.choice([-1.0, 1.0], x.shape))).reshape(len(x), -1)
        found.append([_apart(a, b) for a, b in zip(moved, known, strict=True)])
    most: Array = np.max(found, axis=0)
    return most


def _apart(mine: Array, theirs: Array) -> float:
    """The largest difference, relative to the largest value."""
    if mine.shape != theirs.shape:
        return float("inf")
    largest = float(np.abs(theirs).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        apart = float(np.abs(mine - theirs).max(initial=0.0))
    return apart / largest if largest else apart


def differs(name: str, difference: float) -> ParityError:
    """The error of a network that is not the original."""
    message = f"the imported network differs from {name}: relative difference {difference:.2e}"
    return ParityError(Code.PARITY, message, hint="please report it")


# ------------------------------------------------------------------ running


def outputs(model: Model, x: Array) -> Array:
    """What our own export of a model gives for normalised x, in onnxruntime."""
    return run(exported(model), x)


def exported(model: Model, **options: Any) -> bytes:
    """Our own export of a model, in its own dtype unless `options` has another. Raises ExportError."""
    exporter = _onnx_exporter()
    checked = check_options(exporter, {"dtype": model.graph.input.dtype, **options})
    (data,) = artifact_of(exporter, model, checked).files.values()
    return data


@cache
def _onnx_exporter() -> Exporter:
    """The exporter of the proofs. Found once: its entry point is looked up in every installed package."""
    return find("onnx")


_FAILED = "the model doesn't run"


def run(model: bytes | Path, x: Array) -> Array:
    """A model's output for x, as float64: see `runner`."""
    return runner(model)(x)


def runner(model: bytes | Path) -> Compute:
    """A model's first output by its input, as float64: in onnxruntime on the CPU, by ONNX's reference for float64.

    onnxruntime's CPU provider has no float64 convolution.
    """
    import onnx

    from nin_spec.runtime.installation import import_onnxruntime, source_of
    from nin_spec.runtime.providers import available_threads

    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = available_threads()
    source = model if isinstance(model, bytes) else source_of(model)
    state = import_onnxruntime("capi.onnxruntime_pybind11_state")
    with reading("onnxruntime", _FAILED):
        try:
            session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except state.NotImplemented:
            return _reference(
                onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load_model(model)
            )
    node = session.get_inputs()[0]
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
    kind = kinds.get(node.type, np.uint8)

    def compute(x: Array) -> Array:
        with np.errstate(over="ignore"):
            given = x.astype(kind)
        with reading("onnxruntime", _FAILED):
            found = session.run([session.get_outputs()[0].name], {node.name: given})
        return np.asarray(found[0], np.float64)

    return compute


def _reference(model: Any) -> Compute:
    """A model's first output by its input, in ONNX's reference evaluator."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(model, new_ops=[_response_norm()])

    def compute(x: Array) -> Array:
        # NumPy computes both sides of a choice, as of ELU, and warns of what overflows on the other.
        with reading("onnx", _FAILED), np.errstate(all="ignore"):
            results: Any = evaluator.run(None, {evaluator.input_names[0]: x.astype(np.float64)})
        return np.asarray(results[0], np.float64)

    return compute


def _response_norm() -> type:
    """LRN by its definition: onnx 1.21 to 1.23 sum over as many channels as the batch has pictures."""
    from onnx.reference.op_run import OpRun

    class LRN(OpRun):
        """x / (bias + alpha / size * sum of squares over neighbouring channels) ** beta."""

        op_domain = ""

        def _run(self, x: Array, alpha: float, beta: float, bias: float, size: int) -> tuple[Array]:
            before = (size - 1) // 2
            squares = np.pad(x**2, ((0, 0), (before, size - 1 - before), (0, 0), (0, 0)))
            sums = sum(squares[:, k : k + x.shape[1]] for k in range(size))
            return ((x / (bias + alpha / size * sums) ** beta).astype(x.dtype),)

    return LRN
