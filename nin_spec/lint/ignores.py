"""`# nin: ignore[NIN901]`: on a line, on separate lines above it, or at the top for the whole file.

The text after the bracket is the reason. Comments of the spec itself that name no rule, or suppress nothing, are
reported; those of a file that it extends are reported when that file is checked.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import yaml

from nin_spec.diagnostics import MAX_FINDINGS, Code, Source, Span, did_you_mean, lines_of, short
from nin_spec.lint.finding import Finding

_DIRECTIVE = re.compile(r"(?:^|(?<=\s))#\s*nin\s*:\s*ignore\b(?P<list>\s*\[(?P<codes>[^\]]*)\])?")


@dataclass(frozen=True, slots=True)
class Ignore:
    """One code of one comment. `line` is the line it applies to; None means the whole file."""

    code: str
    span: Span
    line: int | None

    @property
    def key(self) -> Key:
        """The key of the findings it suppresses."""
        return self.code, self.span.source, self.line


Key = tuple[str, Source, int | None]


def apply(found: Iterable[Finding], root: Source, rules: Iterable[str]) -> list[Finding]:
    """The findings that no comment suppresses, and findings on the comments of the spec itself."""
    found = list(found)
    sources = dict.fromkeys([root, *(f.span.source for f in found)])
    ignored = {ignore.key for source in sources for ignore in ignores_of(source)}
    used: set[Key] = set()
    kept = []
    for finding in found:
        fitting = ignored.intersection(_keys(finding, root))
        used |= fitting
        kept += [] if fitting else [finding]
    told = _findings_about((i for i in ignores_of(root) if i.key not in used), sorted(rules))
    return [*kept, *islice(told, MAX_FINDINGS)]


def _keys(finding: Finding, root: Source) -> tuple[Key, ...]:
    """The comments that would suppress a finding; one at the top of the spec itself applies to the whole network."""
    code, span = finding.code.code, finding.span
    return (code, span.source, span.line), (code, span.source, None), (code, root, None)


def _findings_about(ignores: Iterable[Ignore], known: list[str]) -> Iterator[Finding]:
    for ignore in ignores:
        if ignore.code in known:
            yield Finding(
                Code.UNUSED_IGNORE,
                f"{ignore.code} is not found here, so this comment suppresses nothing",
                ignore.span,
                "remove the comment",
            )
        else:
            what = f"unknown rule {short(ignore.code)!r}" if ignore.code else "the comment does not name a rule"
            hint = did_you_mean(ignore.code, known) if ignore.code else "write # nin: ignore[NIN901] and the reason"
            yield Finding(Code.UNKNOWN_IGNORE, f"{what}; nothing is ignored", ignore.span, hint)


@lru_cache(maxsize=16)
def ignores_of(source: Source) -> tuple[Ignore, ...]:
    """Every code that the comments of a text ignore, in order."""
    if not _DIRECTIVE.search(source.text) or source.name == "--set":
        return ()
    lines = lines_of(source.text)
    begins = next((k for k, line in enumerate(lines, 1) if _says(line)), len(lines) + 1)
    targets, inside = _targets(lines), _scalars(source.text)
    found: list[Ignore] = []
    for number, text in enumerate(lines, 1):
        match = _DIRECTIVE.search(text)
        if match is not None and not _covered(inside, (number, match.start() + 1)):
            target = None if number < begins else targets[number - 1]
            found += [Ignore(code, span, target) for code, span in _codes(source, number, match)]
    return tuple(found)


def _says(line: str) -> bool:
    """Whether a line is more than a comment, a YAML directive or a document start marker."""
    bare = line.strip()
    return bool(bare) and not bare.startswith(("#", "%", "---"))


def _targets(lines: list[str]) -> list[int]:
    """The line that a comment on each line applies to: the same line, or the first below a run of comments."""
    targets = [len(lines) + 1] * (len(lines) + 1)
    for k in range(len(lines) - 1, -1, -1):
        targets[k] = targets[k + 1] if lines[k].lstrip().startswith("#") else k + 1
    return targets


def _codes(source: Source, number: int, match: re.Match[str]) -> Iterator[tuple[str, Span]]:
    """Each code in the brackets with its span; an empty code if the comment names none."""
    start = match.start() + 1
    words = list(re.finditer(r"[^\s,]+", match["codes"] or ""))
    if not words:
        yield "", Span(source, number, start, match.end() - match.start())
    for word in words:
        yield word[0], Span(source, number, match.start("codes") + word.start() + 1, len(word[0]))


Place = tuple[int, int]
"""(line, column), 1-based."""


def _scalars(text: str) -> list[tuple[Place, Place]]:
    """The start and end of the text's scalars, in order: a hash inside one is not a comment."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    scalars: list[Any] = [e for e in yaml.parse(text, Loader=loader) if isinstance(e, yaml.ScalarEvent)]
    marks = ((e.start_mark, e.end_mark) for e in scalars)
    return [((a.line + 1, a.column + 1), (b.line + 1, b.column + 1)) for a, b in marks]


def _covered(scalars: list[tuple[Place, Place]], place: Place) -> bool:
    """Whether a scalar covers a position."""
    k = bisect_right(scalars, place, key=lambda scalar: scalar[0])
    return k > 0 and place < scalars[k - 1][1]
