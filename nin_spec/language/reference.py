"""The language described by its own models: the reference page."""

from __future__ import annotations

import inspect
import re
from typing import Any

from nin_spec.diagnostics import Code

INTRODUCTION = """\
# The spec language

This page is generated from the models that validate specs (`nin-spec schema --format markdown`).

A spec is one YAML mapping. Plain scalars follow the YAML 1.2 core schema: `true` and `false` are the
only booleans, `yes` is a word, `1e-4` is a number, and a quoted number is text. Tags and merge keys are
refused, unknown and duplicate keys are errors at every depth.

    spec: 1
    name: tiny
    input: {channels: 3, size: 32}
    classes: [cat, dog]
    blocks:
      - channels: [64, 32]
        kernel: 5
        padding: same
        pool: {kind: max, kernel: 2}
      - channels: [64, classes]
        kernel: 3
        padding: 1

**Blocks.** `channels: [192, 160, 96]` is a spatial convolution with the block's `kernel`, `stride`,
`padding` and `dilation`, then 1x1 convolutions. `convs` spells each convolution out; an item is a
mapping, or its channels alone. What a convolution does not set comes from the block (`bias`, `norm`,
`activation`, `order`, `init`), then from `defaults`, then from the language. A block without
convolutions is bare: its shuffle, norm, activation, pool and dropout stand alone, in that order, so any chain can be
written.

**Order.** Around each convolution: shuffle, conv, norm, activation, dropout. `order` changes that, for example `[norm,
activation, conv]`; steps that a convolution does not have are skipped, and each step that it has must be listed.

**Sizes.** `kernel`, `stride` and `dilation` are one number or `[vertical, horizontal]`. `padding` is one
number, `[vertical, horizontal]`, `{top: 0, bottom: 1, left: 0, right: 1}`, or `same`: as many windows as
the input divided by the stride, rounded up, the odd cell at the bottom and right. A pool's stride is its
kernel unless given.

**Rounding.** With `ceil_mode: true` a last, partial window counts when it begins inside the input or the
padding before it. An average divides by the real cells under its window; with `count_include_pad: true`
by real and padded cells, never by cells beyond the padding. A padded average must set it.

**Head.** Pool, flatten (channel, row, column), dropout, dense layers, norm, activation, output. It must
end in one score per class. By default a dense layer before the last has ReLU, the last has none.

**Pictures.** `input.preprocess.resize` sets how a picture of another size is resized in training, evaluation, `run`,
the server and exported files. `stretch` and `crop` resize directly to the input's size. `{kind: crop, shorter: 256}`
scales the shorter side to 256, `{kind: stretch, size: 256}` stretches to 256 x 256, and both keep the centre of the
input's size. So does training, unless `augment` has `crop` or `pad_and_crop`: these crop at random from the resized
picture (with kind `crop`, from its middle square). `train.resize` changes the size in training only; a size above the
input's also means a random crop. Pictures are then scored at a different scale from training, and lint reports it. With
`input.open`, `run` and the server keep the whole resized picture; without `shorter` or `size`, they do not resize it.

**Families.** `extends` names a file beside the spec or a shipped spec, and the keys that follow are merged over it.
`--set a.b=v` on the command line merges `a: {b: v}` over the spec, by the same rule:

- A mapping changes the keys that it names, at every depth. Anything else replaces the old value: with `norm: batch`,
  `dropout: 0.3` or a list, nothing of it remains. `null` removes a value.
- The old value may be short: a bare value counts as its mapping, so `norm: {eps: 1e-3}` changes `norm: batch`, and
  `padding: {top: 0}` changes one side of `padding: 1`.
- A mapping over a list changes the items that it names by index from 0, blocks also by name; `null`
  removes the item. `blocks: {mlpconv2: {kernel: 3}}` and `--set blocks.mlpconv2.kernel=3` are the same.
- A mapping of another `kind` keeps the keys that mean the same for both kinds, and drops the others:
  between `max` and `avg` the window (`kernel`, `stride`, `padding`, `ceil_mode`), between
  initialisations `bias`, `bias_std` and `scale`, between schedules `warmup`. All keys stay between adam and adamw; none
  stays between sgd and adam, since their learning rates differ by orders of magnitude.

**Outside the language.** A network is a chain. Residual branches, several inputs or outputs, shared or
binarised weights, activations such as sign and pools across channels are not supported, and are not approximated. A
spec has at most 256 blocks, 512 convolutions and 500,000,000 parameters.

**Errors.** All errors of a spec are shown at once, the first hundred of them, in the order of the text.
Shapes are checked once there are none.

**Numbers.** MACs are multiply-accumulates of convolutions and dense layers for one image, bias not
counted. The semantic hash is equal for two spellings of one inference function and different for two
functions; names, labels, dropout, initialisation and training do not change it.

A key without a default is required.
"""


