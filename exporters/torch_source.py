"""Models as PyTorch source: one readable file that needs only torch and loads the same weights file.

Layers with weights are modules under the graph's names; everything else is a call in `forward`. What
PyTorch lacks is copied from `torch_layers.py`, so that both compute the same.
"""

from __future__ import annotations

import inspect
import keyword
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, assert_never, get_args

from pydantic import BaseModel, ConfigDict

from nin_spec.diagnostics import Code, ExportError
from nin_spec.exporter import Artifact, Proof
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.temperature import Temperature
from nin_spec.ir.types import Padding, Pair, end_padding, window_count
from nin_spec.model import Model, Preprocessing
from nin_spec.rendering import render
from nin_spec.seals import Kind

Tree = dict[str, "Tree | str"]


class SourceOptions(BaseModel):
    """No options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceExporter:
    """Write one standalone PyTorch file."""

    name: ClassVar[str] = "source"
    Options: ClassVar[type[BaseModel]] = SourceOptions
    proof: ClassVar[Proof] = Proof.NONE

    def export(self, model: Model, options: SourceOptions) -> Artifact:
        """`<name>.py`. Raises ExportError for an op without a rule."""
        data = render("nin_spec.exporters", "torch_source.py.jinja", facts(model))
        name = f"{_module_name(model.graph.name)}.py"
        remark = "the source has no weights: save them with `nin-spec build -o FILE.safetensors`, and load that file"
        return Artifact({name: data}, (remark,), kinds={".py": Kind.SOURCE})


def facts(model: Model) -> dict[str, Any]:
    """What the template shows."""
    graph, card = model.graph, model.card
    name = class_name(graph.name)
    summary = _safe(card.summary) or f"The network {graph.name}."
    layers = [f"self.{key} = {text}" for key, text in _fields(_tree(graph))]
    double = ["self.double()"] if graph.input.dtype == "float64" else []
    return {
        "title": graph.name,
        "about": textwrap.wrap(summary, 100),
        "summary": textwrap.shorten(summary, 100, placeholder="..."),
        "input": f"(N, {', '.join(map(str, graph.input.shape))})" + (" or another size" if graph.open_size else ""),
        "output": f"(N, {', '.join(map(str, graph.output.shape))})",
        "pictures": textwrap.wrap(pictures(card.preprocessing, graph.input.shape), 100),
        "hash": card.hash,
        "name": name,
        "helpers": _helpers(graph),
        "layers": [line for text in layers for line in text.split("\n")] + double,
        "steps": list(_steps(graph)),
        "example": "1, "
        + ", ".join(map(str, graph.input.shape))
        + (", dtype=torch.float64" if graph.input.dtype == "float64" else ""),
    }


def pictures(contract: Preprocessing, shape: tuple[int, ...]) -> str:
    """How pictures become the input (C, H, W), in a sentence."""
    size = "x".join(map(str, shape[1:]))
    height, width = contract.target or shape[1:]
    scaled = f"scale it until it just covers {height}x{width} and keep"
    if contract.resize == "stretch":
        scaled = f"stretch it to {height}x{width}" + (" and keep" if contract.target else "")
    centre = f" the centre, {size}" if contract.resize == "crop" or contract.target else ""
    numbers = f"(pixel * {contract.scale!r} - {_numbers(contract.mean)}) / {_numbers(contract.std)}"
    return f"To prepare a picture, {scaled}{centre}; take its channels as {contract.color}, and compute {numbers}."


def _numbers(values: tuple[float, ...]) -> str:
    return repr(values[0]) if len(set(values)) == 1 else repr(list(values))


def class_name(name: str) -> str:
    """`nin_cifar` as NinCifar; always an identifier."""
    words = [w for w in re.split(r"[^A-Za-z0-9]+", name) if w]
    joined = "".join(w[0].upper() + w[1:] for w in words) or "Network"
    taken = keyword.iskeyword(joined) or joined in {"F", "Tensor"}
    return f"Network{joined}" if taken or joined[0].isdigit() else joined


def _module_name(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _safe(text: str) -> str:
    """A text that can't end a docstring, or hide in one."""
    return "".join(c for c in text if c.isprintable()).replace("\\", "/").replace('"', "'")


# ------------------------------------------------------------------ layers with weights


