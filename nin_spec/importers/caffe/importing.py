"""Import a Caffe net, with proof, and without Caffe.

The path from picture to scores becomes a chain, the chain a spec. Caffe is not run: the spec's export must compute the
same as Caffe's published definitions, implemented separately (`reference.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.caffe.file import Layer, Net, blobs_of, dims_of, is_text, located, read_blobs, read_net
from nin_spec.importers.caffe.input import Size, contract_of, picture_of
from nin_spec.importers.caffe.path import follow
from nin_spec.importers.caffe.recipe import recipe_of
from nin_spec.importers.caffe.reference import forward
from nin_spec.importers.caffe.walk import BATCH, CaffeWalk
from nin_spec.importers.caffe.wiring import Wiring, wire
from nin_spec.importers.chain import Chain, reading, refusal
from nin_spec.importers.decompiler.decompile import Imported, decompile
from nin_spec.importers.proof import Proof, compare, outputs
from nin_spec.ir import ops
from nin_spec.ir.types import TensorType

Given = Mapping[str, tuple[Any, ...]] | None


def import_caffe(
    path: str | Path, caffemodel: str | Path | None = None, size: tuple[int, ...] | None = None
) -> tuple[Imported, list[str]]:
    """The spec and the model of a .prototxt or .caffemodel, proved, with remarks.

    `caffemodel` has the weights of a .prototxt; without one the model has initial weights, by the net's fillers if the
    language supports them. `size` is (height, width) or (channels, height, width), if the files leave them open.

    Raises:
        ForeignModelError: a net that the language can't express; names the layer and its position in the text.
        ParityError: the result does not compute the same.
    """
    with reading(str(path)):
        return _import(Path(path), caffemodel, size)


def _import(path: Path, caffemodel: str | Path | None, size: tuple[int, ...] | None) -> tuple[Imported, list[str]]:
    """The same, within the boundary that turns what a library raises into a diagnostic."""
    net = read_net(path)
    given = _given(net, path, caffemodel)
    wiring = wire(net)
    _check_shared(wiring)
    asked: Size = (None, None, None) if size is None else (None, *size)[-3:]  # type: ignore[assignment]
    shape = picture_of(net, wiring, asked, _channels(wiring, given))
    walk = CaffeWalk(Chain(net.name, TensorType(shape)), given)
    contract, remarks = contract_of(wiring, shape[0])
    try:
        found = decompile(replace(_quiet_rounding(follow(walk, wiring)), preprocessing=contract))
    except ForeignModelError as error:
        raise _at_layer(error, wiring) from None
    proof = _prove(found, walk, wiring, path.name)
    told = [*recipe_of(wiring, found.network), *_left_out(wiring)]
    if given is None:
        found = replace(found, model=found.network.initialise())
    return replace(found, proof=proof), [*remarks, *walk.remarks, *told, _proved(path, given, proof)]


def _given(net: Net, path: Path, caffemodel: str | Path | None) -> Given:
    """The blobs by layer, None if there are none."""
    if caffemodel is not None:
        return read_blobs(Path(caffemodel))
    return None if is_text(path) else blobs_of(net)


def _channels(wiring: Wiring, given: Given) -> int | None:
    """The channels of a picture, from the weights of a first convolution."""
    first = wiring.path[0] if wiring.path else None
    if first is None or given is None or first.type != "Convolution" or not given.get(first.name):
        return None
    dims = dims_of(given[first.name][0])
    return dims[1] * first.param("convolution_param").group if len(dims) == 4 else None


def _check_shared(wiring: Wiring) -> None:
    """Raises ForeignModelError where two layers on the path share weights."""
    users: dict[str, Layer] = {}
    for layer in wiring.path:
        for name in layer.shared:
            if users.setdefault(name, layer) is not layer:
                why = f"it shares its weights {name!r} with {users[name].name}: that is outside the language"
                raise located(refusal(layer.origin, why), layer.span)


def _quiet_rounding(chain: Chain) -> Chain:
    """Caffe's pools all round up: omitted if it does not change any of them."""
    pools = [(step, step.op) for step in chain.steps if isinstance(step.op, ops.Pool2d)]
    if any(replace(op, ceil_mode=False).counts(step.input) != op.counts(step.input) for step, op in pools):
        return chain
    steps = [replace(s, op=replace(s.op, ceil_mode=False)) if isinstance(s.op, ops.Pool2d) else s for s in chain.steps]
    return replace(chain, steps=tuple(steps))


def _at_layer(error: ForeignModelError, wiring: Wiring) -> ForeignModelError:
    """The error at the layer that its message names, if it has no position yet."""
    message = error.diagnostics[0].message
    spans = [layer.span for layer in wiring.path if message.startswith(f"{layer.origin}: ")]
    return located(error, spans[0]) if spans else error


# ------------------------------------------------------------------ proof and remarks


def _prove(found: Imported, walk: CaffeWalk, wiring: Wiring, name: str) -> Proof:
    """Compare the export of what was found with Caffe's definitions, on random pictures. Raises ParityError."""
    x = np.random.default_rng(1).standard_normal((BATCH, *found.network.graph.input.shape)).astype(np.float32)
    with np.errstate(all="ignore"):
        theirs = forward(wiring, walk.used, x)
    return compare(outputs(found.model, x), theirs, name)


def _proved(path: Path, given: Given, proof: Proof) -> str:
    """The remark that says what was compared with what."""
    weights = "random weights, since it has none" if given is None else "its weights"
    return (
        f"computes the same as Caffe's definitions for {path.name} with {weights}: "
        f"largest relative difference {proof.max_relative:.1e} (Caffe itself did not run)"
    )


def _left_out(wiring: Wiring) -> list[str]:
    """A remark on the measures that training with nin-spec does not have."""
    others = [layer.origin for layer in wiring.measures if layer.type not in {"Accuracy", "Silence", "SoftmaxWithLoss"}]
    return [f"ignored: {', '.join(others)}; training uses cross-entropy"] if others else []
