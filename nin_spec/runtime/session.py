"""A model opened on one device, and proved to run there.

A device that is asked for by name fails closed: no provider, no library, a node placed elsewhere, or a
first inference that fails is a DeviceError. "auto" takes the best device that passes the same checks,
and says in `Session.choice` what it took and why not the others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, DeviceError, Diagnostic, InputError
from nin_spec.runtime.failures import explain_failure, unreadable, without_noise
from nin_spec.runtime.metadata import ModelInfo, read_info
from nin_spec.runtime.providers import (
    PROVIDERS,
    Device,
    Provider,
    available_threads,
    explain,
    import_onnxruntime,
    lookup,
)

Array = NDArray[np.floating[Any]]
Shape = tuple[int | None, ...]

_DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
_INPUTS = {**_DTYPES, "tensor(uint8)": np.uint8}
_FATAL_ONLY, _DEFAULT_SEVERITY = 4, 2
# An open size is proved at the first of these that the network allows.
_PROBE_SIZES = (32, 64, 128, 256, 512)


@dataclass(frozen=True, slots=True)
class Session:
    """One model on one device. Shapes include the batch axis; None is an axis of any size.

    `placement` gives each provider's nodes, by name, as onnxruntime divided the graph (after its basic
    optimisations, so that folded nodes are missing). `inference` is onnxruntime's own session.
    """

    inference: Any = field(repr=False)
    device: str
    provider: str
    choice: str
    placement: Mapping[str, tuple[str, ...]]
    threads: int
    input_name: str
    input_shape: Shape
    dtype: np.dtype[Any]
    output_name: str
    output_shape: Shape
    output_dtype: np.dtype[Any]
    metadata: ModelInfo
    _errors: tuple[type[Exception], ...] = field(repr=False)

    @property
    def takes_pixels(self) -> bool:
        """True where the input is the raw picture of the preprocessing contract, in its layout and dtype."""
        return self.metadata.input == "pixels"

    @property
    def picture(self) -> Shape:
        """What one picture is, channels first: (C, H, W), or as much of a shape as the file declares."""
        item, contract = self.input_shape[1:], self.metadata.preprocessing
        moved = self.takes_pixels and contract is not None and contract.layout == "HWC"
        return (*item[-1:], *item[:-1]) if moved else item

    def run(self, x: NDArray[Any]) -> Array:
        """The scores for a batch `x` of `input_shape` and `dtype`. Raises InputError when `x` doesn't fit."""
        if x.dtype != self.dtype:  # also refuses the other byte order, which onnxruntime would misread
            raise self._misfit(x)
        try:
            scores: Array = self.inference.run([self.output_name], {self.input_name: x})[0]
        except self._errors as error:
            # onnxruntime checks the shape anyway: a second check on every run would cost microseconds.
            raise self._failure(x, error) if fits(x.shape, self.input_shape) else self._misfit(x) from error
        return scores

    def _misfit(self, x: NDArray[Any]) -> InputError:
        wanted = f"{self.dtype} of shape {show(self.input_shape)}"
        message = f"the model takes {wanted}, and was given {x.dtype} of shape {show(x.shape)}"
        return InputError(Diagnostic(Code.INPUT_UNUSABLE, message))

    def _failure(self, x: NDArray[Any], error: Exception) -> InputError | DeviceError:
        why = without_noise(str(error))
        if isinstance(error, MemoryError) or any(w in why.lower() for w in ("memory", "cuda", "cudnn", "cublas")):
            message = f"{self.device} can't run a batch of shape {show(x.shape)}: {why}"
            return DeviceError(Diagnostic(Code.DEVICE_UNAVAILABLE, message, hint="try a smaller batch"))
        message = f"the model can't take an input of shape {show(x.shape)}: {why}"
        return InputError(Diagnostic(Code.INPUT_UNUSABLE, message))


def fits(shape: tuple[int, ...], declared: Shape) -> bool:
    """Whether a shape is one that the model declares."""
    return len(shape) == len(declared) and all(d is None or d == n for n, d in zip(shape, declared, strict=True))


def show(shape: Shape) -> str:
    """`(?, 3, 32, 32)`."""
    return f"({', '.join('?' if n is None else str(n) for n in shape)})"


