"""What a name opens to: a network, a run, or what onnxruntime runs. Each command, and Python, opens a name once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nin_spec import network as networks
from nin_spec.diagnostics import Code, Diagnostic, InputError, SpecError
from nin_spec.foreign import is_folder
from nin_spec.language.canonical import Canonical
from nin_spec.named import ExportedFile, GitRevision, Named, RunFolder, SpecFile, resolve
from nin_spec.network import Network
from nin_spec.provider_gaps import written_for

if TYPE_CHECKING:
    from nin_spec.training.folder import Run

Name = str | Path | Named


def opened(name: Name, overrides: Iterable[str] = ()) -> Network | Run:
    """The network of a spec, compiled with dotted `path=value` overrides; of a run folder the run, which takes none.

    Raises SpecError, TrainingError for a run that can't be used.
    """
    named = resolve(name)
    if not isinstance(named, RunFolder):
        return networks.compile(named, overrides)
    from nin_spec.training.folder import open_run

    if tuple(overrides):
        message = f"{named.path} is a run folder, whose spec can't be changed: --set and --input need a SPEC"
        hint = f"pass {named.path}/spec.yaml to compile another network"
        raise SpecError(Code.BAD_OVERRIDE, message, hint=hint)
    return open_run(named.path)


def network_of(found: Network | Run) -> Network:
    """The network itself, or the one that was trained."""
    return found if isinstance(found, Network) else found.network


def run_of(found: Network | Run) -> Run | None:
    """The run, of a run folder."""
    return None if isinstance(found, Network) else found


def compile(spec: Canonical | Name, overrides: Iterable[str] = ()) -> Network:  # noqa: A001 the field's word
    """Compile a spec: a loaded one, a file, the name of a shipped one, or that of a run folder.

    `overrides` are dotted `path=value` strings and apply to what is loaded here. Raises SpecError, and TrainingError
    for a run that can't be used.
    """
    if isinstance(spec, Canonical):
        return networks.compile(spec, overrides)
    return network_of(opened(spec, overrides))


def network_at(named: GitRevision) -> Network:
    """The network of a file as it was in a revision of git. Raises SpecError, in which files are called as git does."""
    from nin_spec.revisions import restore

    with tempfile.TemporaryDirectory() as folder:
        try:
            return networks.compile(SpecFile(restore(named.revision, named.file, Path(folder))))
        except SpecError as error:
            raise SpecError([_renamed(d, f"{folder}/", f"{named.revision}:") for d in error.diagnostics]) from None


def _renamed(found: Diagnostic, folder: str, name: str) -> Diagnostic:
    """A finding in a file that was restored, called as git calls it: nobody sees the folder."""
    span = found.span
    message = found.message.replace(folder, name)
    if span is None:
        return replace(found, message=message)
    source = replace(span.source, name=span.source.name.replace(folder, name))
    return replace(found, message=message, span=replace(span, source=source))


def measured(name: Name, changes: Mapping[str, object], overrides: Iterable[str] = ()) -> Path | Network | Run:
    """What is evaluated or timed: an exported file, a run, or the compiled network of a spec.

    `changes` are options by their flags, as given; only a spec takes them. Raises SpecError, and InputError for an
    option that would change what is trained or exported; TrainingError for a folder that is not a run.
    """
    named = resolve(name)
    given = [flag for flag, value in changes.items() if value]
    match named:
        case ExportedFile() | RunFolder() if given:
            message = f"{given[0]} requires SPEC: a trained or exported network is measured as it is"
            raise InputError(Code.BAD_OVERRIDE, message)
        case ExportedFile(path):
            return path
        case SpecFile(path) if is_folder(path):
            from nin_spec.training.folder import open_run

            return open_run(path)
    return opened(named, overrides)


def model_of(name: str | Path, device: str = "cpu", outputs: Sequence[str] = ("scores",)) -> Path | bytes:
    """What onnxruntime opens on a device: a file, or what a run folder exports to, with these outputs.

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
        raise InputError(found.code, message, hint=found.hint) from None
    match named:
        case ExportedFile(path):
            return path
        case RunFolder(path):
            from nin_spec.training.folder import open_run

            return exported(open_run(path), device, outputs)
        case SpecFile(path) if path.suffix.lower() not in {".yaml", ".yml"} or not os.path.lexists(path):
            return path
    hint = (
        f"export it with its weights: nin-spec export {name} --onnx --weights FILE; or train it and pass the run folder"
    )
    message = f"{name} is a spec, which has no weights to run with"
    raise InputError(Code.WRONG_KIND, message, hint=hint)


def exported(run: Run, device: str, outputs: Sequence[str]) -> bytes:
    """The ONNX file that a run's result exports to, for a device. Raises TrainingError, ExportError."""
    from nin_spec.exporter import make

    options = {**written_for(device), "outputs": tuple(outputs)}
    (data,) = make(run.model(), "onnx", options).files.values()
    return data
