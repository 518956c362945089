"""How pools are written in ONNX: all exact spellings, of which one is chosen for the target runtimes.

1. Directly. 2. As a floor-mode pool with explicit padding, where the size is fixed.
3. An average that counts padding as one that counts none times the share that is real, where the size is fixed.
4. The same as zeros put round the input, and an average that has no padding behind them, where the size is open.

Not every runtime computes every form that it loads: see the measurements in `targets.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never

from nin_spec.exporters.targets import Runtime, form_of, padded_form
from nin_spec.ir import ops
from nin_spec.ir.graph import Node
from nin_spec.ir.types import Padding
from nin_spec.passes.explicit_pools import evened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nin_spec.exporters.onnx_writer import Writer


@dataclass(frozen=True)
class Way:
    """One way to write a pool: the form that a runtime has to support, and its writer."""

    form: str
    write: Callable[[Writer, Node], None]


def ways(node: Node, *, open_size: bool) -> Iterator[Way]:
    """Every way to write a pool exactly, the simplest first."""
    op = node.op
    if not isinstance(op, ops.WindowPool):
        raise TypeError(f"{node.name} is a {node.kind}, not a pool")
    if not op.counts_padding:
        op = op.uncounted()  # there is none to count, and none that is added below may count
    yield _direct(op, open_size=open_size)
    counted = op if isinstance(op, ops.AvgPool2d) and op.counts_padding else None
    if open_size:
        # Behind padding that became cells a last window may start in it, and would be one too many.
        if counted and not op.may_overhang:
            yield Way(padded_form(counted), partial(_padded_first, op=counted))
    elif counted:
        within = replace(counted, padding=op.reach(node.input), ceil_mode=False, count_include_pad=False)
        real = evened(within, node.input)
        yield Way(form_of(real, open_size=False), partial(_shared, real=real, counted=counted))
    else:
        explicit = evened(replace(op, padding=op.reach(node.input), ceil_mode=False), node.input)
        if explicit != op:
            yield _direct(explicit, open_size=False)


def _direct(op: ops.WindowPool, *, open_size: bool) -> Way:
    return Way(form_of(op, open_size=open_size), partial(_pool, op=op))


def choose(node: Node, opset: int, runtimes: Sequence[Runtime], *, open_size: bool) -> Way:
    """The way that most of the runtimes compute correctly at an opset; among equals, the simplest."""
    found = list(ways(node, open_size=open_size))
    return max(found, key=lambda way: sum(runtime.computes(way.form, opset) for runtime in runtimes))


# ------------------------------------------------------------------ writing


def _pool(w: Writer, node: Node, op: ops.WindowPool, part: str = "") -> None:
    match op:
        case ops.MaxPool2d():
            w.add("MaxPool", node, **_window(op), part=part)
        case ops.AvgPool2d():
            counts = int(op.count_include_pad)
            w.add("AveragePool", node, **_window(op), count_include_pad=counts, part=part)
        case _:
            assert_never(op)


def _window(op: ops.Pool2d) -> dict[str, Any]:
    """The attributes of a pool; ceil_mode only if it matters, as it loses the blocked layout."""
    p = op.padding
    return {
        "kernel_shape": op.kernel_size,
        "strides": op.stride,
        "pads": [p.top, p.left, p.bottom, p.right],
        "ceil_mode": int(op.ceil_mode) or None,
    }


def _shared(w: Writer, node: Node, real: ops.AvgPool2d, counted: ops.AvgPool2d) -> None:
    """The average of real cells, times the share that they are of the cells that its window divides by."""
    _pool(w, node, real, part="real")
    w.add("Mul", node, w.constant(f"{node.name}/share", _shares(counted, node)))


def _padded_first(w: Writer, node: Node, op: ops.AvgPool2d) -> None:
    """Explicit padding. Cells of a ceil-mode window beyond it never count."""
    import numpy as np

    p = op.padding
    pads = w.constant(f"{node.name}/pads", np.array([0, 0, p.top, p.left, 0, 0, p.bottom, p.right]))
    w.add("Pad", node, pads, part="padded")
    _pool(w, node, replace(op, padding=Padding(), count_include_pad=False))


def _shares(op: ops.AvgPool2d, node: Node) -> NDArray[Any]:
    """Of the cells that each window divides by, the share that is real: (1, H, W)."""
    import numpy as np

    (_, *size), p = node.input.maps(), op.padding
    ends = ((p.top, p.bottom), (p.left, p.right))
    axes = zip(size, op.counts(node.input), op.kernel_size, op.stride, ends, strict=True)
    down, across = (_share(*axis) for axis in axes)
    return np.outer(down, across)[None]


def _share(size: int, count: int, kernel: int, stride: int, padding: tuple[int, int]) -> NDArray[Any]:
    """The same along one axis, `padding` being the cells that count before and after it."""
    import numpy as np

    starts = np.arange(count) * stride - padding[0]
    real = np.minimum(starts + kernel, size) - np.maximum(starts, 0)
    share: NDArray[Any] = real / (np.minimum(starts + kernel, size + padding[1]) - starts)
    return share
