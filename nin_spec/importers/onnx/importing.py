"""Import an ONNX file of any tool, with proof.

The path from input to output becomes a chain, the chain a spec, and the spec's export must compute the same as the
original, in onnxruntime. A file of nin-spec contains its spec (`own_file.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.budget import check_cost
from nin_spec.importers.chain import Array, Chain, Step, reading, refusal
from nin_spec.importers.decompiler.decompile import Imported, decompile
from nin_spec.importers.onnx.file import Source, read_source
from nin_spec.importers.onnx.input import Layout, contract_of, layout_of
from nin_spec.importers.onnx.own_file import OwnFile, Restored, own_file, restore
from nin_spec.importers.onnx.path import follow
from nin_spec.importers.onnx.walk import Walk
from nin_spec.importers.proof import TOLERANCE, Proof, compare_all, exported, runner, trial_pictures
from nin_spec.importers.recognise import Affine
from nin_spec.ir import ops
from nin_spec.ir.types import TensorType
from nin_spec.model import Preprocessing
from nin_spec.runtime.sizes import other_sizes
from nin_spec.runtime.tolerances import ANY, TOLERANCES

if TYPE_CHECKING:
    from nin_spec.model import Model


_CHEAPER = {
    True: "export it with an open batch",
    False: "pass a smaller --size, if the file leaves the size open",
}
"""What makes a proof cheaper, of a fixed batch or of an open one."""


def import_onnx(path: str | Path, size: tuple[int, ...] | None = None) -> tuple[Imported, list[str]]:
    """The spec and the model of an ONNX file, proved against it, with remarks.

    `size` is the picture's (height, width), or (channels, height, width), where the file leaves them open.

    Raises:
        ForeignModelError: a model that the language can't express; names the node.
        ParityError: the result does not compute the same.
    """
    with reading(str(path)):
        return _import(Path(path), size)


def _import(path: Path, size: tuple[int, ...] | None) -> tuple[Imported, list[str]]:
    """The same, within the boundary that turns what a library raises into a diagnostic."""
    source = read_source(path)
    own, remarks = _own(source, size)
    if isinstance(own, Restored):
        return prove_own(path, own, remarks)
    try:
        layout = layout_of(source, size)
        walk, chain = _walked(source, layout)
        check_cost(chain, layout.batch or 1, source.name, _CHEAPER[layout.batch is not None])
        told, more = contract_of(walk.contract, layout)
        found = decompile(replace(chain, **_said(own, chain, told)))
        _require_one_network(source, layout, found, chain)
    except ForeignModelError as error:
        raise _with_remarks(error, remarks) from None
    proof = prove(source.runnable(path), path.name, layout, walk.contract, found.model)
    told_more = more if told is not None or own is None else []
    return replace(found, proof=proof), [*remarks, *walk.remarks, *told_more, _proved(path, proof)]


def _own(source: Source, size: tuple[int, ...] | None) -> tuple[Restored | OwnFile | None, list[str]]:
    """The network of a file of nin-spec, or its metadata alone if its graph differs; and why."""
    own, damage = own_file(source)
    if own is None:
        return None, [f"its metadata is ignored: {damage}"] if damage else []
    if own.info.precision == "int8":
        why = "an int8 file: its weights and values are rounded to 8 bits and clipped to the range of its pictures"
        raise refusal(source.name, why, "import the float32 file from which it was made")
    if size is not None and size not in {own.network.graph.input.shape, own.network.graph.input.shape[1:]}:
        return own, []
    try:
        return restore(own, source), []
    except ForeignModelError as error:
        return own, [f"the metadata is ignored, since the graph does not match it: {error.diagnostics[0].message}"]


def _said(own: OwnFile | None, chain: Chain, contract: Preprocessing | None) -> dict[str, Any]:
    """What a file's own metadata adds to the network of its graph: its name, its pictures and its classes."""
    if own is None:
        return {"preprocessing": contract}
    card = own.network.card
    labels = card.labels if len(card.labels) == chain.output.shape[0] else ()
    fits = len(card.preprocessing.mean) == chain.input.shape[0] and not own.pixels
    return {
        "name": card.name,
        "summary": card.summary,
        "labels": labels,
        "preprocessing": card.preprocessing if fits and contract is None else contract,
    }


def _with_remarks(error: ForeignModelError, remarks: list[str]) -> ForeignModelError:
    """The refusal, with what was found in the file before it."""
    (told,) = error.diagnostics
    hint = "; ".join([*remarks, *([told.hint] if told.hint else [])])
    return ForeignModelError(replace(told, hint=hint or None))


