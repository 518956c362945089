"""The names by which a recipe speaks of parameters: what fits, and the right spelling of what fits nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from nin_spec.diagnostics import nearest
from nin_spec.ir.graph import Graph
from nin_spec.language.schema import Spec

_MAX_PARTS = 8

HINT = "parameters are named as `nin-spec build` names layers: blocks.0.convs.1.weight; block names also work"


def aliases(parameter: str, spec: Spec) -> tuple[str, ...]:
    """What a recipe may call a parameter: its name, and the same with its block's name."""
    top, _, rest = parameter.partition(".")
    index, _, last = rest.partition(".")
    name = spec.blocks[int(index)].name if top == "blocks" else None
    return (parameter, f"{name}.{last}") if name else (parameter,)


def trainable(graph: Graph, spec: Spec) -> dict[str, tuple[str, ...]]:
    """Each parameter that an optimiser changes, with its aliases; the statistics of batch norms are not among them."""
    roles = {name: p.role for name, p in graph.parameters().items()}
    return {name: aliases(name, spec) for name, role in roles.items() if role not in {"mean", "var"}}


def fits(pattern: str, names: Iterable[str]) -> bool:
    """Whether a pattern fits one of a parameter's names. Only `*` is special: brackets and `?` are letters."""
    literal = pattern.replace("[", "[[]").replace("?", "[?]")
    return any(fnmatchcase(name, literal) for name in names)


def suggestion(pattern: str, names: Iterable[str]) -> str | None:
    """The pattern that was probably meant by one that fits nothing: another word at one place, so that it fits."""
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
    """What stands in the names at a place of the pattern, where all of the rest fits."""
    pieces = [re.sub(r"(\\\*)+", ".*", re.escape(part)) for part in parts]
    pieces[place] = r"([^.]*).*" if parts[place].endswith("*") else r"([^.]*)"
    regex = re.compile(r"\.".join(pieces))
    return {match[1] for name in names if (match := regex.fullmatch(name))}
