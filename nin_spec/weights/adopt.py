"""Foreign weights: the same tensors under another program's names.

A file with our names, with or without one prefix, is used directly; for a file with most of them, the error names the
missing and the unexpected ones. Otherwise its modules (the names up to the last dot) are matched with the graph's
layers, all or none:

1. in the file's order, if it has one that fits, as in a state_dict;
2. else by shape, and layers of equal shape by the numbers in their names (`net.2` before `net.10`).

A match is unambiguous: every tensor is used exactly once, with an equal shape and an equal last name component.
Anything else is an error, and so are two layers of equal shape whose names have no order.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, WeightsError
from nin_spec.ir.graph import Graph
from nin_spec.weights.naming import Fit, Shapes, by_suffix, complete, explain, fit, listed, nearly, preferred, show

Array = NDArray[np.floating[Any]]
COUNTER = "num_batches_tracked"
_Groups = dict[str, dict[str, tuple[int, ...]]]
"""The shapes of each module: `net.0.` has a weight and a bias. The module's name includes the last dot."""


@dataclass(frozen=True)
class Adoption:
    """Weights under the graph's names.

    `mapping` lists (their name, our name), `remarks` are for the user. `weights_are` is the file's description: `fresh,
    seed 0` for untrained ones. `by_name` is true if the names are the network's, with at most a common prefix; `prefix`
    is that prefix. `same_function` is false if the file was saved for a network that computes something else.
    """

    weights: dict[str, Array] = field(repr=False)
    mapping: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...] = ()
    weights_are: str = ""
    prefix: str = ""
    by_name: bool = True
    same_function: bool = True

    @property
    def renamed(self) -> bool:
        """True if the file has different names."""
        return any(theirs != ours for theirs, ours in self.mapping)


def adopt(  # noqa: PLR0913 keyword-only
    tensors: Mapping[str, Array],
    graph: Graph,
    file: str,
    *,
    ordered: bool,
    metadata: Mapping[str, str] | None = None,
    unusable: Mapping[str, str] | None = None,
) -> Adoption:
    """The tensors under the graph's names.

    `ordered` means that the tensors are in the order of the layers, as in a state_dict; `unusable` has reasons why some
    can't be weights. Raises WeightsError: WEIGHTS_MISMATCH names the tensors that do not fit, WEIGHTS_UNREADABLE a
    required one that is unusable.
    """
    ours = {name: p.shape for name, p in graph.parameters().items()}
    theirs = {name: array.shape for name, array in tensors.items() if not name.endswith(COUNTER)}
    prefix, remarks = _own_prefix(file, tensors, theirs, ours)
    if prefix is not None:
        mapping = _by_name(file, theirs, ours, prefix)
    else:
        mapping, in_order = _match(file, theirs, ours, ordered=ordered)
        if ordered and not in_order:
            remarks.append("the file's order is not the network's: matched by shape, equal shapes by number")
    for their in mapping.values():
        if why := (unusable or {}).get(their):
            raise WeightsError(Code.WEIGHTS_UNREADABLE, f"{file} can't be used: {their} {why}")
    weights = {our: converted(file, their, tensors[their], graph.input.dtype) for our, their in mapping.items()}
    require_variances(file, graph, weights, mapping)
    remarks += _remarks(tensors, mapping, graph)
    other = _other_function(graph, (metadata or {}).get("nin_spec.hash"))
    remarks += other
    pairs = tuple((their, our) for our, their in mapping.items())
    return Adoption(
        weights,
        pairs,
        tuple(remarks),
        (metadata or {}).get("nin_spec.weights", ""),
        prefix or "",
        prefix is not None,
        not other,
    )


