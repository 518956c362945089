"""What can be evaluated: a model, a run folder, an ONNX file. Each becomes a session, and a module to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from nin_spec.diagnostics import Code, DeviceError, InputError, SpecError, WeightsError
from nin_spec.evaluation.scores import Array, Shape
from nin_spec.model import Model, Preprocessing
from nin_spec.pictures import raw
from nin_spec.runtime.providers import Device
from nin_spec.runtime.session import Session, fits, open_session, show

if TYPE_CHECKING:
    from nin_spec.ir.graph import Graph
    from nin_spec.network import Network
    from nin_spec.torch_module import NiNModule
    from nin_spec.training.folder import Run

Options = Mapping[str, object] | None
"""The device's own, as `nin_spec.runtime.options` has them."""


@dataclass(frozen=True)
class Subject:
    """What is evaluated. `module` is None where there is nothing to compare with, and `not_compared` says why.

    `shape` is the input (C, H, W); `labels` may be empty; `dataset` and `location` are where its pictures
    come from unless a person says otherwise. `remarks` is what is worth knowing of its weights.
    `module_takes_pixels` where the module is the file's own graph and that begins with raw pixels.
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

    @property
    def torch_device(self) -> str | None:
        """Where the module computes, None without one."""
        return None if self.module is None else next((p.device.type for p in self.module.parameters()), "cpu")


# ------------------------------------------------------------------ a model in memory


def subject_of(model: Model, device: Device = "cpu", threads: int | None = None, options: Options = None) -> Subject:
    """A model, exported in memory. Raises ExportError for what ONNX can't hold, DeviceError."""
    from nin_spec.exporter import make

    (data,) = make(model, "onnx", {}).files.values()
    session = open_session(data, device, threads, options=options)
    card = model.card
    shape = cast("Shape", model.graph.input.shape)
    module = _module(model, device, session)
    return Subject(session, module, card.preprocessing, shape, card.labels, card.classes, dataset=card.dataset)


def subject_of_spec(
    network: Network, weights: Path, device: Device = "auto", threads: int | None = None, options: Options = None
) -> Subject:
    """A compiled spec with the weights of a file. Raises WeightsError too."""
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

    The module has the weights given; or else those in the file, and the graph that the file's passes made.
    Where that can't be had, it is evaluated in onnxruntime alone, and `not_compared` says why; when `weights`
    were given for it, that is an error. Raises InputError for a file that doesn't say how a picture becomes
    its input, DeviceError.
    """
    session = open_session(path, device, threads, options=options)
    info = session.metadata
    if info.preprocessing is None:
        raise _unusable(path, "it doesn't say how a picture becomes its input", _WRITE_CONTRACT)
    found = embedded_model(path, session, weights)
    if weights is not None and found.model is None:
        raise _unusable(path, f"there is nothing to give the weights of {weights} to: {found.why}")
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
        module_takes_pixels=session.takes_pixels and weights is None,
    )


_WRITE_CONTRACT = (
    "export it from its spec with nin-spec; or write the contract into its metadata, where nin_spec.preprocessing "
    'is JSON as {"scale": 0.00392156862745098, "mean": [0.5], "std": [0.25]}'
)


_ROUNDED = ("float16", "int8")
"""Precisions whose files no longer hold the weights that were trained."""


class _NoModelError(Exception):
    """A file from which no model can be made; the text says why."""


@dataclass(frozen=True)
class Embedded:
    """What a file carries beside its graph: the network of its spec, and the model with its weights.

    Either is None where it can't be had, and `why` says the reason.
    """

    network: Network | None
    model: Model | None
    why: str = ""


def embedded_model(path: Path, session: Session, weights: Path | None = None) -> Embedded:
    """The model of the spec that an ONNX file carries, with the file's weights or those of `weights`."""
    network = None
    try:
        network = _network_of_file(path, session)
        graph = _graph_of_file(network, session)
        if weights is None and session.metadata.precision in _ROUNDED:
            why = f"its weights are rounded to {session.metadata.precision}; --weights FILE compares it with others"
            return Embedded(network, None, why)
        model = network.with_weights(weights) if weights else _with_tensors(network, graph, path)
    except _NoModelError as error:
        return Embedded(network, None, str(error))
    return Embedded(network, model)


def _network_of_file(path: Path, session: Session) -> Network:
    """The network of the embedded spec, shown to be the one that the file declares."""
    from nin_spec.language.load import loads
    from nin_spec.network import compile as compile_network

    info = session.metadata
    if not info.spec:
        raise _NoModelError("it carries no spec: another tool wrote it, or its metadata was removed")
    try:
        network = compile_network(loads(info.spec, f"the spec in {path}", alone=True))
    except SpecError as error:
        why = error.diagnostics[0].message
        raise _NoModelError(f"this version of nin-spec can't compile the spec in it: {why}") from None
    if network.hash != info.hash:
        raise _NoModelError("the spec in it compiles to another network here than when it was exported")
    return network


