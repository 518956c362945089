"""Proof that an exported file computes what its spec declares.

Seeded inputs go through onnxruntime and through the nn.Module in float64, the reference. A difference
beyond the tolerance is followed to the first node that differs, and reported at its line in the spec.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, Diagnostic, InputError, ParityError
from nin_spec.model import Model
from nin_spec.runtime.providers import Device
from nin_spec.runtime.session import Session, open_session

if TYPE_CHECKING:
    from nin_spec.torch_module import NiNModule

BATCHES = (1, 2, 7)
TOLERANCES = {
    # Sums of some thousand products, rounded to 24 bits at each step, end within about 1e-5 of the exact
    # value; a wrong edge, epsilon or order of layers is off by 1e-3 and more.
    "float32": 1e-4,
    "float64": 1e-9,
}
"""Largest difference allowed, relative to the largest reference value of the batch."""

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Case:
    """One batch: its shape, the largest differences, and how many of its top-1 classes agree."""

    shape: tuple[int, ...]
    max_absolute: float
    max_relative: float
    top1: int

    @property
    def images(self) -> int:
        """Images in the batch."""
        return self.shape[0]


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What was compared on one provider, and how close it came."""

    provider: str
    dtype: str
    tolerance: float
    cases: tuple[Case, ...]

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
            "dtype": self.dtype,
            "tolerance": self.tolerance,
            "max_absolute": self.max_absolute,
            "max_relative": self.max_relative,
            "top1_agreement": sum(c.top1 for c in self.cases) / sum(c.images for c in self.cases),
            "shapes": [list(c.shape) for c in self.cases],
        }

    def __str__(self) -> str:
        images, agree = sum(c.images for c in self.cases), sum(c.top1 for c in self.cases)
        batches = ", ".join(str(c.images) for c in self.cases)
        return (
            f"parity on {self.provider} ({self.dtype}, batches of {batches}) with the nn.Module in float64: "
            f"max absolute {self.max_absolute:.2e}, max relative {self.max_relative:.2e} "
            f"(allowed {self.tolerance:.0e}), top-1 agrees on {agree} of {images}"
        )


def check_parity(
    model: Model, data: bytes, device: Device = "cpu", seed: int = 0, *, options: Mapping[str, object] | None = None
) -> ParityReport:
    """Compare an exported file with the nn.Module in float64, on one device with its options.

    Raises:
        ParityError: outputs that differ, naming the first node that does, or an input that the spec allows
            and the file does not take; nothing is wrong with the device.
        DeviceError: the device can't run the file.
        InputError: the file computes in numbers that have no tolerance here.
    """
    session = open_session(data, device, options=options)
    if str(session.dtype) not in TOLERANCES:
        message = f"parity is proved for {' and '.join(TOLERANCES)}, and the file computes in {session.dtype}"
        raise InputError(Diagnostic(Code.MODEL_UNREADABLE, message))
    reference = _reference(model, session.dtype)
    tolerance = TOLERANCES[str(session.dtype)]
    cases = []
    for x in inputs(model, session, seed):
        got, wanted = _run(session, x), _forward(reference, x, session.threads)
        case = compare(x, got, wanted, tolerance)
        if not case.max_relative <= tolerance:
            raise ParityError(_explain(model, data, device, reference, x, case, tolerance))
        cases.append(case)
    return ParityReport(session.provider, str(session.dtype), tolerance, tuple(cases))


def inputs(model: Model, session: Session, seed: int) -> Iterator[Array]:
    """Standard normal batches of 1, 2 and 7, or of the file's own size; an open size gets another one too."""
    random = np.random.default_rng(seed)
    channels, height, width = model.graph.input.shape
    fixed = session.input_shape[0]
    for i, batch in enumerate(BATCHES if fixed is None else (fixed,) * 2):
        more = (3 * i, 5 * i) if model.graph.open_size else (0, 0)
        shape = (batch, channels, height + more[0], width + more[1])
        yield random.standard_normal(shape).astype(session.dtype)


