"""The choice of the opset, so that the target runtimes load the file and compute it correctly.

With a target that is the measured row of its onnxruntime (`targets.py`); without one, every release measured.
"""

from __future__ import annotations

from collections.abc import Iterator

from nin_spec.diagnostics import Code, ExportError
from nin_spec.exporters.onnx_pools import ways
from nin_spec.exporters.targets import Runtime, Target, form_of, table
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph, Node

DEFAULT_OPSET = 17
OPSETS = (13, 26)
DEFINED = 19
"""Before this opset ONNX does not define the divisor of a partial window's average."""


def choose_opset(graph: Graph, asked: int | None, target: Target | None = None) -> int:
    """The requested opset, else the lowest from 17 on that expresses the graph exactly and that the target computes.

    Raises ExportError for an opset that can't express the graph, and for what the target can't load or compute.
    """
    needed = DEFINED if _left_open(graph) else OPSETS[0]
    if target is not None:
        return _for_target(graph, asked, target, needed)
    if asked is None:
        return max(DEFAULT_OPSET, needed)
    if asked < needed:
        raise _vague(graph, asked)
    return asked


def _left_open(graph: Graph) -> list[Node]:
    """Ceil-mode averages of an open size. Where it is fixed there are ways to write them without ceil_mode."""
    return [n for n in graph if graph.open_size and isinstance(n.op, ops.AvgPool2d) and n.op.ceil_mode]


def _vague(graph: Graph, asked: int) -> ExportError:
    node = _left_open(graph)[0]
    message = f"opset {asked} does not define the divisor of {node.name}, a ceil-mode average of an open size"
    return ExportError(Code.EXPORT_OPTION, message, node.span, f"use opset {DEFINED} or later")


def _for_target(graph: Graph, asked: int | None, target: Target, needed: int) -> int:
    runtime = target.runtime
    if asked is not None and asked > runtime.opset:
        message = f"{target} supports opsets up to {runtime.opset}, not {asked}"
        hint = "remove --opset, or pass a later target"
        raise ExportError(Code.EXPORT_OPTION, message, hint=hint)
    if not runtime.versions and needed > runtime.opset:
        # Not measured: graphs that its opsets don't define.
        raise _refused(graph, target, runtime.opset, None)
    if asked is not None and asked < needed and not runtime.versions:
        raise _vague(graph, asked)
    candidates = [asked] if asked is not None else list(_candidates(runtime, needed))
    for opset in candidates:
        if _first_wrong(graph, opset, runtime) is None:
            return opset
    raise _refused(graph, target, candidates[0], asked)


def _candidates(runtime: Runtime, needed: int) -> Iterator[int]:
    """17 or the next that is defined, those above, then those below, as far as the target has them."""
    first = max(min(DEFAULT_OPSET, runtime.opset), min(needed, runtime.opset))
    yield from range(first, min(runtime.opset, OPSETS[1]) + 1)
    yield from range(first - 1, OPSETS[0] - 1, -1)


def _first_wrong(graph: Graph, opset: int, runtime: Runtime) -> Node | None:
    """The first node for which the runtime computes no spelling correctly."""
    return next((node for node in graph if not _is_right(node, opset, runtime, open_size=graph.open_size)), None)


def _is_right(node: Node, opset: int, runtime: Runtime, *, open_size: bool) -> bool:
    return any(runtime.computes(form, opset) for form in _forms(node, open_size=open_size))


def _forms(node: Node, *, open_size: bool) -> list[str]:
    """The forms in which a node can be written, of which a runtime has to compute one."""
    if isinstance(node.op, ops.Pool2d):
        return [way.form for way in ways(node, open_size=open_size)]
    return [form_of(node.op, open_size=open_size)]


def _refused(graph: Graph, target: Target, opset: int, asked: int | None) -> ExportError:
    node = _first_wrong(graph, opset, target.runtime) or _left_open(graph)[0]
    at = f" at opset {asked}" if asked is not None else ""
    message = f"{target} can't compute {node.name}{at}, {_described(node, open_size=graph.open_size)}"
    cures = list(_fixes(graph, target, asked))
    return ExportError(Code.EXPORT_OPTION, message, node.span, ", or ".join(cures))


def _described(node: Node, *, open_size: bool) -> str:
    """`a ceil-mode average of an open size`."""
    if not isinstance(node.op, ops.Pool2d):
        return f"a {node.kind}"
    mode = "ceil-mode" if node.op.ceil_mode else "floor-mode"
    return f"a {mode} {node.op.noun} of {'an open' if open_size else 'a fixed'} size"


def _fixes(graph: Graph, target: Target, asked: int | None) -> Iterator[str]:
    """Fixes that make the export possible: another opset, a fixed size, a later release."""
    needed = DEFINED if _left_open(graph) else OPSETS[0]
    own = target.runtime
    if asked is not None and any(_first_wrong(graph, opset, own) is None for opset in _candidates(own, needed)):
        yield "remove --opset"
    if graph.open_size:
        yield "fix the size (input: {open: false})"
    rows = list(table().runtimes.values())
    for later in rows[rows.index(own) + 1 :]:
        if later.versions and any(_first_wrong(graph, opset, later) is None for opset in _candidates(later, needed)):
            yield f"pass a later target: onnxruntime=={later.name}"
            return


def readers(opset: int, target: Target | None) -> tuple[Runtime, ...]:
    """The runtimes of a file: the target's, or every measured release that loads the opset."""
    return (target.runtime,) if target else tuple(row for row in table().measured if row.opset >= opset)


def where_wrong(graph: Graph, opset: int, target: Target | None) -> Iterator[str]:
    """For a file without a target: the releases that load it but compute a node incorrectly, as measured."""
    if target is not None or not any(isinstance(node.op, ops.Pool2d) for node in graph):
        return
    known = readers(opset, None)
    for node in graph:
        forms = _forms(node, open_size=graph.open_size)
        names = [row.name for row in known if not any(row.computes(form, opset) for form in forms)]
        if names:
            releases = f"{names[0]} to {names[-1]}" if len(names) > 1 else names[0]
            yield f"onnxruntime {releases} computes {node.name} incorrectly: to export for it, pass --target"
            return


def ir_version(opset: int) -> int:
    """The IR version that an opset came with: any runtime that knows the opset loads it."""
    from onnx.helper import VERSION_TABLE

    return min(ir for _, ir, onnx_opset, *_ in VERSION_TABLE if onnx_opset == opset)


def file_ir(opset: int, target: Target | None) -> int:
    """The IR version of a file: that of its opset, or the target's highest where that is lower."""
    return min(ir_version(opset), target.runtime.ir) if target else ir_version(opset)
