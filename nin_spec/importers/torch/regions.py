"""Operators of a module's program as one function: which may be known by their values, and with which constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from nin_spec.importers.chain import Array
from nin_spec.importers.recognise import Hinted, hinted
from nin_spec.importers.regions import Region
from nin_spec.ir.types import Padding, Pair

Tensors = Mapping[str, tuple[str, torch.Tensor]]
_POINTWISE = frozenset({
    *("add", "sub", "rsub", "mul", "div", "neg", "abs", "reciprocal", "sqrt", "rsqrt", "square", "pow", "exp", "expm1"),
    *("log", "log1p", "logaddexp", "erf", "sigmoid", "tanh", "softplus", "log_sigmoid", "relu", "leaky_relu", "prelu"),
    *("elu", "selu", "celu", "gelu", "silu", "mish", "relu6", "hardtanh", "hardswish", "hardsigmoid", "threshold"),
    *("clamp", "clamp_min", "clamp_max", "minimum", "maximum", "where", "masked_fill", "sign", "clone", "contiguous"),
    *("gt", "lt", "ge", "le", "eq", "ne", "logical_not", "logical_and", "logical_or", "alias", "detach", "to"),
    "_to_copy",
})  # fmt: skip
_ACROSS = frozenset({
    *("view", "reshape", "flatten", "unflatten", "transpose", "permute", "squeeze", "unsqueeze", "cat", "stack"),
    *("chunk", "split", "split_with_sizes", "unbind", "slice", "select", "index_select", "narrow", "expand", "repeat"),
    *("amax", "amin", "max", "min", "mean", "sum", "logsumexp", "softmax", "log_softmax"),
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool2d", "adaptive_max_pool2d", "pad", "constant_pad_nd", "channel_shuffle"),
    *("pixel_unshuffle", "ones", "ones_like", "full", "full_like", "zeros", "zeros_like", "index", "swapaxes"),
    *("movedim", "numel"),
})  # fmt: skip
_GETITEM = "<built-in function getitem>"


def name_of(node: fx.Node) -> str:
    """`aten.relu` of an operator, without its overload; that of aten.relu_, which works in place, is the same."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):  # noqa: SLF001
        return str(target)
    name = str(target).rpartition(".")[0]
    return name.removesuffix("_") if target._schema.is_mutable else name  # noqa: SLF001


def path_of(node: fx.Node) -> str:
    """The path of the module that runs an operator; empty for the outermost."""
    stack = node.meta.get("nn_module_stack") or {}
    return str(next(reversed(stack.values()))[0]) if stack else ""


def label_of(node: fx.Node) -> str:
    """The name of an operator in messages: `features.3 (relu)`, or `relu` where the outermost module runs it."""
    path = path_of(node)
    return f"{path} ({node.name})" if path else node.name


def unknowable(node: fx.Node) -> bool:
    """Whether trials can't identify an operator: it rounds, draws or counts."""
    dtype = node.kwargs.get("dtype", next((a for a in node.args if isinstance(a, torch.dtype)), None))
    if isinstance(dtype, torch.dtype) and dtype not in {torch.float32, torch.float64}:
        return True
    return not (name_of(node) == _GETITEM or _plain(node) in _POINTWISE | _ACROSS)


def _plain(node: fx.Node) -> str:
    """`relu` of aten.relu."""
    return name_of(node).removeprefix("aten.")


