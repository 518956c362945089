"""Families: a spec that extends another, and command-line overrides, merged by one rule.

The new value is merged over the old one: a mapping changes the keys it names, null removes, all else replaces.
`--set a.b=v` is the mapping `{a: {b: v}}`. Nodes are merged, so origins survive.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nin_spec.diagnostics import Code, Diagnostic, Source, Span, SpecError, did_you_mean, short
from nin_spec.language.document import MAX_DEPTH, Entry, Items, Node, Path_, Table, Value, parse

_EITHER = {"channels": "convs", "convs": "channels"}
"""Two spellings of one thing: giving one replaces the other."""

KINDS = ("norm", "activation", "pool", "init", "optimizer", "schedule", "resize")
"""Keys whose value may be a bare word: a mapping with only a kind."""

_LONG = {**dict.fromkeys(KINDS, "kind"), "dropout": "p", "convs": "channels", "dense": "units"}
"""The mapping that a bare value abbreviates under a key, or as an item of a list under it."""

_SIDES = ("top", "bottom", "left", "right")


class _Route(Table):
    """A mapping that is only a step of the path to the value set: the base's span stays."""

    __slots__ = ()


def merge(base: Table, over: Table, path: Path_ = ()) -> Table:
    """`over` merged over `base`: mappings merge, null removes, everything else replaces.

    A mapping over a list changes the items that it names: by index, blocks also by name. One that changes a kind
    keeps the keys that mean the same for both kinds. `path` is the path of both.

    Raises SpecError for an item that the base does not have.
    """
    entries = dict(base.entries)
    for key in _outdated(str(path[-1]) if path else "", base, over):
        entries.pop(key)
    for key, entry in over.entries.items():
        if _is_null(entry.node):
            entries.pop(key, None)
            continue
        other = None if _EITHER.get(key) in over.entries else entries.pop(_EITHER.get(key, ""), None)
        below = entries.get(key)
        if key == "convs" and below is None:
            below = other  # `channels: [a, b]` says the same as `convs: [a, b]`
        entries[key] = Entry(entry.key_span, _laid_over(below.node if below else None, entry.node, (*path, key)))
    return Table(entries, base.span if isinstance(over, _Route) else over.span)


def _is_null(node: Node) -> bool:
    return isinstance(node, Value) and node.value is None


def _outdated(key: str, base: Table, over: Table) -> set[str]:
    """The keys of the base that are unknown, or mean something else, for the new kind."""
    old, new = base.get("kind"), over.get("kind")
    if key not in KINDS or not isinstance(old, Value) or not isinstance(new, Value) or old.value in {new.value, None}:
        return set()
    from nin_spec.language.kinds import shared

    return base.entries.keys() - {"kind"} - shared(key, str(old.value), str(new.value))


def _laid_over(base: Node | None, over: Node, path: Path_) -> Node:
    if not isinstance(over, Table):
        return over
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    base = _long(key, base, over)
    if isinstance(base, Items):
        return _merge_items(base, over, path)
    return merge(base if isinstance(base, Table) else Table({}, over.span), over, path)


def _long(key: str, node: Node | None, over: Table) -> Node | None:
    """A short value in its long spelling, so that other keys can be set: `norm: batch` is `{kind: batch}`."""
    if key == "padding" and over.entries.keys() <= set(_SIDES):
        return _by_side(node)
    if isinstance(node, Value) and node.value is not None and key in _LONG:
        return Table({_LONG[key]: Entry(node.span, node)}, node.span)
    return node


def _by_side(node: Node | None) -> Node | None:
    """`1`, or `[1, 2]`, as the padding of four sides."""
    match node:
        case Value(value=int() as cells) if not isinstance(cells, bool):
            sides: Sequence[Node] = [node] * 4
        case Items(items=(vertical, horizontal)):
            sides = [vertical, vertical, horizontal, horizontal]
        case _:
            return node
    return Table({side: Entry(n.span, n) for side, n in zip(_SIDES, sides, strict=True)}, node.span)


