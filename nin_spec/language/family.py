"""Families: a spec that extends another, and dotted overrides. Nodes are merged, so origins survive."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from nin_spec.diagnostics import Code, Diagnostic, Source, Span, SpecError, did_you_mean, short
from nin_spec.language.document import MAX_DEPTH, Entry, Items, Node, Table, Value, parse

_EITHER = {"channels": "convs", "convs": "channels"}
"""Two spellings of one thing: giving one replaces the other."""

_KINDS = ("norm", "activation", "pool", "init", "optimizer", "schedule")
_LONG = {**dict.fromkeys(_KINDS, "kind"), "dropout": "p", "convs": "channels", "dense": "units"}
"""What a bare value stands for under a key, or as an item of a list under it."""


def _long(key: str, node: Value) -> Node:
    """A bare value in its long spelling, so that keys beside it can be set: `norm: batch` is `{kind: batch}`."""
    if node.value is None:
        return Table({}, node.span)
    return Table({_LONG[key]: Entry(node.span, node)}, node.span) if key in _LONG else node


def merge(base: Table, over: Table) -> Table:
    """`base` with what `over` says: mappings merge, null takes away, everything else replaces.

    A mapping of another `kind` replaces the whole mapping, since its other keys mean something else.
    Raises SpecError for an override of a block that the base does not have.
    """
    old, new = base.get("kind"), over.get("kind")
    if isinstance(old, Value) and isinstance(new, Value) and old.value != new.value:
        base = Table({}, over.span)
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        if isinstance(entry.node, Value) and entry.node.value is None:
            entries.pop(key, None)
            continue
        if _EITHER.get(key) not in over.entries:
            entries.pop(_EITHER.get(key, ""), None)
        below = entries[key].node if key in entries else None
        entries[key] = Entry(entry.key_span, _merge_node(key, below, entry.node))
    return Table(entries, over.span)


def _merge_node(key: str, base: Node | None, over: Node) -> Node:
    if not isinstance(over, Table):
        return over
    if key == "blocks" and isinstance(base, Items):
        return _merge_blocks(base, over)
    if isinstance(base, Value):
        base = _long(key, base)
    return merge(base if isinstance(base, Table) else Table({}, over.span), over)


def _merge_blocks(base: Items, over: Table) -> Items:
    """Blocks by name, or by index where a block has none; null removes the block."""
    names = block_names(base)
    unknown = [
        Diagnostic(Code.UNKNOWN_BLOCK, f"the base has no block {short(key)!r}", e.key_span, did_you_mean(key, names))
        for key, e in over.entries.items()
        if key not in names
    ]
    if unknown:
        raise SpecError(unknown)
    blocks: list[Node] = []
    for name, block in zip(names, base.items, strict=True):
        entry = over.entries.get(name)
        if entry is None:
            blocks.append(block)
        elif not (isinstance(entry.node, Value) and entry.node.value is None):
            blocks.append(_merge_node("", block, entry.node))
    return Items(tuple(blocks), base.span)


def block_names(blocks: Items) -> list[str]:
    """What each block answers to: its name, else its index."""
    found = []
    for i, block in enumerate(blocks.items):
        name = block.get("name") if isinstance(block, Table) else None
        found.append(name.value if isinstance(name, Value) and isinstance(name.value, str) else str(i))
    return found


def override(root: Table, argument: str) -> Table:
    """The tree with one `path=value` of the command line put in place.

    The path is dotted, list items by index and blocks also by name; the value is YAML, null removes.
    Raises SpecError (BAD_OVERRIDE) when the path leads nowhere.
    """
    path, equals, text = argument.partition("=")
    source = Source("--set", argument)
    span = Span(source, 1, 1, max(1, len(path)))
    steps = path.split(".")
    if not equals or not re.fullmatch(r"[^\s.]+(\.[^\s.]+)*", path) or len(steps) > MAX_DEPTH:
        message = f"{short(argument)!r} is not an override"
        raise SpecError(Diagnostic(Code.BAD_OVERRIDE, message, span, "write path=value, as blocks.0.kernel=7"))
    if steps[0] == "extends":
        message = "extends is read before any override"
        raise SpecError(Diagnostic(Code.BAD_OVERRIDE, message, span, "write a spec that extends the other one"))
    return _set_table(root, steps, _value(source, len(path) + 1, text), span, "")


def _value(source: Source, start: int, text: str) -> Node:
    """The value of an override, its spans in the whole argument; nothing means null."""
    if not text.strip():
        return Value(None, Span(source, 1, 1))
    try:
        # Blanks in place of the path, so that columns are those of the argument.
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


def _set(node: Node, steps: list[str], value: Node, span: Span, done: str) -> Node:
    key = next((w for w in reversed(done.split(".")) if not w.isdigit()), "")
    if not steps:
        return _merge_node(key, node, value)
    if isinstance(node, Value):
        node = _long(key, node)
    if isinstance(node, Table):
        return _set_table(node, steps, value, span, done)
    if isinstance(node, Items):
        return _set_item(node, steps, value, span, done)
    message = f"{done} is a single value and has no {steps[0]!r}"
    raise SpecError(Diagnostic(Code.BAD_OVERRIDE, message, span, f"set {done} as a whole: {done}={{...}}"))


def _set_table(node: Table, steps: list[str], value: Node, span: Span, done: str) -> Table:
    key, *rest = steps
    entries = dict(node.entries)
    path = f"{done}.{key}" if done else key
    if not rest and isinstance(value, Value) and value.value is None:
        entries.pop(key, None)
        return Table(entries, node.span)
    other = entries.pop(_EITHER.get(key, ""), None)
    below = entries[key].node if key in entries else Table({}, span)
    if key == "convs" and other is not None and rest:
        # `channels: [a, b]` says the same as `convs: [a, b]`: one of them can be given more.
        below = other.node
    entries[key] = Entry(span, _set(below, rest, value, span, path))
    return Table(entries, node.span)


def _set_item(node: Items, steps: list[str], value: Node, span: Span, done: str) -> Items:
    key, *rest = steps
    names = [str(i) for i in range(len(node.items))]
    labels = block_names(node) if done == "blocks" else names
    if key not in labels and key not in names:
        message = f"{done} has {len(names)} items and no {short(key)!r}"
        raise SpecError(Diagnostic(Code.BAD_OVERRIDE, message, span, did_you_mean(key, labels)))
    index = labels.index(key) if key in labels else names.index(key)
    items = list(node.items)
    if not rest and isinstance(value, Value) and value.value is None:
        del items[index]
    else:
        items[index] = _set(items[index], rest, value, span, f"{done}.{key}")
    return Items(tuple(items), node.span)


def base_path(reference: str, source: Source, shipped: Path) -> Path:
    """Where `extends: reference` leads: a file beside the spec, or the name of a shipped spec."""
    if "/" in reference or reference.endswith((".yaml", ".yml")):
        return Path(source.name).parent / reference
    return shipped / f"{reference}.yaml"