def region_of(nodes: Sequence[fx.Node], start: fx.Node, tensors: Tensors) -> Region:
    """The operators as a function of (N, C, H, W), or of features, that `start` gives."""
    held = list(nodes)

    def compute(x: Array, changed: Mapping[str, Array]) -> Array:
        # A copy: operators may work in place.
        values: dict[fx.Node, Any] = {start: torch.from_numpy(np.array(x, np.float32))}

        def value(node: fx.Node) -> Any:
            return values[node] if node in values else _tensor(node, tensors, changed)

        with torch.no_grad():
            for node in held:
                args, kwargs = _with_numbers(node, *fx.map_arg((node.args, node.kwargs), value), changed)
                values[node] = node.target(*args, **kwargs)  # type: ignore[operator]
        found: Array = values[held[-1]].numpy()
        return found

    read = {
        n.name: tensors[n.name][1].detach().cpu() for node in held for n in node.all_input_nodes if n.name in tensors
    }
    constants = {name: t.double().numpy() for name, t in sorted(read.items()) if t.is_floating_point()}
    numbers = {name: np.array(float(v)) for node in held for name, v in _numbers(node).items()}
    pointwise = all(_plain(node) in _POINTWISE for node in held) and all(t.numel() == 1 for t in read.values())
    return Region(compute, constants | numbers, pointwise)


def _tensor(node: fx.Node, tensors: Tensors, changed: Mapping[str, Array]) -> torch.Tensor:
    """A tensor that the module holds, or what it is changed to, in float32 on the CPU."""
    if node.name in changed:
        return torch.from_numpy(np.asarray(changed[node.name])).float()
    tensor = tensors[node.name][1].detach().cpu()
    return tensor.float() if tensor.is_floating_point() else tensor.clone()


def _numbers(node: fx.Node) -> dict[str, float]:
    """The numbers that an operator was given in place of tensors or scalars, by `node.argument`."""
    if not isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001
        return {}
    schema = node.target._schema.arguments  # noqa: SLF001
    given = {**dict(zip((a.name for a in schema), node.args, strict=False)), **node.kwargs}
    kinds = {a.name: str(a.type) for a in schema}
    scalar = {key: v for key, v in given.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {f"{node.name}.{key}": v for key, v in scalar.items() if not kinds[key].lower().startswith(_COUNTS)}


_COUNTS = ("int", "symint", "optional[int", "optional[symint")


def _with_numbers(
    node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any], changed: Mapping[str, Array]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with the numbers that are to be changed."""
    own = f"{node.name}."
    new = {key.removeprefix(own): float(value) for key, value in changed.items() if key.startswith(own)}
    if not new:
        return args, kwargs
    names = [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]  # noqa: SLF001
    kept = tuple(new.pop(name, value) for name, value in zip(names, args, strict=False))
    return kept, {**kwargs, **new}


def arguments_of(node: fx.Node) -> dict[str, Any]:
    """An operator's arguments by the names of its schema, defaults filled in."""
    if not isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001
        return {}
    schema = node.target._schema.arguments  # noqa: SLF001
    given = {a.name: a.default_value for a in schema if a.has_default_value()}
    return {**given, **dict(zip((a.name for a in schema), node.args, strict=False)), **node.kwargs}


def pair_of(value: Any, usual: Any = 1) -> Pair:
    """(vertical, horizontal) of a number, of one or two in a list, or of `usual` where the list is empty."""
    numbers = [value] if isinstance(value, int) else list(value) or ([usual] if isinstance(usual, int) else list(usual))
    return (int(numbers[0]), int(numbers[-1]))


def hinted_by(nodes: Sequence[fx.Node], constants: Mapping[str, Array]) -> list[Hinted]:
    """What a region may be, by the windows of its pools and the numbers in it; a response norm pools over channels."""
    pads = [arguments_of(node)["pad"] for node in nodes if name_of(node) in {"aten.pad", "aten.constant_pad_nd"}][:1]
    pools = [arguments_of(node) for node in nodes if name_of(node) == "aten.avg_pool2d"][:1]
    windows = [(pair_of(p["kernel_size"]), pair_of(p["stride"], p["kernel_size"])) for p in pools]
    sides = [(*pad, 0, 0, 0, 0)[:4] for pad in pads]
    kernels = [arguments_of(node)["kernel_size"] for node in nodes if name_of(node) == "aten.avg_pool3d"]
    sizes = [k[0] for k in kernels if list(k[1:]) == [1, 1]]
    return hinted(windows, [Padding(s[2], s[3], s[0], s[1]) for s in sides], sizes, constants)
