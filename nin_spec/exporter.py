"""Exporters: how a model becomes files, how they are found, and how the files are written.

An exporter is a class with a `name`, an `Options` model and a pure `export`. It is found by its entry
point in the group `nin_spec.exporters`, the built-in ones included, so that one from another package is a
peer of ours. The command line derives a flag from each name and an option from each field of `Options`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from nin_spec.diagnostics import Code, Diagnostic, ExportError, did_you_mean
from nin_spec.files import write_atomic
from nin_spec.model import Model

if TYPE_CHECKING:
    from pydantic import BaseModel

    from nin_spec.passes.changes import PassChanges

GROUP = "nin_spec.exporters"


@dataclass(frozen=True)
class Artifact:
    """What an exporter makes: relative POSIX paths and their bytes, and remarks worth telling.

    `passes` is what each pass did to the graph before it was written, where the exporter runs any.
    Raises ExportError for a path that is absolute, empty, not in its plainest form, or leads out of its
    folder, on any system.
    """

    files: Mapping[str, bytes]
    remarks: tuple[str, ...] = field(default=())
    passes: tuple[PassChanges, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        for name in self.files:
            forbidden = "\\" in name or "\0" in name or PureWindowsPath(name).drive
            if forbidden or not {"", ".", ".."}.isdisjoint(name.split("/")):
                raise ExportError(Diagnostic(Code.EXPORT_PATH, f"an artifact can't hold a file {name!r}"))


@runtime_checkable
class Exporter(Protocol):
    """Makes an artifact of a model. `export` is pure: the same model and options, the same bytes."""

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]]

    def export(self, model: Model, options: Any) -> Artifact:
        """The artifact, by `options`, an instance of `Options`. Raises ExportError."""
        ...


def _points() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        known = found.setdefault(point.name, point)
        if known.value != point.value:
            raise ExportError(
                Diagnostic(
                    Code.EXPORT_OPTION,
                    f"two exporters are named {point.name!r}: {known.value} and {point.value}",
                    hint="uninstall one of the packages",
                )
            )
    if not found:
        message = "no exporters are installed, not even those of nin-spec"
        hint = "install nin-spec with pip, from its wheel or its folder: on the path alone it has no entry points"
        raise ExportError(Diagnostic(Code.EXPORT_OPTION, message, hint=hint))
    return found


def discover() -> dict[str, Exporter]:
    """Every exporter by name, sorted."""
    return {name: _load(point) for name, point in sorted(_points().items())}


def find(name: str) -> Exporter:
    """The exporter of that name; loads no other. Raises ExportError when there is none."""
    points = _points()
    if name not in points:
        message = f"there is no exporter {name!r}"
        raise ExportError(Diagnostic(Code.EXPORT_OPTION, message, hint=did_you_mean(name, sorted(points))))
    return _load(points[name])


def _load(point: EntryPoint) -> Exporter:
    try:
        exporter = point.load()()
    except (ImportError, AttributeError, TypeError) as error:
        message = f"the exporter {point.name!r} ({point.value}) can't be loaded: {error}"
        raise ExportError(Diagnostic(Code.EXPORT_OPTION, message, hint="reinstall its package")) from error
    if not isinstance(exporter, Exporter) or exporter.name != point.name:
        message = f"the entry point {point.name!r} ({point.value}) is not an exporter of that name"
        raise ExportError(Diagnostic(Code.EXPORT_OPTION, message))
    return exporter


def destinations(artifact: Artifact, target: Path | None) -> list[Path]:
    """Where `write` puts an artifact's files.

    A single file goes to `target`, several below the folder `target`; without a target they go to the
    current folder under their own names.
    """
    if len(artifact.files) == 1 and target is not None and not target.is_dir():
        return [target]
    return [(target or Path()) / name for name in artifact.files]


def write(artifact: Artifact, target: Path | None = None) -> list[Path]:
    """Write an artifact to its destinations, each file whole or not at all, and return the paths."""
    paths = destinations(artifact, target)
    if paths != [target]:
        for path in paths:
            _make_room(path, target or Path())
    for path, data in zip(paths, artifact.files.values(), strict=True):
        write_atomic(path, data)
    return paths


def _make_room(path: Path, folder: Path) -> None:
    """Make the folders that a file needs below `folder`; refuse where a link leads out of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ExportError(Diagnostic(Code.EXPORT_PATH, f"{path} can't be written: {why}")) from None
    if not inside:
        raise ExportError(Diagnostic(Code.EXPORT_PATH, f"{path} can't be written: a link leads out of {folder}"))
