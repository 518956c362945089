"""The shape table: shapes, parameters, MACs, receptive field and memory of every layer.

MACs count multiply-accumulates of convolutions and dense layers, bias not counted. The receptive field is the extent of
the input that one output cell sees, jump the distance between the fields of neighbouring cells (Araujo et al. 2019,
"Computing receptive fields of CNNs").
"""

from __future__ import annotations

from nin_spec.analysis.tables import Row, ShapeTable
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.types import Pair


def analyse(graph: Graph, hash_: str = "", file: str | None = None) -> ShapeTable:
    """The shape table of a graph, compiled from the spec `file`."""
    rows: list[Row] = []
    buffers = 0
    for node, (reach, jump) in zip(graph, graph.receptive_fields(), strict=True):
        sizes = [(p.trainable, p.size) for p in node.op.parameters(node.input)]
        buffers += sum(size for trainable, size in sizes if not trainable)
        rows.append(
            Row(
                node.name,
                node.kind,
                describe(node),
                node.output.shape,
                sum(size for trainable, size in sizes if trainable),
                node.op.macs(node.input),
                reach,
                jump,
                node.output.bytes,
                node.span.line if node.span else None,
                node.span.source.name if node.span else None,
            )
        )
    peak = max((n.input.bytes + n.output.bytes for n in graph), default=graph.input.bytes)
    return ShapeTable(graph.name, hash_, graph.input.shape, graph.input.dtype, tuple(rows), buffers, peak, file)


def output_kind(graph: Graph) -> str:
    """The kind of a network's output: scores, probabilities or log_probabilities."""
    last = graph.nodes[-1].op if graph.nodes else None
    if isinstance(last, ops.Softmax):
        return "probabilities"
    return "log_probabilities" if isinstance(last, ops.LogSoftmax) else "scores"


def describe(node: Node) -> str:
    """A layer's attributes in short: `5x5 /2 pad 2`."""
    match node.op:
        case ops.Conv2d() as c:
            words = [_window(c.kernel_size, c.stride, str(c.padding))]
            words += [f"dilation {_x(c.dilation)}"] if c.dilation != (1, 1) else []
            words += [f"groups {c.groups}"] if c.groups != 1 else []
            words += [] if c.bias else ["no bias"]
            return " ".join(words)
        case ops.Pool2d() as p:
            words = [_window(p.kernel_size, p.stride, str(p.padding))]
            words += ["ceil"] if p.ceil_mode else []
            words += ["counts padding"] if isinstance(p, ops.AvgPool2d) and p.count_include_pad else []
            return " ".join([*words, *_numbers(p)])
        case ops.GlobalPool2d():
            return f"{node.input.shape[1]}x{node.input.shape[2]}"
        case ops.Linear(bias=bias):
            return "" if bias else "no bias"
        case _:
            return _others(node.op)


def _others(op: ops.Op) -> str:
    match op:
        case ops.BatchNorm(eps=eps):
            affine = {(True, True): "", (False, True): " shift only", (False, False): " not affine"}
            return f"eps {eps:g}{affine.get((op.scale, op.shift), ' scale only')}"
        case ops.PReLU(per_channel=per_channel):
            return "one slope per channel" if per_channel else "one slope"
        case ops.GELU(approximate=approximate):
            return "tanh" if approximate else ""
        case ops.Maxout(pieces=pieces):
            return f"{pieces} pieces"
        case _:
            return " ".join(_numbers(op))


def _numbers(op: ops.Op) -> list[str]:
    """An op's attributes that are numbers: `slope 0.1`."""
    return [f"{name} {value:g}" for name, value in vars(op).items() if type(value) in (int, float)]


def _x(pair: Pair) -> str:
    return f"{pair[0]}x{pair[1]}"


def _window(kernel: Pair, stride: Pair, padding: str) -> str:
    step = "" if stride == (1, 1) else f" /{stride[0]}" if stride[0] == stride[1] else f" /{_x(stride)}"
    return f"{_x(kernel)}{step}" + ("" if padding == "0" else f" pad {padding}")
