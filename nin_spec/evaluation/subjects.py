"""What can be evaluated: a model, a run folder, an ONNX file. Each becomes a session, and a module to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from nin_spec.diagnostics import Code, DeviceError, InputError, SpecError, WeightsError
from nin_spec.evaluation.scores import Array, Shape
from nin_spec.model import Model, Preprocessing
from nin_spec.passes.temperature import calibrated, temperature_of
from nin_spec.pictures import raw
from nin_spec.provider_gaps import written_for
from nin_spec.runtime.providers import Device
from nin_spec.runtime.session import Session, fits, open_session, show

if TYPE_CHECKING:
    from nin_spec.ir.graph import Graph
    from nin_spec.network import Network
    from nin_spec.torch_module import NiNModule
    from nin_spec.training.folder import Run

Options = Mapping[str, object] | None
"""Device options, as in `nin_spec.runtime.options`."""


@dataclass(frozen=True)
class Subject:
    """What is evaluated. `module` is None if there is nothing to compare with, and `not_compared` says why.

    `shape` is the input (C, H, W); `labels` may be empty; `dataset` and `location` are its default pictures. `remarks`
    are about its weights. `module_takes_pixels` is true if the module is the file's own graph and takes raw pixels.
    `model` is what was exported for it, None for a file.
    """

    session: Session = field(repr=False)
    module: NiNModule | None = field(repr=False)
    contract: Preprocessing
    shape: Shape
    labels: tuple[str, ...]
    classes: int
    not_compared: str = ""
    dataset: str = ""
    location: Path | None = None
    remarks: tuple[str, ...] = ()
    module_takes_pixels: bool = False
    model: Model | None = field(default=None, repr=False)

    @property
    def torch_device(self) -> str | None:
        """The module's device, None without a module."""
        return None if self.module is None else next((p.device.type for p in self.module.parameters()), "cpu")


# ------------------------------------------------------------------ a model in memory


def subject_of(model: Model, device: Device = "cpu", threads: int | None = None, options: Options = None) -> Subject:
    """A model, exported in memory. Raises ExportError for what ONNX can't express, DeviceError."""
    from nin_spec.exporter import make

    (data,) = make(model, "onnx", written_for(device)).files.values()
    session = open_session(data, device, threads, options=options)
    card = model.card
    shape = cast("Shape", model.graph.input.shape)
    module = _module(model, device, session)
    facts = card.preprocessing, shape, card.labels, card.classes
    return Subject(session, module, *facts, dataset=card.dataset, model=model)


def subject_of_spec(
    network: Network, weights: Path, device: Device = "auto", threads: int | None = None, options: Options = None
) -> Subject:
    """A compiled spec with the weights of a file. Raises WeightsError, too."""
    from nin_spec.training.sets import beside

    model, remarks = network.adopt(weights)
    return replace(subject_of(model, device, threads, options), remarks=tuple(remarks), location=beside(network))


def subject_of_run(
    run: Run,
    weights: Path | None = None,
    device: Device = "auto",
    threads: int | None = None,
    options: Options = None,
) -> Subject:
    """A run with its trained weights, or others of the same network. Raises TrainingError too."""
    if weights is None:
        subject = replace(subject_of(run.model(), device, threads, options), remarks=tuple(run.remarks))
    else:
        subject = subject_of_spec(run.network, weights, device, threads, options)
    return replace(subject, dataset=run.dataset, location=run.location)


# ------------------------------------------------------------------ an ONNX file


def subject_of_file(
    path: Path,
    weights: Path | None = None,
    device: Device = "auto",
    threads: int | None = None,
    options: Options = None,
) -> Subject:
    """An ONNX file, and the module of its embedded spec.

    The module has the given weights, else those in the file, with the graph after the file's passes. If that is not
    possible, the file is evaluated only in onnxruntime, and `not_compared` says why; with `weights`, this is an error.
    Raises InputError for a file without preprocessing, DeviceError.
    """
    session = open_session(path, device, threads, options=options)
    info = session.metadata
    if info.preprocessing is None:
        raise _unusable(path, "it doesn't declare its preprocessing", _WRITE_CONTRACT)
    found = embedded_model(path, session, weights)
    if weights is not None and found.model is None:
        raise _unusable(path, f"it has no module for the weights of {weights}: {found.why}")
    shape = input_shape(path, session, found.network)
    module = None if found.model is None else _module(as_given(found.model, info.output), device, session)
    classes = _class_count(path, session, info.preprocessing, shape)
    return Subject(
        session,
        module,
        info.preprocessing,
        shape,
        info.labels,
        classes,
        found.why,
        dataset=info.dataset,
        remarks=found.remarks,
        module_takes_pixels=session.takes_pixels and weights is None,
    )


