"""Validate data against the grammar: pydantic's errors as diagnostics with spans."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from nin_spec.diagnostics import MAX_FINDINGS, Code, Diagnostic, Span, SpecError, did_you_mean, short
from nin_spec.language import outside
from nin_spec.language.document import Items, Node, Path_, Table, Value, plain, resolve_plain
from nin_spec.language.shorthand import kind_of

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from nin_spec.language.schema import Spec

    Model = TypeVar("Model", bound=BaseModel)

_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_RANGES = {
    "greater_than": ("gt", "must be more than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}
_EXAMPLES: dict[tuple[object, ...], str] = {
    ("spec",): "begin with `spec: 1`, the version of the language",
    ("name",): "for example name: my_network",
    ("input",): "for example input: {channels: 3, size: 32}",
    ("input", "channels"): "for example input: {channels: 3, size: 32}",
    ("size",): "for example input: {channels: 3, size: 32}",
    ("classes",): "for example classes: 10, or their names: [cat, dog]",
    ("blocks",): "for example blocks: [{channels: [192, 160, 96], kernel: 5, padding: same}]",
    ("channels",): "for example {channels: 64, kernel: 3}",
    ("max", "kernel"): "for example pool: {kind: max, kernel: 3, stride: 2}",
    ("avg", "kernel"): "for example pool: {kind: avg, kernel: 3, stride: 2}; for the average of whole maps, global_avg",
    ("units",): "for example dense: [{units: 128}]",
    ("pieces",): "for example activation: {kind: maxout, pieces: 2}",
    ("p",): "for example dropout: {p: 0.5}, or dropout: 0.5",
    ("std",): "for example init: {kind: gaussian, std: 0.05}",
    ("dataset",): "for example dataset: cifar10; `nin-spec data list` shows the others",
    ("epochs",): "for example epochs: 30",
    ("optimizer",): "for example optimizer: {kind: sgd, lr: 0.1, momentum: 0.9}",
    ("lr",): "for example optimizer: {kind: sgd, lr: 0.1, momentum: 0.9}",
    ("milestones",): "for example schedule: {kind: step, milestones: [60, 80]}",
}
"""Hints for missing keys, by the end of their path."""

_SYNONYMS = {
    "size": ("kernel",),
    "kernel_size": ("kernel",),
    "pool_size": ("kernel",),
    "strides": ("stride",),
    "pad": ("padding",),
    "type": ("kind",),
    "filters": ("channels",),
    "out_channels": ("channels",),
    "num_classes": ("classes",),
    "labels": ("classes",),
    "layers": ("convs", "blocks"),
    "units": ("units",),
}
"""Other tools' names for our keys."""

_LENGTHS = {"too_short", "too_long", "string_too_short", "string_too_long"}


def validate(root: Table) -> Spec:
    """The spec of the nodes. Raises SpecError with the first hundred diagnostics."""
    from nin_spec.language.schema import Spec

    return validate_as(Spec, root)


def validate_as(model: type[Model], root: Table) -> Model:
    """The model of the nodes: of a spec, or of another file with the same care. Raises likewise."""
    from pydantic import ValidationError

    try:
        return model.model_validate(plain(root))
    except ValidationError as error:
        errors = error.errors(include_url=False)[:MAX_FINDINGS]
        found = [_diagnostic(model, root, e) for e in errors]
        raise SpecError(sorted(found, key=_position)) from None


def _position(diagnostic: Diagnostic) -> tuple[str, int, int]:
    """Sort key: the order in the text, file by file."""
    span = diagnostic.span
    return (span.source.name, span.line, span.column) if span else ("", 0, 0)


def locate(root: Node, loc: Path_) -> tuple[Node, Span, str]:
    """The deepest node that a pydantic location reaches, its span, and its dotted path.

    A location also contains names of union members: a step that is neither a key nor an index of the current node is
    such a name, or a missing key, and is skipped.
    """
    node, span, path = root, root.span, ""
    for step in loc:
        if isinstance(node, Table) and isinstance(step, str) and step in node.entries:
            entry = node.entries[step]
            node, span = entry.node, entry.node.span
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
            span = node.span
        else:
            continue
        path = f"{path}.{step}" if path else str(step)
    return node, span, path


