"""What can be evaluated: a model, a run folder, an ONNX file. Each becomes a session, and a module to compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from nin_spec.diagnostics import Code, DeviceError, Diagnostic, InputError, SpecError, WeightsError
from nin_spec.evaluation.scores import Array, Shape
from nin_spec.model import Model, Preprocessing
from nin_spec.runtime.providers import Device
from nin_spec.runtime.session import Session, fits, open_session, show

if TYPE_CHECKING:
    from nin_spec.network import Network
    from nin_spec.torch_module import NiNModule

Options = Mapping[str, object] | None
"""The device's own, as `nin_spec.runtime.options` has them."""


@dataclass(frozen=True)
class Subject:
    """What is evaluated. `module` is None where there is nothing to compare with, and `not_compared` says why.

    `shape` is the input (C, H, W); `labels` may be empty; `dataset` and `location` are where its pictures
    come from unless a person says otherwise. `remarks` is what is worth knowing of its weights.
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

    @property
    def torch_device(self) -> str | None:
        """Where the module computes, None without one."""
        return None if self.module is None else next((p.device.type for p in self.module.parameters()), "cpu")


# ------------------------------------------------------------------ a model in memory


def subject_of(model: Model, device: Device = "cpu", threads: int | None = None, options: Options = None) -> Subject:
    """A model, exported in memory. Raises ExportError for what ONNX can't hold, DeviceError."""
    from nin_spec.api import make

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
    model, remarks = network.adopt(weights)
    return replace(subject_of(model, device, threads, options), remarks=tuple(remarks))


def subject_of_run(
    path: Path,
    weights: Path | None = None,
    device: Device = "auto",
    threads: int | None = None,
    options: Options = None,
) -> Subject:
    """A run folder with its trained weights, or others of the same network. Raises TrainingError too."""
    from nin_spec.training.folder import open_run

    run = open_run(path)
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
    """An ONNX file. The module is its embedded spec's, with the weights in the file, or those of `weights`.

    Where that can't be had, it is evaluated in onnxruntime alone, and `not_compared` says why; when `weights`
    were given for it, that is an error. Raises InputError for a file that doesn't say how a picture becomes
    its input, DeviceError.
    """
    session = open_session(path, device, threads, options=options)
    info = session.metadata
    if info.preprocessing is None:
        raise _unusable(path, "it doesn't say how a picture becomes its input", _WRITE_CONTRACT)
    network, model, why = None, None, ""
    try:
        network = _network_of_file(path, session)
        model = network.with_weights(weights) if weights else _with_tensors(network, path)
    except _NoModelError as error:
        why = str(error)
        if weights is not None:
            raise _unusable(path, f"there is nothing to give the weights of {weights} to: {why}") from None
    shape = _input_shape(path, session, network)
    module = None if model is None else _module(model, device, session)
    classes = _class_count(path, session, shape)
    return Subject(session, module, info.preprocessing, shape, info.labels, classes, why, dataset=info.dataset)


_WRITE_CONTRACT = (
    "export it from its spec with nin-spec; or write the contract into its metadata, where nin_spec.preprocessing "
    'is JSON as {"scale": 0.00392156862745098, "mean": [0.5], "std": [0.25]}'
)


class _NoModelError(Exception):
    """A file from which no model can be made; the text says why."""


def _network_of_file(path: Path, session: Session) -> Network:
    """The network of the embedded spec, shown to be the one that the file declares."""
    from nin_spec.language.load import loads
    from nin_spec.network import compile as compile_network

    info = session.metadata
    if not info.spec:
        raise _NoModelError("it carries no spec: another tool wrote it, or its metadata was removed")
    try:
        network = compile_network(loads(info.spec, f"the spec in {path}"))
    except SpecError as error:
        why = error.diagnostics[0].message
        raise _NoModelError(f"this version of nin-spec can't compile the spec in it: {why}") from None
    if network.hash != info.hash:
        raise _NoModelError("the spec in it compiles to another network here than when it was exported")
    if not fits((1, *network.graph.input.shape), (None, *session.input_shape[1:])):
        declared = show((None, *network.graph.input.shape))
        raise _NoModelError(f"its graph takes {show(session.input_shape)}, and the spec in it says {declared}")
    return network


def _with_tensors(network: Network, path: Path) -> Model:
    """The model with the file's tensors of our names; every other one is a constant of the graph."""
    from nin_spec.weights import adopt

    tensors, names = _tensors(path), network.graph.parameters()
    if missing := [name for name in names if name not in tensors]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise _NoModelError(f"its graph was changed: it holds no {missing[0]}{more}")
    try:
        found = adopt({name: tensors[name] for name in names}, network.graph, str(path), ordered=False)
    except WeightsError as error:
        raise _NoModelError(f"its graph was changed: {error.diagnostics[0].message}") from None
    return Model(network.graph, found.weights, network.card)


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


def _input_shape(path: Path, session: Session, network: Network | None) -> Shape:
    """(C, H, W); where the file leaves the size open, the nominal one of its spec."""
    match session.input_shape:
        case (_, int() as channels, int() as height, int() as width):
            return channels, height, width
        case (_, _, _, _) if network is not None:
            return cast("Shape", network.graph.input.shape)
        case (_, _, _, _):
            why = f"its input {show(session.input_shape)} has an open size, and it carries no spec with a nominal one"
            raise _unusable(path, why, "export it with a fixed size")
    raise _unusable(path, f"it takes {show(session.input_shape)}, and not a batch of pictures")


def _class_count(path: Path, session: Session, shape: Shape) -> int:
    """How many scores it gives: asked of the model, for a file need not declare it."""
    scores = session.run(np.zeros((session.input_shape[0] or 1, *shape), session.dtype))
    if scores.ndim != 2:
        raise _unusable(path, f"it gives {show(scores.shape)}, and not one score a class")
    return int(scores.shape[1])


def _unusable(path: Path, why: str, hint: str | None = None) -> InputError:
    return InputError(Diagnostic(Code.MODEL_UNREADABLE, f"{path} can't be evaluated: {why}", hint=hint))


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
    raise DeviceError(Diagnostic(Code.DEVICE_UNAVAILABLE, message, hint=hint))
