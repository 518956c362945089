"""The two forms of a Caffe net, `layer` and `layers`, and the solver: detection and fixes.

Sources: BVLC/caffe, src/caffe/proto/caffe.proto (LayerParameter, V1LayerParameter, SolverParameter) and
src/caffe/util/upgrade_proto.cpp, which refuses a net that mixes the forms.
"""

from __future__ import annotations

from typing import Any

from nin_spec.diagnostics import Code, ForeignModelError, Source, nearest
from nin_spec.importers.caffe.outline import Field
from nin_spec.importers.caffe.proto import messages

_NETS = frozenset({"net", "train_net", "test_net"})
_SOLVER = frozenset({
    *_NETS, "net_param", "train_net_param", "test_net_param", "base_lr", "lr_policy", "max_iter", "solver_mode",
    "solver_type", "stepsize", "snapshot", "snapshot_prefix", "test_interval", "test_iter",
})  # fmt: skip
MOVED = {
    "blobs_lr": "in `layer` it is param { lr_mult: ... }",
    "weight_decay": "in `layer` it is param { decay_mult: ... }",
    "param": "in `layers` it is blobs_lr and weight_decay",
}
"""Fields of the other form, and their place in this one."""
_UPGRADE = "update the file with Caffe's upgrade_net_proto_text"
_NEW_TYPES = {
    "BNLL": "BNLL",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "CCCP": "CCCP",
}
"""Where the new name of a type is not the old one in other letters: INNER_PRODUCT is InnerProduct."""


def check_form(outline: Field, source: Source) -> None:
    """Raises ForeignModelError at the field that shows it for a solver, or a net of both forms."""
    layers = [found for found in outline.inside if found.name in {"layer", "layers"}]
    solver = [found for found in outline.inside if found.name in _SOLVER]
    if solver and not layers:
        raise ForeignModelError(
            Code.IMPORT,
            "this is a solver; import needs the net",
            solver[0].span(source),
            _net_of(solver),
        )
    new = [found for found in layers if found.name == "layer"]
    old = [found for found in layers if found.name == "layers"]
    if new and old:
        odd = new if len(new) <= len(old) else old
        message = "the net has both `layer` and `layers`, the new form and the old"
        raise ForeignModelError(Code.IMPORT, message, odd[0].span(source), _other_form(odd[0]))


def hint_for(unknown: Field, message: Any) -> str:
    """Hint for an unknown field of a message (its descriptor)."""
    if unknown.name in MOVED and message.name in {"LayerParameter", "V1LayerParameter"}:
        return MOVED[unknown.name]
    if message.name == "V1LayerParameter":
        if unknown.name == "layer":
            return f"a file of 2013: {_UPGRADE}"
        if unknown.name in messages.LayerParameter.DESCRIPTOR.fields_by_name:
            return f"only `layer` has it, the new form of `layers`: {_UPGRADE}"
    near = nearest(unknown.name, list(message.fields_by_name))
    return f"did you mean {near!r}?" if near else "nin-spec reads the fields of BVLC's Caffe"


def _net_of(solver: list[Field]) -> str:
    """A hint that leads from a solver to its net."""
    named = next((found.value for found in solver if found.name in _NETS and found.value), None)
    if named is not None:
        return f"import its net: nin-spec import {named}"
    if any(found.name.endswith("net_param") for found in solver):
        return "write its net_param to a separate file, and import that"
    return "import the .prototxt of the net"


def _other_form(layer: Field) -> str:
    """The first line of a layer, written in the other form."""
    kind = next((found.value for found in layer.inside if found.name == "type"), "")
    if layer.name == "layer":
        old = old_type(kind)
        return f"write layers {{ type: {old} ... }}" if old else f"the old form has no type {kind!r}: {_UPGRADE}"
    return f'write layer {{ type: "{new_type(kind)}" ... }}'


def new_type(old: str) -> str:
    """The new name of an old type."""
    return _NEW_TYPES.get(old) or "".join(part.capitalize() for part in old.split("_"))


def old_type(new: str) -> str | None:
    """The old name of a new type, None where the old form has none."""
    return next((old for old in messages.V1LayerParameter.LayerType.keys() if new_type(old) == new), None)  # noqa: SIM118
