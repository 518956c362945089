"""A model opened on one device, and tested to run there.

A device requested by name never falls back: a missing provider or library, a node placed elsewhere, or a failing first
inference is a DeviceError. "auto" uses the best device that passes the same checks (nin_spec.runtime.auto), and
`Session.choice` records it and why not the others.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, DeviceError, InputError, counted
from nin_spec.notebook import Facts, view
from nin_spec.provider_gaps import lowered_devices
from nin_spec.runtime.auto import choose
from nin_spec.runtime.buckets import BucketRunner, Place
from nin_spec.runtime.creation import File, Request, create_settled, find_target, unavailable
from nin_spec.runtime.failures import error_types, unreadable, without_noise
from nin_spec.runtime.isolation import try_opening
from nin_spec.runtime.memory import ran_out
from nin_spec.runtime.metadata import ModelInfo, read_info
from nin_spec.runtime.options import DeviceOptions, read_options
from nin_spec.runtime.patience import BUILDING, MEMORY, OPENING, within
from nin_spec.runtime.plain_files import is_plain
from nin_spec.runtime.providers import Device, Provider, available_threads, find_providers, lookup

Array = NDArray[np.floating[Any]]
Shape = tuple[int | None, ...]

_DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
_INPUTS = {**_DTYPES, "tensor(uint8)": np.uint8}
PROBE_SIZES = (32, 64, 128, 224, 256, 512)
"""An open size is tested at the first of these that the network allows."""


_LARGEST = 4 << 30
"""Limit in bytes of one input of a model."""


@dataclass(frozen=True, slots=True)
class Session:
    """One model on one device. Shapes include the batch axis; None is an axis of any size.

    `placement` has each provider's nodes, by name, as onnxruntime partitioned the graph (after its basic optimisations,
    so folded nodes are missing). `precision` is the requested and available one; `remarks` are about it. `fixed_sizes`
    means that batches are better padded to a few sizes; `runner` does so, with preallocated buffers, if the options
    request it. `inference` is onnxruntime's own session.
    """

    inference: Any = field(repr=False)
    device: str
    provider: str
    choice: str
    placement: Mapping[str, tuple[str, ...]] = field(repr=False)
    threads: int
    input_name: str
    input_shape: Shape
    dtype: np.dtype[Any]
    output_name: str
    output_shape: Shape
    output_dtype: np.dtype[Any]
    metadata: ModelInfo = field(repr=False)
    precision: str
    remarks: tuple[str, ...] = field(repr=False)
    fixed_sizes: bool
    _errors: tuple[type[Exception], ...] = field(repr=False)
    runner: BucketRunner | None = field(repr=False)

    def _repr_html_(self) -> str:
        info = self.metadata
        facts = [
            ("device", f"{self.device} ({self.provider}, {self.precision}, {counted(self.threads, 'thread')})"),
            ("input", f"{self.input_name}: {self.dtype} {show(self.input_shape)}"),
            ("output", f"{self.output_name}: {self.output_dtype} {show(self.output_shape)}"),
            *((provider, counted(len(nodes), "node")) for provider, nodes in self.placement.items()),
            ("weights", info.weights),
            ("semantic hash", info.hash),
            *(("remark", remark) for remark in self.remarks),
        ]
        return view(info.name or "session", Facts([fact for fact in facts if fact[1]]), about=info.summary)

    @property
    def takes_pixels(self) -> bool:
        """True if the input is a raw picture in the layout and dtype of the preprocessing."""
        return self.metadata.input == "pixels"

    @property
    def picture(self) -> Shape:
        """The shape of one picture, channels first: (C, H, W), or as much as the file declares."""
        item, contract = self.input_shape[1:], self.metadata.preprocessing
        moved = self.takes_pixels and contract is not None and contract.layout == "HWC"
        return (*item[-1:], *item[:-1]) if moved else item

    def run(self, x: NDArray[Any]) -> Array:
        """The scores for a batch `x` of `input_shape` and `dtype`. Raises InputError when `x` doesn't fit."""
        if x.dtype != self.dtype:  # also rejects the other byte order, which onnxruntime would misread
            raise self._misfit(x)
        try:
            if self.runner is not None:
                return self._run_padded(self.runner, x)
            scores: Array = self.inference.run([self.output_name], {self.input_name: x})[0]
        except self._errors as error:
            # onnxruntime checks the shape anyway: a second check would cost microseconds on every run.
            raise self._failure(x, error) if fits(x.shape, self.input_shape) else self._misfit(x) from error
        return scores

    def outputs(self, x: NDArray[Any], names: Sequence[str]) -> list[Array]:
        """Several outputs for a batch, by their names. Raises InputError when `x` doesn't fit."""
        if x.dtype != self.dtype:
            raise self._misfit(x)
        try:
            found: list[Array] = self.inference.run([*names], {self.input_name: x})
        except self._errors as error:
            raise self._failure(x, error) if fits(x.shape, self.input_shape) else self._misfit(x) from error
        return found

    def _run_padded(self, runner: BucketRunner, x: NDArray[Any]) -> Array:
        if not fits(x.shape, self.input_shape):  # assigning to the buffers would broadcast
            raise self._misfit(x)
        return runner.run(x)

    def _misfit(self, x: NDArray[Any]) -> InputError:
        wanted = f"{self.dtype} of shape {show(self.input_shape)}"
        message = f"the model takes {wanted}, but got {x.dtype} of shape {show(x.shape)}"
        return InputError(Code.INPUT_UNUSABLE, message)

    def _failure(self, x: NDArray[Any], error: Exception) -> InputError | DeviceError:
        why = without_noise(str(error))
        if isinstance(error, MemoryError) or any(
            w in why.lower() for w in ("memory", "bad_alloc", "cuda", "cudnn", "cublas")
        ):
            message = f"{self.device} can't run a batch of shape {show(x.shape)}: {why}"
            code = Code.MEMORY if ran_out(error) else Code.DEVICE_UNAVAILABLE
            return DeviceError(code, message, hint="try a smaller batch")
        message = f"the model can't take an input of shape {show(x.shape)}: {why}"
        return InputError(Code.INPUT_UNUSABLE, message)


