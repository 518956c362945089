"""Exporters: the interface, discovery, and writing of files.

An exporter is a class with a `name`, an `Options` model, the `proof` that its files need and a pure `export`. It is
found by its entry point in the group `nin_spec.exporters`, like the built-in ones. The command line derives a flag from
each name and an option from each field of `Options`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from nin_spec.diagnostics import Code, Diagnostic, ExportError, did_you_mean
from nin_spec.files import write_all
from nin_spec.model import Model
from nin_spec.seals import Kind, sealed

if TYPE_CHECKING:
    from pydantic import BaseModel

    from nin_spec.passes.changes import PassChanges

GROUP = "nin_spec.exporters"


class Proof(Enum):
    """What is proved of an artifact before it is written."""

    PARITY = "parity"
    """Each of its `models`, an ONNX file, computes in onnxruntime what the nn.Module computes in float64."""
    NONE = "none"
    """Nothing: it holds no file that onnxruntime runs."""


@dataclass(frozen=True)
class Artifact:
    """An exporter's result: relative POSIX paths and their bytes, and remarks for the user.

    `models` are the paths of its ONNX files, of which parity is proved, `inside` those that another of its files holds.
    `passes` is what each pass did to the graph before it was written, where the exporter runs any. `kinds` says by
    suffix how files are sealed when they are written (nin_spec.seals); one without a seal is replaced only by the same
    content, or where a sealed file beside it says `NAME has the SHA-256 ...`.
    Raises ExportError for a path that is absolute, empty, not in its plainest form, or leads out of its
    folder, on any system.
    """

    files: Mapping[str, bytes]
    remarks: tuple[str, ...] = field(default=())
    passes: tuple[PassChanges, ...] = field(default=(), repr=False)
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    inside: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def graphs(self) -> list[bytes]:
        """Every ONNX file, of its own or inside another one."""
        return [*(self.files[name] for name in self.models), *self.inside.values()]

    def __post_init__(self) -> None:
        for name in self.files:
            forbidden = "\\" in name or "\0" in name or PureWindowsPath(name).drive
            if forbidden or not {"", ".", ".."}.isdisjoint(name.split("/")):
                raise ExportError(Code.EXPORT_PATH, f"an artifact can't contain a file {name!r}")


@runtime_checkable
class Exporter(Protocol):
    """Makes an artifact from a model. `export` is pure: the same model and options give the same bytes."""

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]]
    proof: ClassVar[Proof]

    def export(self, model: Model, options: Any) -> Artifact:
        """The artifact, by `options`, an instance of `Options`. Raises ExportError."""
        ...


@dataclass(frozen=True)
class Survey:
    """The usable exporters by name, and a diagnostic for each other installed one."""

    exporters: Mapping[str, Exporter]
    refused: Mapping[str, Diagnostic]


NAME = re.compile(r"[a-z][a-z0-9_-]*")
"""Pattern of an exporter's name, which becomes a flag."""

KEYWORDS = frozenset({"model", "to", "path", "parity", "precision"})
"""The parameters of nin_spec.export: no option may be called so."""

_OURS = "nin_spec."
_CURE = "rename it in its package, or uninstall the package"


def _points() -> dict[str, list[EntryPoint]]:
    """The entry points by name, ours first, without duplicates."""
    found: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (not point.value.startswith(_OURS), point.name)):
        same = found.setdefault(point.name, [])
        if point.value not in {other.value for other in same}:
            same.append(point)
    if not found:
        message = "no exporters are installed, not even those of nin-spec"
        hint = "install nin-spec with pip, from its wheel or its folder: otherwise it has no entry points"
        raise ExportError(Code.EXPORT_OPTION, message, hint=hint)
    return found


