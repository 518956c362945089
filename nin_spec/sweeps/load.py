"""From a sweep file to a checked sweep: its axes, limits and objectives, each with its position."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nin_spec.diagnostics import Code, Diagnostic, Severity, Source, Span, SpecError, did_you_mean, short
from nin_spec.language import document, family
from nin_spec.language import load as language
from nin_spec.language.document import Entry, Items, Node, Table
from nin_spec.language.validate import validate_as
from nin_spec.sweeps import objectives
from nin_spec.sweeps.axes import NAME, Axis, ChoiceAxis, RangeAxis, is_whole, names_in, text_of
from nin_spec.sweeps.objectives import Objective

if TYPE_CHECKING:
    from nin_spec.sweeps.schema import Range, SweepFile


@dataclass(frozen=True)
class Sweep:
    """A checked sweep file. `base` is the merged tree of its base spec, with the command line's `--set`."""

    source: Source
    root: Table = field(repr=False)
    file: SweepFile
    base: Table = field(repr=False)
    axes: tuple[Axis, ...]
    objectives: tuple[Objective, ...]
    limits: Mapping[str, float]
    overrides: tuple[str, ...] = ()
    remarks: tuple[Diagnostic, ...] = ()

    @property
    def fixed(self) -> Mapping[str, Entry]:
        """The values of every candidate, by path."""
        found = self.root.get("set")
        return found.entries if isinstance(found, Table) else {}

    @property
    def size(self) -> float:
        """How many combinations the axes have; conditions may leave fewer."""
        return math.prod(axis.size for axis in self.axes)

    def span(self, *path: str | int) -> Span:
        """Where a value stands in the file; that of the nearest enclosing one if it is not set."""
        while path and (found := document.find(self.root, path)) is None:
            path = path[:-1]
        return found.span if path and found is not None else self.root.span


def load(path: str | Path, overrides: Iterable[str] = ()) -> Sweep:
    """Read and check a sweep file; `overrides` are dotted `path=value` strings for every candidate.

    Raises SpecError with every diagnostic.
    """
    return load_source(document.read_file(Path(path)), overrides)


def load_source(source: Source, overrides: Iterable[str] = ()) -> Sweep:
    """The same from a source, whose name is the path that `base` is relative to."""
    from nin_spec.sweeps.schema import SweepFile

    root = document.parse(source)
    if not isinstance(root, Table):
        hint = "a sweep file begins with `sweep: 1` and `base: ...`"
        raise SpecError(Code.YAML_NOT_A_MAPPING, "a sweep file is a mapping", root.span, hint)
    file = validate_as(SweepFile, root)
    found = list(_problems(file, root))
    if found:
        raise SpecError(sorted(found, key=lambda d: (d.span.line, d.span.column) if d.span else (0, 0)))
    base = language.base_of(source, root.entries["base"])
    overrides = tuple(overrides)
    for argument in overrides:
        base = family.override(base, argument)
    axes = tuple(_axes(file, root))
    limits = {name: float(limit) for name, limit in file.within if limit is not None}
    asked = objectives.of(file.objectives, root)
    return Sweep(source, root, file, base, axes, asked, limits, overrides, tuple(_remarks(axes)))


def _axes(file: SweepFile, root: Table) -> Iterator[Axis]:
    space = root.get("space")
    assert isinstance(space, Table)  # noqa: S101 validated
    for key, given in file.space.items():
        entry = space.entries[key]
        when = {name: frozenset(map(text_of, _listed(node))) for name, node in _conditions(entry.node).items()}
        if hasattr(given, "choices"):
            values = {text_of(node): node for node in _choices(entry.node)}
            yield ChoiceAxis(key, entry.key_span, values, when)
        else:
            whole = is_whole(entry.node)
            span = entry.node.span
            yield RangeAxis(key, entry.key_span, span, given.low, given.high, given.log, given.step, whole, when)


def _choices(node: Node) -> tuple[Node, ...]:
    found = node.get("choices") if isinstance(node, Table) else node
    return found.items if isinstance(found, Items) else ()


def _conditions(node: Node) -> Mapping[str, Node]:
    when = node.get("when") if isinstance(node, Table) else None
    return {key: entry.node for key, entry in when.entries.items()} if isinstance(when, Table) else {}


def _listed(node: Node) -> tuple[Node, ...]:
    return node.items if isinstance(node, Items) else (node,)


# ------------------------------------------------------------------ what the grammar can't check


def _problems(file: SweepFile, root: Table) -> Iterator[Diagnostic]:
    yield from _paths(root)
    yield from _names(root)
    yield from _spaces(file, root)
    yield from objectives.problems(file, root)


def _paths(root: Table) -> Iterator[Diagnostic]:
    """Keys are paths or names, and each is given once."""
    fixed, space = (root.get(key) for key in ("set", "space"))
    given = fixed.entries if isinstance(fixed, Table) else {}
    for key, entry in given.items():
        if not family.is_path(key) or key.startswith(("extends", "$")):
            hint = "for example set: {train.epochs: 6}; a `$name` belongs to space"
            yield Diagnostic(Code.BAD_OVERRIDE, f"{short(key)!r} is not a path of a spec", entry.key_span, hint)
    for key, entry in space.entries.items() if isinstance(space, Table) else ():
        if key in given:
            message = f"{key} is in set, too: it would never have that value"
            yield Diagnostic(Code.CONFLICT, message, entry.key_span, "remove one of the two")
        elif not (NAME.fullmatch(key) or (family.is_path(key) and not key.startswith(("extends", "$")))):
            hint = "for example blocks.0.kernel, train.optimizer.lr, or a name of your own: $width"
            message = f"{short(key)!r} is neither a path of a spec nor a $name"
            yield Diagnostic(Code.BAD_OVERRIDE, message, entry.key_span, hint)


