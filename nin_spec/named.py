"""What a person named where a network or a model is asked for, told apart once for every command.

    SpecFile        a YAML file                          mine.yaml
    ShippedSpec     the name of a spec that nin-spec has nin_cifar
    StandardInput   -
    RunFolder       a folder that nin-spec train wrote   runs/nin_cifar
    ExportedFile    an ONNX file                         nin_cifar.onnx
    GitRevision     a file as it was in a revision       HEAD~1:specs/mine.yaml

`resolve` looks at names, at what is there, and at the first bytes of a text; it reads nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nin_spec.diagnostics import Code, Diagnostic, InputError, SpecError
from nin_spec.foreign import MODEL_SUFFIXES, ONNX, Foreign, begins_as_onnx, foreign, is_file, is_folder
from nin_spec.language.load import shipped_names

if TYPE_CHECKING:
    from nin_spec.network import Network


@dataclass(frozen=True, slots=True)
class SpecFile:
    """A text that is meant as a spec, there or not."""

    path: Path


@dataclass(frozen=True, slots=True)
class ShippedSpec:
    """A spec that comes with nin-spec."""

    name: str


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


def resolve(name: str | Path) -> Named:
    """What a name stands for.

    Raises SpecError for a file of another tool (WRONG_KIND), with the way in, and for a URL or an empty name
    (FILE_NOT_FOUND).
    """
    text, path = str(name), Path(name)
    if text == "-":
        return StandardInput()
    there = os.path.lexists(path)
    if not text:
        raise SpecError(Diagnostic(Code.FILE_NOT_FOUND, "the name is empty", hint="pass a path; . is this folder"))
    if not there and text in shipped_names():
        return ShippedSpec(text)
    if "://" in text and not there:
        message = f"{text} is a URL, and only local files are read"
        raise SpecError(Diagnostic(Code.FILE_NOT_FOUND, message, hint="download it, and pass its path"))
    if is_file(path / "run.json"):
        return RunFolder(path)
    if path.suffix.lower() in MODEL_SUFFIXES or begins_as_onnx(path):
        return ExportedFile(path)
    revision, colon, file = text.partition(":")
    if colon and not there:
        return GitRevision(revision, file)
    if (other := foreign(path)) is not None and not is_folder(path):
        raise SpecError(_of_another_tool(path, other, there=there))
    return SpecFile(path)


def _of_another_tool(path: Path, other: Foreign, *, there: bool) -> Diagnostic:
    way = other.way_from(path)
    if not there:
        return Diagnostic(Code.FILE_NOT_FOUND, f"there is no file {path}", hint=f"for {other.what}: {way}")
    return Diagnostic(Code.WRONG_KIND, f"{path} is {other.what}, not a spec", hint=way)


def network_of(named: Named, overrides: Iterable[str] = ()) -> Network:
    """The compiled network of a spec, or of a run. Raises SpecError, TrainingError for a run that can't be used."""
    from nin_spec.network import compile as compile_network

    match named:
        case StandardInput():
            return compile_network("-", overrides)
        case ShippedSpec(name):
            return compile_network(name, overrides)
        case SpecFile(path):
            return compile_network(path, overrides)
        case RunFolder(path):
            return _network_of_run(path, tuple(overrides))
        case ExportedFile(path):
            raise SpecError(_of_another_tool(path, ONNX, there=os.path.lexists(path)))
        case GitRevision(revision, file):
            message = f"there is no file {revision}:{file}"
            hint = f"only nin-spec diff reads git revisions; elsewhere: git show {revision}:{file} | nin-spec ... -"
            raise SpecError(Diagnostic(Code.FILE_NOT_FOUND, message, hint=hint))


def _network_of_run(path: Path, overrides: tuple[str, ...]) -> Network:
    from nin_spec.training.folder import open_run

    if overrides:
        message = f"{path} is a run folder, whose spec can't be changed: --set and --input need a SPEC"
        raise SpecError(
            Diagnostic(Code.BAD_OVERRIDE, message, hint=f"pass {path}/spec.yaml to compile another network")
        )
    return open_run(path).network


def model_of(name: str | Path) -> Path | bytes:
    """What onnxruntime opens: a file, or what a run folder exports to.

    A file of no known kind is left to onnxruntime. Raises InputError (WRONG_KIND) for a spec, which has no weights, and
    for a file of another tool; TrainingError and ExportError for a run that gives no model.
    """
    try:
        named = resolve(name)
    except SpecError as error:
        found = error.diagnostics[0]
        message = found.message.removesuffix(", not a spec") + (
            ", not a model" if found.code is Code.WRONG_KIND else ""
        )
        raise InputError(Diagnostic(found.code, message, hint=found.hint)) from None
    match named:
        case ExportedFile(path):
            return path
        case RunFolder(path):
            return exported(path)
        case SpecFile(path) if path.suffix.lower() not in {".yaml", ".yml"} or not os.path.lexists(path):
            return path
    hint = (
        f"export it with its weights: nin-spec export {name} --onnx --weights FILE; or train it and name the run folder"
    )
    message = f"{name} is a spec, which has no weights to run with"
    raise InputError(Diagnostic(Code.WRONG_KIND, message, hint=hint))


def exported(run: Path) -> bytes:
    """The ONNX file that a run folder's result exports to. Raises TrainingError, ExportError."""
    from nin_spec import api
    from nin_spec.training.folder import open_run

    (data,) = api.make(open_run(run).model(), "onnx", {}).files.values()
    return data