def survey(reserved: Collection[str] = ()) -> Survey:
    """Every exporter, isolated from the errors of the others.

    `reserved` are flags and parameters that no exporter may use. An exporter that can't be loaded is rejected, and so
    is one with a name or an option of another: nin-spec's own have priority, then the rest by name.
    """
    found: dict[str, Exporter] = {}
    refused: dict[str, Diagnostic] = {}
    words = dict.fromkeys(reserved, "nin-spec export")
    types: dict[str, object] = {}
    for name, points in _points().items():
        try:
            exporter = _load(_only(points))
        except ExportError as error:
            refused[name] = error.diagnostics[0]
            continue
        ours = points[0].value.startswith(_OURS)
        if why := _clash(exporter, words, {} if ours else types):
            message = f"the exporter {name!r} ({points[0].value}) can't be used: {why}"
            refused[name] = Diagnostic(Code.EXPORT_OPTION, message, hint=_CURE)
            continue
        found[name] = exporter
        words |= dict.fromkeys((_flag(name), f"to_{name}"), f"the exporter {name!r}")
        types |= {key: field.annotation for key, field in exporter.Options.model_fields.items()}
        for other in points[1:]:
            message = f"the exporter {name!r} of {other.value} can't be used: {points[0].value} has that name"
            refused[f"{name} of {other.value}"] = Diagnostic(Code.EXPORT_OPTION, message, hint=_CURE)
    return Survey(dict(sorted(found.items())), refused)


def _clash(exporter: Exporter, words: Mapping[str, str], types: Mapping[str, object]) -> str | None:
    """A clash of an exporter's name or options with another's, if any."""
    name, fields = exporter.name, exporter.Options.model_fields
    if not NAME.fullmatch(name):
        return "its name can't be a flag: use lower-case letters, digits, - and _, starting with a letter"
    if owner := words.get(_flag(name)) or words.get(f"to_{name}"):
        return f"{_flag(name)} belongs to {owner}"
    if name in types:
        return f"{_flag(name)} is an option of another exporter"
    for key, found in fields.items():
        if owner := words.get(_flag(key)) or words.get(key):
            return f"its option {_flag(key)} belongs to {owner}"
        if key == name or types.get(key, found.annotation) != found.annotation:
            return f"its option {_flag(key)} has another type for another exporter"
    return None


def _flag(word: str) -> str:
    return f"--{word.replace('_', '-')}"


def discover() -> dict[str, Exporter]:
    """The names of all usable exporters, sorted."""
    return dict(survey().exporters)


def find(name: str) -> Exporter:
    """The exporter of that name; loads no other. Raises ExportError if it is unknown."""
    points = _points()
    if name not in points:
        message = f"unknown exporter {name!r}"
        raise ExportError(Code.EXPORT_OPTION, message, hint=did_you_mean(name, sorted(points)))
    return _load(_only(points[name]))


def _only(points: list[EntryPoint]) -> EntryPoint:
    """The exporter of a name: ours, or the only one. Raises ExportError for several."""
    if len(points) > 1 and not points[0].value.startswith(_OURS):
        values = " and ".join(point.value for point in points)
        message = f"two exporters are named {points[0].name!r}: {values}"
        raise ExportError(Code.EXPORT_OPTION, message, hint="uninstall one of the packages")
    return points[0]


def _load(point: EntryPoint) -> Exporter:
    try:
        exporter = point.load()()
    # Another package's code may raise anything, including SystemExit, and must not break the others.
    except (Exception, SystemExit) as error:
        why = "it calls sys.exit" if isinstance(error, SystemExit) else error
        message = f"the exporter {point.name!r} ({point.value}) can't be loaded: {why}"
        raise ExportError(Code.EXPORT_OPTION, message, hint="reinstall its package") from error
    options = getattr(exporter, "Options", None)
    if (
        not isinstance(exporter, Exporter)
        or exporter.name != point.name
        or not isinstance(getattr(options, "model_fields", None), Mapping)
        or not isinstance(exporter.proof, Proof)
    ):
        message = f"the entry point {point.name!r} ({point.value}) is not an exporter of that name"
        hint = "an exporter has a name, Options, a proof and export (nin_spec.exporter.Exporter)"
        raise ExportError(Code.EXPORT_OPTION, message, hint=hint)
    if taken := KEYWORDS & exporter.Options.model_fields.keys():
        message = f"the exporter {point.name!r} ({point.value}) can't be used"
        why = f"its option {_flag(min(taken))} belongs to nin_spec.export"
        raise ExportError(Code.EXPORT_OPTION, f"{message}: {why}", hint=_CURE)
    return exporter


