"""Foreign weights: another program's names for the same tensors, in the same order.

A file with our names is taken as it is. Otherwise its modules (the names up to the last dot) are matched
with the graph's layers one by one: in the file's order where it has one, in the natural order of its
names, or by shapes where no two layers are alike. A match is proved: every tensor is used exactly once,
with an equal shape and an equal last name. Whatever can't be proved is refused as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, Diagnostic, WeightsError
from nin_spec.ir.graph import Graph

Array = NDArray[np.floating[Any]]
COUNTER = "num_batches_tracked"
_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""

_Shapes = dict[str, tuple[int, ...]]
_Groups = dict[str, _Shapes]


@dataclass(frozen=True)
class Adoption:
    """Weights under the graph's names; `mapping` lists (their name, our name), `remarks` what else to know."""

    weights: dict[str, Array] = field(repr=False)
    mapping: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...] = ()

    @property
    def renamed(self) -> bool:
        """True when the file had other names."""
        return any(theirs != ours for theirs, ours in self.mapping)


def adopt(
    tensors: Mapping[str, Array], graph: Graph, file: str, *, ordered: bool, metadata: Mapping[str, str] | None = None
) -> Adoption:
    """The tensors under the graph's names.

    `ordered` says that the tensors come in the order of the layers, as in a state_dict. Raises WeightsError
    (WEIGHTS_MISMATCH) naming the first tensor that does not fit.
    """
    ours = graph.parameters()
    theirs = {name: array for name, array in tensors.items() if not name.endswith(COUNTER)}
    _finite(file, theirs)
    names = {_bare(n): n for n in theirs}
    shapes = {name: p.shape for name, p in ours.items()}
    if len(names) == len(theirs) and set(names) == set(shapes):
        mapping = {names[name]: name for name in shapes}
        _equal_shapes(file, mapping, theirs, shapes)
    else:
        mapping = _match(file, _grouped({n: a.shape for n, a in theirs.items()}), _grouped(shapes), ordered=ordered)
    by_ours = {our: their for their, our in mapping.items()}
    weights = {name: np.array(theirs[by_ours[name]], dtype=graph.input.dtype) for name in shapes}
    pairs = tuple((by_ours[name], name) for name in shapes)
    return Adoption(weights, pairs, tuple(_remarks(tensors, theirs, graph, metadata or {})))


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _finite(file: str, tensors: Mapping[str, Array]) -> None:
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            _refuse(f"{file}: {name} holds numbers that are not finite", "train again, or take an earlier checkpoint")


def _equal_shapes(file: str, mapping: Mapping[str, str], theirs: Mapping[str, Array], shapes: _Shapes) -> None:
    for their, our in mapping.items():
        if theirs[their].shape != shapes[our]:
            _refuse(f"{file}: {their} has the shape {_show(theirs[their].shape)}, the spec says {_show(shapes[our])}")


def _grouped(shapes: _Shapes) -> _Groups:
    """Tensors by module: `net.0.weight` and `net.0.bias` belong together."""
    groups: _Groups = {}
    for name, shape in shapes.items():
        module, _, last = name.rpartition(".")
        groups.setdefault(module, {})[last] = shape
    return groups


def _match(file: str, theirs: _Groups, ours: _Groups, *, ordered: bool) -> dict[str, str]:
    """Their names to ours, by the one order of their modules that fits."""
    _same_count(file, theirs, ours)
    orders = _orders(theirs, ours, ordered=ordered)
    fitting = [order for order in orders if _misfit(order, theirs, ours) is None]
    if not fitting:
        _refuse(f"{file} does not fit: {_misfit(orders[0], theirs, ours)}", _HINT)
    alike = None if ordered else _alike(theirs)
    if alike:
        message = f"{file} fits, but {alike[0]} and {alike[1]} could be exchanged: nothing says which comes first"
        _refuse(message, "give the .pt file, which keeps the order, or take the names of `nin-spec build -o`")
    return {
        f"{their}.{last}".lstrip("."): f"{our}.{last}"
        for their, our in zip(fitting[0], ours, strict=True)
        for last in ours[our]
    }


_HINT = "nothing was loaded; the network must have the same layers, in the same order, as the checkpoint"


def _same_count(file: str, theirs: _Groups, ours: _Groups) -> None:
    a, b = sum(map(len, theirs.values())), sum(map(len, ours.values()))
    if (a, len(theirs)) != (b, len(ours)):
        first = _misfit([*theirs, *[""] * len(ours)][: len(ours)], theirs, ours)
        counts = f"it has {a} tensors in {len(theirs)} layers, the network {b} in {len(ours)}"
        _refuse(f"{file} does not fit: {counts}" + (f"; first, {first}" if first else ""), _HINT)


def _orders(theirs: _Groups, ours: _Groups, *, ordered: bool) -> list[list[str]]:
    """The orders of their modules worth trying, the most trusted first."""
    natural = sorted(theirs, key=_natural)
    found = [list(theirs), natural] if ordered else [natural]
    by_shape: dict[frozenset[tuple[str, tuple[int, ...]]], list[str]] = {}
    for name, group in theirs.items():
        by_shape.setdefault(frozenset(group.items()), []).append(name)
    unique = [by_shape.get(frozenset(group.items()), []) for group in ours.values()]
    if all(len(names) == 1 for names in unique):
        found.append([name for (name,) in unique])
    return found


def _alike(groups: _Groups) -> tuple[str, str] | None:
    """Two modules of equal shapes whose names do not say which comes first.

    A safetensors file keeps no order. `net.2` comes before `net.10`, but of `left` and `right` nobody knows.
    """
    seen: dict[frozenset[tuple[str, tuple[int, ...]]], str] = {}
    for name, group in groups.items():
        other = seen.setdefault(frozenset(group.items()), name)
        if re.sub(r"\d+", "0", other) != re.sub(r"\d+", "0", name):
            return other, name
    return None


def _natural(name: str) -> list[tuple[int, int, str]]:
    """`layer10` after `layer2`."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)|\.", name) if part]


def _misfit(order: list[str], theirs: _Groups, ours: _Groups) -> str | None:
    """What is wrong with the first pair that does not fit, or None."""
    for their, our in zip(order, ours, strict=True):
        a, b = theirs.get(their, {}), ours[our]
        if a != b:
            return f"the spec's {our} has {_describe(b)}, the file's {their or 'end'} has {_describe(a)}"
    return None


def _describe(group: _Shapes) -> str:
    return ", ".join(f"{last} {_show(shape)}" for last, shape in sorted(group.items(), reverse=True)) or "nothing"


def _show(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _remarks(
    tensors: Mapping[str, Array], theirs: Mapping[str, Array], graph: Graph, metadata: Mapping[str, str]
) -> Iterator[str]:
    from nin_spec.passes.normal_form import semantic_hash

    counters = len(tensors) - len(theirs)
    if counters:
        yield f"left out {counters} counters of batches ({COUNTER}), which compute nothing"
    kinds = sorted({str(a.dtype) for a in theirs.values()} - {graph.input.dtype})
    if kinds:
        yield f"converted from {', '.join(kinds)} to {graph.input.dtype}"
    made_for, own = metadata.get("nin_spec.hash"), semantic_hash(graph)
    if made_for not in {None, own}:
        yield f"the weights were saved for {made_for}; this spec, {own}, computes another function of the same tensors"


def _refuse(message: str, hint: str | None = None) -> NoReturn:
    raise WeightsError(Diagnostic(Code.WEIGHTS_MISMATCH, message, hint=hint))
