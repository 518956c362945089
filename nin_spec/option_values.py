"""Values of options that may be texts, for pydantic: a list separated by commas."""

from __future__ import annotations


def by_comma(value: object) -> object:
    """The words of a text such as `1, 8, 64`; any other value unchanged."""
    return tuple(word.strip() for word in value.split(",")) if isinstance(value, str) else value
