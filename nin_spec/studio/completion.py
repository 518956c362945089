"""Completions and explanations in the studio's editor, from the JSON Schema that other editors use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from nin_spec.language.editing import written
from nin_spec.language.json_schema import json_schema
from nin_spec.named import shipped_names
from nin_spec.studio.cursor import Cursor, cursor_at

Schema = dict[str, Any]


@dataclass(frozen=True)
class Proposal:
    """One completion: `apply` is the inserted text, `info` its meaning."""

    label: str
    type: str
    detail: str = ""
    info: str = ""
    apply: str = ""


def complete(before: str, after: str) -> list[dict[str, str]]:
    """The completions at the cursor between two texts, in CodeMirror's format."""
    here = cursor_at(before)
    if here is None:
        return []
    found = _values(here, before + after) if here.is_value else _keys(here, before, after)
    return [{k: v for k, v in asdict(p).items() if v} for p in found]


def explain(before: str, after: str) -> str:
    """The meaning of the key at the cursor, or an empty string."""
    line = before.rpartition("\n")[2]
    here = cursor_at(before)
    rest = re.match(r"[\w-]*", after)
    if here is None or here.is_value or rest is None or line.lstrip().startswith("#"):
        return ""
    part = _properties(here.path, before + after).get(here.word + rest[0], {})
    return _about(part)


def _about(part: Schema) -> str:
    """The description of a schema, without Markdown."""
    return re.sub(r"[*`]", "", part.get("description", ""))


def _keys(here: Cursor, before: str, after: str) -> Iterator[Proposal]:
    known = _properties(here.path, before + after)
    colon = "" if after.lstrip(" ").startswith(":") else ": "
    for key, part in known.items():
        default = part.get("default")
        detail = "" if default is None or isinstance(default, dict | list) else written(default)
        yield Proposal(key, "property", detail, _about(part), key + colon)


def _values(here: Cursor, text: str) -> Iterator[Proposal]:
    """The words allowed as a value, without duplicates."""
    if here.path == ("extends",):
        yield from (Proposal(name, "text") for name in shipped_names())
        return
    said: set[str] = set()
    for node in _nodes(here.path, text):
        for word in _words(node):
            if word not in said:
                said.add(word)
                yield Proposal(word, "enum", info=_about(node))


def _words(node: Schema) -> Iterator[str]:
    """The constants of a schema; a mapping's kinds in their shortest spelling."""
    options = node.get("enum", [node["const"]] if "const" in node else [])
    options = [True, False] if node.get("type") == "boolean" else options
    yield from (written(option) for option in options if option is not None)
    kind = node.get("properties", {}).get("kind")
    if kind:
        needed = [key for key in node.get("required", []) if key != "kind"]
        rest = "".join(f", {key}: {_EXAMPLES.get(key, 3)}" for key in needed)
        yield from (f"{{kind: {word}{rest}}}" for word in _words(kind) if needed)


_EXAMPLES = {"pieces": 2, "std": 0.05, "lr": 0.01, "gamma": 0.1}
"""Proposed values for the required keys of a kind."""


def _properties(path: Iterable[str], text: str) -> dict[str, Schema]:
    """The keys that a mapping at `path` may have."""
    found: dict[str, Schema] = {}
    for node in _nodes(path, text):
        for key, part in node.get("properties", {}).items():
            found.setdefault(key, part)
    return found


def _nodes(path: Iterable[str], text: str) -> list[Schema]:
    """Everything that a value at `path` may be."""
    schema = _schema()
    family = re.search(r"^extends\s*:", text, re.MULTILINE)
    nodes = [schema["then" if family else "else"]]
    for key in path:
        nodes = [m for node in nodes for part in _child(node, key) for m in _members(part)]
    return nodes


def _child(node: Schema, key: str) -> list[Schema]:
    known = node.get("properties", {})
    if key in known:
        return [known[key]]
    other = node.get("additionalProperties")
    return [other] if isinstance(other, dict) else []


def _members(part: Schema) -> Iterator[Schema]:
    """A schema without references, alternatives and lists: what a value, or an item of it, may be."""
    if "$ref" in part:
        part = _schema()["$defs"][part["$ref"].rpartition("/")[2]]
    options = [*part.get("anyOf", []), *part.get("oneOf", [])]
    if "items" in part and isinstance(part["items"], dict):
        options.append(part["items"])
    if not options:
        yield part
    for option in options:
        yield from _members(option)


@cache
def _schema() -> Schema:
    return json_schema()