def _diagnostic(model: type[BaseModel], root: Table, error: ErrorDetails) -> Diagnostic:
    kind, context = error["type"], error.get("ctx") or {}
    loc = (*error["loc"], *context.get("at", ()))
    node, span, path = locate(root, loc)
    where = f"{path}: " if path else ""
    if kind in {"extra_forbidden", Code.UNKNOWN_KEY.name}:
        return _unknown_key(model, root, loc, context)
    if kind == "missing":
        key = str(loc[-1])
        hint = _EXAMPLES.get((*loc[-2:-1], key)) or _EXAMPLES.get((key,))
        return Diagnostic(Code.MISSING_KEY, f"{where}the key {key!r} is missing", span, hint)
    if kind in Code.__members__:
        return Diagnostic(Code[kind], f"{where}{context['text']}", span, context.get("hint"))
    if kind in _TYPES:
        found = kind_of(plain(node)) if isinstance(node, Value) else kind_of(error["input"])
        return Diagnostic(
            Code.WRONG_TYPE,
            f"{where}expected {_TYPES[kind]}, found {found}",
            span,
            _classes_hint(root, loc, node) or _type_hint(kind, node),
        )
    if kind in _RANGES:
        bound, words = _RANGES[kind]
        return Diagnostic(Code.OUT_OF_RANGE, f"{where}{error['input']} {words} {_number(context[bound])}", span)
    if kind in _LENGTHS:
        return Diagnostic(Code.OUT_OF_RANGE, f"{where}{_length(kind, context)}", span)
    if kind == "literal_error":
        return _literal(where, node, span, str(context["expected"]))
    if kind == "string_pattern_mismatch":
        hint = f"letters, digits, _ and -, a letter first: {context['pattern']}"
        return Diagnostic(Code.INVALID_VALUE, f"{where}{kind_of(error['input'])} is not a name", span, hint)
    return Diagnostic(Code.INVALID_VALUE, f"{where}{error['msg']}", span)


def _unknown_key(model: type[BaseModel], root: Table, loc: Path_, context: Mapping[str, Any]) -> Diagnostic:
    key = str(loc[-1])
    parent, _, path = locate(root, loc[:-1])
    span = parent.entries[key].key_span if isinstance(parent, Table) and key in parent.entries else parent.span
    where = f"{path}: " if path else ""
    if reason := outside.reason(key):
        return Diagnostic(Code.OUTSIDE_LANGUAGE, f"{where}{reason}", span, outside.HINT)
    known = known_keys(loc[:-1], model)
    same = next((f"did you mean {word!r}?" for word in _SYNONYMS.get(key, ()) if word in known), None)
    hint = context.get("hint") or same or (_belongs(key) if "convs" in known else None) or did_you_mean(key, known)
    return Diagnostic(Code.UNKNOWN_KEY, f"{where}unknown key {short(key)!r}", span, hint)


def _belongs(key: str) -> str | None:
    """Hint for a convolution's key that was given to a block."""
    from nin_spec.language.schema import Conv

    return (
        f"{key} belongs to one convolution: convs: [{{channels: ..., {key}: ...}}]"
        if key in Conv.model_fields
        else None
    )


def known_keys(loc: Path_, top: type[BaseModel] | None = None) -> list[str]:
    """The keys that the grammar has at a pydantic location: that of a spec, unless another model is given."""
    from nin_spec.language.schema import Spec

    models: list[Any] = [top or Spec]
    for step in loc:
        fields = [m.model_fields[step] for m in models if isinstance(step, str) and step in m.model_fields]
        if fields:
            models = [m for f in fields for m in models_in(f.annotation)]
            continue
        tagged = [m for m in models if "kind" in m.model_fields and step in _words(m.model_fields["kind"].annotation)]
        models = tagged or models
    return list(dict.fromkeys(field.alias or k for m in models for k, field in m.model_fields.items()))