def _conv(op: ops.Conv2d, node: Node) -> str:
    padding = _short((op.padding.top, op.padding.left)) if op.padding.symmetric else "0"
    words = [str(node.input.shape[0]), str(op.out_channels), _short(op.kernel_size)]
    words += [f"stride={_short(op.stride)}"] if op.stride != (1, 1) else []
    words += [f"padding={padding}"] if padding != "0" else []
    words += [f"dilation={_short(op.dilation)}"] if op.dilation != (1, 1) else []
    words += [f"groups={op.groups}"] if op.groups != 1 else []
    words += [] if op.bias else ["bias=False"]
    return f"nn.Conv2d({', '.join(words)})"


def _linear(op: ops.Linear, node: Node) -> str:
    return f"nn.Linear({node.input.shape[0]}, {op.out_features}{'' if op.bias else ', bias=False'})"


def _batch_norm(op: ops.BatchNorm, node: Node) -> str:
    kind = "BatchNorm2d" if node.input.is_map else "BatchNorm1d"
    affine = "" if op.scale or op.shift else ", affine=False"
    made = f"nn.{kind}({node.input.shape[0]}, eps={op.eps!r}, momentum={op.momentum!r}{affine})"
    if op.scale == op.shift:
        return made
    return f'without({made}, "{"bias" if op.scale else "weight"}")'


def _prelu(op: ops.PReLU, node: Node) -> str:
    return f"nn.PReLU({node.input.shape[0] if op.per_channel else 1}, init={op.init!r})"


LAYERS: dict[type[ops.Op], Callable[[Any, Node], str]] = {
    ops.Conv2d: _conv,
    ops.Linear: _linear,
    ops.BatchNorm: _batch_norm,
    ops.PReLU: _prelu,
}


def _tree(graph: Graph) -> Tree:
    """The layers with weights, nested by their dotted names."""
    root: Tree = {}
    for node in graph:
        rule = LAYERS.get(type(node.op))
        if rule is None:
            continue
        *path, last = node.name.split(".")
        branch = root
        for part in path:
            below = branch.setdefault(part, {})
            if not isinstance(below, dict):
                raise TypeError(f"{node.name} is nested in another layer")
            branch = below
        branch[last] = rule(node.op, node)
    return root


def _fields(tree: Tree) -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        yield key, value if isinstance(value, str) else _container(value)


def _is_list(keys: list[str]) -> bool:
    return keys == [str(i) for i in range(len(keys))]


def _container(tree: Tree) -> str:
    """A ModuleList if the keys count from 0, else a ModuleDict; one line per entry."""
    numbered = _is_list(list(tree))
    lines = [text if numbered else f'"{key}": {text}' for key, text in _fields(tree)]
    body = "".join(textwrap.indent(f"{line},\n", "    ") for line in lines)
    return (
        f"nn.ModuleList(\n    [\n{textwrap.indent(body, '    ')}    ]\n)"
        if numbered
        else (f"nn.ModuleDict(\n    {{\n{textwrap.indent(body, '    ')}    }}\n)")
    )


def _access(tree: Tree, name: str) -> str:
    """`self.blocks[0]["convs"][1]` for a dotted name."""
    first, *rest = name.split(".")
    text, branch = f"self.{first}", tree[first]
    for part in rest:
        if isinstance(branch, str):
            raise TypeError(f"{name} is nested in another layer")
        text += f"[{part}]" if _is_list(list(branch)) else f'["{part}"]'
        branch = branch[part]
    return text


# ------------------------------------------------------------------ calls


def _pool(op: ops.WindowPool, x: str) -> str:
    match op:
        case ops.MaxPool2d():
            count = []
        case ops.AvgPool2d():
            count = [f"count_include_pad={op.count_include_pad}"]
        case _:
            assert_never(op)
    if op.even:
        words = [x, _short(op.kernel_size), _short(op.stride)]
        padded = op.padding != Padding()
        words += [f"padding={_short((op.padding.top, op.padding.left))}"] if padded else []
        words += ["ceil_mode=True"] if op.ceil_mode else []
        words += count if padded else []
        return f"F.{op.word}_pool2d({', '.join(words)})"
    words = [x, str(op.kernel_size), str(op.stride), str(op.padding.lrtb), f"ceil_mode={op.ceil_mode}", *count]
    return f"uneven_{op.word}_pool({', '.join(words)})"


