"""Sources, spans, diagnostics and the error tree: what is wrong, where, and how to fix it.

    NinSpecError            one or more diagnostics, and the exit code
    |-- SpecError           the text of a spec can't be read, validated or compiled          (exit 2)
    |-- WeightsError        a weights file does not fit the network                          (exit 2)
    |-- ExportError         the requested export is not possible                            (exit 2)
    |-- InputError          a model, image or array is not usable        (exit 2)
    |-- DeviceError         the requested device can't run the model                         (exit 2)
    |-- ForeignModelError   another tool's network can't be expressed in the language   (exit 2)
    |-- DataError           a data set is missing, damaged, or does not fit the network      (exit 2)
    |-- TrainingError       a run can't be started, resumed or used               (exit 2)
    |-- SweepError          a sweep can't be started, resumed or read               (exit 2)
    |-- DivergedError       training stopped: the loss became NaN or infinite                 (exit 1)
    |-- PeerLostError       another training process stopped, was killed or lost its connection          (exit 1)
    |-- BudgetError         a reduced-precision file loses more accuracy than allowed       (exit 1)
    `-- ParityError         an exported file does not compute what its spec declares         (exit 1)

Positions are 1-based, columns count characters.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from functools import lru_cache
from typing import ClassVar, overload

from nin_spec.notebook import Table, cut, view


class Severity(StrEnum):
    """Severity of a diagnostic. Only errors stop a command; a note is advice."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Code(Enum):
    """Every diagnostic's stable code and its meaning. Codes are never reused."""

    FILE_NOT_FOUND = ("NIN001", "a file, or a shipped spec of that name, does not exist")
    FILE_UNREADABLE = ("NIN002", "a path is a directory, a device, or not readable")
    FILE_TOO_LARGE = ("NIN003", "a spec is larger than the limit")
    NOT_UTF8 = ("NIN004", "a spec is not UTF-8 text")
    WRONG_KIND = ("NIN005", "a file of the wrong kind: another tool's file, or a spec where a model is needed")

    YAML_SYNTAX = ("NIN101", "the text is not YAML")
    YAML_DUPLICATE_KEY = ("NIN102", "a key is given twice in one mapping")
    YAML_TAG = ("NIN103", "a YAML tag; specs are plain data and never build objects")
    YAML_TOO_DEEP = ("NIN104", "nesting deeper than the limit")
    YAML_TOO_MANY_NODES = ("NIN105", "more values than the limit, with aliases expanded")
    YAML_ALIAS = ("NIN106", "an alias that is undefined or contains itself")
    YAML_MERGE_KEY = ("NIN107", "a YAML merge key; use defaults or extends")
    YAML_NOT_ONE_DOCUMENT = ("NIN108", "an empty file, or more than one YAML document")
    YAML_KEY = ("NIN109", "a key that is not a plain name")
    YAML_NOT_A_MAPPING = ("NIN110", "a spec that is not a mapping")

    UNKNOWN_KEY = ("NIN201", "a key that is unknown here")
    MISSING_KEY = ("NIN202", "a required key is missing")
    WRONG_TYPE = ("NIN203", "a value of the wrong type")
    OUT_OF_RANGE = ("NIN204", "a number out of range")
    UNKNOWN_CHOICE = ("NIN205", "a word that is not one of the choices")
    INVALID_VALUE = ("NIN206", "a value of the right type in the wrong form")
    CONFLICT = ("NIN207", "keys that contradict each other")
    AMBIGUOUS = ("NIN208", "an unset choice that changes what the network computes")
    OUTSIDE_LANGUAGE = ("NIN209", "a network that is not a chain, or an operation outside the language")

    EXTENDS_CYCLE = ("NIN301", "a spec that extends itself, or too long a chain of extends")
    UNKNOWN_BLOCK = ("NIN302", "a change to a block that does not exist")
    BAD_OVERRIDE = (
        "NIN303",
        "an invalid override: not path=value, or an item that is not in its list",
    )

    UNKNOWN_PARAMETER = ("NIN304", "a recipe that names a parameter missing from the network")

    SHAPE = ("NIN401", "sizes or channels that do not fit together")
    SCORES = ("NIN402", "a head that does not end in one score per class")
    TOO_LARGE = ("NIN403", "a network too large to build")
    OPEN_SIZE = ("NIN404", "an open input size that the network does not support")

    WEIGHTS_UNREADABLE = ("NIN501", "a weights file that can't be read safely")
    WEIGHTS_MISMATCH = ("NIN502", "weights that do not fit the network")

    EXPORT_OPTION = ("NIN601", "an export option that is not available")
    EXPORT_UNSUPPORTED = ("NIN602", "an operation that this back end or opset does not support")
    EXPORT_PATH = ("NIN603", "a path that is not writable")
    PARITY = ("NIN604", "an exported graph does not compute what its spec declares")
    BUDGET = ("NIN611", "a lower-precision file that loses more accuracy than allowed")

    IMPORT = ("NIN651", "another tool's network or file that the language can't express")

    MODEL_UNREADABLE = ("NIN701", "a file that is not a model nin-spec can run")
    INPUT_UNUSABLE = ("NIN702", "an image or array that does not fit the model")
    DEVICE_UNAVAILABLE = ("NIN703", "a device that can't run here")
    DEVICE_FALLBACK = ("NIN704", "nodes placed on a device other than the requested one")
    EXTRA_MISSING = ("NIN705", "a package from an optional extra of nin-spec is not installed")
    DEVICE_OPTION = ("NIN706", "a device option that is unknown, or has an invalid value")
    MEMORY = ("NIN707", "work that needs more memory than is available")
    BENCH_CONTENDER = ("NIN721", "a contender that can't be measured here")
    SERVE_UNUSABLE = ("NIN731", "a server or a page that can't be started")

    DATA_MISSING = ("NIN801", "a data set that does not exist")
    DATA_DAMAGED = ("NIN802", "a data file that is truncated, corrupt or mislabelled")
    DATA_MISFIT = ("NIN803", "a data set that does not fit the network")
    DATA_FETCH = ("NIN804", "a download that failed, or is not the expected file")

    RECIPE = ("NIN811", "a recipe that is missing, or can't be run here")
    RUN_UNUSABLE = ("NIN812", "a run folder that can't be used or resumed")
    DIVERGED = ("NIN813", "the training loss became NaN or infinite")
    PEER_LOST = ("NIN814", "a training process that is unreachable, was stopped or was killed")

    SWEEP = ("NIN821", "a sweep that can't be run as it is written")
    SWEEP_UNUSABLE = ("NIN822", "a sweep folder or a storage that can't be used or resumed")
    NOTHING_FITS = ("NIN823", "a sweep of which no candidate compiles, or none is within the limits")
    SINGLE_VALUE = ("NIN824", "an axis of a sweep that has one value, so that nothing is searched")

    SCORE_ACTIVATION = ("NIN901", "an activation on the class scores")
    PADDED_POINTS = ("NIN902", "a convolution padded so far that its border sees no input, for example a padded 1x1")
    STRIDE_SKIPS = ("NIN903", "a stride larger than the kernel, which skips cells")
    POOL_DROPS = ("NIN904", "a pool that leaves out the last rows or columns")
    SCORE_DROPOUT = ("NIN905", "dropout directly before the scores")
    SINGLE_CELL = ("NIN906", "class maps that have shrunk to 1x1 before they are pooled")
    SMALL_FIELD = ("NIN907", "class maps whose receptive field is smaller than the input")
    USELESS_BIAS = ("NIN908", "a bias before batch norm, which cancels it")
    TWO_SOFTMAXES = ("NIN909", "scores that are squashed twice")
    ODD_CHANNELS = ("NIN910", "channels that are not a multiple of 8, the tile of tensor cores")
    DEAD_START = ("NIN911", "an initialisation that leaves a deep ReLU network at loss ln(classes)")
    IDLE_ENTRY = ("NIN912", "an entry of the recipe that changes nothing, such as a misspelt pattern")
    TWO_SCALES = ("NIN913", "pictures that are trained on at one scale and evaluated at another")
    CROSS_PURPOSES = ("NIN914", "settings of the recipe that work against each other")
    UNUSED_IGNORE = ("NIN990", "a `# nin: ignore` that suppresses nothing")
    UNKNOWN_IGNORE = ("NIN991", "a `# nin: ignore` without a known rule")

    def __init__(self, code: str, meaning: str) -> None:
        self.code = code
        self.meaning = meaning


