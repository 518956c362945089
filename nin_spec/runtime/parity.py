"""Proof that an exported file computes what its spec declares.

Seeded inputs are run in onnxruntime and in the nn.Module in float64, the reference. A difference above the tolerance is
traced to the first node that differs, and reported at its line in the spec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.analysis.shapes import output_kind
from nin_spec.diagnostics import Code, DeviceError, Diagnostic, InputError, ParityError
from nin_spec.ir import ops
from nin_spec.ir.types import Pair
from nin_spec.model import Model
from nin_spec.passes.class_maps import class_maps
from nin_spec.passes.drop_identities import is_identity
from nin_spec.printing import memory as shown
from nin_spec.runtime.arithmetic import dtypes_of_file
from nin_spec.runtime.expected import expected_outputs
from nin_spec.runtime.installation import import_onnxruntime
from nin_spec.runtime.memory import enough_memory, free_memory
from nin_spec.runtime.options import read_options, without_graphs
from nin_spec.runtime.parity_inputs import BATCHES, Batch, cut, inputs, shapes_of
from nin_spec.runtime.proof_memory import UNPROVED, LeftOut, ProofMemory
from nin_spec.runtime.providers import Device, lookup
from nin_spec.runtime.session import Session, open_session
from nin_spec.runtime.tolerances import relative_difference, tolerance_of

if TYPE_CHECKING:
    from torch import Tensor

    from nin_spec.torch_module import NiNModule


_TIE = 1e-4
"""Scores closer than this, relative to the largest, have no order."""

Array = NDArray[np.floating[Any]]
Open = Callable[[bytes], Session]
"""Opens a file like the one under proof: on its device, with the options that affect its precision."""


@dataclass(frozen=True, slots=True)
class Case:
    """One batch: its shape, the largest differences, and the number of matching top-1 classes."""

    shape: tuple[int, ...]
    max_absolute: float
    max_relative: float
    top1: int

    @property
    def images(self) -> int:
        """Images in the batch."""
        return self.shape[0]


class DifferenceError(ParityError):
    """Outputs that differ by `difference`, relative to the largest reference value of the batch; it may be infinite."""

    def __init__(self, found: Diagnostic, difference: float) -> None:
        super().__init__(found)
        self.difference = difference


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What was compared on one provider, the differences, and what was skipped for lack of memory."""

    provider: str
    precision: str
    tolerance: float
    why: str
    cases: tuple[Case, ...]
    outputs: tuple[str, ...] = ("scores",)
    left_out: tuple[LeftOut, ...] = ()

    @property
    def max_absolute(self) -> float:
        """The largest absolute difference."""
        return max(c.max_absolute for c in self.cases)

    @property
    def max_relative(self) -> float:
        """The largest relative difference."""
        return max(c.max_relative for c in self.cases)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "provider": self.provider,
            "precision": self.precision,
            "tolerance": self.tolerance,
            "tolerance_because": self.why,
            "max_absolute": self.max_absolute,
            "max_relative": self.max_relative,
            "top1_agreement": sum(c.top1 for c in self.cases) / sum(c.images for c in self.cases),
            "shapes": [list(c.shape) for c in self.cases],
            "outputs": list(self.outputs),
            "not_compared": [list(batch.shape) for batch in self.left_out],
        }

    def __str__(self) -> str:
        images, agree = sum(c.images for c in self.cases), sum(c.top1 for c in self.cases)
        batches = ", ".join(str(c.images) for c in self.cases)
        others = "" if self.outputs == ("scores",) else f"; compared: {', '.join(self.outputs)}"
        missing = ", ".join(f"{'x'.join(map(str, b.shape))} ({shown(b.needed)})" for b in self.left_out)
        missing = f"; not compared for lack of memory: {missing}" if missing else ""
        return (
            f"parity on {self.provider} ({self.precision}, batches of {batches}) with the nn.Module in float64: "
            f"max absolute {self.max_absolute:.2e}, max relative {self.max_relative:.2e} "
            f"(allowed {self.tolerance:g}: {self.why}), top-1 agrees on {agree} of {images}{others}{missing}"
        )


def check_parity(  # noqa: PLR0913 keywords
    model: Model,
    data: bytes,
    device: Device = "cpu",
    seed: int = 0,
    pictures: Batch | None = None,
    *,
    options: Mapping[str, object] | None = None,
    batches: Sequence[int] = BATCHES,
    threads: int | None = None,
) -> ParityReport:
    """Compare an exported file with the nn.Module in float64, on one device with its options.

    `pictures` are inputs instead of noise: an int8 file is calibrated on pictures. Batches that do not fit into memory
    are skipped, and the report lists them. `threads` are as in `open_session`.

    Raises:
        DifferenceError: outputs that differ, with the first node that does.
        ParityError: an input that the spec allows but the file does not take; the device is not the cause.
        DeviceError: the device can't run the file, or no batch fits into memory.
        InputError: the file's precision has no tolerance here.
    """
    import torch  # noqa: F401 loads the libraries, whose memory is not free

    import_onnxruntime()
    shapes = shapes_of(model.graph, _fixed_batch(data), None if pictures is None else len(pictures[0]), batches)
    memory = ProofMemory(model.graph, free_memory(), _itemsize(data, device, options))
    kept, left = memory.plan(shapes)
    room = memory.opening(shapes[0])
    reopen = partial(open_session, device=device, threads=threads, options=options, memory=room)
    with enough_memory("the proof of the export", UNPROVED):
        session = reopen(data)
        # Values are traced by plain runs, and a session of CUDA graphs has none.
        reopen = partial(reopen, options=without_graphs(options))
        given = inputs(model, session, seed, kept) if pictures is None else cut(pictures, kept)
        return replace(_compared(model, data, reopen, session, given), left_out=tuple(left))


