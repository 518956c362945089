"""From an nn.Module to a chain: its program by torch.export, operator by operator.

torch.export gives every spelling (modules, functions, methods) in the same few ATen operators, and runs no code
but the module's own forward. What has no rule, or forks and comes together again, is recognised by what it
computes, as in ONNX files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import fx

from nin_spec.importers.chain import Array, Chain, refusal
from nin_spec.importers.padding import LOWEST, NON_NEGATIVE
from nin_spec.importers.recognise import Affine, recognise
from nin_spec.importers.rescaling import rescaled
from nin_spec.ir import ops
from nin_spec.ir.types import Padding, Pair

_MAX_REGION = 64
Arguments = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A use of an operator: where the walk stands, the node, and its arguments by name."""

    walk: TorchWalk
    node: fx.Node
    given: Arguments


Rule = Callable[[Call], ops.Op | None]


@dataclass
class TorchWalk:
    """Where a walk stands. `tensors` are the parameters and buffers by the name of their node."""

    program: torch.export.ExportedProgram
    chain: Chain
    value: fx.Node
    tensors: dict[str, tuple[str, torch.Tensor]]
    used: dict[str, str] = field(default_factory=dict)
    pad: Padding | None = None
    padded: str = ""
    pads_low: bool = False

    def go(self) -> Chain:
        """Walk to the output. Raises ForeignModelError."""
        while True:
            readers = list(self.value.users)
            if not readers:
                raise refusal(self.value.name, "nothing uses this value, and it is not the output")
            node = readers[0]
            if len(readers) == 1 and node.op == "output":
                return self.chain
            rule = RULES.get(_name(node)) if len(readers) == 1 else None
            if rule is None or not self._apply(rule, node):
                self._region(readers)

    def _apply(self, rule: Rule, node: fx.Node) -> bool:
        """One operator by its rule; False where the rule does not know this use of it."""
        given = _arguments(node)
        before = len(self.chain.steps), self.pad
        if given.get("self", given.get("input")) is not self.value:
            return False
        op = rule(Call(self, node, given))
        if op is None:
            if (len(self.chain.steps), self.pad) == before and _name(node) not in _SILENT:
                return False
        else:
            self.add(op, node, given)
        self.value = node
        return True

    def add(self, op: ops.Op, node: fx.Node, given: Arguments) -> None:
        """A step with the tensors that the operator is given."""
        found = {p.name: given.get(p.name) for p in op.parameters(self.chain.output)}
        arrays = {key: self._array(value, node) for key, value in found.items() if isinstance(value, fx.Node)}
        if isinstance(op, ops.PReLU):
            arrays = {key: array.reshape(-1) for key, array in arrays.items()}
        origin = self.origin(node, given)
        self.chain = self.chain.then(op, origin, **arrays).called(origin)

    def origin(self, node: fx.Node, given: Arguments) -> str:
        """What the module calls the layer: the path of its parameters, or of the module, or the operator."""
        weight = given.get("weight")
        if isinstance(weight, fx.Node) and weight.name in self.tensors:
            return self.tensors[weight.name][0].rpartition(".")[0] or node.name
        stack = node.meta.get("nn_module_stack") or {}
        path = str(next(reversed(stack.values()))[0]) if stack else ""
        return path or node.name

    def _array(self, value: fx.Node, node: fx.Node) -> Array:
        if value.name not in self.tensors:
            raise refusal(node.name, f"its tensor {value.name} is computed, and the language's weights are constants")
        name, tensor = self.tensors[value.name]
        user = self.used.setdefault(name, node.name)
        if user != node.name:
            raise refusal(name, f"used by {user} and by {node.name}: shared weights are outside the language")
        found: Array = tensor.detach().cpu().numpy().astype(self.chain.input.dtype)
        return found

    # -------------------------------------------------------------- regions

    def _region(self, readers: list[fx.Node]) -> None:
        """Operators from here to where their paths meet again: the first such function that has a word."""
        origin = readers[0].name
        for nodes in self._meetings(readers):
            origin = " ... ".join(dict.fromkeys((nodes[0].name, nodes[-1].name)))
            found = recognise(self._function(nodes), (1, *self.chain.output.shape), _averages(nodes))
            if found is not None:
                self._take(found, origin)
                self.value = nodes[-1]
                return
        raise refusal(origin, "the language has no word for what this computes")

    def _take(self, found: list[ops.Op] | Affine, origin: str) -> None:
        if isinstance(found, Affine):
            if not self.chain.steps:
                raise refusal(origin, "the module scales its input itself", "leave that to input.preprocess")
            self.chain = rescaled(self.chain, found, origin)
        for op in found if isinstance(found, list) else ():
            self.chain = self.chain.then(op, origin)

    def _function(self, nodes: Sequence[fx.Node]) -> Callable[[Array], Array]:
        def run(x: Array) -> Array:
            values: dict[fx.Node, Any] = {self.value: torch.from_numpy(np.ascontiguousarray(x, np.float32))}
            with torch.no_grad():
                for node in nodes:
                    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: self._held(n, values))
                    values[node] = node.target(*args, **kwargs)  # type: ignore[operator]
            found: Array = values[nodes[-1]].numpy()
            return found

        return run

    def _held(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        return values[node] if node in values else self.tensors[node.name][1].float()

    def _meetings(self, readers: list[fx.Node]) -> Iterator[list[fx.Node]]:
        """Ever more operators after which one value alone is left."""
        met = False
        order = {node: k for k, node in enumerate(self.program.graph.nodes)}
        inside: list[fx.Node] = []
        pending = list(readers)
        while pending and len(inside) < _MAX_REGION:
            known = {self.value, *inside}
            ready = [n for n in sorted(pending, key=order.__getitem__) if self._ready(n, known)]
            if not ready or _name(ready[0]) in _HEAVY:
                break
            inside.append(ready[0])
            pending = [n for n in {*pending, *ready[0].users} if n not in inside]
            live = [n for n in (self.value, *inside) if any(user not in inside for user in n.users)]
            if live == inside[-1:]:
                met = True
                yield list(inside)
        if met:
            return
        names = ", ".join(node.name for node in readers[:4])
        if len(readers) == 1:
            raise refusal(readers[0].name, f"{_name(readers[0])}: the language has no word for it as it stands here")
        why = f"the value {self.value.name} goes more than one way ({names}), and a network of the language is a chain"
        raise refusal(readers[0].name, why, "residual sums, side branches and further outputs are outside the language")

    def _ready(self, node: fx.Node, known: set[fx.Node]) -> bool:
        return node.op == "call_function" and all(n in known or n.name in self.tensors for n in node.all_input_nodes)


def _averages(nodes: Sequence[fx.Node]) -> list[ops.AvgPool2d]:
    """The pools that a region may be which pads, averages, and divides by an average of ones."""
    pads = [_arguments(node)["pad"] for node in nodes if _name(node) in {"aten.pad", "aten.constant_pad_nd"}][:1]
    pools = [_arguments(node) for node in nodes if _name(node) == "aten.avg_pool2d"][:1]
    windows = [(_pair(p["kernel_size"]), _pair(p["stride"], p["kernel_size"])) for p in pools]
    sides = [(*pad, 0, 0, 0, 0)[:4] for pad in pads]
    return [ops.AvgPool2d(*window, Padding(s[2], s[3], s[0], s[1])) for window in windows for s in sides]


def _name(node: fx.Node) -> str:
    """`aten.conv2d` of an operator, without its overload."""
    target = node.target
    return str(target).rpartition(".")[0] if isinstance(target, torch._ops.OpOverload) else str(target)  # noqa: SLF001


def _arguments(node: fx.Node) -> Arguments:
    """An operator's arguments by the names of its schema, defaults filled in."""
    if not isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001
        return {}
    schema = node.target._schema.arguments  # noqa: SLF001
    given = {a.name: a.default_value for a in schema if a.has_default_value()}
    return {**given, **dict(zip((a.name for a in schema), node.args, strict=False)), **node.kwargs}


# ------------------------------------------------------------------ rules


def _pair(value: Any, usual: Any = 1) -> Pair:
    numbers = [value] if isinstance(value, int) else list(value) or ([usual] if isinstance(usual, int) else list(usual))
    return (int(numbers[0]), int(numbers[-1]))


def _sides(walk: TorchWalk, value: Any) -> Padding:
    """An operator's own padding, and that of a pad before it."""
    vertical, horizontal = _pair(value)
    before = walk.pad or Padding()
    if walk.pad is not None and walk.pads_low:
        raise refusal(walk.padded, "it pads with the lowest number, and no maximum follows")
    walk.pad = None
    own = (vertical, vertical, horizontal, horizontal)
    return Padding(*(a + b for a, b in zip(own, before, strict=True)))


def _conv(call: Call) -> ops.Op:
    kernel, stride, dilation = (
        tuple(call.given["weight"].meta["val"].shape[2:]),
        _pair(call.given["stride"]),
        _pair(call.given["dilation"]),
    )
    channels, bias = call.given["weight"].meta["val"].shape[0], isinstance(call.given["bias"], fx.Node)
    plain = ops.Conv2d(channels, (kernel[0], kernel[1]), stride, Padding(), dilation, call.given["groups"], bias)
    if call.given["padding"] == "same":
        ends = (
            [(extent - 1) // 2 for extent in plain.extent],
            [extent - 1 - (extent - 1) // 2 for extent in plain.extent],
        )
        own = Padding(ends[0][0], ends[1][0], ends[0][1], ends[1][1])
    else:
        own = _sides(call.walk, 0 if call.given["padding"] == "valid" else call.given["padding"])
    return ops.Conv2d(channels, plain.kernel_size, stride, own, dilation, plain.groups, bias)


def _max_pool(call: Call) -> ops.Op:
    if _pair(call.given["dilation"]) != (1, 1):
        raise refusal(call.node.name, "a dilated pool")
    kernel = _pair(call.given["kernel_size"])
    last = call.walk.chain.steps[-1].op if call.walk.chain.steps else None
    if call.walk.pad is not None and not (call.walk.pads_low or isinstance(last, NON_NEGATIVE)):
        raise refusal(call.walk.padded, "zeros around a maximum, which may win where the values are negative")
    call.walk.pads_low = False
    own = _sides(call.walk, call.given["padding"])
    return ops.MaxPool2d(kernel, _pair(call.given["stride"], kernel), own, bool(call.given["ceil_mode"]))


def _avg_pool(call: Call) -> ops.Op:
    if call.given.get("divisor_override") is not None:
        raise refusal(call.node.name, "an average with a divisor of its own")
    kernel, before = _pair(call.given["kernel_size"]), call.walk.pad
    counted = bool(call.given["count_include_pad"]) or before is not None
    if before is not None and _pair(call.given["padding"]) != (0, 0) and not call.given["count_include_pad"]:
        raise refusal(call.walk.padded, "an average that counts some of its padding and not the rest")
    own = _sides(call.walk, call.given["padding"])
    return ops.AvgPool2d(
        kernel, _pair(call.given["stride"], kernel), own, bool(call.given["ceil_mode"]), counted and own != Padding()
    )


def _adaptive(average: bool) -> Rule:  # noqa: FBT001
    def rule(call: Call) -> ops.Op | None:
        shape = call.walk.chain.output.shape
        if _pair(call.given["output_size"]) != (1, 1) or len(shape) != 3:
            return None
        return ops.AdaptiveAvgPool2d() if average else ops.AdaptiveMaxPool2d()

    return rule


def _mean(call: Call) -> ops.Op | None:
    axes = call.given["dim"]
    if axes is None or len(call.walk.chain.output.shape) != 3 or {int(a) % 4 for a in axes} != {2, 3}:
        return None
    pool = ops.AdaptiveAvgPool2d() if _name(call.node) == "aten.mean" else ops.AdaptiveMaxPool2d()
    call.walk.add(pool, call.node, call.given)
    return None if call.given["keepdim"] else ops.Flatten()


def _reshape(call: Call) -> ops.Op | None:
    shape = tuple(call.node.meta["val"].shape)
    return (
        ops.Flatten()
        if len(shape) == 2 and call.walk.chain.output.is_map and shape[1] == call.walk.chain.output.size
        else None
    )


def _linear(call: Call) -> ops.Op:
    return ops.Linear(call.given["weight"].meta["val"].shape[0], isinstance(call.given["bias"], fx.Node))


def _batch_norm(call: Call) -> ops.Op:
    if not isinstance(call.given["running_mean"], fx.Node):
        raise refusal(call.node.name, "a batch norm without running statistics")
    scale, shift = (isinstance(call.given[key], fx.Node) for key in ("weight", "bias"))
    return ops.BatchNorm(call.given["eps"], call.given["momentum"], scale, shift)


def _prelu(call: Call) -> ops.Op:
    return ops.PReLU(per_channel=call.given["weight"].meta["val"].numel() > 1)


def _dropout(kind: type[ops.Op]) -> Rule:
    return lambda call: kind(call.given["p"]) if 0 < call.given["p"] < 1 else None  # type: ignore[call-arg]


def _softmax(kind: type[ops.Op]) -> Rule:
    return lambda call: kind() if call.given["dim"] % (len(call.walk.chain.output.shape) + 1) == 1 else None


def _pad(call: Call) -> ops.Op | None:
    left, right, top, bottom = (*call.given["pad"], 0, 0, 0, 0)[:4]
    number = float(call.given.get("value") or 0)
    constant = call.given.get("mode", "constant") == "constant" and (number == 0 or number < LOWEST)
    if not constant or min(left, right, top, bottom) < 0 or len(call.given["pad"]) > 4 or call.walk.pad is not None:
        raise refusal(call.node.name, "the language pads maps with zeros, or a maximum with what never wins")
    call.walk.pad, call.walk.padded, call.walk.pads_low = Padding(top, bottom, left, right), call.node.name, number != 0
    return None


def _plain(op: ops.Op) -> Rule:
    return lambda _: op


def _elu(call: Call) -> ops.Op | None:
    return ops.ELU(float(call.given["alpha"])) if (call.given["scale"], call.given["input_scale"]) == (1, 1) else None


_SILENT = {
    "aten.dropout",
    "aten.feature_dropout",
    "aten.clone",
    "aten.contiguous",
    "aten.alias",
    "aten.detach",
    "aten.pad",
}
"""Operators that may leave no step behind."""
_HEAVY = {"aten.conv2d", "aten.linear", "aten.batch_norm", "aten.matmul", "aten.addmm", "aten.conv_transpose2d"}
RULES: dict[str, Rule] = {
    "aten.conv2d": _conv,
    "aten.linear": _linear,
    "aten.batch_norm": _batch_norm,
    "aten.prelu": _prelu,
    "aten.max_pool2d": _max_pool,
    "aten.avg_pool2d": _avg_pool,
    "aten.adaptive_avg_pool2d": _adaptive(average=True),
    "aten.adaptive_max_pool2d": _adaptive(average=False),
    "aten.mean": _mean,
    "aten.amax": _mean,
    "aten.flatten": _reshape,
    "aten.view": _reshape,
    "aten.reshape": _reshape,
    "aten.squeeze": _reshape,
    "aten.relu": _plain(ops.ReLU()),
    "aten.relu_": _plain(ops.ReLU()),
    "aten.sigmoid": _plain(ops.Sigmoid()),
    "aten.tanh": _plain(ops.Tanh()),
    "aten.silu": _plain(ops.SiLU()),
    "aten.silu_": _plain(ops.SiLU()),
    "aten.mish": _plain(ops.Mish()),
    "aten.mish_": _plain(ops.Mish()),
    "aten.leaky_relu": lambda call: ops.LeakyReLU(float(call.given["negative_slope"])),
    "aten.leaky_relu_": lambda call: ops.LeakyReLU(float(call.given["negative_slope"])),
    "aten.elu": _elu,
    "aten.elu_": _elu,
    "aten.gelu": lambda call: ops.GELU(call.given["approximate"] == "tanh"),
    "aten.dropout": _dropout(ops.Dropout),
    "aten.feature_dropout": _dropout(ops.Dropout2d),
    "aten.softmax": _softmax(ops.Softmax),
    "aten.log_softmax": _softmax(ops.LogSoftmax),
    "aten.channel_shuffle": lambda call: ops.ChannelShuffle(call.given["groups"]),
    "aten.pad": _pad,
    "aten.constant_pad_nd": _pad,
    "aten.clone": lambda _: None,
    "aten.contiguous": lambda _: None,
    "aten.alias": lambda _: None,
    "aten.detach": lambda _: None,
}