def fits(shape: tuple[int, ...], declared: Shape) -> bool:
    """Whether a shape matches the declared one."""
    return len(shape) == len(declared) and all(d is None or d == n for n, d in zip(shape, declared, strict=True))


def show(shape: Shape) -> str:
    """`(?, 3, 32, 32)`."""
    return f"({', '.join('?' if n is None else str(n) for n in shape)})"


def open_session(  # noqa: PLR0913 keywords
    model: bytes | str | Path,
    device: Device = "auto",
    threads: int | None = None,
    *,
    precision: str | None = None,
    options: DeviceOptions | Mapping[str, object] | None = None,
    memory: int | None = None,
) -> Session:
    """Open a model, given as its bytes or a path, on a device.

    `threads` is the size of the intra-op thread pool; by default `available_threads()`. `precision` is that of the
    provider: by default the one in the file's metadata, else the file's dtype. `options` are the device's options from
    `nin_spec.runtime.options`, or a mapping of the same. `memory` is the number of bytes by which the process may grow
    meanwhile, in addition to twenty times the file.

    Raises:
        InputError: the file is not a usable model (MODEL_UNREADABLE).
        DeviceError: the device can't run here (DEVICE_UNAVAILABLE), would leave nodes to another one
            (DEVICE_FALLBACK), or has no such option or precision (DEVICE_OPTION).
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    request = Request(threads or available_threads(), precision, options, MEMORY if memory is None else memory)
    if device == "auto" and options:
        message, hint = "auto takes no options: which exist depends on the device", "pass the device"
        raise DeviceError(Code.DEVICE_OPTION, message, hint=hint)
    file = File.of(model)
    _try_first(file, request, device)
    if device == "auto":
        return _open_best(file, request)
    return _open(file, lookup(device), request, choice=f"{device}, as requested")


def reopen_session(
    file: File,
    threads: int | None = None,
    options: DeviceOptions | Mapping[str, object] | None = None,
    seconds: float | None = None,
    memory: int | None = None,
) -> Session:
    """Open a file on the CPU that `open_session` has opened already: no other process tries it first. Raises as it."""
    request = Request(threads or available_threads(), None, options, MEMORY if memory is None else memory)
    return _open(file, lookup("cpu"), request, choice="cpu, as requested", seconds=seconds)


def _try_first(file: File, request: Request, device: Device) -> None:
    """Open a file in a process of its own, unless it is plain. Raises InputError."""
    if is_plain(file.source):
        return
    refused = try_opening(file, request.threads, OPENING, request.memory)
    if refused is not None and device == "cpu":
        raise refused


def _open_best(file: File, request: Request) -> Session:
    """The best device that passes every check, with the reasons against the others."""

    def open_on(provider: Provider, precision: str | None) -> Session:
        # A software adapter is slower than the CPU itself, even where one is asked for.
        options = {"software_adapter": False} if provider.adapter else request.options
        own = replace(request, precision=precision or request.precision, options=options)
        return _open(file, provider, own, choice="")

    found = choose(list(find_providers().values()), open_on, _noise)
    return replace(found.session, choice=found.choice)


def _noise(session: Session) -> NDArray[Any]:
    """A batch of one, or of the file's own size, at the first open size that the network allows."""
    batch, *rest = session.input_shape
    shape = _run_once(session, batch or 1, rest)
    rng = np.random.default_rng(0)
    if session.dtype.kind == "u":
        return rng.integers(0, 256, shape, session.dtype)
    return rng.standard_normal(shape).astype(session.dtype)