CALLS: dict[type[ops.Op], Callable[[Any, str], str]] = {
    ops.LocalResponseNorm: lambda op, x: (
        f"F.local_response_norm({x}, {op.size}, alpha={op.alpha!r}, beta={op.beta!r}, k={op.k!r})"
    ),
    ops.ReLU: lambda _, x: f"F.relu({x})",
    ops.LeakyReLU: lambda op, x: f"F.leaky_relu({x}, {op.slope!r})",
    ops.ELU: lambda op, x: f"F.elu({x}, {op.alpha!r})",
    ops.GELU: lambda op, x: f"F.gelu({x}" + (', approximate="tanh")' if op.approximate else ")"),
    ops.SiLU: lambda _, x: f"F.silu({x})",
    ops.Hardswish: lambda _, x: f"F.hardswish({x})",
    ops.Mish: lambda _, x: f"F.mish({x})",
    ops.Sigmoid: lambda _, x: f"{x}.sigmoid()",
    ops.Tanh: lambda _, x: f"{x}.tanh()",
    ops.Maxout: lambda op, x: f"maxout({x}, {op.pieces})",
    **dict.fromkeys(get_args(ops.WindowPool), _pool),
    ops.AdaptiveAvgPool2d: lambda _, x: f"F.adaptive_avg_pool2d({x}, 1)",
    ops.AdaptiveMaxPool2d: lambda _, x: f"F.adaptive_max_pool2d({x}, 1)",
    ops.Dropout: lambda op, x: f"F.dropout({x}, {op.p!r}, self.training)",
    ops.Dropout2d: lambda op, x: f"F.dropout2d({x}, {op.p!r}, self.training)",
    ops.ChannelShuffle: lambda op, x: f"F.channel_shuffle({x}, {op.groups})",
    ops.Flatten: lambda _, x: f"{x}.flatten(1)",
    Temperature: lambda op, x: f"{x} / {op.value!r}",
    ops.Softmax: lambda _, x: f"{x}.softmax(1)",
    ops.LogSoftmax: lambda _, x: f"{x}.log_softmax(1)",
}


def _steps(graph: Graph) -> Iterator[str]:
    """A line per node, with its output shape; a comment at the start of a block."""
    tree, part = _tree(graph), ""
    calls: list[tuple[str, str, Node]] = []
    for node in graph:
        begins = ".".join(node.name.split(".")[: 2 if node.name.startswith("blocks.") else 1])
        before = calls[-1] if calls and isinstance(node.op, ops.Pointwise) else None
        if before and before[0] == begins and not isinstance(before[2].op, ops.Pointwise):
            # An activation goes around the layer before it, on one line.
            calls[-1] = (begins, _call(tree, node, before[1]), node)
        else:
            calls.append((begins, _call(tree, node, "x"), node))
    for begins, call, node in calls:
        if begins != part:
            yield f"# {begins}"
            part = begins
        yield f"x = {call}  # {' x '.join(map(str, node.output.shape))}"


def _call(tree: Tree, node: Node, x: str) -> str:
    if type(node.op) in LAYERS:
        if isinstance(node.op, ops.Conv2d) and not node.op.padding.symmetric:
            x = f"F.pad(x, {node.op.padding.lrtb})"
        return f"{_access(tree, node.name)}({x})"
    rule = CALLS.get(type(node.op))
    if rule is None:
        message = f"{node.name}: the source exporter has no rule for {node.kind}"
        raise ExportError(Code.EXPORT_UNSUPPORTED, message, node.span)
    return rule(node.op, x)


def _short(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else str(pair)


# ------------------------------------------------------------------ helpers


def without(norm: Any, name: str) -> Any:
    """A norm without its gain (`weight`) or its offset (`bias`)."""
    norm.register_parameter(name, None)
    return norm


def _helpers(graph: Graph) -> list[str]:
    """The source of each function that PyTorch lacks and this network needs."""
    from nin_spec import torch_layers as layers

    found: list[Callable[..., Any]] = []
    uneven = [n.op for n in graph if isinstance(n.op, ops.Pool2d) and not n.op.even]
    if uneven:
        found += [window_count, end_padding, layers.touched]
    if any(isinstance(op, ops.MaxPool2d) for op in uneven):
        found.append(layers.uneven_max_pool)
    if any(isinstance(op, ops.AvgPool2d) for op in uneven):
        found.append(layers.uneven_avg_pool)
    if any(isinstance(n.op, ops.Maxout) for n in graph):
        found.append(layers.maxout)
    if any(isinstance(n.op, ops.BatchNorm) and n.op.scale != n.op.shift for n in graph):
        found.append(without)
    return [_plain(inspect.getsource(f)) for f in found]


def _plain(source: str) -> str:
    """A function of ours without linter comments."""
    return re.sub(r"  # noqa.*", "", source).replace("(norm: Any, name: str) -> Any", "(norm, name)").rstrip()
