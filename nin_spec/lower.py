"""From a canonical spec to a typed graph: the only module that imports both.

Node names are paths in the spec, and name the parameters in every back end:
`blocks.0.convs.1`, `blocks.0.norms.1`, `blocks.0.pool`, `head.dense.0`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nin_spec.diagnostics import Code, Span, SpecError, did_you_mean, nearest, short
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Padding, Pair, ShapeError, TensorType
from nin_spec.language.canonical import Canonical
from nin_spec.language.document import Path_
from nin_spec.language.schema import Block, Conv, Head, Spec
from nin_spec.recipe_names import HINT, aliases, enclosing
from nin_spec.words import DROPOUTS, OUTPUTS, op_of

MAX_PARAMETERS = 500_000_000
MAX_CELLS = 1 << 31

Step = tuple[str, ops.Op, Path_]
"""A node's name, its op, and the path of its value in the spec."""


def lower(canonical: Canonical) -> Graph:
    """The graph of a complete spec. Raises SpecError at the line of the first layer that does not fit."""
    return _Lowering(canonical).graph()


class _Lowering:
    def __init__(self, canonical: Canonical) -> None:
        self.canonical = canonical
        self.built = Graph("", TensorType((1, 1, 1)))
        self.parameters = 0

    def graph(self) -> Graph:
        spec = self.canonical.spec
        height, width = spec.input.size
        start = TensorType((spec.input.channels, height, width), spec.dtype)
        self._fits(start, ("input",))
        self.built = Graph(spec.name, start, open_size=spec.input.open)
        for i, block in enumerate(spec.blocks):
            for name, op, path in self._block(block, i):
                self._add(name, op, path)
        for name, op, path in self._head(spec.head):
            self._add(name, op, path)
        self._scores(spec)
        if spec.input.open:
            self._open(spec)
        self._recipe(spec)
        return self.built

    # -------------------------------------------------------------- steps

    def _block(self, block: Block, i: int) -> Iterator[Step]:
        path: Path_ = ("blocks", i)
        for j, conv in enumerate(block.convs or ()):
            yield from self._conv(conv, i, j)
        if not block.convs:
            yield from self._bare(block, path)
        dropout = block.dropout
        drop = [(f"blocks.{i}.dropout", _dropout(dropout), (*path, "dropout"))] if dropout else []
        if dropout and dropout.before_pool:
            yield from drop
        yield from self._pool(block.pool, f"blocks.{i}.pool", (*path, "pool"))
        if dropout and not dropout.before_pool:
            yield from drop

    def _bare(self, block: Block, path: Path_) -> Iterator[Step]:
        name = ".".join(map(str, path))
        if block.shuffle is not None:
            yield f"{name}.shuffle", ops.ChannelShuffle(block.shuffle), (*path, "shuffle")
        if "norm" in block.model_fields_set:
            yield from _step("norm", block.norm, f"{name}.norm", (*path, "norm"))
        if "activation" in block.model_fields_set:
            yield from _step("activation", block.activation, f"{name}.activation", (*path, "activation"))

    def _conv(self, conv: Conv, i: int, j: int) -> Iterator[Step]:
        path: Path_ = ("blocks", i, "convs", j)

        def name(step: str) -> str:
            return f"blocks.{i}.{step}.{j}"

        for step in conv.order:
            if step == "conv":
                yield name("convs"), self._conv_op(conv), path
            elif step == "norm":
                yield from _step("norm", conv.norm, name("norms"), (*path, "norm"))
            elif step == "activation":
                yield from _step("activation", conv.activation, name("activations"), (*path, "activation"))
            elif step == "dropout" and conv.dropout is not None:
                yield name("dropouts"), _dropout(conv.dropout), (*path, "dropout")
            elif step == "shuffle" and conv.shuffle is not None:
                yield name("shuffles"), ops.ChannelShuffle(conv.shuffle), (*path, "shuffle")

    def _conv_op(self, conv: Conv) -> ops.Conv2d:
        channels = self._width(conv.channels)
        plain = ops.Conv2d(channels, conv.kernel, conv.stride, Padding(), conv.dilation, conv.groups, conv.bias)
        padding = self._padding(conv.padding, plain.extent, conv.stride)
        return ops.Conv2d(channels, conv.kernel, conv.stride, padding, conv.dilation, conv.groups, conv.bias)

    def _pool(self, pool: Any, name: str, path: Path_) -> Iterator[Step]:
        windowed = "padding" in type(pool).model_fields
        resolved = {"padding": self._padding(pool.padding, pool.kernel, pool.stride)} if windowed else {}
        yield from _step("pool", pool, name, path, **resolved)

    def _head(self, head: Head) -> Iterator[Step]:
        yield from self._pool(head.pool, "head.pool", ("head", "pool"))
        yield "head.flatten", ops.Flatten(), ("head", "pool")
        if head.dropout is not None:
            yield "head.dropout", _dropout(head.dropout), ("head", "dropout")
        for k, dense in enumerate(head.dense):
            path: Path_ = ("head", "dense", k)
            yield f"head.dense.{k}", ops.Linear(self._width(dense.units), dense.bias), path
            yield from _step("norm", dense.norm, f"head.norms.{k}", (*path, "norm"))
            yield from _step("activation", dense.activation, f"head.activations.{k}", (*path, "activation"))
            if dense.dropout is not None:
                yield f"head.dropouts.{k}", _dropout(dense.dropout), (*path, "dropout")
        yield from _step("norm", head.norm, "head.norm", ("head", "norm"))
        yield from _step("activation", head.activation, "head.activation", ("head", "activation"))
        if head.output != "scores":
            yield "head.output", OUTPUTS[head.output](), ("head", "output")

    # -------------------------------------------------------------- values

    def _width(self, width: int | str) -> int:
        return width if isinstance(width, int) else self.canonical.spec.class_count

    def _padding(self, padding: tuple[int, int, int, int] | str, extent: Pair, stride: Pair) -> Padding:
        """`same` by TensorFlow's rule: ceil(size / stride) windows, the odd cell at the bottom and right."""
        if not isinstance(padding, str):
            return Padding(*padding)
        shape = self.built.output.shape
        if len(shape) != 3:
            return Padding()
        sides = [_same(n, k, s) for n, k, s in zip(shape[1:], extent, stride, strict=True)]
        return Padding(*sides[0], *sides[1])

    # -------------------------------------------------------------- checks

    def _add(self, name: str, op: ops.Op, path: Path_) -> None:
        try:
            self.built = self.built.then(name, op, self.canonical.where(*path))
        except ShapeError as error:
            at = (*path, error.field) if error.field else path
            raise self._error(Code.SHAPE, f"{name}: {error}", at, error.hint) from None
        node = self.built.nodes[-1]
        self._fits(node.output, path)
        self.parameters += sum(p.size for p in node.parameters().values())
        if self.parameters > MAX_PARAMETERS:
            message = f"{name}: the network has {self.parameters:,} parameters so far; the limit is {MAX_PARAMETERS:,}"
            raise self._error(Code.TOO_LARGE, message, path)

    def _fits(self, x: TensorType, path: Path_) -> None:
        if x.size > MAX_CELLS:
            message = f"a tensor {x} for one image has {x.size:,} cells; the limit is {MAX_CELLS:,}"
            raise self._error(Code.TOO_LARGE, message, path)

    def _scores(self, spec: Spec) -> None:
        got = self.built.output.shape
        if got == (spec.class_count,):
            return
        flat = next(n for n in self.built if n.name == "head.flatten")
        made = f" ({' x '.join(map(str, flat.input.shape))})" if not spec.head.dense else ""
        message = f"the head outputs {got[0]} scores{made}, but the spec declares {spec.class_count} classes"
        hint = "end the last block in `classes` channels and pool globally, or add dense: [classes] to the head"
        raise SpecError(Code.SCORES, message, self._last_layer() or self._where(("classes",)), hint)

    def _last_layer(self) -> Span | None:
        """The layer that determines the number of scores."""
        return next((n.span for n in reversed(self.built.nodes) if isinstance(n.op, ops.Conv2d | ops.Linear)), None)

    def _open(self, spec: Spec) -> None:
        """With an open size, parameters and padding must not depend on the size."""
        flat = next(n for n in self.built if n.name == "head.flatten")
        pools: list[tuple[Path_, Any]] = [(("head", "pool"), spec.head.pool)]
        pools += [(("blocks", i, "pool"), b.pool) for i, b in enumerate(spec.blocks)]
        if not any(isinstance(node.op, ops.GlobalPool2d) for node in self.built):
            message = f"input.open: other sizes would leave more than {flat.input.shape[1]}x{flat.input.shape[2]} cells"
            raise self._error(Code.OPEN_SIZE, message, ("head", "pool"), "pool globally: head: {pool: global_avg}")
        convs = [(("blocks", i, "convs", j), c) for i, b in enumerate(spec.blocks) for j, c in enumerate(b.convs or ())]
        for path, window in [*pools, *convs]:
            if getattr(window, "padding", None) == "same" and window.stride != (1, 1):
                message = "input.open: the padding `same` with a stride depends on the size"
                raise self._error(Code.OPEN_SIZE, message, (*path, "padding"), "set the padding in cells")

    def _recipe(self, spec: Spec) -> None:
        """A parameter named in a recipe must exist; lint reports a pattern with `*` that matches none."""
        if spec.train is None:
            return
        parameters = {alias for name in self.built.parameters() for alias in aliases(name, spec)}
        for key in ("lr_multipliers", "no_decay", "freeze"):
            named = getattr(spec.train, key)
            known = parameters | ({*enclosing(parameters)} if key == "freeze" else set())
            for i, pattern in enumerate(named):
                if "*" not in pattern and pattern not in known:
                    path: Path_ = ("train", key, pattern if isinstance(named, dict) else i)
                    message = f"train.{key}: the network has no parameter {short(pattern)!r}"
                    hint = did_you_mean(pattern, sorted(known)) if nearest(pattern, known) else HINT
                    raise self._error(Code.UNKNOWN_PARAMETER, message, path, hint)

    def _error(self, code: Code, message: str, path: Path_, hint: str | None = None) -> SpecError:
        return SpecError(code, message, self._where(path), hint)

    def _where(self, path: Path_) -> Span:
        return self.canonical.where(*path)


def _same(size: int, extent: int, stride: int) -> tuple[int, int]:
    count = -(-size // stride)
    total = max((count - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def _dropout(dropout: Any) -> ops.Op:
    return DROPOUTS[dropout.by](dropout.p)


def _step(key: str, given: Any, name: str, path: Path_, **resolved: Any) -> Iterator[Step]:
    """The step for the value of a key; no step for `none`."""
    op = op_of(key, given, **resolved)
    if op is not None:
        yield name, op, path
