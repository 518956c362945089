"""The metadata of an exported file, read from its metadata properties."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args

from nin_spec.diagnostics import Code, InputError
from nin_spec.ir.types import Pair
from nin_spec.language.shorthand import MAX_CELLS
from nin_spec.model import Preprocessing
from nin_spec.passes.class_maps import Place

Input = Literal["normalised", "pixels"]
Output = Literal["scores", "probabilities", "log_probabilities"]
PREFIX = "nin_spec."


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """An exported file's card. For another tool's file everything is empty or None.

    `input` says whether it takes preprocessed tensors or raw pictures. `output` is the kind of the scores, None if not
    declared. `passes` are those applied to the spec's graph, `target` is the server that it was written for, empty for
    none, and `lowered_for` are the devices that it was written for. `maps` is where the cells of its class maps lie,
    None without that output. `precision` is set for a reduced-precision file, else empty, and `max_drop` is its budget
    in percentage points of accuracy, None for none. `temperature` is what its scores are divided by, None if it was
    never calibrated.
    """

    name: str = ""
    summary: str = ""
    spec: str = ""
    hash: str = ""
    classes: int | None = None
    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    output: Output | None = None
    input: Input = "normalised"
    passes: tuple[str, ...] = ()
    target: str = ""
    lowered_for: tuple[str, ...] = ()
    weights: str = ""
    dataset: str = ""
    maps: Place | None = None
    precision: str = ""
    max_drop: float | None = None
    temperature: float | None = None


def read_info(properties: Mapping[str, str]) -> ModelInfo:
    """The card in a file's metadata properties. Raises InputError for an invalid property."""
    ours = {k.removeprefix(PREFIX): v for k, v in properties.items() if k.startswith(PREFIX)}
    return ModelInfo(
        name=ours.get("name", ""),
        summary=ours.get("summary", ""),
        spec=ours.get("spec", ""),
        hash=ours.get("hash", ""),
        classes=_classes(ours.get("classes")),
        labels=_texts("labels", ours.get("labels")),
        preprocessing=_preprocessing(ours.get("preprocessing")),
        output=_output(ours.get("output")),
        input=_input(ours),
        passes=_texts("passes", ours.get("passes")),
        target=ours.get("target", ""),
        lowered_for=_texts("lowered_for", ours.get("lowered_for")),
        weights=ours.get("weights", ""),
        dataset=ours.get("dataset", ""),
        maps=_maps(ours.get("maps")),
        precision=ours.get("precision", ""),
        max_drop=_max_drop(ours.get("reduction")),
        temperature=_temperature(ours.get("temperature")),
    )


_FARTHEST = 1 << 40
"""Most pixels of a field, a jump or an offset."""
_DIGITS = 18
"""Most digits of a count: more than any memory, and few enough to parse."""


def _classes(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise _bad("classes", "is not a count")
    return int(text)


def _texts(key: str, text: str | None) -> tuple[str, ...]:
    texts = [] if text is None else _json(key, text)
    if not isinstance(texts, list) or not all(isinstance(x, str) for x in texts):
        raise _bad(key, "is not a list of texts")
    return tuple(texts)


def _input(ours: Mapping[str, str]) -> Input:
    kind = ours.get("input", "normalised")
    if kind not in get_args(Input):
        raise _bad("input", f"is not one of {', '.join(get_args(Input))}")
    if kind == "pixels" and "preprocessing" not in ours:
        raise _bad("input", "is pixels, but the preprocessing is missing")
    return cast("Input", kind)


def _output(text: str | None) -> Output | None:
    if text is not None and text not in get_args(Output):
        raise _bad("output", f"is not one of {', '.join(get_args(Output))}")
    return cast("Output | None", text)


def _preprocessing(text: str | None) -> Preprocessing | None:
    if text is None:
        return None
    from pydantic import TypeAdapter, ValidationError

    data = _json("preprocessing", text)
    try:
        contract = Preprocessing.from_dict(data)
        contract = TypeAdapter(Preprocessing).validate_python(asdict(contract), strict=False)
    except (TypeError, AttributeError, ValidationError) as error:
        raise _bad("preprocessing", "is not a preprocessing that this version knows") from error
    numbers = (contract.scale, *contract.mean, *contract.std)
    if (
        not all(map(math.isfinite, numbers))
        or 0 in contract.std
        or not contract.mean
        or not contract.std
        or not _is_size(contract.target)
    ):
        raise _bad("preprocessing", "has an invalid number")
    return contract


def _maps(text: str | None) -> Place | None:
    if text is None:
        return None
    data = _json("maps", text)
    pairs = [_pair(data.get(key)) for key in ("field", "jump", "offset")] if isinstance(data, dict) else []
    match pairs:
        case [tuple() as field, tuple() as jump, tuple() as offset] if min(*field, *jump) >= 1:
            return Place(field, jump, offset)
    raise _bad("maps", "is not a field, a jump and an offset")


def _pair(value: object) -> Pair | None:
    match value:
        case [int() as down, int() as across] if max(abs(down), abs(across)) <= _FARTHEST:
            return down, across
    return None


def _is_size(target: tuple[int, int] | None) -> bool:
    return target is None or all(1 <= side <= MAX_CELLS for side in target)


def _max_drop(text: str | None) -> float | None:
    facts = {} if text is None else _json("reduction", text)
    points = facts.get("max_drop") if isinstance(facts, dict) else facts
    if points is None:
        return None
    if not isinstance(points, int | float) or isinstance(points, bool) or not 0 <= points <= 100:
        raise _bad("reduction", "is not a valid budget")
    return float(points)


def _temperature(text: str | None) -> float | None:
    value = None if text is None else _json("temperature", text)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not (0 < value < math.inf):
        raise _bad("temperature", "is not a positive number")
    return float(value)


def _json(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad(key, "is not JSON") from error


def _bad(key: str, what: str) -> InputError:
    message = f"the file's metadata is damaged: {PREFIX}{key} {what}"
    hint = "export the model again, with this version of nin-spec"
    return InputError(Code.MODEL_UNREADABLE, message, hint=hint)
