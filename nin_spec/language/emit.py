"""Plain data as readable YAML that parses back to the same data, optionally with a comment on each line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from nin_spec.diagnostics import printable
from nin_spec.language.document import Path_, resolve_plain

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORDS_OF_YAML_1_1 = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


_WIDTH = 110
"""Columns that a mapping in flow style may fill."""


def emit(data: dict[str, Any], remark: Callable[[Path_], str] | None = None, *, compact: bool = False) -> str:
    """Block style for mappings and lists of mappings, flow style for lists of scalars; a lone `kind` is a bare word.

    `remark` gives the comment for the value at a path, or an empty string. `compact` writes small mappings
    and lists below the top in flow style, as people do, and the items of a list all alike.
    """
    lines = list(_mapping(data, (), 0, compact=compact))
    if remark is None:
        return "".join(f"{text}\n" for text, _ in lines)
    width = min(64, max(len(text) for text, _ in lines))
    noted = [(text, printable(remark(path)) if path is not None else "") for text, path in lines]
    return "".join(f"{text:<{width}}  # {note}\n" if note else f"{text}\n" for text, note in noted)


_Line = tuple[str, Path_ | None]


def _mapping(data: dict[str, Any], path: Path_, depth: int, *, compact: bool) -> Iterator[_Line]:
    indent = "  " * depth
    for key, value in data.items():
        below = (*path, key)
        short = f"{indent}{_scalar(key)}: {flow(value)}"
        if compact and len(short) <= _WIDTH and _is_small(value):
            yield short, below
        elif isinstance(value, dict) and value.keys() == {"kind"} and isinstance(value["kind"], str):
            yield f"{indent}{_scalar(key)}: {_scalar(value['kind'])}", below
        elif isinstance(value, dict) and value:
            yield f"{indent}{_scalar(key)}:", None
            yield from _mapping(value, below, depth + 1, compact=compact)
        elif isinstance(value, list) and any(isinstance(v, dict) for v in value):
            yield f"{indent}{_scalar(key)}:", None
            flat = compact and all(_is_small(v) and len(indent) + 4 + len(flow(v)) <= _WIDTH for v in value)
            for i, item in enumerate(value):
                yield from _item(item, (*below, i), depth + 1, compact=compact, flat=flat)
        else:
            yield f"{indent}{_scalar(key)}: {flow(value)}", below


def _is_small(value: Any) -> bool:
    """Whether a value fits on one line: nothing in it is nested twice."""
    if not isinstance(value, dict | list):
        return True
    if isinstance(value, dict):
        return all(not isinstance(v, dict | list) or _is_plain(v) for v in value.values())
    return isinstance(value, list) and all(not isinstance(v, dict) or _is_plain(v) for v in value)


def _is_plain(value: Any) -> bool:
    """Whether it holds scalars only."""
    inside = value.values() if isinstance(value, dict) else value
    return not any(isinstance(v, dict | list) for v in inside)


def _item(item: Any, path: Path_, depth: int, *, compact: bool, flat: bool) -> Iterator[_Line]:
    """An item of a list of mappings: its first line has the dash; `flat` writes it in flow style."""
    dash = "  " * depth + "- "
    if not isinstance(item, dict) or not item or flat:
        yield dash + flow(item), path
        return
    for i, (text, where) in enumerate(_mapping(item, path, depth + 1, compact=compact)):
        yield (dash + text[len(dash) :] if i == 0 else text), where


def flow(value: Any) -> str:
    """A value in flow style, on one line."""
    if isinstance(value, list):
        return "[" + ", ".join(flow(v) for v in value) + "]"
    if isinstance(value, dict):
        if value.keys() == {"kind"} and isinstance(value["kind"], str):
            return _scalar(value["kind"])
        return "{" + ", ".join(f"{_scalar(key)}: {flow(v)}" for key, v in value.items()) + "}"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # YAML 1.1 readers take 1e-05 for a string.
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    if isinstance(value, int):
        return str(value)
    plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML_1_1 and resolve_plain(value) == value
    return value if plain else '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    """A character between double quotes, by the escapes of YAML 1.2 section 5.7."""
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return {"\n": "\\n", "\t": "\\t"}.get(character, f"\\U{ord(character):08x}")
