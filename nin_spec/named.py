"""What a person named where a network or a model is expected, identified once for every command and for Python.

    SpecFile        a YAML file                          mine.yaml
    ShippedSpec     the name of a spec that nin-spec has nin_cifar
    StandardInput   -
    RunFolder       a folder that nin-spec train wrote   runs/nin_cifar
    ExportedFile    an ONNX file                         nin_cifar.onnx
    GitRevision     a file as it was in a revision       HEAD~1:specs/mine.yaml

`resolve` looks at names, at what is there, and at the first bytes of a text; it reads nothing else. What each kind
opens to is in nin_spec.opened.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from nin_spec.diagnostics import Code, Diagnostic, SpecError
from nin_spec.foreign import MODEL_SUFFIXES, ONNX, Foreign, begins_as_onnx, foreign, is_file, is_folder

SHIPPED = Path(__file__).resolve().parent / "specs"
"""The folder of the specs that come with nin-spec."""

RECORD = "run.json"
"""The file by which a run folder is known."""


def shipped_names() -> list[str]:
    """The names of the specs that ship with nin-spec."""
    return sorted(p.stem for p in SHIPPED.glob("*.yaml"))


def is_run(path: str | Path) -> bool:
    """Whether a path is a run folder."""
    return is_file(Path(path) / RECORD)


@dataclass(frozen=True, slots=True)
class SpecFile:
    """A path that is taken as a spec, whether or not it exists."""

    path: Path


@dataclass(frozen=True, slots=True)
class ShippedSpec:
    """A spec that comes with nin-spec."""

    name: str

    @property
    def path(self) -> Path:
        """Its file."""
        return SHIPPED / f"{self.name}.yaml"


@dataclass(frozen=True, slots=True)
class StandardInput:
    """A spec from standard input."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder that nin-spec train wrote."""

    path: Path


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file that onnxruntime can run, of nin-spec or another tool."""

    path: Path


@dataclass(frozen=True, slots=True)
class GitRevision:
    """A file as it was in a revision of git, relative to the working folder."""

    revision: str
    file: str


Named = SpecFile | ShippedSpec | StandardInput | RunFolder | ExportedFile | GitRevision


def resolve(name: str | Path | Named) -> Named:
    """What a name refers to; a resolved name is returned unchanged.

    Raises SpecError for a file of another tool (WRONG_KIND), with the way in, and for a URL or an empty name
    (FILE_NOT_FOUND).
    """
    if isinstance(name, Named):
        return name
    text, path = str(name), Path(name)
    if text == "-":
        return StandardInput()
    if not text:
        raise SpecError(Code.FILE_NOT_FOUND, "the name is empty", hint="pass a path; . is this folder")
    if is_run(path):
        return RunFolder(path)
    if text in shipped_names() and not is_file(path):
        return ShippedSpec(text)
    there = os.path.lexists(path)
    if "://" in text and not there:
        message = f"{text} is a URL, and only local files are read"
        raise SpecError(Code.FILE_NOT_FOUND, message, hint="download it, and pass its path")
    if path.suffix.lower() in MODEL_SUFFIXES or begins_as_onnx(path):
        return ExportedFile(path)
    revision, colon, file = text.partition(":")
    if colon and not there:
        return GitRevision(revision, file)
    if (other := foreign(path)) is not None and not is_folder(path):
        raise SpecError(_of_another_tool(path, other))
    return SpecFile(path)


def _of_another_tool(path: Path, other: Foreign) -> Diagnostic:
    if not os.path.lexists(path):
        hint = f"check its path; by its name it is {other.what}, and a spec is expected"
        return Diagnostic(Code.FILE_NOT_FOUND, f"the file {path} does not exist", hint=hint)
    return Diagnostic(Code.WRONG_KIND, f"{path} is {other.what}, not a spec", hint=other.way_from(path))


def not_a_spec(named: RunFolder | ExportedFile | GitRevision) -> SpecError:
    """The error for a name where only a spec can be read."""
    match named:
        case RunFolder(path):
            hint = f"its spec is {path / 'spec.yaml'}"
            return SpecError(Code.WRONG_KIND, f"{path} is a run folder, not a spec", hint=hint)
        case ExportedFile(path):
            return SpecError(_of_another_tool(path, ONNX))
        case GitRevision(revision, file):
            message = f"the file {revision}:{file} does not exist"
            hint = f"only nin-spec diff reads git revisions; elsewhere: git show {revision}:{file} | nin-spec ... -"
            return SpecError(Code.FILE_NOT_FOUND, message, hint=hint)
