"""What `make targets` runs in each release of onnxruntime: files of ONNX, their inputs, and what must come out.

Every form of pool that an exported file may hold, written as it is written there, alone and behind a convolution
(where onnxruntime lays maps out in blocks, and has other kernels), at every opset; and every other op through the
exporter's own rules at every opset. What must come out is the nn.Module's, in float64.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from nin_spec.conformance.pools import pools
from nin_spec.conformance.trial import weights_of
from nin_spec.exporter import make
from nin_spec.exporters.onnx_opset import OPSETS, ir_version
from nin_spec.exporters.targets import form_of, padded_form
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.pixels import Affine, ChannelOrder
from nin_spec.ir.types import Padding, ShapeError, TensorType
from nin_spec.model import Model, ModelCard
from nin_spec.passes.pipeline import PASSES
from nin_spec.torch_module import build_module

Array = NDArray[Any]
Size = tuple[int, int]

OPEN_SIZES: tuple[Size, ...] = ((3, 2), (4, 5), (5, 4), (6, 6), (7, 8), (8, 7), (9, 9), (10, 12), (13, 10))
FIXED_SIZES: tuple[Size, ...] = ((6, 6), (7, 8), (11, 5))
CARD = ModelCard("probe", "", "", "nin1:0", 1)
CONVOLUTION = ops.Conv2d(32, (3, 3), padding=Padding(1, 1, 1, 1), bias=False)

OPS: tuple[ops.Op, ...] = (
    ops.Conv2d(8, (3, 3), padding=Padding(1, 0, 1, 2), groups=2),
    ops.Conv2d(16, (2, 2), (2, 1), dilation=(2, 1), bias=False),
    ops.Conv2d(6, (1, 1)),
    ops.Linear(6),
    ops.BatchNorm(),
    ops.BatchNorm(scale=False, shift=False),
    ops.LocalResponseNorm(3, alpha=0.1),
    ops.ReLU(),
    ops.LeakyReLU(0.1),
    ops.PReLU(),
    ops.PReLU(per_channel=True),
    ops.ELU(0.7),
    ops.GELU(),
    ops.GELU(approximate=True),
    ops.SiLU(),
    ops.Hardswish(),
    ops.Mish(),
    ops.Sigmoid(),
    ops.Tanh(),
    ops.Maxout(3),
    ops.AdaptiveAvgPool2d(),
    ops.AdaptiveMaxPool2d(),
    ops.Dropout(0.5),
    ops.Dropout2d(0.5),
    ops.ChannelShuffle(3),
    ops.Flatten(),
    ops.Softmax(),
    ops.LogSoftmax(),
    Affine(),
    ChannelOrder((2, 0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11)),
)
"""Each op with attributes that matter. They get 12 channels, or 12 features."""
ON_MAPS = (
    ops.Conv2d, ops.LocalResponseNorm, ops.GlobalPool2d, ops.Dropout2d, ops.ChannelShuffle, ops.Flatten, ChannelOrder
)  # fmt: skip
"""Ops that flat features don't have."""


@dataclass
class Probes:
    """Files on their way to a folder, and the arrays that they share, one behind another in one block."""

    folder: Path
    index: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, Array] = field(default_factory=dict)
    places: dict[str, list[Any]] = field(default_factory=dict)
    end: int = 0

    def keep(self, name: str, array: Array) -> str:
        """An array under a name, once."""
        if name not in self.places:
            self.places[name] = [self.end, list(array.shape)]
            self.kept[name] = array.astype(np.float32)
            self.end += array.size
        return name

    def array(self, name: str) -> Array:
        """An array that was kept."""
        return self.kept[name]

    def input(self, channels: int, size: Size) -> str:
        """A batch of two of a size."""
        name = f"input {channels} {size[0]}x{size[1]}"
        if name not in self.places:
            random = np.random.default_rng([channels, *size])  # the same after any request before
            self.keep(name, random.standard_normal((2, channels, *size)))
        return name

    def add(self, proto: ModelProto | bytes, form: str, opset: int, cases: list[dict[str, Any]]) -> None:
        """A file, the form that it is about, and what it must give."""
        name = f"{len(self.index)}.onnx"
        (self.folder / name).write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
        self.index.append({"file": name, "form": form, "opset": opset, "cases": cases})

    def write(self) -> None:
        """The index and the arrays, once every file is there."""
        np.save(self.folder / "arrays.npy", np.concatenate([array.reshape(-1) for array in self.kept.values()]))
        (self.folder / "index.json").write_text(json.dumps({"probes": self.index, "arrays": self.places}))


