"""The shape table: shapes, parameters, MACs, receptive field and memory of every layer.

MACs count multiply-accumulates of convolutions and dense layers, bias not counted. The receptive
field is the extent of input cells that one output cell sees, jump the distance between the fields of
neighbouring cells (Araujo et al. 2019, "Computing receptive fields of CNNs").
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node
from nin_spec.ir.types import Pair

MACS_CONVENTION = "multiply-accumulates of convolutions and dense layers, bias not counted"


@dataclass(frozen=True, slots=True)
class Row:
    """One layer. Shapes leave out the batch axis; memory is that of its output for one image, in bytes."""

    name: str
    op: str
    detail: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    receptive_field: Pair
    jump: Pair
    memory: int
    line: int | None
    file: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data; square fields as one number."""
        return {
            "name": self.name,
            "op": self.op,
            "detail": self.detail,
            "output_shape": list(self.output_shape),
            "parameters": self.parameters,
            "macs": self.macs,
            "receptive_field": _pair(self.receptive_field),
            "jump": _pair(self.jump),
            "activation_bytes": self.memory,
            "line": self.line,
            "file": self.file,
        }


def _pair(pair: Pair) -> int | list[int]:
    return pair[0] if pair[0] == pair[1] else list(pair)


@dataclass(frozen=True)
class ShapeTable:
    """Every layer of a network in order, and the totals.

    `buffers` counts running statistics; `peak_memory` is the largest input and output of one layer together,
    in bytes for one image; `file` is the spec that was compiled, which a row's own may differ from.
    """

    name: str
    hash: str
    input: tuple[int, ...]
    dtype: str
    rows: tuple[Row, ...] = field(repr=False)
    buffers: int = 0
    peak_memory: int = 0
    file: str | None = None

    @property
    def parameters(self) -> int:
        """Trainable parameters."""
        return sum(r.parameters for r in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(r.macs for r in self.rows)

    @property
    def weight_bytes(self) -> int:
        """Memory of parameters and running statistics."""
        return (self.parameters + self.buffers) * (8 if self.dtype == "float64" else 4)

    def as_dict(self) -> dict[str, Any]:
        """The table as `build --format json` prints it."""
        return {
            "name": self.name,
            "hash": self.hash,
            "input": list(self.input),
            "dtype": self.dtype,
            "layers": [r.as_dict() for r in self.rows],
            "totals": {
                "parameters": self.parameters,
                "buffers": self.buffers,
                "macs": self.macs,
                "weight_bytes": self.weight_bytes,
                "activation_bytes": sum(r.memory for r in self.rows),
                "peak_activation_bytes": self.peak_memory,
                "receptive_field": _pair(self.rows[-1].receptive_field),
            },
            "macs_convention": MACS_CONVENTION,
        }

    def stages(self) -> ShapeTable:
        """The same network with each block's convolutions as one row, `block`."""
        groups: list[list[Row]] = []
        for row in self.rows:
            if groups and _stage(row) is not None and _stage(row) == _stage(groups[-1][0]):
                groups[-1].append(row)
            else:
                groups.append([row])
        rows = tuple(_fold(g) for g in groups)
        return replace(self, rows=rows)

    def __str__(self) -> str:
        from nin_spec.analysis.tables import table_text

        return table_text(self, 1000)

    def _repr_html_(self) -> str:
        from nin_spec.analysis.tables import table_html

        return table_html(self)


def _stage(row: Row) -> str | None:
    """The block that a step around a convolution belongs to; None for what stands alone."""
    top, _, rest = row.name.partition(".")
    index, _, step = rest.partition(".")
    alone = top != "blocks" or step in ("pool", "dropout", "norm", "activation", "shuffle")
    return None if alone else f"{top}.{index}"


def _fold(rows: list[Row]) -> Row:
    last = rows[-1]
    if _stage(last) is None:
        return last
    widths = [str(r.output_shape[0]) for r in rows if r.op == "Conv2d"]
    return Row(
        _stage(last) or last.name,
        "block",
        "-".join(widths),
        last.output_shape,
        sum(r.parameters for r in rows),
        sum(r.macs for r in rows),
        last.receptive_field,
        last.jump,
        sum(r.memory for r in rows),
        rows[0].line,
        rows[0].file,
    )


def analyse(graph: Graph, hash_: str = "", file: str | None = None) -> ShapeTable:
    """The shape table of a graph, compiled from the spec `file`."""
    rows: list[Row] = []
    reach, jump = (1, 1), (1, 1)
    buffers = 0
    for node in graph:
        extent, stride = node.op.window(node.input)
        reach = (reach[0] + (extent[0] - 1) * jump[0], reach[1] + (extent[1] - 1) * jump[1])
        jump = (jump[0] * stride[0], jump[1] * stride[1])
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
    """What a network ends in: scores, probabilities or log_probabilities."""
    last = graph.nodes[-1].op if graph.nodes else None
    if isinstance(last, ops.Softmax):
        return "probabilities"
    return "log_probabilities" if isinstance(last, ops.LogSoftmax) else "scores"


def describe(node: Node) -> str:
    """A layer's attributes in a few words: `5x5 /2 pad 2`."""
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
            return "a slope a channel" if per_channel else "one slope"
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