def _own_prefix(file: str, tensors: Mapping[str, Array], theirs: Shapes, ours: Shapes) -> tuple[str | None, list[str]]:
    """The prefix of our names in the file, with remarks; None if the names are not ours."""
    found = complete(theirs, ours)
    if not found:
        return None, []
    chosen = preferred(found)
    if chosen is None and not all(_same(tensors, found[0], other, ours) for other in found[1:]):
        copies = ", ".join(f"{prefix}*" for prefix in found)
        hint = "save only the intended one: torch.save(net.state_dict(), ...)"
        raise WeightsError(
            Code.WEIGHTS_MISMATCH,
            f"{file} has {len(found)} networks that fit; which one to use is ambiguous: {copies}",
            hint=hint,
        )
    prefix = found[chosen or 0]
    remarks = [f"the names are the network's, after the prefix {prefix!r}"] if prefix else []
    if len(found) > 1:
        rest = ", ".join(f"{other}*" if other else "the names without a prefix" for other in found if other != prefix)
        remarks.append(f"used {prefix or 'the names without a prefix'}{'*' if prefix else ''}, not {rest}")
    copies_of_ours = {other + name for other in found for name in ours}
    if outside := [name for name in theirs if not name.startswith(prefix) and name not in copies_of_ours]:
        remarks.append(f"ignored {listed(outside)}: without the prefix {prefix!r}")
    return prefix, remarks


def _same(tensors: Mapping[str, Array], one: str, other: str, names: Iterable[str]) -> bool:
    return all(np.array_equal(tensors[one + name], tensors[other + name]) for name in names)


def _by_name(file: str, theirs: Shapes, ours: Shapes, prefix: str) -> dict[str, str]:
    """Our names to theirs. Raises WeightsError if a shape differs."""
    if any(theirs[prefix + name] != shape for name, shape in ours.items()):
        _refuse_nearly(file, fit(theirs, ours, prefix), theirs, ours)
    return {name: prefix + name for name in ours}


def require_variances(
    file: str, graph: Graph, weights: Mapping[str, Array], named: Mapping[str, str] | None = None
) -> None:
    """Raise WeightsError for a negative variance; `named` has the file's names."""
    for name, p in graph.parameters().items():
        if p.role == "var" and (weights[name] < 0).any():
            raise WeightsError(
                Code.WEIGHTS_MISMATCH, f"{file}: {(named or {}).get(name, name)} has a negative variance"
            )


def converted(file: str, name: str, array: Array, dtype: str) -> Array:
    """A copy in the graph's dtype, every number finite."""
    with np.errstate(over="ignore"):
        made: Array = np.array(array, dtype=dtype)
    if not np.isfinite(array).all():
        raise WeightsError(
            Code.WEIGHTS_MISMATCH,
            f"{file}: {name} has values that are NaN or infinite",
            hint="train again, or use an earlier checkpoint",
        )
    if not np.isfinite(made).all():
        raise WeightsError(
            Code.WEIGHTS_MISMATCH,
            f"{file}: {name} has values out of the range of {dtype}",
            hint="set dtype: float64 in the spec",
        )
    return made


# ------------------------------------------------------------------ matching


def _grouped(shapes: Shapes) -> _Groups:
    """Tensors by module: `net.0.weight` and `net.0.bias` belong together."""
    groups: _Groups = {}
    for name, shape in shapes.items():
        last = name.rpartition(".")[2]
        groups.setdefault(name.removesuffix(last) if last else name, {})[last] = shape
    return groups


def _match(file: str, theirs: Shapes, ours: Shapes, *, ordered: bool) -> tuple[dict[str, str], bool]:
    """Our names to theirs, and whether the file's order was the network's.

    If most of the names are ours, the names decide, and shapes are not matched: such a file is incomplete.
    """
    named = by_suffix(theirs, ours)
    if named is not None and all(theirs[their] == ours[our] for our, their in named.items()):
        return named, True
    if (near := nearly(theirs, ours)) is not None:
        _refuse_nearly(file, near, theirs, ours)
    their_groups, our_groups = _grouped(theirs), _grouped(ours)
    in_order = ordered and list(their_groups.values()) == list(our_groups.values())
    if in_order:
        pairs = dict(zip(our_groups, their_groups, strict=True))
    else:
        pairs, left = _by_shape(their_groups, our_groups)
        if left or len(pairs) != len(our_groups):
            by_shape = (next((o for o in our_groups if o not in pairs), None), next(iter(left), None))
            _misfit(file, their_groups, our_groups, _first(their_groups, our_groups) if ordered else by_shape)
        _require_order(file, their_groups)
    return {f"{our}{last}": f"{pairs[our]}{last}" for our, group in our_groups.items() for last in group}, in_order