def _open(file: File, provider: Provider, request: Request, *, choice: str, seconds: float | None = None) -> Session:
    """Open and test within limits: a file's graph may never end, or expand to gigabytes."""
    size = len(file.source) if isinstance(file.source, bytes) else Path(file.source).stat().st_size
    seconds = seconds or (OPENING if provider.device == "cpu" else BUILDING)
    memory = request.memory + 20 * size
    try:
        return within(seconds, file.name, "opening it", lambda: _opened(file, provider, request, choice), memory)
    except MemoryError as error:
        raise unreadable(file.name, "there is not enough memory to run it") from error


def _opened(file: File, provider: Provider, request: Request, choice: str) -> Session:
    options = read_options(provider.device, provider.options, request.options)
    target = find_target(provider, options)
    inference, precision, remarks = create_settled(file, target, request)
    placement = _placement(file, inference)
    _refuse_fallback(target.provider, inference, placement)
    (source, dtype), scores = _input(inference, file.name), _output(inference, file.name)
    session = Session(
        inference=inference,
        device=provider.device,
        provider=target.provider.name,
        choice=choice,
        placement=placement,
        threads=request.threads,
        input_name=source.name,
        input_shape=_shape(source),
        dtype=dtype,
        output_name=scores.name,
        output_shape=_shape(scores),
        output_dtype=np.dtype(_DTYPES[scores.type]),
        metadata=read_info(inference.get_modelmeta().custom_metadata_map),
        precision=precision,
        remarks=remarks,
        fixed_sizes=options.fixed_sizes(),
        _errors=error_types(),
        runner=None,
    )
    _check_labels(session, file.name)
    _check_size(session, file.name)
    session = _with_buckets(session, options)
    _prove(session, file.name, target.provider)
    return session


def _with_buckets(session: Session, options: DeviceOptions) -> Session:
    """The session with preallocated buffers, if its options set batch sizes."""
    sizes = options.batches()
    if not sizes:
        return session
    shapes = session.input_shape, session.output_shape
    if any(shape[0] is not None or None in shape[1:] for shape in shapes):
        message = (
            f"{session.device}: CUDA graphs need an open batch and fixed sizes, but the model's input and output are "
        )
        message += " and ".join(show(shape) for shape in shapes)
        hint = "export it with a fixed size and an open batch, or remove enable_cuda_graph"
        raise DeviceError(Code.DEVICE_OPTION, message, hint=hint)
    (taken, given) = (cast("tuple[int, ...]", shape[1:]) for shape in shapes)
    kind = next(node.type for node in session.inference.get_outputs() if node.name == session.output_name)
    scores = (session.output_name, given, np.dtype(_DTYPES[kind]))
    place = Place(*options.buffers())
    runner = BucketRunner(session.inference, (session.input_name, taken, session.dtype), scores, sizes, place)
    return replace(session, runner=runner)


def _placement(file: File, inference: Any) -> Mapping[str, tuple[str, ...]]:
    placed: dict[str, tuple[str, ...]] = {}
    try:
        for part in inference.get_provider_graph_assignment_info():
            names = tuple(node.name or node.op_type for node in part.get_nodes())
            placed[part.ep_name] = placed.get(part.ep_name, ()) + names
    except UnicodeDecodeError as error:
        raise unreadable(file.name, "the name of a node is not UTF-8") from error
    return placed