def compare(x: Array, got: Array, wanted: Array, tolerance: float) -> Case:
    """How far `got` is from `wanted`; infinitely where shape or dtype differ, or a number is not finite."""
    same = got.shape == wanted.shape and got.dtype == x.dtype
    if not same or not (np.isfinite(got).all() and np.isfinite(wanted).all()):
        return Case(x.shape, float("inf"), float("inf"), 0)
    difference = float(np.abs(got.astype(np.float64) - wanted).max(initial=0.0))
    largest = float(np.abs(wanted).max(initial=0.0))
    relative = difference / largest if largest else difference
    rows = np.arange(len(wanted))
    flat = wanted.reshape(len(wanted), -1)
    # Equal scores have no order: agreement means that our best class is a best class of the reference.
    chosen = flat[rows, got.reshape(len(got), -1).argmax(1)]
    agree = chosen >= flat.max(1) - tolerance * largest
    return Case(x.shape, difference, relative, int(agree.sum()))


def _run(session: Session, x: Array) -> Array:
    try:
        return session.run(x)
    except InputError as error:
        message = f"the exported file does not take what its spec allows: {error.diagnostics[0].message}"
        raise ParityError(Diagnostic(Code.PARITY, message)) from error


def _reference(model: Model, dtype: np.dtype[Any]) -> NiNModule:
    """The network in float64, with the very numbers that a file of this dtype holds."""
    import torch

    from nin_spec.torch_module import build_module

    module = build_module(model.graph).double()
    held = {name: torch.from_numpy(w.astype(dtype).astype(np.float64)) for name, w in model.weights.items()}
    module.load_state_dict(held, strict=True)
    return module


def _forward(module: NiNModule, x: Array, threads: int) -> Array:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            result: Array = module(torch.from_numpy(x.astype(np.float64))).numpy()
    finally:
        torch.set_num_threads(before)
    return result


def _explain(  # noqa: PLR0913, PLR0917 all that is known of the failure
    model: Model, data: bytes, device: Device, reference: NiNModule, x: Array, case: Case, tolerance: float
) -> Diagnostic:
    """The diagnostic of a failure, at the first node that differs."""
    node = first_difference(data, device, reference, x, tolerance)
    batch = "x".join(map(str, case.shape))
    amount = f"relative difference {case.max_relative:.2e}, allowed {tolerance:.0e}"
    if case.max_relative == float("inf"):
        amount = "a shape or dtype that differs, or a number that is not finite"
    if node is None:
        message = f"the exported graph differs from the nn.Module ({amount}, input {batch}), but no node of it does"
        return Diagnostic(Code.PARITY, message, hint="onnxruntime's optimisation of the graph changes it")
    span = next((n.span for n in model.graph if n.name == node), None)
    message = f"the exported graph differs from the nn.Module ({amount}, input {batch}); first at {node}"
    return Diagnostic(Code.PARITY, message, span, "nothing was written; look at this layer's weights and options")


def first_difference(data: bytes, device: Device, reference: NiNModule, x: Array, tolerance: float) -> str | None:
    """The first node of the chain whose output differs, every value of the file laid open; or None."""
    import torch

    got = _every_value(data, device, x)
    with torch.inference_mode():
        for name, value in reference.trace(torch.from_numpy(x.astype(np.float64))):
            found = got.pop(name, None)  # what a pass left out has no value of its own
            if found is not None and not compare(x, found, value.numpy(), tolerance).max_relative <= tolerance:
                return name
    return None


def _every_value(data: bytes, device: Device, x: Array) -> dict[str, Array]:
    """The first output of each node of the file, by the node's name."""
    import onnx

    proto = onnx.load_from_string(data)
    known = {o.name for o in proto.graph.output}
    values = {node.name: node.output[0] for node in proto.graph.node}
    proto.graph.output.extend(onnx.ValueInfoProto(name=v) for v in values.values() if v not in known)
    session = open_session(proto.SerializeToString(), device)
    found = session.inference.run(list(values.values()), {session.input_name: x})
    return dict(zip(values, found, strict=True))
