"""Short spellings and their types: pairs, sides, widths, fractions, kinds.

Each type reads its spellings, rejects the rest in one sentence, and gives editors its JSON Schema. Errors have our own
codes (the names of `diagnostics.Code`); `at` in an error's context is the path of the offending key below the value,
`hint` the fix.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from nin_spec.diagnostics import did_you_mean, nearest, short
from nin_spec.language import outside

MAX_CELLS = 16_384
MAX_CHANNELS = 65_536


def complain(
    code: str, message: str, *, at: tuple[str | int, ...] = (), hint: str | None = None
) -> PydanticCustomError:
    """An error with one of our codes. Braces in the message are taken literally."""
    return PydanticCustomError(code, "{text}", {"text": message, "at": list(at), "hint": hint})


def kind_of(value: object) -> str:
    """How a message names a value: `the string 'five'`."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f"the string {short(value)!r}"
        case int() | float():
            return f"{value}"
        case list():
            return "a list" if value else "an empty list"
        case _:
            return "a mapping"


def whole(value: object, low: int, high: int, *, at: tuple[str | int, ...] = ()) -> int:
    """An integer in a range. Raises the error of `complain`."""
    if not isinstance(value, int) or isinstance(value, bool):
        hint = "remove the quotes" if isinstance(value, str) and value.strip().isdigit() else None
        raise complain("WRONG_TYPE", f"expected a whole number, found {kind_of(value)}", at=at, hint=hint)
    if not low <= value <= high:
        raise complain("OUT_OF_RANGE", f"{value} is not between {low} and {high}", at=at)
    return value


def _pair(value: object) -> tuple[int, int]:
    if isinstance(value, list):
        if len(value) != 2:
            raise complain(
                "INVALID_VALUE", f"expected one number or [vertical, horizontal], found a list of {len(value)}"
            )
        return whole(value[0], 1, MAX_CELLS, at=(0,)), whole(value[1], 1, MAX_CELLS, at=(1,))
    number = whole(value, 1, MAX_CELLS)
    return number, number


def short_pair(value: tuple[int, int]) -> object:
    """The shortest spelling of a pair."""
    return value[0] if value[0] == value[1] else list(value)


SIDES = ("top", "bottom", "left", "right")


def _sides(value: object) -> tuple[int, int, int, int] | Literal["same"]:
    if isinstance(value, str):
        if value != "same":
            raise complain("UNKNOWN_CHOICE", f"unknown padding {short(value)!r}", hint=did_you_mean(value, ["same"]))
        return "same"
    if isinstance(value, dict):
        return _four_sides(value)
    if isinstance(value, list):
        if len(value) != 2:
            hint = "uneven padding is a mapping: {top: 0, bottom: 1, left: 0, right: 1}"
            raise complain("INVALID_VALUE", f"expected [vertical, horizontal], found a list of {len(value)}", hint=hint)
        v, h = whole(value[0], 0, MAX_CELLS, at=(0,)), whole(value[1], 0, MAX_CELLS, at=(1,))
        return v, v, h, h
    number = whole(value, 0, MAX_CELLS)
    return number, number, number, number


def _four_sides(value: dict[str, object]) -> tuple[int, int, int, int]:
    for key in value:
        if key not in SIDES:
            raise complain("UNKNOWN_KEY", f"unknown key {short(key)!r}", at=(key,), hint=did_you_mean(key, SIDES))
    top, bottom, left, right = (whole(value.get(side, 0), 0, MAX_CELLS, at=(side,)) for side in SIDES)
    return top, bottom, left, right


def short_sides(value: tuple[int, int, int, int] | Literal["same"]) -> object:
    """The shortest spelling of a padding."""
    if isinstance(value, str):
        return value
    top, bottom, left, right = value
    if top != bottom or left != right:
        return dict(zip(SIDES, value, strict=True))
    return top if top == left else [top, left]


def _width(value: object) -> int | Literal["classes"]:
    if isinstance(value, str):
        if value != "classes":
            hint = "did you mean 'classes'?" if nearest(value, ["classes"]) else "write a number without quotes"
            raise complain(
                "WRONG_TYPE", f"expected a number of channels or `classes`, found {kind_of(value)}", hint=hint
            )
        return "classes"
    return whole(value, 1, MAX_CHANNELS)


