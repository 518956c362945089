"""What to cite for a network, as BibTeX: the paper, where the network was published, and nin-spec.

A spec states where it comes from in a comment, `# Source: WHO, WHERE.`; one that extends another comes from there, too,
and a source may name a shipped spec, whose own source follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nin_spec.diagnostics import Source
from nin_spec.language.canonical import Canonical
from nin_spec.latex import escaped
from nin_spec.named import SHIPPED, shipped_names

_SOURCE = re.compile(r"^# Source: (.+?)\.?[ \t]*$", re.MULTILINE)
_NAMES = re.compile(r"\b[A-Za-z]\w*\b")
_REPOSITORY = re.compile(r"\bgithub\.com/[\w.-]+/[\w-]+(?:\.[\w-]+)*")
_GIST = re.compile(r"\bgist ([\w-]+/[0-9a-f]{20,32})\b")


@dataclass(frozen=True, slots=True)
class Reference:
    """An entry of a bibliography: its type, its key, and its fields, which are LaTeX."""

    kind: str
    key: str
    fields: dict[str, str]

    def __str__(self) -> str:
        wide = max(map(len, self.fields))
        lines = [f"  {name:<{wide}} = {{{value}}}" for name, value in self.fields.items()]
        return ",\n".join([f"@{self.kind}{{{self.key}", *lines]) + "\n}\n"


PAPER = Reference(
    "misc",
    "lin2013network",
    {
        "title": "{Network In Network}",
        "author": "Lin, Min and Chen, Qiang and Yan, Shuicheng",
        "year": "2013",
        "eprint": "1312.4400",
        "archiveprefix": "arXiv",
        "url": "https://arxiv.org/abs/1312.4400",
    },
)
"""Lin, Chen and Yan, the paper of the networks that the language describes."""


def references(spec: Canonical) -> list[Reference]:
    """The paper, the sources of a spec from the nearest on, and nin-spec itself."""
    return [PAPER, *sources(spec), _software()]


def sources(spec: Canonical) -> list[Reference]:
    """Where a spec and those that it was made from were published; empty if no comment states it."""
    texts = {Path(source.name).stem: source.text for source in _files(spec)}
    found: dict[str, Reference] = {}
    waiting = list(texts)
    while waiting:
        name = waiting.pop(0)
        text = texts[name] if name in texts else (SHIPPED / f"{name}.yaml").read_text()
        header = text.partition("\nspec:")[0]
        for stated in _SOURCE.findall(header)[:1]:
            found[name] = _published(name, stated)
            waiting += [other for other in _shipped(stated) if other not in {*found, *waiting}]
    return list(found.values())


def _files(spec: Canonical) -> list[Source]:
    """The text of the spec, and those of the specs that it extends; overrides have no comments."""
    spans = [spec.root, *(span for span in spec.origins.values() if span is not None)]
    return [source for source in dict.fromkeys(span.source for span in spans) if source.name != "--set"]


def _shipped(stated: str) -> Iterator[str]:
    """The shipped specs that a source names."""
    known = set(shipped_names())
    yield from (word for word in dict.fromkeys(_NAMES.findall(stated)) if word in known)


def _published(name: str, stated: str) -> Reference:
    """A network with its source as the spec states it, and the address in it."""
    fields = {"title": f"{{{escaped(name)}}}", "howpublished": escaped(stated), "key": escaped(name)}
    if gist := _GIST.search(stated):
        fields["url"] = f"https://gist.github.com/{gist[1]}"
    elif repository := _REPOSITORY.search(stated):
        fields["url"] = f"https://{repository[0]}"
    return Reference("misc", re.sub(r"[^A-Za-z0-9_-]", "-", name), fields)


def _software() -> Reference:
    """As CITATION.cff has it."""
    from nin_spec import __version__

    fields = {
        "title": "{nin-spec}: {A} specification language and model compiler for {Network-in-Network} image classifiers",
        "author": "{The nin-spec maintainers}",
        "note": f"Version {__version__}, MIT licence",
        "key": "nin-spec",
    }
    return Reference("misc", "nin-spec", fields)