@dataclass(frozen=True, slots=True)
class Source:
    """A text that spans point into: a file, standard input, or one command-line override."""

    name: str
    text: str = field(repr=False)

    def line(self, number: int) -> str:
        """Line `number` (1-based) without its end, or the empty string past the end."""
        lines = lines_of(self.text)
        return lines[number - 1] if 1 <= number <= len(lines) else ""


@lru_cache(maxsize=16)
def lines_of(text: str) -> list[str]:
    """The lines of a text, split once and cached."""
    return text.splitlines()


def short(text: str, limit: int = 60) -> str:
    """Text shortened so that a message can quote it."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def counted(number: int, noun: str, nouns: str | None = None) -> str:
    """`1 epoch`, `1,437 pictures`; pass `nouns` for an irregular plural."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


@dataclass(frozen=True, slots=True)
class Span:
    """`length` characters of a source, from a 1-based line and column."""

    source: Source
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem. `hint` says how to fix it."""

    code: Code
    message: str
    span: Span | None = None
    hint: str | None = None
    severity: Severity = Severity.ERROR

    def as_dict(self) -> dict[str, object]:
        """The diagnostic as plain data, in the form that `--format json` prints."""
        span = self.span
        return {
            "code": self.code.code,
            "severity": self.severity.value,
            "message": self.message,
            "hint": self.hint,
            "file": span.source.name if span else None,
            "line": span.line if span else None,
            "column": span.column if span else None,
        }


class Findings(list[Diagnostic]):
    """Diagnostics in the order of the text, which a notebook shows as a table."""

    def __repr__(self) -> str:
        lines = [f"{d.span or ''} {d.code.code} {d.message}".strip() for d in self]
        return cut(lines, "findings") if lines else "[]"

    def _repr_html_(self) -> str:
        rows = [(d.severity.value, d.code.code, str(d.span or ""), d.message, d.hint or "") for d in self]
        table = Table(("severity", "code", "position", "message", "hint"), rows)
        return view(counted(len(self), "finding"), *([table] if rows else []))


class NinSpecError(Exception):
    """An error in the user's input, with every diagnostic found: one by its code and message, or any number."""

    exit_code: ClassVar[int] = 2

    @overload
    def __init__(self, found: Code, message: str, span: Span | None = None, hint: str | None = None) -> None: ...
    @overload
    def __init__(self, found: Diagnostic | Iterable[Diagnostic]) -> None: ...
    def __init__(
        self,
        found: Code | Diagnostic | Iterable[Diagnostic],
        message: str = "",
        span: Span | None = None,
        hint: str | None = None,
    ) -> None:
        if isinstance(found, Code):
            found = Diagnostic(found, message, span, hint)
        self.diagnostics: tuple[Diagnostic, ...] = (found,) if isinstance(found, Diagnostic) else tuple(found)
        super().__init__("\n".join(map(render, self.diagnostics)))

    def __repr__(self) -> str:
        return cut(f"{type(self).__name__}: {Findings(self.diagnostics)!r}".split("\n"), "findings")

    def _repr_html_(self) -> str:
        return Findings(self.diagnostics)._repr_html_()