def _graph_of_file(network: Network, session: Session) -> Graph:
    """The graph that the file's passes make of the spec's, and that takes what the file takes."""
    from nin_spec.passes.pipeline import PASSES

    info = session.metadata
    if unknown := set(info.passes) - set(PASSES):
        raise _NoModelError(f"its graph was made by passes that this version doesn't know: {', '.join(unknown)}")
    graph = graph_after(network, info.passes, info.preprocessing, pixels=session.takes_pixels)
    if not fits(graph.input.shape, session.picture):
        declared = show((None, *graph.input.shape))
        raise _NoModelError(f"its graph takes {show(session.input_shape)}, and the spec in it says {declared}")
    return graph


def graph_after(
    network: Network, passes: Sequence[str], contract: Preprocessing | None = None, *, pixels: bool = False
) -> Graph:
    """The graph that passes make of a network's. What they do to it depends on its ops, so any weights will do."""
    from nin_spec.passes.pipeline import rewrite

    ones = {name: np.ones(p.shape, network.graph.input.dtype) for name, p in network.graph.parameters().items()}
    card = replace(network.card, preprocessing=contract or network.card.preprocessing)
    return rewrite(Model(network.graph, ones, card), passes, pixels=pixels).model.graph


def _with_tensors(network: Network, graph: Graph, path: Path) -> Model:
    """The model with the file's tensors of our names; every other one is a constant of the graph."""
    from nin_spec.weights import adopt

    tensors, parameters = _tensors(path), graph.parameters()
    # What is one number a channel the file holds in the shape that it spreads over a map.
    fitting = {
        n: tensors[n].reshape(p.shape) for n, p in parameters.items() if n in tensors and tensors[n].size == p.size
    }
    if missing := [name for name in parameters if name not in tensors]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise _NoModelError(f"its graph was changed: it holds no {missing[0]}{more}")
    try:
        found = adopt({name: fitting.get(name, tensors[name]) for name in parameters}, graph, str(path), ordered=False)
    except WeightsError as error:
        raise _NoModelError(f"its graph was changed: {error.diagnostics[0].message}") from None
    return Model(graph, found.weights, network.card)


def as_given(model: Model, output: str | None) -> Model:
    """The model with a softmax at its end, where a file's `output` is probabilities alone."""
    from nin_spec.ir import ops

    if isinstance(model.graph.nodes[-1].op, ops.Softmax) or output != "probabilities":
        return model
    return replace(model, graph=model.graph.then("probabilities", ops.Softmax()))


def _tensors(path: Path) -> dict[str, Array]:
    """The file's floating-point initializers by name, those that it keeps beside it included."""
    import onnx
    from onnx import numpy_helper

    try:
        proto = onnx.load(str(path))
        arrays = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    except Exception as error:  # onnx raises whatever its parts do
        raise _NoModelError(f"onnx can't read its tensors: {error}") from error
    return {name: array for name, array in arrays.items() if array.dtype.kind == "f"}


def input_shape(path: Path, session: Session, network: Network | None) -> Shape:
    """(C, H, W); where the file leaves the size open, the nominal one of its spec."""
    match session.picture:
        case (int() as channels, int() as height, int() as width):
            # Gray pictures may fill a network of more channels.
            return network.graph.input.shape[0] if network else channels, height, width
        case (_, _, _) if network is not None:
            return cast("Shape", network.graph.input.shape)
        case (_, _, _):
            why = f"its input {show(session.input_shape)} has an open size, and it carries no spec with a nominal one"
            raise _unusable(path, why, "export it with a fixed size")
    raise _unusable(path, f"it takes {show(session.input_shape)}, and not a batch of pictures")


def _class_count(path: Path, session: Session, contract: Preprocessing, shape: Shape) -> int:
    """How many scores it gives: asked of the model, for a file need not declare it."""
    channels, height, width = (own or nominal for own, nominal in zip(session.picture, shape, strict=True))
    blank = np.zeros((session.input_shape[0] or 1, height, width, channels), np.uint8)
    layout = contract.layout if session.takes_pixels else "CHW"
    scores = session.run(raw(blank, replace(contract, layout=layout), session.dtype))
    if scores.ndim != 2:
        raise _unusable(path, f"it gives {show(scores.shape)}, and not one score a class")
    return int(scores.shape[1])


def _unusable(path: Path, why: str, hint: str | None = None) -> InputError:
    return InputError(Code.MODEL_UNREADABLE, f"{path} can't be evaluated: {why}", hint=hint)


# ------------------------------------------------------------------ torch


_ON_NVIDIA = ("cuda", "tensorrt")
"""Devices that torch has, too, under the name cuda; beside any other one the module stays on the CPU."""


def _module(model: Model, device: Device, session: Session) -> NiNModule:
    """The module on the session's device; with `auto` on the CPU where torch has no other."""
    import torch

    from nin_spec.torch_module import build_module

    module = build_module(model)
    if session.device not in _ON_NVIDIA:
        return module
    if torch.cuda.is_available():
        return module.to("cuda")
    if device == "auto":
        return module
    message = f"{device} can't be used: onnxruntime has it, and PyTorch does not"
    hint = "install a PyTorch with CUDA (https://pytorch.org/get-started/locally), or ask for cpu"
    raise DeviceError(Code.DEVICE_UNAVAILABLE, message, hint=hint)