def _refuse_fallback(provider: Provider, inference: Any, placement: Mapping[str, tuple[str, ...]]) -> None:
    if provider.name not in inference.get_providers():
        raise unavailable(
            provider, f"onnxruntime did not use {provider.name}", f"{provider.install}, or pass --device cpu"
        )
    elsewhere = [f"{node} on {other}" for other, nodes in placement.items() if other != provider.name for node in nodes]
    if not elsewhere:
        return
    more = f" and {len(elsewhere) - 8} more" if len(elsewhere) > 8 else ""
    message = f"{provider.name} doesn't run the whole model; elsewhere: {', '.join(elsewhere[:8])}{more}"
    cure = "change them in the spec"
    if provider.device in lowered_devices() and not _written_for(provider.device, inference):
        cure = f"export the spec with --device {provider.device}, which writes them in other operators"
    hint = f"{provider.device} has no kernel for these: {cure}, or pass --device cpu"
    raise DeviceError(Code.DEVICE_FALLBACK, message, hint=hint)


def _written_for(device: Device, inference: Any) -> bool:
    return device in read_info(inference.get_modelmeta().custom_metadata_map).lowered_for


def _input(inference: Any, name: str) -> tuple[Any, np.dtype[Any]]:
    nodes = inference.get_inputs()
    if len(nodes) != 1:
        raise unreadable(name, f"it has {len(nodes)} inputs, but a classifier has one")
    (node,) = nodes
    if node.type not in _INPUTS:
        raise unreadable(name, f"its input {node.name!r} is {node.type}, not a tensor of floats or bytes")
    if not node.shape:
        raise unreadable(name, f"its input {node.name!r} declares no shape", "export it again with shapes")
    return node, np.dtype(_INPUTS[node.type])


def _output(inference: Any, name: str) -> Any:
    nodes = inference.get_outputs()
    named = (n for wanted in ("scores", "probabilities") for n in nodes if n.name == wanted)
    scores = list(named)[:1] or nodes
    if len(scores) != 1:
        raise unreadable(name, f"it has {len(nodes)} outputs, but none named 'scores' or 'probabilities'")
    if scores[0].type not in _DTYPES:
        raise unreadable(name, f"its output {scores[0].name!r} is {scores[0].type}, not a tensor of floats")
    return scores[0]


def _shape(node: Any) -> Shape:
    return tuple(n if isinstance(n, int) and n > 0 else None for n in node.shape)


def _check_labels(session: Session, name: str) -> None:
    labels, scores = session.metadata.labels, session.output_shape[-1:]
    if labels and scores != (None,) and scores != (len(labels),):
        raise unreadable(name, f"it has {len(labels)} labels but returns {show(session.output_shape)} scores")


def _run_once(session: Session, batch: int, rest: Sequence[int | None]) -> tuple[int, ...]:
    """Run on zeros, and return their shape."""
    *sizes, last = PROBE_SIZES if None in rest else (0,)
    for size in sizes:
        shape = (batch, *(n or size for n in rest))
        with contextlib.suppress(InputError, DeviceError):
            session.run(np.zeros(shape, session.dtype))
            return shape
    shape = (batch, *(n or last for n in rest))
    session.run(np.zeros(shape, session.dtype))
    return shape


def _check_size(session: Session, name: str) -> None:
    """Reject an input too large for memory, which a small file may declare."""
    size = math.prod(axis or 1 for axis in session.input_shape) * session.dtype.itemsize
    if size > _LARGEST:
        why = f"one input of shape {show(session.input_shape)} takes {size:.1e} bytes"
        raise unreadable(name, why, "export it for a smaller input")


def _prove(session: Session, name: str, provider: Provider) -> None:
    """Run on zeros: a created session may still have no working kernel.

    Once, at the first open size that the network allows; with preallocated buffers at each of their sizes, which
    records CUDA graphs.
    """
    batch, *rest = session.input_shape
    try:
        for count in session.runner.sizes if session.runner else (batch or 1,):
            _run_once(session, count, rest)
    except (InputError, DeviceError) as error:
        failure = error
    else:
        return
    why = failure.diagnostics[0].message
    if provider.device == "cpu":
        raise unreadable(name, f"it loads, but doesn't run: {why}", "export it again") from failure
    remedy = f"{provider.install}, or pass --device cpu"
    raise unavailable(provider, f"the first inference fails: {why}", remedy) from failure