def _compared(model: Model, data: bytes, reopen: Open, session: Session, batches: Iterator[Batch]) -> ParityReport:
    """The report of a file that matches for every batch. Raises DifferenceError, and ParityError of `_run`."""
    numbers, precision = session.output_dtype, session.precision
    row = tolerance_of(precision, session.provider)
    reference = _reference(model, numbers)
    cases, compared = [], {}
    for given, x in batches:
        found = _run(session, given)
        own, maps = _forward(model, reference, x, session.threads, maps="maps" in found)
        pairs = expected_outputs(own, output_kind(model.graph), found, maps)
        compared = {name: compare(x, *pair, row.allowed, numbers) for name, pair in pairs.items()}
        if wrong := next((name for name, case in compared.items() if not case.max_relative <= row.allowed), None):
            failure = _Failure(wrong, compared[wrong], given, x, row.allowed)
            raise DifferenceError(_explain(model, data, reopen, reference, failure), failure.case.max_relative)
        cases.append(compared[session.output_name])
    return ParityReport(session.provider, precision, row.allowed, row.why, tuple(cases), tuple(compared))


def _fixed_batch(data: bytes) -> int | None:
    """The file's fixed batch size, if any. Raises InputError if it is not ONNX."""
    try:
        return next(iter(dtypes_of_file(data).input_shape), None)
    except ValueError as error:
        raise InputError(Code.MODEL_UNREADABLE, f"the exported file can't be read: {error}") from error


def _itemsize(data: bytes, device: Device, options: Mapping[str, object] | None) -> int:
    """Bytes per value in host memory during the computation; 0 if the device has its own memory."""
    if device != "auto":
        provider = lookup(device)
        if read_options(provider.device, provider.options, options).buffers()[0] != "cpu":
            return 0
    # Without a float16 kernel onnxruntime converts to float32, and stores a value twice.
    return {"float64": 8, "float16": 6}.get(dtypes_of_file(data).held, 4)


def compare(x: Array, got: Array, wanted: Array, tolerance: float, dtype: np.dtype[Any] | None = None) -> Case:
    """The difference of `got` from `wanted`; infinite for a different shape or dtype, or non-finite values.

    `dtype` is that of the file's computation, by default that of `x`.
    """
    relative = relative_difference(got, wanted)
    if got.dtype != (x.dtype if dtype is None else dtype) or relative == float("inf"):
        return Case(x.shape, float("inf"), float("inf"), 0)
    difference = float(np.abs(got.astype(np.float64) - wanted).max(initial=0.0))
    largest = float(np.abs(wanted).max(initial=0.0))
    rows = np.arange(len(wanted))
    flat = wanted.reshape(len(wanted), -1)
    # Equal scores have no order: they agree if our best class is a best class of the reference.
    chosen = flat[rows, got.reshape(len(got), -1).argmax(1)]
    agree = chosen >= flat.max(1) - min(tolerance, _TIE) * largest
    return Case(x.shape, difference, relative, int(agree.sum()))