def _merge_items(base: Items, over: Table, path: Path_) -> Items:
    """Change items of a list by index, blocks also by name; null removes an item."""
    names = block_names(base) if path == ("blocks",) else [str(i) for i in range(len(base.items))]
    items: list[Node | None] = list(base.items)
    unknown = []
    for key, entry in over.entries.items():
        index = _index(key, names)
        if index is None:
            unknown.append(_no_item(key, entry.key_span, names, path))
        elif items[index] is not None:
            laid = None if _is_null(entry.node) else _laid_over(items[index], entry.node, (*path, index))
            items[index] = laid
    if unknown:
        raise SpecError(unknown)
    return Items(tuple(item for item in items if item is not None), base.span)


def _index(key: str, names: list[str]) -> int | None:
    if key in names:
        return names.index(key)
    return int(key) if re.fullmatch(r"0|[1-9][0-9]{0,5}", key) and int(key) < len(names) else None


def _no_item(key: str, span: Span, names: list[str], path: Path_) -> Diagnostic:
    if path == ("blocks",):
        return Diagnostic(Code.UNKNOWN_BLOCK, f"unknown block {short(key)!r}", span, did_you_mean(key, names))
    where, hint = ".".join(map(str, path)), f"items are named by index, from 0 to {len(names) - 1}" if names else None
    return Diagnostic(
        Code.BAD_OVERRIDE, f"{where} has {len(names)} items; {short(key)!r} is not one of them", span, hint
    )


def block_names(blocks: Items) -> list[str]:
    """The key of each block: its name, else its index."""
    found = []
    for i, block in enumerate(blocks.items):
        name = block.get("name") if isinstance(block, Table) else None
        found.append(name.value if isinstance(name, Value) and isinstance(name.value, str) else str(i))
    return found


def override(root: Table, argument: str) -> Table:
    """The tree with one `path=value` of the command line merged over it, as in a spec that extends it.

    The path is dotted, list items by index and blocks also by name; the value is YAML, null removes.
    Raises SpecError (BAD_OVERRIDE) if the argument is not of that form.
    """
    path, equals, text = argument.partition("=")
    source = Source("--set", argument)
    span = Span(source, 1, 1, max(1, len(path)))
    if not equals or not is_path(path):
        message = f"{short(argument)!r} is not an override"
        hint = "write path=value, for example blocks.0.kernel=7"
        raise SpecError(Code.BAD_OVERRIDE, message, span, hint)
    if path.split(".")[0] == "extends":
        message = "extends is read before any override"
        raise SpecError(Code.BAD_OVERRIDE, message, span, "write a spec that extends the other one")
    return put(root, path, Entry(span, _value(source, len(path) + 1, text)))


def is_path(text: str) -> bool:
    """Whether a text is a dotted path, such as `blocks.0.kernel`."""
    return re.fullmatch(r"[^\s.]+(\.[^\s.]+)*", text) is not None and text.count(".") < MAX_DEPTH


def put(root: Table, path: str, entry: Entry) -> Table:
    """The tree with one value merged over it at a dotted path; the entry has the span of the path. Raises SpecError."""
    steps = path.split(".")
    route = _Route({steps[-1]: entry}, entry.key_span)
    for step in reversed(steps[:-1]):
        route = _Route({step: Entry(entry.key_span, route)}, entry.key_span)
    return merge(root, route)


def _value(source: Source, start: int, text: str) -> Node:
    """The value of an override, its spans in the whole argument; nothing means null."""
    if not text.strip():
        return Value(None, Span(source, 1, 1))
    try:
        # Spaces in place of the path, so that columns are those of the argument.
        return _rebase(parse(Source(source.name, " " * start + text)), source)
    except SpecError as error:
        found = [replace(d, span=replace(d.span, source=source) if d.span else None) for d in error.diagnostics]
        raise SpecError(found) from None


def _rebase(node: Node, source: Source) -> Node:
    """The same node, its spans in the text of the whole argument."""
    span = replace(node.span, source=source)
    match node:
        case Value():
            return Value(node.value, span)
        case Items():
            return Items(tuple(_rebase(n, source) for n in node.items), span)
        case Table():
            entries = {
                k: Entry(replace(e.key_span, source=source), _rebase(e.node, source)) for k, e in node.entries.items()
            }
            return Table(entries, span)


def base_path(reference: str, source: Source, shipped: Path) -> Path:
    """The target of `extends: reference`: a file beside the spec, or the name of a shipped spec."""
    if "/" in reference or reference.endswith((".yaml", ".yml")):
        return Path(source.name).parent / reference
    return shipped / f"{reference}.yaml"