def _walked(source: Source, layout: Layout) -> tuple[Walk, Chain]:
    """The chain of a file for pictures of this layout, and the state in which the walk ended."""
    empty = Chain(source.name, layout.input, open_size=layout.open_size)
    walk = Walk(source.fresh(), empty, source.input.name, layout.batch or 1, layout.channels_last)
    walk.open_batch = layout.batch is None
    return walk, follow(walk)


def _require_one_network(source: Source, layout: Layout, found: Imported, chain: Chain) -> None:
    """Raise ForeignModelError where another size of an open picture makes another network of the same graph."""
    for size in other_sizes(found.network.graph) if layout.open_size else ():
        _, other = _walked(source, replace(layout, size=(layout.size[0], *size)))
        for step, same in zip_longest(_effective(chain, other.input), _effective(other, other.input)):
            if step is None or same is None or step.op != same.op or not _equal(step.arrays, same.arrays):
                shown = "x".join(map(str, size))
                why = f"it depends on the picture's size, which is open: at {shown} it is a different layer"
                raise refusal((step or same).origin, why, "export the network with a fixed size")


def _effective(chain: Chain, x: TensorType) -> list[Step]:
    """The steps that do something to pictures like `x`: a global pool of maps of one cell does nothing."""
    kept = []
    for step in chain.steps:
        if not (isinstance(step.op, ops.GlobalPool2d) and x.shape[1:] == (1, 1)):
            kept.append(step)
        x = step.op.infer(x)
    return kept


def _equal(mine: Mapping[str, Array], theirs: Mapping[str, Array]) -> bool:
    """Whether two steps have the same arrays."""
    return mine.keys() == theirs.keys() and all(np.array_equal(mine[key], theirs[key]) for key in mine)


def _proved(path: Path, proof: Proof) -> str:
    """The remark on a proof that passed."""
    return f"computes the same as {path.name}: largest relative difference {proof.max_relative:.1e}"


# ------------------------------------------------------------------ proof


def prove(file: bytes | Path, name: str, layout: Layout, change: Affine | None, model: Model) -> Proof:
    """Compare the original with our export of the model. Raises ParityError."""
    original, ours = runner(file), runner(exported(model))
    column = (1, -1, 1, 1)

    def theirs(x: Array) -> Array:
        return original(x.transpose(0, 2, 3, 1) if layout.channels_last else x)

    def mine(x: Array) -> Array:
        return ours(x if change is None else x * change.gain.reshape(column) + change.offset.reshape(column))

    precision = "float16" if layout.half else "float32"
    tolerance = max(TOLERANCE, TOLERANCES[precision, ANY].allowed)
    contract = None if change is not None else model.card.preprocessing
    sizes = (layout.size[1:], *(other_sizes(model.graph) if layout.open_size else ()))
    raw = layout.dtype == "UINT8"
    trials = (trial_pictures((layout.size[0], *size), layout.batch, contract, raw=raw) for size in sizes)
    return compare_all((x for batches in trials for x in batches), mine, theirs, name, tolerance)


def prove_own(path: Path, own: Restored, remarks: list[str]) -> tuple[Imported, list[str]]:
    """The same for a file of nin-spec whose graph equals the export of its spec, added to `remarks`."""
    shown = f"{path.name} equals, node by node, the export of its spec"
    if own.precision == "float64":
        why = "it did not run, since onnxruntime's CPU provider has no float64 convolution"
        return own.found, [*remarks, f"{shown}; {why}"]
    theirs, ours = runner(path), runner(exported(own.found.model, **own.options))
    graph, contract = own.found.network.graph, own.found.network.card.preprocessing
    raw = own.options["takes"] == "pixels"
    channels = 1 if raw and contract.color == "gray" else graph.input.shape[0]
    tolerance = max(TOLERANCE, TOLERANCES[own.precision, ANY].allowed)
    sizes = (graph.input.shape[1:], *(other_sizes(graph) if graph.open_size else ()))
    trials = (trial_pictures((channels, *size), own.batch, contract, raw=raw) for size in sizes)
    last = raw and contract.layout == "HWC"
    given = (x.transpose(0, 2, 3, 1) if last else x for batches in trials for x in batches)
    proof = compare_all(given, ours, theirs, path.name, tolerance)
    return replace(own.found, proof=proof), [*remarks, shown, _proved(path, proof)]