def write_probes(folder: Path) -> int:
    """Write every probe into an empty folder, and return how many there are."""
    probes = Probes(folder)
    add_envelopes(probes)
    add_ops(probes)
    add_pools(probes, opsets())
    probes.write()
    return len(probes.index)


def opsets() -> range:
    """Those that a file can be asked for in."""
    return range(OPSETS[0], OPSETS[1] + 1)


# ------------------------------------------------------------------ envelopes


def add_envelopes(probes: Probes) -> None:
    """A file of every opset, and one of every IR version, that holds one ReLU."""
    name = probes.input(3, (6, 6))
    wanted = probes.keep("relu", np.maximum(probes.array(name), 0))
    for opset, ir in (*((opset, 4) for opset in range(7, 31)), *((7, ir) for ir in range(4, 17))):
        graph = _graph([helper.make_node("Relu", ["input"], ["y"])], ["y"], 3, None)
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
        form = f"ir {ir}" if opset == 7 else "opset"
        probes.add(proto, form, opset, [{"input": name, "outputs": {"y": wanted}}])


def _graph(nodes: list[NodeProto], outputs: list[str], channels: int, size: Size | None, *weights: Any) -> Any:
    height, width = size or ("height", "width")
    taken = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", channels, height, width])
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    return helper.make_graph(nodes, "probe", [taken], given, list(weights))


# ------------------------------------------------------------------ ops


def add_ops(probes: Probes) -> None:
    """Every op but pools with windows, by the exporter's rules: on maps, fixed and open, and on flat features."""
    for k, op in enumerate(OPS):
        maps = [] if isinstance(op, ops.Linear) else [False, True]
        if isinstance(op, ops.Flatten):  # the number of features is that of one size
            maps = [False]
        graphs = [Graph("probe", TensorType((12, 6, 7)), open_size=open_size).then("op", op) for open_size in maps]
        if not isinstance(op, ON_MAPS):
            flat = Graph("probe", TensorType((12, 1, 1))).then("flat", ops.Flatten())
            graphs.append(flat.then("op", op))
        for j, graph in enumerate(graphs):
            model = Model(graph, weights_of(graph), CARD)
            name = probes.input(12, (graph.input.shape[1], graph.input.shape[2]))
            wanted = probes.keep(f"op {k} {j}", reference(model)(probes.array(name)))
            for opset in opsets():
                options = {"opset": opset, "without": tuple(PASSES)}
                (data,) = make(model, "onnx", options).files.values()
                cases = [{"input": name, "outputs": {"scores": wanted}}]
                probes.add(data, form_of(op, open_size=graph.open_size), opset, cases)


def reference(model: Model) -> Callable[[Array], Array]:
    """The nn.Module in float64, on arrays."""
    module = build_module(model.graph).double().eval()
    module.load_state_dict({name: torch.from_numpy(w).double() for name, w in model.weights.items()})

    def run(x: Array) -> Array:
        with torch.inference_mode():
            found: Array = module(torch.from_numpy(x).double()).numpy()
        return found

    return run


# ------------------------------------------------------------------ pools


def add_pools(probes: Probes, at: Iterable[int], every: int = 1) -> None:
    """Pools of one form are outputs of one file, at each opset given, alone and behind a convolution.

    With `every`, each second or third pool alone is taken.
    """
    for group in _groups(list(itertools.islice(pools(), 0, None, every))):
        for behind in (False, True):
            # What runs at all sizes shares a file; what is too large for some has one of its own.
            shared: dict[tuple[Size, ...], list[ops.Pool2d]] = {}
            for op in group.members:
                if fitting := tuple(size for size in group.sizes if _fits(op, size)):
                    shared.setdefault(fitting, []).append(op)
            for fitting, members in shared.items():
                outputs: list[dict[str, str]] = [{} for _ in fitting]
                for k, op in enumerate(members):
                    for given, name in zip(outputs, _wanted(probes, op, fitting, behind=behind), strict=True):
                        given[f"pool_{k}"] = name
                cases = [
                    {"input": probes.input(3, size), "outputs": given}
                    for size, given in zip(fitting, outputs, strict=True)
                ]
                proto = pool_file(members, None if group.open_size else fitting[0], behind=behind, first=group.first)
                for opset in at:
                    proto.opset_import[0].version, proto.ir_version = opset, ir_version(opset)
                    probes.add(proto, group.form, opset, cases)