def _fraction(value: object) -> float:
    if isinstance(value, str) and re.fullmatch(_FRACTION, value):
        top, _, bottom = value.partition("/")
        value = float(top) / float(bottom) if float(bottom) else math.inf
    if isinstance(value, bool | str) or not isinstance(value, int | float):
        raise complain("WRONG_TYPE", f"expected a number or a fraction such as 1/255, found {kind_of(value)}")
    if not abs(value) < 1e9:
        raise complain("OUT_OF_RANGE", f"{short(str(value))} is not a finite number, or is out of range")
    return float(value)


_FRACTION = r"-?[0-9]+(\.[0-9]+)?/[0-9]+(\.[0-9]+)?"


_CELLS = {"type": "integer", "minimum": 1, "maximum": MAX_CELLS}
_PAD = {"type": "integer", "minimum": 0, "maximum": MAX_CELLS}
_PAIR_JSON = {"anyOf": [_CELLS, {"type": "array", "items": _CELLS, "minItems": 2, "maxItems": 2}]}
_SIDES_JSON = {
    "anyOf": [
        _PAD,
        {"const": "same"},
        {"type": "array", "items": _PAD, "minItems": 2, "maxItems": 2},
        {"type": "object", "properties": dict.fromkeys(SIDES, _PAD), "additionalProperties": False},
    ]
}
_WIDTH_JSON = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_CHANNELS}, {"const": "classes"}]}
_FRACTION_JSON = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^{_FRACTION}$"}]}

Pair = Annotated[tuple[int, int], PlainValidator(_pair), WithJsonSchema(_PAIR_JSON)]
"""(vertical, horizontal)."""

Sides = Annotated[
    tuple[int, int, int, int] | Literal["same"],
    PlainValidator(_sides),
    WithJsonSchema(_SIDES_JSON),
]
"""(top, bottom, left, right), or `same`."""

Width = Annotated[int | Literal["classes"], PlainValidator(_width), WithJsonSchema(_WIDTH_JSON)]
"""A number of channels, or `classes`."""

Fraction = Annotated[float, PlainValidator(_fraction), WithJsonSchema(_FRACTION_JSON)]
"""A finite number, or a fraction such as 1/255."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=64)]
"""A name that is also safe as a file name."""


@dataclass(frozen=True)
class _Reader:
    """Annotation: rewrite a short spelling before the type itself is validated."""

    def read(self, value: Any) -> Any:
        raise NotImplementedError

    def short_schema(self) -> dict[str, Any]:
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        read: Callable[[Any], Any] = self.read
        return core_schema.no_info_before_validator_function(read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [self.short_schema(), handler(schema)]}


class Kind(_Reader):
    """A bare word means `{kind: word}`; `full` kinds need more keys."""

    def __init__(self, *words: str, full: tuple[str, ...] = ()) -> None:
        self.words, self.full = words, full

    def read(self, value: Any) -> Any:
        """The mapping form, with a known kind."""
        choices, at = (*self.words, *self.full), ["kind"]
        if not isinstance(value, dict):
            if not isinstance(value, str):
                raise complain("WRONG_TYPE", f"expected one of {', '.join(choices)}, found {kind_of(value)}")
            value, at = {"kind": value}, []
        kind = value.get("kind")
        if "kind" not in value:
            hint = "use kind instead of type" if "type" in value else "one of: " + ", ".join(choices)
            raise complain("MISSING_KEY", "the key 'kind' is missing", hint=hint)
        if not isinstance(kind, str):
            raise complain("WRONG_TYPE", f"expected one of {', '.join(choices)}, found {kind_of(kind)}", at=(*at,))
        if reason := outside.reason(kind):
            raise complain("OUTSIDE_LANGUAGE", reason, at=(*at,), hint=outside.HINT)
        if kind not in choices:
            raise complain(
                "UNKNOWN_CHOICE", f"unknown kind {short(kind)!r}", at=(*at,), hint=did_you_mean(kind, choices)
            )
        return value

    def short_schema(self) -> dict[str, Any]:
        """The words."""
        return {"enum": list(self.words)}


class Short(_Reader):
    """A bare value means `{key: value}`."""

    def __init__(self, key: str, schema: dict[str, Any]) -> None:
        self.key, self.schema = key, schema

    def read(self, value: Any) -> Any:
        """The mapping form."""
        return value if isinstance(value, dict) else {self.key: value}

    def short_schema(self) -> dict[str, Any]:
        """The bare value."""
        return self.schema


Probability = Short("p", {"type": "number", "minimum": 0, "exclusiveMaximum": 1})
Channels = Short("channels", _WIDTH_JSON)
Units = Short("units", _WIDTH_JSON)
