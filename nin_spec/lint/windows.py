"""Rules about windows: convolutions and pools that see too little or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nin_spec.diagnostics import Code
from nin_spec.ir import ops
from nin_spec.ir.graph import Node
from nin_spec.ir.types import Pair
from nin_spec.lint.finding import Finding, Subject, path_of, size_of


def padded_points(subject: Subject) -> Iterator[Finding]:
    """NIN902: windows of a convolution that lie entirely in the padding, for example of a padded 1x1."""
    for node, op in subject.convolutions():
        if _sees_nothing(node, op):
            path = path_of(node.name)
            kernel, before, after = (size_of(p) for p in (op.kernel_size, node.input.shape[1:], node.output.shape[1:]))
            yield Finding(
                Code.PADDED_POINTS,
                f"{node.name}: a {kernel} convolution with padding {op.padding} turns {before} into {after}, and its "
                "border sees no input",
                subject.where(*path, "padding"),
                "use padding (kernel - 1) / 2 to keep the size: 0 for a 1x1 convolution",
                (node.name,),
                path,
            )


def _sees_nothing(node: Node, op: ops.Conv2d) -> bool:
    """Whether the first or the last window of an axis covers no cell of the input."""
    starts = (op.padding.top, op.padding.left)
    axes = zip(node.input.shape[1:], node.output.shape[1:], op.extent, op.stride, starts, strict=True)
    return any(before >= extent or (count - 1) * step - before >= size for size, count, extent, step, before in axes)


def stride_skips(subject: Subject) -> Iterator[Finding]:
    """NIN903: windows that move by more than their size."""
    for node in subject.nodes:
        if not isinstance(node.op, ops.Conv2d | ops.Pool2d):
            continue
        extent, stride = node.op.window(node.input)
        axes = zip(node.output.shape[1:], extent, stride, strict=True)
        shares = [covers / moves for count, covers, moves in axes if count > 1 and moves > covers]
        if shares:
            path = path_of(node.name)
            seen = shares[0] * (shares[1] if len(shares) > 1 else 1)
            yield Finding(
                Code.STRIDE_SKIPS,
                f"{node.name}: windows of {size_of(extent)} move by {size_of(stride)}: "
                f"{1 - seen:.0%} of the cells are never seen",
                subject.where(*path, "stride"),
                "use a kernel at least as large as the stride, or a pool",
                (node.name,),
                path,
            )


def pool_drops(subject: Subject) -> Iterator[Finding]:
    """NIN904: the last rows and columns that a pool misses because it rounds down."""
    for node, op in subject.pools():
        rows, columns = dropped(node, op)
        if rows or columns:
            path, (down, up) = path_of(node.name), _roundings(node, op)
            yield Finding(
                Code.POOL_DROPS,
                f"{node.name}: the pool leaves out {_edge(rows, columns)} of {size_of(node.input.shape[1:])}",
                subject.where(*path, "ceil_mode"),
                f"set ceil_mode: true to include them: {up} cells instead of {down}",
                (node.name,),
                path,
            )


def dropped(node: Node, op: ops.Pool2d) -> Pair:
    """Rows and columns at the end that no window sees. NIN903 reports gaps between windows."""
    starts = (op.padding.top, op.padding.left)
    axes = zip(node.input.shape[1:], op.counts(node.input), op.kernel_size, op.stride, starts, strict=True)
    rows, columns = (
        max(0, size - ((count - 1) * step + kernel - before)) if step <= kernel and not op.ceil_mode else 0
        for size, count, kernel, step, before in axes
    )
    return rows, columns


def _edge(rows: int, columns: int) -> str:
    found = [_last(n, word) for n, word in ((rows, "row"), (columns, "column")) if n]
    return " and ".join(found)


def _last(count: int, word: str) -> str:
    return f"the last {word}" if count == 1 else f"the last {count} {word}s"


def _roundings(node: Node, op: ops.Pool2d) -> tuple[str, str]:
    """The pool's size as it is, and rounded up."""
    return size_of(op.counts(node.input)), size_of(replace(op, ceil_mode=True).counts(node.input))