def make(model: Model, to: str, options: Mapping[str, Any]) -> Artifact:
    """The artifact of an exporter, from unchecked options."""
    exporter = find(to)
    return artifact_of(exporter, model, check_options(exporter, options))


def check_options(exporter: Exporter, options: Mapping[str, Any]) -> BaseModel:
    """Validate the options of an exporter. Raises ExportError with the valid values of each wrong one."""
    from pydantic import ValidationError

    try:
        return exporter.Options.model_validate(dict(options))
    except ValidationError as error:
        wrong = {str(e["loc"][0]): e.get("ctx", {}).get("error") for e in error.errors(include_url=False)}
        raise ExportError([_wrong(exporter, key, options.get(key), why) for key, why in wrong.items()]) from None


def _wrong(exporter: Exporter, key: str, value: object, why: Exception | None) -> Diagnostic:
    fields = exporter.Options.model_fields
    if key not in fields:
        hint = did_you_mean(key, sorted(fields)) if fields else "it has none"
        return Diagnostic(Code.EXPORT_OPTION, f"{exporter.name} has no option {key!r}", hint=hint)
    return Diagnostic(
        Code.EXPORT_OPTION, f"{exporter.name}: {key} can't be {value!r}", hint=str(why or fields[key].description)
    )


def artifact_of(exporter: Exporter, model: Model, options: BaseModel) -> Artifact:
    """The artifact of an exporter, by checked options, which names its models where the exporter says it has some.

    Raises ExportError.
    """
    artifact = exporter.export(model, options)
    stray = set(artifact.models) - artifact.files.keys()
    match exporter.proof:
        case Proof.PARITY if not (artifact.models or artifact.inside) or stray:
            why = f"has no file {min(stray)!r}" if stray else "names no model to prove"
        case Proof.NONE if artifact.models or artifact.inside:
            why = "names models, and its exporter proves nothing"
        case Proof.PARITY | Proof.NONE:
            return artifact
    message = f"the artifact of the exporter {exporter.name!r} {why}"
    raise ExportError(Code.EXPORT_OPTION, message)


def destinations(artifact: Artifact, target: Path | None) -> dict[Path, bytes]:
    """The target paths of an artifact's files and their bytes, sealed if they have a kind.

    A single file goes to `target`, several below the folder `target`; without a target they go to the
    current folder under their own names.
    """
    files = {name: _sealed(name, data, artifact.kinds) for name, data in artifact.files.items()}
    if len(files) == 1 and target is not None and not target.is_dir():
        return dict(zip([target], files.values(), strict=True))
    return {(target or Path()) / name: data for name, data in files.items()}


def _sealed(name: str, data: bytes, kinds: Mapping[str, Kind]) -> bytes:
    kind = kinds.get(PurePosixPath(name).suffix)
    return data if kind is None else sealed(data, kind)


def write(artifact: Artifact, target: Path | None = None) -> list[Path]:
    """Write all of an artifact's files or none, and return their paths. Raises ExportError."""
    files = destinations(artifact, target)
    make_room(files, target)
    write_all(files)
    return list(files)


def make_room(paths: Iterable[Path], target: Path | None) -> None:
    """Create the folders of files below the folder `target`. Raises ExportError if a link leads out of it."""
    for path in paths:
        if path != target:
            _make_room(path, target or Path())


def _make_room(path: Path, folder: Path) -> None:
    """Create the folders of a file below `folder`. Raises ExportError if a link leads out of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ExportError(Code.EXPORT_PATH, f"{path} can't be written: {why}") from None
    if not inside:
        raise ExportError(Code.EXPORT_PATH, f"{path} can't be written: a link leads out of {folder}")
