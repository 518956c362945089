"""The words of everything that a user or a contributor reads: phrases that made readers stumble do not return."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BANNED = {
    r"(?<!there )\bis no (?!longer\b|more\b|less\b|larger\b)\w+": "is not a ...",
    r"\banew\b": "again",
    r"\bcomes? along\b": "bundled",
    r"\bwhatever\b": "any, all",
    r"\bgo(?:es)? on\b": "continue, resume",
    r"\bborne?\b": "name what happens",
    r"\btold\b": "reported, logged, called with",
    r"\b(?:cures?|remedies)\b": "fix",
    r"\bput right\b": "fixed",
    r"\bno number\b": "NaN or infinite",
    r"\bfor want of\b": "for lack of",
    r"\bcan't be had\b": "is not available",
    r"\b(?:unless|if not) said\b": "by default",
    r"(?:^|; |: |, |or )say (?:--|[A-Za-z_]+[:=] ?)": "set, pass, use",
    r"\bask for (?:cpu|cuda|openvino|tensorrt|--)": "pass --device",
}
"""Patterns, and what to write instead; the glossary in .github/CONTRIBUTING.md has the nouns."""

ALLOWED: dict[tuple[str, str], str] = {}
"""(file, phrase) to the reason why the phrase is right there."""


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Each text that a person may read, with its line: docstrings, comments and messages; all of a guide."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield node.lineno, node.value
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
    elif path.suffix == ".yaml":
        yield from ((k, line.partition("#")[2]) for k, line in enumerate(source.splitlines(), 1) if "#" in line)
    else:
        yield from enumerate(source.splitlines(), 1)


def banned_in(text: str) -> Iterator[tuple[str, str]]:
    """The phrases in a text that are not to be used, and what to write instead."""
    plain = " ".join(text.split())
    for pattern, instead in BANNED.items():
        yield from ((found.group(0), instead) for found in re.finditer(pattern, plain))


def read_files() -> list[Path]:
    """The product's own texts: code, templates, shipped specs, guides and the README."""
    listed = subprocess.run(
        ["git", "ls-files", "nin_spec", "exporters", "specs", "README.md"],  # noqa: S607 git is on the path of a clone
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("the files are listed by git")
    paths = [ROOT / name for name in listed.stdout.splitlines()]
    kinds = (".py", ".md", ".jinja", ".yaml", ".js", ".css")
    return [p for p in paths if p.suffix in kinds and not p.name.endswith("_pb2.py") and p.is_file()]


def test_no_text_has_a_banned_phrase() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {phrase!r}; write: {instead}"
        for path in read_files()
        for line, text in texts_of(path)
        for phrase, instead in banned_in(text)
        if (path.relative_to(ROOT).as_posix(), phrase) not in ALLOWED
    ]
    assert not found, "\n".join(found)


def test_every_exception_is_needed() -> None:
    """An allowed phrase that is gone leaves the list."""
    used = {
        (path.relative_to(ROOT).as_posix(), phrase)
        for path in read_files()
        for _, text in texts_of(path)
        for phrase, _ in banned_in(text)
    }
    assert ALLOWED.keys() <= used


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("'x' is no rule", "is no rule"),
        ("write it\n    anew", "anew"),
        ("hint: say --data DIR", ": say --"),
        ("say kernel: 3", "say kernel: "),
        ("the loss is no number any more", "is no number"),
    ],
)
def test_a_banned_phrase_is_found(text: str, phrase: str) -> None:
    assert phrase in [found for found, _ in banned_in(text)]


@pytest.mark.parametrize(
    "text", ["it is no longer written", "there is no folder", "set kernel: 3", "what they say of it"]
)
def test_plain_english_is_left_alone(text: str) -> None:
    assert not list(banned_in(text))