def markdown() -> str:
    """The reference page."""
    from nin_spec.language.schema import Spec

    sections = [_section(m) for m in reachable(Spec)]
    codes = "\n".join(f"| {c.code} | {c.meaning} |" for c in Code)
    return "\n".join([INTRODUCTION, *sections, "## Diagnostics\n", "| code | means |", "|---|---|", codes, ""])


def reachable(model: Any) -> list[Any]:
    """The models that a spec is made of, each before those that it contains."""
    from nin_spec.language.validate import models_in

    found = [model]
    for current in found:
        for field in current.model_fields.values():
            found += [m for m in models_in(field.annotation) if m not in found]
    return found


def schema_of(model: Any) -> dict[str, Any]:
    """A model's JSON Schema, with the models that it contains."""
    for part in reachable(model):
        part.model_rebuild()  # pydantic before 2.14 can't write a default of a model whose build is deferred
    schema: dict[str, Any] = model.model_json_schema()
    return schema


def _section(model: Any) -> str:
    schema = schema_of(model)
    needed = schema.get("required", [])
    lines = [f"## {model.__name__}\n", f"{inspect.getdoc(model)}\n", "| key | value | default | |", "|---|---|---|---|"]
    for name, part in schema["properties"].items():
        default = "" if name in needed else f"`{_default(part.get('default'))}`"
        lines.append(f"| `{name}` | {_type(part)} | {default} | {part.get('description', '')} |")
    return "\n".join(lines) + "\n"


def _default(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case {"kind": kind}:
            return str(kind)
        case dict():
            return "{}"
        case [a, b] if a == b:
            return str(a)
        case list():
            return "[" + ", ".join(map(str, value)) + "]"
        case float():
            return "1/255" if value == 1 / 255 else repr(value)
        case _:
            return str(value) or '""'


def _type(part: dict[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in part:
        name = part["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    options = part.get("anyOf") or part.get("oneOf")
    if options:
        return " or ".join(dict.fromkeys(_type(o) for o in options if o.get("type") != "null"))
    if "enum" in part:
        return ", ".join(f"`{w}`" for w in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    return _plain_type(part)


def _plain_type(part: dict[str, Any]) -> str:
    match part.get("type"):
        case "array" if part.get("minItems") == part.get("maxItems") == 2:
            return "a pair of them"
        case "array":
            return f"list of ({_type(part.get('items', {}))})"
        case "integer" | "number" as kind:
            return f"{'whole number' if kind == 'integer' else 'number'}{_range(part)}"
        case "boolean":
            return "true or false"
        case "string":
            return f"text like `{part['pattern']}`" if "pattern" in part else "text"
        case _:
            return "by side: `{top, bottom, left, right}`" if "top" in part.get("properties", {}) else "mapping"


def _range(part: dict[str, Any]) -> str:
    low = part.get("minimum", part.get("exclusiveMinimum"))
    high = part.get("maximum", part.get("exclusiveMaximum"))
    words = [f"above {low:g}" if "exclusiveMinimum" in part else f"from {low:g}"] if low is not None else []
    words += [f"to below {high:g}" if "exclusiveMaximum" in part else f"to {high:g}"] if high is not None else []
    return re.sub(r"^", " ", " ".join(words)) if words and max(abs(low or 0), abs(high or 0)) < 1e5 else ""
