"""The language as a JSON Schema, for editors: they underline what `check` rejects, within one file."""

from __future__ import annotations

from typing import Any

from nin_spec.language.editing import SHOWN, for_editors

_CHANGES = "Changes"
"""Name of a definition's second form, for a spec that extends another."""

Schema = dict[str, Any]


def json_schema() -> Schema:
    """The JSON Schema (2020-12) of a spec as written: complete, or the changes to the spec that it extends."""
    from nin_spec.language.reference import schema_of
    from nin_spec.language.schema import Spec

    complete = for_editors(schema_of(Spec))
    defs = complete.pop("$defs")
    description = complete.pop("description", None)  # Python with -OO has no docstrings
    changes = {f"{name}{_CHANGES}": _changes(part) for name, part in defs.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nin-spec",
        **({} if description is None else {"description": description}),
        "type": "object",
        "if": {"required": ["extends"], "properties": {"extends": {"type": "string"}}},
        "then": _family(complete),
        "else": complete,
        "$defs": {**defs, **changes},
    }


def _family(complete: Schema) -> Schema:
    """A spec that extends another: its blocks may be changes by name or index, in one branch.

    Of two branches that a mapping may take, editors report what is wrong in either.
    """
    spec = _changes(complete)
    block = {"anyOf": [{"$ref": f"#/$defs/Block{_CHANGES}"}, {"type": "null"}]}
    changed = {"type": "object", "additionalProperties": block}
    blocks = _or_null({"anyOf": [complete["properties"]["blocks"], changed]})
    return {**spec, "properties": {**spec["properties"], "blocks": blocks, "extends": {"type": "string"}}}


def _changes(part: Schema) -> Schema:
    """The same with no required keys and null allowed for every key.

    A list is replaced by a list of complete items, or changed by a mapping from indices.
    """
    if "$ref" in part:
        return {**part, "$ref": f"{part['$ref']}{_CHANGES}"}
    if part.get("type") == "array" and "items" in part:
        items = {"type": "object", "propertyNames": {"pattern": "^[0-9]+$"}}
        return {"anyOf": [part, {**items, "additionalProperties": _or_null(_changes(part["items"]))}]}
    if "properties" in part:
        rest = {k: v for k, v in part.items() if k not in ("required", "title")}
        keys = {k: _or_null(_changes(v)) for k, v in part["properties"].items()}
        return {**rest, "properties": keys}
    for union in ("anyOf", "oneOf"):
        if union in part:
            # A mapping without a kind may match more than one of them.
            rest = {k: v for k, v in part.items() if k not in (union, "discriminator")}
            return {**rest, "anyOf": [_changes(option) for option in part[union]]}
    return part


def _or_null(part: Schema) -> Schema:
    described: Schema = {k: part[k] for k in SHOWN if k in part}
    rest = {k: v for k, v in part.items() if k not in described}
    return {**described, "anyOf": [rest, {"type": "null"}]}
