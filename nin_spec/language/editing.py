"""What editors take from the JSON Schema: hover texts, short defaults and completion snippets.

`markdownDescription` and `defaultSnippets` are keywords of the YAML language server; validators ignore them.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

SHOWN = ("title", "description", "markdownDescription", "default", "defaultSnippets")
"""The keywords of a schema that are for people, not for validation."""

_POOL = [
    {"label": "max", "description": "Maximum over each window", "body": {"kind": "max", "kernel": 3, "stride": 2}},
    {"label": "avg", "description": "Average over each window", "body": {"kind": "avg", "kernel": 3, "stride": 2}},
]
SNIPPETS: dict[tuple[str, str], list[Schema]] = {
    ("Spec", "classes"): [{"label": "10", "body": 10}, {"label": "[cat, dog]", "body": ["cat", "dog"]}],
    ("Spec", "blocks"): [{"label": "a block", "body": [{"channels": [64, 32], "kernel": 3, "padding": 1}]}],
    ("Block", "channels"): [{"label": "[64, 32]", "body": [64, 32]}],
    ("Block", "kernel"): [{"label": "3", "body": 3}],
    ("Block", "padding"): [{"label": "1", "body": 1}, {"label": "same", "body": "same"}],
    ("Block", "pool"): _POOL,
    ("Block", "dropout"): [{"label": "0.5", "body": 0.5}],
    ("Head", "pool"): _POOL,
    ("Recipe", "optimizer"): [{"label": "sgd", "body": {"kind": "sgd", "lr": 0.01, "momentum": 0.9}}],
}
"""Completion snippets for keys without a default, by model and key."""


def for_editors(schema: Schema) -> Schema:
    """The schema of a model with hover texts and snippets; what it accepts is unchanged."""
    defs = schema["$defs"]
    abouts = {name: part.get("description", "") for name, part in defs.items()}
    return {**_model("Spec", schema, abouts), "$defs": {n: _model(n, part, abouts) for n, part in defs.items()}}


def _model(name: str, model: Schema, abouts: dict[str, str]) -> Schema:
    about = model.get("description", "")
    # A key without a description takes that of its model.
    own = {k: abouts.get(p.get("$ref", "").rpartition("/")[2], about) for k, p in model["properties"].items()}
    keys = {k: _key(name, k, about, {"description": own[k], **p}) for k, p in model["properties"].items()}
    return {**model, "properties": keys}


def _key(model: str, key: str, about: str, part: Schema) -> Schema:
    """A key: its default in the shortest spelling, its hover text and its completion snippet."""
    found = {**{k: v for k, v in part.items() if k != "default"}, "title": key}
    if "oneOf" in found and "discriminator" not in found:
        found["anyOf"] = found.pop("oneOf")  # the server proposes nothing for a oneOf
    default = short_default(part.get("default"))
    if default is not None:
        found["default"] = default
    # Where a value has several spellings, the server shows the plain description, read as Markdown.
    found["description"] = found["markdownDescription"] = _hover(part["description"], default, model, about)
    if (model, key) in SNIPPETS:
        found["defaultSnippets"] = SNIPPETS[model, key]
    return found


def short_default(value: Any) -> Any:
    """A default in its shortest spelling: a kind as a bare word, equal sides as one number."""
    if isinstance(value, dict):
        if list(value) == ["kind"]:
            return value["kind"]
        short = {key: short_default(v) for key, v in value.items()}
        return {key: v for key, v in short.items() if v not in (None, [])}
    if isinstance(value, list) and len(value) in (2, 4) and len(set(map(str, value))) == 1:
        return value[0]
    return value


def _hover(description: str, default: Any, model: str, about: str) -> str:
    """The key's meaning and default, and its model with the source that the model cites."""
    lines = [description]
    if default is not None and not isinstance(default, dict):
        lines.append(f"Default: `{written(default)}`")
    if about and about != description:
        lines.append(f"*{model}*: {about.partition(chr(10))[0]}")
    return "\n\n".join(lines)


def written(value: Any) -> str:
    """A default as YAML."""
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value) or '""'