_WRITE_CONTRACT = (
    "export it from its spec with nin-spec; or set nin_spec.preprocessing in its metadata to JSON, for example "
    '{"scale": 0.00392156862745098, "mean": [0.5], "std": [0.25]}'
)


_ROUNDED = ("float16", "int8")
"""Precisions whose files do not contain the original weights."""


class _NoModelError(Exception):
    """A file from which no model can be made, with the reason."""


@dataclass(frozen=True)
class Embedded:
    """The network of a file's embedded spec, and the model with its weights.

    Either is None if not available, and `why` is the reason. `remarks` are about the weights.
    """

    network: Network | None
    model: Model | None
    why: str = ""
    remarks: tuple[str, ...] = ()


def embedded_model(path: Path, session: Session, weights: Path | None = None) -> Embedded:
    """The model of the spec embedded in an ONNX file, with the file's weights or those of `weights`."""
    network = None
    try:
        network = _network_of_file(path, session)
        graph = _graph_of_file(network, session)
        if weights is None and session.metadata.precision in _ROUNDED:
            why = (
                f"its weights are rounded to {session.metadata.precision}; pass --weights FILE to compare it with "
                "others"
            )
            return Embedded(network, None, why)
        if weights is None:
            return Embedded(network, _with_tensors(network, graph, path))
    except _NoModelError as error:
        return Embedded(network, None, str(error))
    return _at_the_temperature(path, session.metadata.temperature, network, weights)


def _at_the_temperature(path: Path, temperature: float | None, network: Network, weights: Path) -> Embedded:
    """Weights to compare a file with: at its own temperature, since any other would change every score."""
    given = network.with_weights(weights)
    own = temperature_of(given.graph)
    if own == temperature:
        return Embedded(network, given)
    has = "has no temperature" if own is None else f"has the temperature {own:g}"
    at = "none" if temperature is None else f"{temperature:g}"
    remark = f"{weights} {has}, and {path} {at}: that of the file is used for both"
    return Embedded(network, calibrated(network.with_weights(weights, temperature=False), temperature), "", (remark,))


def _network_of_file(path: Path, session: Session) -> Network:
    """The network of the embedded spec, checked against the file's declaration."""
    from nin_spec.language.load import loads
    from nin_spec.network import compile as compile_network

    info = session.metadata
    if not info.spec:
        raise _NoModelError("it has no embedded spec: another tool wrote it, or its metadata was removed")
    try:
        network = compile_network(loads(info.spec, f"the spec in {path}", alone=True))
    except SpecError as error:
        why = error.diagnostics[0].message
        raise _NoModelError(f"this version of nin-spec can't compile the spec in it: {why}") from None
    if network.hash != info.hash:
        raise _NoModelError("its spec compiles to a different network from the one that was exported")
    return network


def _graph_of_file(network: Network, session: Session) -> Graph:
    """The spec's graph after the file's passes, with the file's input."""
    from nin_spec.passes.pipeline import PASSES

    info = session.metadata
    if unknown := set(info.passes) - set(PASSES):
        raise _NoModelError(f"its graph was made by unknown passes: {', '.join(unknown)}")
    graph = graph_after(network, info.passes, info.preprocessing, info.temperature, pixels=session.takes_pixels)
    if not fits(graph.input.shape, session.picture):
        declared = show((None, *graph.input.shape))
        raise _NoModelError(f"its graph takes {show(session.input_shape)}, but its spec declares {declared}")
    return graph


def graph_after(
    network: Network,
    passes: Sequence[str],
    contract: Preprocessing | None = None,
    temperature: float | None = None,
    *,
    pixels: bool = False,
) -> Graph:
    """A network's graph after passes. They depend only on its ops, so any weights will do."""
    from nin_spec.passes.pipeline import rewrite

    ones = {name: np.ones(p.shape, network.graph.input.dtype) for name, p in network.graph.parameters().items()}
    card = replace(network.card, preprocessing=contract or network.card.preprocessing)
    model = calibrated(Model(network.graph, ones, card), temperature)
    return rewrite(model, passes, pixels=pixels).model.graph


