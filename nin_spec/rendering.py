"""Templates: the files of a package's `templates/`, rendered unchanged; a missing fact is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def render(package: str, template: str, facts: Mapping[str, Any]) -> bytes:
    """The template, filled in, as UTF-8.

    What goes into HTML is escaped; elsewhere `tojson` and `quoted` make texts safe in YAML and protobuf text.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader(package),
        autoescape=select_autoescape(["html.jinja"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = quoted
    return environment.get_template(template).render(facts).encode()


def quoted(text: str) -> str:
    """A string of the protobuf text format: control characters, quotes and backslashes escaped."""
    return '"' + "".join(_ESCAPED.get(c) or (f"\\{ord(c):03o}" if ord(c) < 32 else c) for c in text) + '"'


_ESCAPED = {'"': '\\"', "\\": "\\\\", "\x7f": "\\177"}
