"""The names of parameters in a recipe: matching, and suggestions for patterns without a match."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from nin_spec.diagnostics import nearest
from nin_spec.ir.graph import Graph
from nin_spec.language.schema import Spec

_MAX_PARTS = 8

HINT = "parameters are named as `nin-spec build` names layers: blocks.0.convs.1.weight; block names also work"


def aliases(parameter: str, spec: Spec) -> tuple[str, ...]:
    """The names of a parameter in a recipe: its name, and the same with its block's name."""
    top, _, rest = parameter.partition(".")
    index, _, last = rest.partition(".")
    name = spec.blocks[int(index)].name if top == "blocks" else None
    return (parameter, f"{name}.{last}") if name else (parameter,)


def trainable(graph: Graph, spec: Spec) -> dict[str, tuple[str, ...]]:
    """Each trainable parameter with its aliases, without the statistics of batch norms."""
    roles = {name: p.role for name, p in graph.parameters().items()}
    return {name: aliases(name, spec) for name, role in roles.items() if role not in {"mean", "var"}}


def fits(pattern: str, names: Iterable[str]) -> bool:
    """Whether a pattern matches one of a parameter's names. Only `*` is special: brackets and `?` are literal."""
    literal = pattern.replace("[", "[[]").replace("?", "[?]")
    return any(fnmatchcase(name, literal) for name in names)


def covers(pattern: str, names: Iterable[str]) -> bool:
    """Whether a pattern matches a parameter, or a layer or block around it: `stem` covers `stem.norms.0.bias`."""
    names = tuple(names)
    return fits(pattern, names) or fits(f"{pattern}.*", names)


def enclosing(names: Iterable[str]) -> Iterator[str]:
    """The layers and blocks that parameters are part of: `stem.norms.0`, `stem.norms`, `stem`."""
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:k]) for k in range(1, len(parts)))


def suggestion(pattern: str, names: Iterable[str]) -> str | None:
    """The likely correction of a pattern without a match: a different word at one position, so that it matches."""
    parts, found = pattern.split("."), set[str]()
    if len(parts) > _MAX_PARTS:
        return None
    names = list(names)
    for place, part in enumerate(parts):
        for word in _words(parts, place, names) if part != "*" else ():
            more = re.sub(r"\d+$", "", word) + "*" if part.endswith("*") else word
            found |= {".".join([*parts[:place], w, *parts[place + 1 :]]) for w in (word, more)}
    return nearest(pattern, sorted(c for c in found if fits(c, names)))


def _words(parts: list[str], place: int, names: list[str]) -> set[str]:
    """The words of the names at a position of the pattern, if the rest matches."""
    pieces = [re.sub(r"(\\\*)+", ".*", re.escape(part)) for part in parts]
    pieces[place] = r"([^.]*).*" if parts[place].endswith("*") else r"([^.]*)"
    regex = re.compile(r"\.".join(pieces))
    return {match[1] for name in names if (match := regex.fullmatch(name))}