def models_in(annotation: Any) -> list[Any]:
    """The models that an annotation mentions."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in getattr(annotation, "__args__", ()) for m in models_in(a)]


def _words(annotation: Any) -> tuple[object, ...]:
    return getattr(annotation, "__args__", ())


def _number(bound: float) -> str:
    """A bound without a trailing `.0`."""
    return str(int(bound)) if bound == int(bound) else str(bound)


def _literal(where: str, node: Node, span: Span, expected: str) -> Diagnostic:
    choices = re.findall(r"'([^']*)'", expected)
    found = plain(node)
    if choices and isinstance(found, str):
        return Diagnostic(
            Code.UNKNOWN_CHOICE, f"{where}unknown choice {short(found)!r}", span, did_you_mean(found, choices)
        )
    return Diagnostic(Code.UNKNOWN_CHOICE, f"{where}expected {expected}, found {kind_of(found)}", span)


def _length(kind: str, context: Mapping[str, Any]) -> str:
    limit = context["min_length" if kind.endswith("short") else "max_length"]
    unit = ("character" if kind.startswith("string") else "item") + ("" if limit == 1 else "s")
    return f"needs at least {limit} {unit}" if kind.endswith("short") else f"has more than {limit} {unit}"


def _classes_hint(root: Table, loc: Path_, node: Node) -> str | None:
    """Hint for labels given as a mapping, as numbers, or as one text."""
    if loc[:1] != ("classes",):
        return None
    whole = root.get("classes")
    match node:
        case Table():
            pairs = plain(node) if node is whole else {}
            return f"labels are a list, in the order of the scores: {_labels(pairs)}"
        case Value(value=bool() | int() | float()) if isinstance(whole, Items):
            labels = [item.value for item in whole.items[:_SHOWN] if isinstance(item, Value)]
            quoted = ", ".join(json.dumps(v if isinstance(v, str) else json.dumps(v)) for v in labels)
            more = ", ..." if len(whole.items) > _SHOWN else ""
            return f"to count them, write classes: {len(whole.items)}; as labels: classes: [{quoted}{more}]"
        case Value(value=float() as number) if number == number // 1:
            return f"write classes: {int(number)}"
        case Value(value=str() as text) if text.strip().isdigit():
            return None
    return "the number of classes, or the list of their labels: classes: [cat, dog]"


_SHOWN = 6
"""Labels shown in a hint."""


def _labels(pairs: dict[str, Any]) -> str:
    """The list that a mapping between numbers and labels means, in either direction."""
    labels = {k: v for k, v in pairs.items() if isinstance(v, str | int) and not isinstance(v, bool)}
    if labels and all(key.isdecimal() for key in labels):
        order = [str(labels[key]) for key in sorted(labels, key=lambda key: (len(key.lstrip("0")), key.lstrip("0")))]
    elif labels and all(isinstance(value, int) for value in labels.values()):
        order = sorted(labels, key=lambda key: int(labels[key]))
    else:
        order = ["cat", "dog"]
    more = ", ..." if len(order) > _SHOWN else ""
    return f"classes: [{', '.join(_label(label) for label in order[:_SHOWN])}{more}]"


def _label(text: str) -> str:
    """A label as YAML reads it back: quoted unless it is a plain word."""
    plain_word = re.fullmatch(r"[A-Za-z]([A-Za-z0-9_ -]*[A-Za-z0-9_])?", text) and resolve_plain(text) == text
    return text if plain_word else json.dumps(text, ensure_ascii=False)


def _type_hint(kind: str, node: Node) -> str | None:
    if not isinstance(node, Value):
        return None
    if kind == "list_type" and node.value is not None:
        return "write a list in brackets: [a, b]"
    if not isinstance(node.value, str):
        return None
    word = node.value.strip().lower()
    if kind == "bool_type":
        truth = {"yes": "true", "on": "true", "no": "false", "off": "false", "true": "true", "false": "false"}
        return f"write {truth[word]}" if word in truth else None
    if kind in ("int_type", "float_type") and re.fullmatch(r"[-+0-9.e]+", word):
        return "remove the quotes"
    return None
