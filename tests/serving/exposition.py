"""Prometheus' text format 0.0.4, read as strictly as its definition has it, with a HELP and a TYPE for each name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
PAIR = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
NUMBER = r"[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|Inf)|NaN"
HELP = re.compile(rf"# HELP ({NAME}) (?:[^\\\n]|\\[\\n])*")
TYPE = re.compile(rf"# TYPE ({NAME}) (counter|gauge|histogram|summary|untyped)")
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL}(?:,{LABEL})*,?)?)\}})? ({NUMBER})(?: -?\d+)?")

Labels = frozenset[tuple[str, str]]


@dataclass
class Family:
    """The samples of one name."""

    kind: str = ""
    samples: dict[Labels, float] = field(default_factory=dict)


def check_exposition(text: str) -> dict[str, Family]:
    """What a text says, by name. An AssertionError shows the line that is none."""
    assert text.endswith("\n"), "the last line doesn't end"
    families: dict[str, Family] = {}
    name = ""
    for line in text[:-1].split("\n"):
        if found := HELP.fullmatch(line):
            name = found[1]
            assert name not in families, f"a second group: {line}"
            families[name] = Family()
            continue
        found = TYPE.fullmatch(line) or SAMPLE.fullmatch(line)
        assert found, f"no line of the format: {line}"
        assert found[1] == name, f"in another's group: {line}"
        family = families[name]
        if found.re is TYPE:
            assert not family.kind, f"a second type: {line}"
            family.kind = found[2]
        else:
            labels = frozenset((key, _plain(value)) for key, value in PAIR.findall(found[2] or ""))
            assert family.kind, f"before its type: {line}"
            assert labels not in family.samples, f"a second time: {line}"
            family.samples[labels] = float(found[3])
    return families


def _plain(text: str) -> str:
    return re.sub(r'\\([\\"n])', lambda found: "\n" if found[1] == "n" else found[1], text)