@dataclass(frozen=True)
class Group:
    """Pools of one form, and the sizes of one file; `first` writes their padding as a node of its own."""

    form: str
    members: list[ops.Pool2d]
    sizes: tuple[Size, ...]
    open_size: bool = True
    first: bool = False


def _groups(every: list[ops.Pool2d]) -> Iterator[Group]:
    for form, members in _by(every, lambda op: form_of(op, open_size=True)):
        yield Group(form, members, OPEN_SIZES)
    for form, members in _by(every, lambda op: form_of(op, open_size=False)):
        for size in FIXED_SIZES:
            yield Group(form, members, (size,), open_size=False)
    averages = [op for op in every if isinstance(op, ops.AvgPool2d) and op.count_include_pad and not op.may_overhang]
    for form, members in _by(averages, padded_form):
        yield Group(form, members, OPEN_SIZES, first=True)


def _by(members: Iterable[Any], key: Callable[[Any], str]) -> Iterable[tuple[str, list[Any]]]:
    found: dict[str, list[Any]] = {}
    for op in members:
        found.setdefault(key(op), []).append(op)
    return found.items()


def _fits(op: ops.Pool2d, size: Size) -> bool:
    try:
        op.infer(TensorType((1, *size)))
    except ShapeError:
        return False
    return True


def _wanted(probes: Probes, op: ops.Pool2d, sizes: tuple[Size, ...], *, behind: bool) -> list[str]:
    """By size, the name of what a pool must give."""
    names = [f"{op} {size} {behind}" for size in sizes]
    if all(name in probes.places for name in names):
        return names
    graph = Graph("probe", TensorType((3, *sizes[0])))
    graph = (graph.then("conv", CONVOLUTION) if behind else graph).then("pool", op)
    module = reference(Model(graph, weights_of(graph), CARD))  # the same for every size
    for name, size in zip(names, sizes, strict=True):
        if name not in probes.places:
            probes.keep(name, module(probes.array(probes.input(3, size))))
    return names


def pool_file(group: list[ops.Pool2d], size: Size | None, *, behind: bool, first: bool) -> ModelProto:
    """A file with an output a pool; `first` writes the padding as a node of its own."""
    nodes, weights, source = [], [], "input"
    if behind:
        graph = Graph("probe", TensorType((3, 8, 8))).then("conv", CONVOLUTION)
        weights.append(numpy_helper.from_array(weights_of(graph)["conv.weight"], "weight"))
        nodes.append(helper.make_node("Conv", ["input", "weight"], ["maps"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
        source = "maps"
    names = [f"pool_{k}" for k in range(len(group))]
    for name, op in zip(names, group, strict=True):
        p, taken = op.padding, source
        pads = [p.top, p.left, p.bottom, p.right]
        if first:
            weights.append(numpy_helper.from_array(np.array([0, 0, *pads[:2], 0, 0, *pads[2:]]), f"{name}_pads"))
            taken, pads = f"{name}_padded", [0, 0, 0, 0]
            nodes.append(helper.make_node("Pad", [source, f"{name}_pads"], [taken]))
        attributes: dict[str, Any] = {"kernel_shape": op.kernel_size, "strides": op.stride, "pads": pads}
        attributes["ceil_mode"] = int(op.ceil_mode)
        if isinstance(op, ops.AvgPool2d):
            attributes["count_include_pad"] = int(op.count_include_pad and not first)
        kind = "AveragePool" if isinstance(op, ops.AvgPool2d) else "MaxPool"
        nodes.append(helper.make_node(kind, [taken], [name], **attributes))
    return helper.make_model(_graph(nodes, names, 3, size, *weights), opset_imports=[helper.make_opsetid("", 13)])