def open_session(model: bytes | str | Path, device: Device = "auto", threads: int | None = None) -> Session:
    """Open a model, given as its bytes or a path, on a device.

    `threads` is the size of the pool inside an operator; by default `available_threads()`.

    Raises:
        InputError: the file is no model that can be used (MODEL_UNREADABLE).
        DeviceError: the device can't run here (DEVICE_UNAVAILABLE), or would leave nodes to another
            one (DEVICE_FALLBACK).
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    name = "the model" if isinstance(model, bytes) else _check_file(Path(model))
    source = model if isinstance(model, bytes) else str(model)
    pool = threads or available_threads()
    if device != "auto":
        return _open(source, name, lookup(device), pool, choice=f"{device}, as asked")
    refused: list[str] = []
    for provider in PROVIDERS.values():
        choice = "; ".join((f"{provider.device}, the best that works here", *refused))
        try:
            return _open(source, name, provider, pool, choice=choice)
        except DeviceError as error:
            refused.append(error.diagnostics[0].message.partition(";")[0])
    raise DeviceError(Diagnostic(Code.DEVICE_UNAVAILABLE, f"no device works here: {'; '.join(refused)}"))


def _check_file(path: Path) -> str:
    name = str(path)
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise unreadable(name, f"it can't be read: {getattr(error, 'strerror', error)}") from error
    if not stat.S_ISREG(status.st_mode):
        raise unreadable(name, "it is a folder or a device, not a file")
    if not os.access(path, os.R_OK):
        raise unreadable(name, "it may not be read")
    if status.st_size == 0:
        raise unreadable(name, "it is empty", "copy or export it again")
    return name


def _open(source: bytes | str, name: str, provider: Provider, threads: int, *, choice: str) -> Session:
    status = explain(provider.device)
    if not status.usable:
        raise _unavailable(provider, status.reason, status.remedy)
    inference = _create(source, name, provider, threads)
    if provider.name not in inference.get_providers():
        raise _unavailable(provider, f"onnxruntime left {provider.name} out", f"{provider.install}, or ask for cpu")
    placement = _placement(inference)
    _refuse_fallback(provider, placement)
    (source_node, dtype), target = _input(inference, name), _output(inference, name)
    session = Session(
        inference=inference,
        device=provider.device,
        provider=provider.name,
        choice=choice,
        placement=placement,
        threads=threads,
        input_name=source_node.name,
        input_shape=_shape(source_node),
        dtype=dtype,
        output_name=target.name,
        output_shape=_shape(target),
        output_dtype=np.dtype(_DTYPES[target.type]),
        metadata=read_info(inference.get_modelmeta().custom_metadata_map),
        _errors=_error_types(),
    )
    _check_labels(session, name)
    _prove(session, name, provider)
    return session


def _create(source: bytes | str, name: str, provider: Provider, threads: int) -> Any:
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY  # what goes wrong is raised, and not printed as well
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1  # a chain has nothing to run side by side
    # Spin inside a run, where it saves wake-ups, and never between runs, where it only burns a core.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    chosen = [(provider.name, dict(provider.options))]
    ort.set_default_logger_severity(_FATAL_ONLY)
    try:
        return ort.InferenceSession(source, options, providers=chosen, enable_fallback=0)
    except _error_types() as error:
        known = explain_failure(str(error))
        why = without_noise(str(error))
        if known or provider.device == "cpu":
            raise unreadable(name, *(known or (why, "export it again"))) from error
        raise _unavailable(provider, f"it can't load the model: {why}", "ask for cpu") from error
    finally:
        ort.set_default_logger_severity(_DEFAULT_SEVERITY)


@cache
def _error_types() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: its own exceptions share no base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = tuple(v for v in vars(state).values() if isinstance(v, type) and issubclass(v, Exception))
    return (*own, RuntimeError, ValueError, MemoryError)


def _placement(inference: Any) -> Mapping[str, tuple[str, ...]]:
    placed: dict[str, tuple[str, ...]] = {}
    for part in inference.get_provider_graph_assignment_info():
        names = tuple(node.name or node.op_type for node in part.get_nodes())
        placed[part.ep_name] = placed.get(part.ep_name, ()) + names
    return placed


def _refuse_fallback(provider: Provider, placement: Mapping[str, tuple[str, ...]]) -> None:
    elsewhere = [f"{node} on {other}" for other, nodes in placement.items() if other != provider.name for node in nodes]
    if not elsewhere:
        return
    more = f" and {len(elsewhere) - 8} more" if len(elsewhere) > 8 else ""
    message = f"{provider.name} doesn't run the whole model; elsewhere: {', '.join(elsewhere[:8])}{more}"
    hint = f"{provider.device} has no kernel for these: change them in the spec, or ask for cpu"
    raise DeviceError(Diagnostic(Code.DEVICE_FALLBACK, message, hint=hint))


def _input(inference: Any, name: str) -> tuple[Any, np.dtype[Any]]:
    nodes = inference.get_inputs()
    if len(nodes) != 1:
        raise unreadable(name, f"it has {len(nodes)} inputs, and a classifier has one")
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
        raise unreadable(name, f"it has {len(nodes)} outputs and none is called 'scores' or 'probabilities'")
    if scores[0].type not in _DTYPES:
        raise unreadable(name, f"its output {scores[0].name!r} is {scores[0].type}, not a tensor of floats")
    return scores[0]


def _shape(node: Any) -> Shape:
    return tuple(n if isinstance(n, int) and n > 0 else None for n in node.shape)


def _check_labels(session: Session, name: str) -> None:
    labels, scores = session.metadata.labels, session.output_shape[-1:]
    if labels and scores != (None,) and scores != (len(labels),):
        raise unreadable(name, f"it names {len(labels)} classes and gives {show(session.output_shape)} scores")


def _prove(session: Session, name: str, provider: Provider) -> None:
    """Run once on zeros: a session that was created may still have no kernel that works."""
    batch, *rest = session.input_shape
    sizes = _PROBE_SIZES if None in rest else (0,)
    for size in sizes:
        shape = (batch or 1, *(n or size for n in rest))
        try:
            session.run(np.zeros(shape, session.dtype))
        except (InputError, DeviceError) as error:
            failure = error
        else:
            return
    why = failure.diagnostics[0].message
    if provider.device == "cpu":
        raise unreadable(name, f"it loads, but doesn't run: {why}", "export it again") from failure
    remedy = f"{provider.install}, or ask for cpu"
    raise _unavailable(provider, f"the first inference fails: {why}", remedy) from failure


def _unavailable(provider: Provider, why: str, remedy: str) -> DeviceError:
    message = f"{provider.device} ({provider.name}) can't run here: {why}"
    return DeviceError(Diagnostic(Code.DEVICE_UNAVAILABLE, message, hint=remedy or None))
