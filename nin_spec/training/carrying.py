"""The weights that a training starts from: those of a file, whole or under a new head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from nin_spec.diagnostics import Code, WeightsError, counted
from nin_spec.model import Model
from nin_spec.network import Network
from nin_spec.printing import columns
from nin_spec.training.folder import Origin, StartRecord, recipe_of
from nin_spec.weights import labels_of, read, transfer
from nin_spec.weights.choosing import choose
from nin_spec.weights.naming import listed
from nin_spec.weights.state import Checkpoint


def start_from(network: Network, file: Path, *, new_head: bool) -> tuple[Model, StartRecord]:
    """The network with the weights of a file, and the origin of each tensor.

    Without `new_head` every tensor must fit, and the classes be the file's, if it names them. Raises WeightsError.
    """
    found = read(file, hashed=True)
    if new_head:
        fresh = network.initialise(recipe_of(network).seed)
        made = transfer(found, network.graph, fresh.weights, network.card.labels)
        origins: dict[str, Origin] = dict.fromkeys(made.weights, "fresh")
        origins |= dict.fromkeys(made.carried, "carried")
        origins |= dict.fromkeys(made.by_class, "by class")
        model, classes, dropped = Model(fresh.graph, made.weights, fresh.card), made.classes, made.dropped
    else:
        adoption = choose(found, network.graph)
        _require_classes(network, found)
        used = {theirs for theirs, _ in adoption.mapping}
        model, classes, origins = network.carrying(adoption), (), dict.fromkeys(adoption.weights, "carried")
        dropped = tuple(name for name in found.tensors if name not in used)
    record = StartRecord(
        file=str(file.resolve()),
        sha256=found.sha256,
        new_head=new_head,
        origins=origins,
        classes=list(classes),
        dropped=list(dropped),
    )
    return model, record


def _require_classes(network: Network, found: Checkpoint) -> None:
    """Raise WeightsError if the file's classes are not the network's, in their order."""
    theirs, ours = labels_of(found.metadata), network.card.labels
    if not theirs or theirs == ours or len(theirs) != len(ours):
        return
    first = next(k for k, (their, our) in enumerate(zip(theirs, ours, strict=True)) if their != our)
    message = f"{found.name} has other classes: class {first} is {theirs[first]!r}, in the spec {ours[first]!r}"
    hint = (
        "pass --new-head: classes of the same name are carried, the others start fresh; or list the file's labels "
        "under classes in the spec"
    )
    raise WeightsError(Code.WEIGHTS_MISMATCH, message, hint=hint)


def lines_of(record: StartRecord) -> list[str]:
    """What is carried, what is fresh and what is dropped, for a person."""
    if record.new_head:
        rows = [("layer", "carried", "fresh"), *_rows(record)]
        told = [f"weights of {record.file}, under a new head:", *(f"  {line}" for line in columns(rows))]
        told += [f"  classes carried by name: {listed(record.classes)}"] if record.classes else []
    else:
        told = [f"weights of {record.file}: {counted(len(record.origins), 'tensor')} carried"]
    return [*told, *([f"  dropped: {listed(record.dropped)}"] if record.dropped else [])]


def _rows(record: StartRecord) -> Iterator[tuple[str, str, str]]:
    """A row per layer: its name, what is carried, and what is fresh."""
    layers: dict[str, dict[str, Origin]] = {}
    for name, origin in record.origins.items():
        layer, _, last = name.rpartition(".")
        layers.setdefault(layer, {})[last] = origin
    for layer, origins in layers.items():
        carried, rows, fresh = (_of(origins, origin) for origin in ("carried", "by class", "fresh"))
        if rows:
            carried.append(f"{counted(len(record.classes), 'row')} of {', '.join(rows)}")
            fresh.append("the other rows")
        yield layer, ", ".join(carried) or "-", ", ".join(fresh) or "-"


def _of(origins: Mapping[str, Origin], origin: str) -> list[str]:
    return [last for last, own in origins.items() if own == origin]
