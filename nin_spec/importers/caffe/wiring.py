"""The layers of a Caffe net that run, and the single path from the picture to the scores.

A net file holds the nets of training and of testing in one; ours is that of testing. Blobs are names that layers may
overwrite, often in place: each write is a separate value. Losses, accuracies and other measures are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nin_spec.importers.caffe.file import Layer, Net, located
from nin_spec.importers.caffe.proto import messages
from nin_spec.importers.chain import refusal

SOURCES = frozenset({"Data", "DummyData", "HDF5Data", "ImageData", "Input", "MemoryData", "WindowData"})
MEASURES = frozenset({
    *("Accuracy", "ContrastiveLoss", "EuclideanLoss", "HDF5Output", "HingeLoss", "InfogainLoss", "Silence"),
    *("MultinomialLogisticLoss", "SigmoidCrossEntropyLoss", "SoftmaxWithLoss"),
})  # fmt: skip
"""What reads the scores and gives nothing that a classifier needs."""
_CHAIN = "residual sums, side branches and further outputs are outside the language"


@dataclass
class Wiring:
    """The layers that run, in order, and those of them on the path; the source, None where `input` declares one."""

    running: list[Layer]
    source: Layer | None
    picture: str
    path: list[Layer] = field(default_factory=list)

    @property
    def measures(self) -> list[Layer]:
        """Layers that were left out."""
        return [layer for layer in self.running if layer.type in MEASURES]


def wire(net: Net) -> Wiring:
    """The path of a net. Raises ForeignModelError, at the layer, if it is not a chain."""
    wiring = _running(net)
    readers, value = _readers(wiring, net)
    while found := readers.get(value):
        (number, layer), *others = found
        for _, other in others:
            why = f"{layer.name} reads the same blob {value[0]!r}, but a network of the language is a chain"
            raise located(refusal(other.origin, why, _CHAIN), other.span)
        _check_ends(layer, [top for top in layer.tops[1:] if (top, number) in readers])
        wiring.path.append(layer)
        value = (layer.tops[0], number)
    _nothing_else(wiring)
    return wiring


def _check_ends(layer: Layer, used: Sequence[str]) -> None:
    """One blob in, one out."""
    if len(layer.bottoms) != 1 or not layer.tops or used:
        ends = f"{len(layer.bottoms)} blobs and outputs {1 + len(used) if layer.tops else 0}"
        why = f"it takes {ends}, but a network of the language is a chain"
        raise located(refusal(layer.origin, why, _CHAIN), layer.span)


def _nothing_else(wiring: Wiring) -> None:
    """Every layer that runs is on the path, or doesn't matter."""
    on_path = {id(layer) for layer in wiring.path}
    for layer in wiring.running:
        if id(layer) not in on_path and layer.type not in SOURCES | MEASURES | {"Split"}:
            raise located(refusal(layer.origin, "it is not on the path from the picture to the scores"), layer.span)


def _running(net: Net) -> Wiring:
    """The net of testing; that of training where the file holds no other, as a snapshot may."""
    for phase in (messages.TEST, messages.TRAIN):
        running = [layer for layer in net.layers if _runs(layer, phase)]
        source = next((layer for layer in running if layer.type in SOURCES), None)
        picture = next(iter(net.inputs), None) or (source.tops[0] if source and source.tops else None)
        if picture is not None:
            return Wiring(running, None if net.inputs else source, picture)
    raise refusal(net.name, "no layer and no `input` provides its pictures")


def _runs(layer: Layer, phase: int) -> bool:
    """Caffe's rules of `include` and `exclude`, for no level and no stage; in-place dropout runs in any phase."""
    include, exclude = layer.message.include, layer.message.exclude
    if include and exclude:
        raise located(refusal(layer.origin, "it has both include and exclude rules"), layer.span)
    if layer.type == "Dropout" and layer.bottoms == layer.tops:
        return True
    if include:
        return any(_met(rule, phase) for rule in include)
    return not any(_met(rule, phase) for rule in exclude)


def _met(rule: Any, phase: int) -> bool:
    """Whether a rule (NetStateRule) holds in a phase, at level 0 and at no stage."""
    by_phase = not rule.HasField("phase") or rule.phase == phase
    by_level = rule.min_level <= 0 and (not rule.HasField("max_level") or rule.max_level >= 0)
    return by_phase and by_level and not rule.stage


# ------------------------------------------------------------------ values

Value = tuple[str, int]
"""A blob, and the number of the layer that wrote it."""


def _readers(wiring: Wiring, net: Net) -> tuple[dict[Value, list[tuple[int, Layer]]], Value]:
    """Who computes with which value, and the picture's. A Split gives its value other names."""
    current: dict[str, Value] = {name: (name, -1) for name in net.inputs}
    readers: dict[Value, list[tuple[int, Layer]]] = {}
    picture: Value = (wiring.picture, -1)
    for number, layer in enumerate(wiring.running):
        for bottom in layer.bottoms:
            if bottom not in current:
                raise located(refusal(layer.origin, f"no layer before it outputs the blob {bottom!r}"), layer.span)
        read = [current[bottom] for bottom in layer.bottoms]
        if layer.type == "Split" and len(read) == 1:
            current.update(dict.fromkeys(layer.tops, read[0]))
            continue
        if layer.type not in MEASURES:
            for value in dict.fromkeys(read):
                readers.setdefault(value, []).append((number, layer))
        current.update({top: (top, number) for top in layer.tops})
        if layer is wiring.source:
            picture = (wiring.picture, number)
    return readers, picture