def _by_shape(theirs: _Groups, ours: _Groups) -> tuple[dict[str, str], list[str]]:
    """Our modules to theirs of the same shapes, in the natural order of their names, and the remaining ones."""
    left = sorted(theirs, key=_natural)
    pairs: dict[str, str] = {}
    for our, group in ours.items():
        found = next((name for name in left if theirs[name] == group), None)
        if found is not None:
            left.remove(found)
            pairs[our] = found
    return pairs, left


def _require_order(file: str, groups: _Groups) -> None:
    """Raise WeightsError for modules of equal shapes whose names have no order.

    `net.2` comes before `net.10`, but the order of `left` and `right` is unknown.
    """
    seen: dict[frozenset[tuple[str, tuple[int, ...]]], str] = {}
    for name, group in groups.items():
        other = seen.setdefault(frozenset(group.items()), name)
        if re.sub(r"[0-9]+", "0", other) != re.sub(r"[0-9]+", "0", name):
            alike = f"{other.rstrip('.')} and {name.rstrip('.')}"
            hint = "pass the .pt file, which keeps the order, or use the names of `nin-spec build -o`"
            raise WeightsError(
                Code.WEIGHTS_MISMATCH, f"{file} fits, but {alike} could be exchanged: their order is unknown", hint=hint
            )


def _natural(name: str) -> list[tuple[int, int, str]]:
    """`layer10` after `layer2`. Numbers compare by length, then as text: int() refuses thousands of digits."""
    parts = [part for part in re.split(r"([0-9]+)|\.", name) if part]
    numbers = [part.lstrip("0") if re.fullmatch("[0-9]+", part) else None for part in parts]
    return [(1, 0, part) if n is None else (0, len(n), n) for part, n in zip(parts, numbers, strict=True)]


# ------------------------------------------------------------------ errors


def _refuse_nearly(file: str, found: Fit, theirs: Shapes, ours: Shapes) -> NoReturn:
    message, hint = explain(found, theirs, ours)
    raise WeightsError(Code.WEIGHTS_MISMATCH, f"{file} does not fit: {message}", hint=hint or _HINT)


_Pair = tuple[str | None, str | None]


def _first(theirs: _Groups, ours: _Groups) -> _Pair:
    """The first pair in both orders that does not fit; None after the end of one."""
    pairs = itertools.zip_longest(ours, theirs)
    return next((o, t) for o, t in pairs if o is None or t is None or ours[o] != theirs[t])


def _misfit(file: str, theirs: _Groups, ours: _Groups, pair: _Pair) -> NoReturn:
    """Raise WeightsError with the counts, if they differ, and the first layer that does not fit."""
    our, their = pair
    spec = "the spec has no more layers" if our is None else f"the spec's {_describe(our, ours)}"
    found = "the file has no more" if their is None else f"the file's {_describe(their, theirs)}"
    a, b = sum(map(len, theirs.values())), sum(map(len, ours.values()))
    counts = f"it has {a} tensors in {len(theirs)} layers, the network {b} in {len(ours)}; "
    same = (a, len(theirs)) == (b, len(ours))
    raise WeightsError(
        Code.WEIGHTS_MISMATCH, f"{file} does not fit: {'' if same else counts}{spec}, {found}", hint=_HINT
    )


_HINT = (
    "nothing was loaded; the network must have the same layers, in the same order, as the checkpoint; "
    "see `nin-spec guide weights`"
)


def _describe(module: str, groups: _Groups) -> str:
    shapes = sorted(groups[module].items(), reverse=True)
    return f"{module.rstrip('.')} has " + ", ".join(f"{last} {show(shape)}" for last, shape in shapes)


def _remarks(tensors: Mapping[str, Array], mapping: Mapping[str, str], graph: Graph) -> Iterator[str]:
    counters = sum(name.endswith(COUNTER) for name in tensors)
    if counters:
        yield f"ignored {counters} batch counters ({COUNTER}), which inference does not use"
    kinds = sorted({str(tensors[name].dtype) for name in mapping.values()} - {graph.input.dtype})
    if kinds:
        yield f"converted from {', '.join(kinds)} to {graph.input.dtype}"


def _other_function(graph: Graph, made_for: str | None) -> list[str]:
    """A remark if the weights were saved for another function than the graph's."""
    from nin_spec.passes.normal_form import semantic_hash

    own = semantic_hash(graph)
    if made_for in {None, own}:
        return []
    return [
        f"the weights were saved for {made_for}; this spec, {own}, computes a different function of the same tensors"
    ]
