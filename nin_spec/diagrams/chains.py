"""The network as Mermaid and as dot: a box per column, blocks as frames."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from nin_spec.diagrams.columns import Column, Drawable, groups_of
from nin_spec.diagrams.layout import lines_of

_FILL = {
    "input": "#e3e7ec",
    "conv": "#b9d9f3",
    "mix": "#deeffb",
    "pool": "#fbe3bd",
    "dense": "#dcdcf5",
    "flat": "#e3e7ec",
}
_OTHER = "#eef1f4"


def mermaid(network: Drawable) -> str:
    """A Mermaid flowchart, which GitHub renders in a fenced block."""
    lines = ["---", f"title: {_mermaid_title(network.graph.name)}", "---", "%% Written by nin-spec", "flowchart LR"]
    names = []
    used: dict[str, list[str]] = {}
    for g, group in enumerate(groups_of(network)):
        lines.append(f'  subgraph g{g}["{_mermaid(group.name)}"]')
        for c, column in enumerate(group.columns):
            names.append(f"n{g}_{c}")
            used.setdefault(_family(column), []).append(names[-1])
            label = "<br/>".join(_mermaid(line) for line in _label(column))
            lines.append(f'    {names[-1]}["{label}"]')
        lines.append("  end")
    lines += [f"  {a} --> {b}" for a, b in pairwise(names)]
    for family, members in used.items():
        lines.append(f"  classDef {family} fill:{_FILL.get(family, _OTHER)},stroke:#5b6675,color:#1c2430")
        lines.append(f"  class {','.join(members)} {family}")
    return "\n".join(lines) + "\n"


def dot(network: Drawable) -> str:
    """A digraph for Graphviz."""
    lines = [
        "// Written by nin-spec",
        f"digraph {_dot(network.graph.name)} {{",
        f"  rankdir=LR; label={_dot(network.graph.name)}; labelloc=t; fontname=Helvetica;",
        '  node [shape=box, style="filled,rounded", fontname=Helvetica, fontsize=10, color="#5b6675"];',
        '  edge [color="#5b6675", arrowsize=0.6];',
    ]
    names = []
    for g, group in enumerate(groups_of(network)):
        lines.append(f'  subgraph cluster_{g} {{ label={_dot(group.name)}; fontsize=10; color="#d5dbe4";')
        for c, column in enumerate(group.columns):
            names.append(f"n{g}_{c}")
            label = _dot("\n".join(_label(column)))
            lines.append(f'    {names[-1]} [label={label}, fillcolor="{_FILL.get(_family(column), _OTHER)}"];')
        lines.append("  }")
    lines += [f"  {a} -> {b};" for a, b in pairwise(names)]
    return "\n".join([*lines, "}"]) + "\n"


def _label(column: Column) -> Sequence[str]:
    return [text for _, text in lines_of(column)]


def _family(column: Column) -> str:
    return column.slabs[0].family


def _mermaid(text: str) -> str:
    """A quoted text, with Mermaid's and HTML's markup as entity codes."""
    return "".join(c if c.isalnum() or c in " .,×-_/" else f"#{ord(c)};" for c in text)


def _mermaid_title(text: str) -> str:
    """A text as a YAML string."""
    import json

    return json.dumps(text)


def _dot(text: str) -> str:
    """A quoted string of the dot language."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'