def _run(session: Session, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Every output of the file."""
    try:
        session.run(x)  # rejects what does not fit
    except InputError as error:
        message = f"the exported file does not accept an input that its spec allows: {error.diagnostics[0].message}"
        raise ParityError(Code.PARITY, message) from error
    if session.runner is not None:  # recorded kernels use only their own buffers, which one output has
        return {session.output_name: session.run(x)}
    names = [node.name for node in session.inference.get_outputs()]
    return dict(zip(names, session.inference.run(names, {session.input_name: x}), strict=True))


def _reference(model: Model, dtype: np.dtype[Any]) -> NiNModule:
    """The network in float64, with exactly the weights of a file of this dtype."""
    import torch

    from nin_spec.torch_module import build_module

    module = build_module(model.graph).double()
    held = {name: torch.from_numpy(w.astype(dtype).astype(np.float64)) for name, w in model.weights.items()}
    module.load_state_dict(held, strict=True)
    return module


def _forward(model: Model, module: NiNModule, x: Array, threads: int, *, maps: bool) -> tuple[Array, Array | None]:
    """The module's output, and the class maps if asked for.

    Computed in as many parts as memory requires: pictures are independent.
    """
    import torch

    piece = ProofMemory(model.graph, None, 0).piece(len(x), _size_of(x), free_memory)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            pieces = [torch.from_numpy(x[k : k + piece]) for k in range(0, len(x), piece)]
            own = np.concatenate([module(one).numpy() for one in pieces])
            found = np.concatenate([_maps(model, module, one) for one in pieces]) if maps else None
    finally:
        torch.set_num_threads(before)
    return own, found


def _maps(model: Model, module: NiNModule, x: Tensor) -> Array:
    """The class maps (n, classes, rows, columns), by their definition: each cell as the only one that is averaged."""
    found = class_maps(model.graph)
    for name in module.order[: found.average]:
        x = module.get_submodule(name)(x)
    count, channels, height, width = x.shape
    cells = x.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)
    for name in module.order[found.average : found.end]:
        cells = module.get_submodule(name)(cells)
    maps: Array = cells.reshape(count, height, width, -1).permute(0, 3, 1, 2).numpy()
    return maps


def _size_of(x: Array) -> Pair:
    return x.shape[-2], x.shape[-1]


@dataclass(frozen=True, slots=True)
class _Failure:
    """An output that differs: by how much, on which batch, and the tolerance."""

    output: str
    case: Case
    given: NDArray[Any]
    x: Array
    tolerance: float


def _explain(model: Model, data: bytes, reopen: Open, reference: NiNModule, failure: _Failure) -> Diagnostic:
    """The diagnostic of a failure, at the first node that differs."""
    batch = "x".join(map(str, failure.case.shape))
    amount = f"relative difference {failure.case.max_relative:.2e}, allowed {failure.tolerance:g}"
    if failure.case.max_relative == float("inf"):
        amount = "a shape or dtype that differs, or a number that is not finite"
    where = "" if failure.output == "scores" else f" in {failure.output}"
    message = f"the exported graph differs from the nn.Module{where} ({amount}, input {batch})"
    try:
        node = first_difference(model, data, reopen, reference, failure)
    except DeviceError as error:  # a file with every value as an output is a different one
        why = error.diagnostics[0].message
        return Diagnostic(Code.PARITY, f"{message}; its nodes can't be compared: {why}", hint=_REPORT)
    if node is None and failure.output.startswith("top"):
        return Diagnostic(Code.PARITY, f"{message}: its classes are not the best", hint=_REPORT)
    if node is None:
        hint = "onnxruntime's graph optimisation changes it: try another version of onnxruntime, or another device"
        return Diagnostic(Code.PARITY, f"{message}, but none of its nodes does", hint=hint)
    span = next((n.span for n in model.graph if n.name == node), None)
    return Diagnostic(Code.PARITY, f"{message}; first at {node}", span, _AT_NODE)


_REPORT = "if the device has options that round, remove them; else please report the spec"
_AT_NODE = f"check that this layer's weights are finite and of a usual size; {_REPORT}"


def first_difference(model: Model, data: bytes, reopen: Open, reference: NiNModule, failure: _Failure) -> str | None:
    """The first node of the spec whose value differs, else None."""
    import torch

    ProofMemory(model.graph, None, 0).check_trace(len(failure.x), _size_of(failure.x), free_memory())
    got = _every_value(model, data, reopen, failure.given)
    with torch.inference_mode():
        for name, value in reference.trace(torch.from_numpy(failure.x)):
            found = got.pop(name, None)  # a node that a pass removed, merged or moved has no value
            if found is None:
                continue
            case = compare(failure.x, found, value.numpy(), failure.tolerance, found.dtype)
            if not case.max_relative <= failure.tolerance:
                return name
    return None


def _value_of_maps(model: Model) -> str | None:
    """The node of the spec whose value the class maps are, None where the spec averages before its last layers."""
    maps = class_maps(model.graph)
    before = [n.name for n in model.graph.nodes[: maps.average] if not is_identity(n)]
    return before[-1] if before and all(isinstance(n.op, ops.Flatten) or is_identity(n) for n in maps.tail) else None


_DEQUANTISED = "_DequantizeLinear_Output"
"""Suffix of onnxruntime's quantiser for the dequantised value."""


def _every_value(model: Model, data: bytes, reopen: Open, x: NDArray[Any]) -> dict[str, Array]:
    """The value of each node of the spec that the file computes, by the node's name, in the same precision.

    The exporter names values after nodes; only the last one has an output's name.
    """
    import onnx

    proto = onnx.load_from_string(data)
    known = {o.name for o in proto.graph.output}
    values = [node.output[0] for node in proto.graph.node]
    proto.graph.output.extend(onnx.ValueInfoProto(name=v) for v in values if v not in known)
    session = reopen(proto.SerializeToString())
    found = dict(zip(values, session.inference.run(values, {session.input_name: x}), strict=True))
    # In int8 compare the dequantised value: before quantisation it is not yet rectified.
    found |= {name.removesuffix(_DEQUANTISED): v for name, v in found.items() if name.endswith(_DEQUANTISED)}
    last = next((n.name for n in reversed(model.graph.nodes) if not is_identity(n)), None)
    if "maps" in found and (name := _value_of_maps(model)) is not None:
        found[name] = found["maps"]
    own = "scores" if "scores" in found else "probabilities"
    if last is not None and last not in found and own in found:
        found[last] = found.pop(own)
    return found