class SpecError(NinSpecError):
    """The text of a spec can't be read, validated or compiled."""


class WeightsError(NinSpecError):
    """A weights file does not fit the network."""


class ExportError(NinSpecError):
    """The requested export is not possible."""


class InputError(NinSpecError):
    """A model, image or array is not usable."""


class DeviceError(NinSpecError):
    """The requested device can't run the model."""


class ForeignModelError(NinSpecError):
    """Another tool's network can't be expressed in the language."""


class DataError(NinSpecError):
    """A data set is missing, damaged, or does not fit the network."""


class TrainingError(NinSpecError):
    """A run can't be started, resumed or used."""


class SweepError(NinSpecError):
    """A sweep can't be started, resumed or read."""


class DivergedError(NinSpecError):
    """Training stopped: the loss became NaN or infinite."""

    exit_code = 1


class PeerLostError(NinSpecError):
    """Another training process stopped, was killed or lost its connection."""

    exit_code = 1


class BudgetError(NinSpecError):
    """A reduced-precision file loses more accuracy than allowed."""

    exit_code = 1


class ParityError(NinSpecError):
    """An exported file does not compute what its spec declares."""

    exit_code = 1


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` most likely misspells, or None."""
    lowered = {c.lower(): c for c in choices}
    found = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def did_you_mean(word: str, choices: Sequence[str]) -> str:
    """A hint that names the nearest valid word, else all of them."""
    near = nearest(word, choices)
    return f"did you mean {near!r}?" if near else "expected one of: " + ", ".join(choices)


_WIDTH = 160

MAX_FINDINGS = 100
"""Errors shown for one spec; a hostile spec could have any number."""


def render(diagnostic: Diagnostic) -> str:
    """Plain text: `file:line:column: severity CODE: message`, the source line, a caret, the hint."""
    d = diagnostic
    head = f"{d.severity.value} {d.code.code}: {printable(d.message)}"
    hint = f"hint: {printable(d.hint)}" if d.hint else ""
    if d.span is None:
        return f"{head}\n  {hint}" if hint else head
    number = str(d.span.line)
    text, column, length = _window(d.span)
    caret = " " * (column - 1) + "^" * length
    gutter = " " * len(number)
    lines = [f"{printable(str(d.span))}: {head}", f" {number} | {text}", f" {gutter} | {caret}"]
    if hint:
        lines.append(f" {gutter} = {hint}")
    return "\n".join(lines)


def _window(span: Span) -> tuple[str, int, int]:
    """The span's line, cut around the span if long, and the column and length within the cut."""
    text = span.source.line(span.line)
    start = 0 if span.column <= _WIDTH - 20 else span.column - 60
    end = span.column - 1 + span.length
    before, under = text[start : span.column - 1], text[span.column - 1 : end]
    shown = printable(text[start : start + _WIDTH])
    column = len(printable(before)) + 1
    return shown, column, max(1, min(len(printable(under)), len(shown) - column + 1))


def printable(text: str) -> str:
    r"""Text that is safe to print: no terminal controls, no hidden or reordered characters, valid UTF-8.

    A tab becomes a space. Other control characters (U+0080 to U+009F too), marks of direction and other format
    characters, line separators and lone surrogates, which a file name that is not UTF-8 has, become escapes as JSON and
    YAML have them: `\u001b`.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if character == "\t" or character in _HARMLESS:
        return " " if character == "\t" else character
    return escaped(character)


def escaped(text: str) -> str:
    r"""Each UTF-16 unit of a text as JSON and YAML escape it: `\u001b`."""
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


_HARMLESS = frozenset("\u00a0\u2002\u2003\u2009\u200c\u200d\u202f\u3000")
"""Spaces, and the joiners that Persian, Hindi and emoji need: str.isprintable() refuses them."""