def _names(root: Table) -> Iterator[Diagnostic]:
    """Each `$name` that is used is defined, and the other way round."""
    fixed, space = (root.get(key) for key in ("set", "space"))
    axes = space.entries if isinstance(space, Table) else {}
    defined = {key: entry for key, entry in axes.items() if key.startswith("$")}
    values = [entry.node for key, entry in axes.items() if not key.startswith("$")]
    used = list(names_in(fixed)) if fixed is not None else []
    used += [found for node in values for choice in _choices(node) for found in names_in(choice)]
    for name, span in used:
        if name not in defined:
            hint = did_you_mean(name, sorted(defined)) if defined else f"define it: space: {{{name}: [8, 16]}}"
            yield Diagnostic(Code.INVALID_VALUE, f"the name {name} is not in space", span, hint)
    for name, entry in defined.items():
        if name not in {n for n, _ in used}:
            message = f"no value uses {name}, so that it changes nothing"
            hint = f"use it, for example blocks.0.channels: [[{name}, {name}]]"
            yield Diagnostic(Code.CONFLICT, message, entry.key_span, hint)
        for inner, span in (found for choice in _choices(entry.node) for found in names_in(choice)):
            message = f"{name} can't be made of {inner}: a name has plain values"
            yield Diagnostic(Code.INVALID_VALUE, message, span)


def _spaces(file: SweepFile, root: Table) -> Iterator[Diagnostic]:
    space = root.get("space")
    entries = space.entries if isinstance(space, Table) else {}
    above: dict[str, frozenset[str] | None] = {}
    for key, given in file.space.items():
        node = entries[key].node
        seen: set[str] = set()
        for choice in _choices(node):
            if text_of(choice) in seen:
                message = f"space.{key}: the value {short(text_of(choice))} is given twice"
                yield Diagnostic(Code.INVALID_VALUE, message, choice.span)
            seen.add(text_of(choice))
        yield from _conditioned(key, node, above)
        above[key] = frozenset(seen) if seen else None
        if not hasattr(given, "choices"):
            yield from _range(key, given, node)
            if file.sampler == "grid" and given.step is None and not is_whole(node):
                hint = "add a step, list the values, or use sampler: tpe"
                yield Diagnostic(Code.CONFLICT, f"space.{key}: a grid has finitely many values", node.span, hint)


def _conditioned(key: str, node: Node, above: Mapping[str, frozenset[str] | None]) -> Iterator[Diagnostic]:
    """A condition names an axis above, and values that it has."""
    for other, wanted in _conditions(node).items():
        if other not in above:
            hint = "a condition names an axis above it" + (f": {', '.join(above)}" if above else "")
            message = f"space.{key}.when: {short(other)!r} is not an axis above this one"
            yield Diagnostic(Code.INVALID_VALUE, message, wanted.span, hint)
            continue
        known = above[other]
        for value in _listed(wanted) if known is not None else ():
            if known is not None and text_of(value) not in known:
                message = f"space.{key}.when: {other} never is {short(text_of(value))}"
                yield Diagnostic(Code.INVALID_VALUE, message, value.span, f"one of: {', '.join(sorted(known))}")


def _range(key: str, given: Range, node: Node) -> Iterator[Diagnostic]:
    low, high, step = given.low, given.high, given.step
    where = f"space.{key}: "
    if low > high:
        yield Diagnostic(Code.OUT_OF_RANGE, f"{where}from {low:g} is more than to {high:g}", node.span)
    elif given.log and low <= 0:
        message = f"{where}a logarithmic range begins above 0, not at {low:g}"
        yield Diagnostic(Code.OUT_OF_RANGE, message, node.span)
    elif given.log and step is not None:
        message = f"{where}log and step contradict each other"
        yield Diagnostic(Code.CONFLICT, message, node.span, "keep one of them, or list the values")
    elif step is not None and abs((high - low) / step - round((high - low) / step)) > 1e-9:
        last = low + math.floor((high - low) / step) * step
        message = f"{where}steps of {step:g} from {low:g} do not reach {high:g}"
        yield Diagnostic(Code.INVALID_VALUE, message, node.span, f"set to: {last:g}")


def _remarks(axes: Iterable[Axis]) -> Iterator[Diagnostic]:
    """What is legal and probably unintended."""
    for axis in axes:
        if axis.is_fixed and not (
            isinstance(axis, ChoiceAxis) and any(list(names_in(n)) for n in axis.values.values())
        ):
            hint = "add values, or move it to set"
            message = f"space.{axis.key} has one value, so that nothing is searched"
            yield Diagnostic(Code.SINGLE_VALUE, message, axis.key_span, hint, Severity.WARNING)