def _with_tensors(network: Network, graph: Graph, path: Path) -> Model:
    """The model with the file's tensors under our names; all others are constants of the graph."""
    from nin_spec.weights import adopt

    tensors, parameters = _tensors(path), graph.parameters()
    # The file stores per-channel values in a shape that broadcasts over a map.
    fitting = {
        n: tensors[n].reshape(p.shape) for n, p in parameters.items() if n in tensors and tensors[n].size == p.size
    }
    if missing := [name for name in parameters if name not in tensors]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise _NoModelError(f"its graph was changed: it lacks {missing[0]}{more}")
    try:
        found = adopt({name: fitting.get(name, tensors[name]) for name in parameters}, graph, str(path), ordered=False)
    except WeightsError as error:
        raise _NoModelError(f"its graph was changed: {error.diagnostics[0].message}") from None
    return Model(graph, found.weights, network.card)


def as_given(model: Model, output: str | None) -> Model:
    """The model with a softmax at the end if a file's only output is probabilities."""
    from nin_spec.ir import ops

    if isinstance(model.graph.nodes[-1].op, ops.Softmax) or output != "probabilities":
        return model
    return replace(model, graph=model.graph.then("probabilities", ops.Softmax()))


def _tensors(path: Path) -> dict[str, Array]:
    """The file's floating-point initializers by name, including external data."""
    import onnx
    from onnx import numpy_helper

    try:
        proto = onnx.load(str(path))
        arrays = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    except Exception as error:  # onnx may raise any exception of its dependencies
        raise _NoModelError(f"onnx can't read its tensors: {error}") from error
    return {name: array for name, array in arrays.items() if array.dtype.kind == "f"}


def input_shape(path: Path, session: Session, network: Network | None) -> Shape:
    """(C, H, W); for an open size, the nominal one of the file's spec."""
    match session.picture:
        case (int() as channels, int() as height, int() as width):
            # Gray pictures may be copied to a network's channels.
            return network.graph.input.shape[0] if network else channels, height, width
        case (_, _, _) if network is not None:
            return cast("Shape", network.graph.input.shape)
        case (_, _, _):
            why = (
                f"its input {show(session.input_shape)} has an open size, and it has no embedded spec with a "
                "nominal one"
            )
            raise _unusable(path, why, "export it with a fixed size")
    raise _unusable(path, f"it takes {show(session.input_shape)}, not a batch of pictures")


def _class_count(path: Path, session: Session, contract: Preprocessing, shape: Shape) -> int:
    """The number of scores, from a run of the model, as a file may not declare it."""
    channels, height, width = (own or nominal for own, nominal in zip(session.picture, shape, strict=True))
    blank = np.zeros((session.input_shape[0] or 1, height, width, channels), np.uint8)
    layout = contract.layout if session.takes_pixels else "CHW"
    scores = session.run(raw(blank, replace(contract, layout=layout), session.dtype))
    if scores.ndim != 2:
        raise _unusable(path, f"it returns {show(scores.shape)}, not one score per class")
    return int(scores.shape[1])


def _unusable(path: Path, why: str, hint: str | None = None) -> InputError:
    return InputError(Code.MODEL_UNREADABLE, f"{path} can't be evaluated: {why}", hint=hint)


# ------------------------------------------------------------------ torch


_ON_NVIDIA = ("cuda", "tensorrt")
"""Devices that torch calls cuda; for any other one the module stays on the CPU."""


def _module(model: Model, device: Device, session: Session) -> NiNModule:
    """The module on the session's device; with `auto`, on the CPU if torch has no other."""
    import torch

    from nin_spec.torch_module import build_module

    module = build_module(model)
    if session.device not in _ON_NVIDIA:
        return module
    if torch.cuda.is_available():
        return module.to("cuda")
    if device == "auto":
        return module
    message = f"{device} is not available in PyTorch, only in onnxruntime"
    hint = "install PyTorch with CUDA (https://pytorch.org/get-started/locally), or pass --device cpu"
    raise DeviceError(Code.DEVICE_UNAVAILABLE, message, hint=hint)
