"""What a command writes: where it may go, what it may replace, and how it gets there.

`-` is standard output where a command writes one file; what the command would print there goes to standard error then.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from nin_spec.cli.printer import STDOUT_OWNER, claim_stdout
from nin_spec.diagnostics import Code, ExportError
from nin_spec.files import check_target, refuse_url, write_all
from nin_spec.named import is_run
from nin_spec.seals import Kind, kind_of, kind_of_bytes

STDOUT = "-"


class OutputFile(click.Path):
    """The path of a file to write, or `-`. A URL is refused before any work begins.

    `suffix` is that of the only format of a picture: another one is refused, a name without one is not.
    """

    def __init__(self, suffix: str | None = None) -> None:
        super().__init__()
        self.suffix = suffix

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The path as it was given."""
        path = _local(value)
        if path == STDOUT and ctx is not None:
            claim_stdout(ctx)
        if self.suffix is not None and Path(path).suffix.lower() not in {"", self.suffix}:
            message = f"{path} is drawn as a {self.suffix[1:].upper()}: pass {Path(path).with_suffix(self.suffix)}"
            self.fail(message, param, ctx)
        return path


class OutputFolder(click.Path):
    """The path of a folder to write files into. Neither `-` nor a URL."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The path as it was given."""
        path = _local(value)
        if path == STDOUT:
            self.fail("several files are written, and - is standard output: pass a folder (./- is one named -)")
        return path


FILE = OutputFile()
PICTURE = OutputFile(suffix=".png")
FOLDER = OutputFolder()


def _local(value: Any) -> str:
    path = str(value)
    if not path:
        raise click.UsageError("an output path is empty")
    refuse_url(path)
    return path


def require_sole(outputs: Collection[Path]) -> None:
    """Raise UsageError when one of several files would go to standard output."""
    if len(outputs) > 1 and Path(STDOUT) in outputs:
        raise click.UsageError(f"{len(outputs)} files are written, and - is standard output: pass a path")


Content = Kind | bytes | None
"""What a file will hold: its bytes; its kind alone, while they are still to be made; None for a kind without a seal."""

_TEXT = {*Kind} - {Kind.ONNX, Kind.WEIGHTS, Kind.PNG, Kind.PDF}


def protect(outputs: Mapping[Path, Content], inputs: Iterable[str | None], *, force: bool) -> None:
    """Refuse what can't be written, and to write over what the command reads or what a person may have made.

    Without `force` a file is replaced only by its own content, or while it still is what nin-spec wrote, by a file of
    its kind. A file without a seal whose content is not made yet is checked again by `deliver`.
    """
    require_sole(outputs)
    if _refuses_binary(outputs.get(Path(STDOUT), Kind.SPEC)):
        raise click.UsageError("standard output is a terminal, and the file is not text: pass a path, or pipe it")
    files = {path: content for path, content in outputs.items() if path != Path(STDOUT)}
    for path, content in files.items():
        if path.parent.is_dir() or not isinstance(content, bytes):  # an artifact's folders are made when it is written
            check_target(path)
    given = [Path(name) for name in inputs if name is not None]
    standing = {path: kind_of(path) for path in files if path.is_file()}
    for path, kind in standing.items():
        _protect_inputs(path, given)
        if not (force or _replaceable(path, files[path], standing)):
            owner = (
                "nin-spec did not write it, or it was edited since"
                if kind is None
                else f"it is a file of another kind ({kind})"
            )
            raise ExportError(Code.EXPORT_PATH, f"{path} exists, and {owner}", hint="pass another path, or --force")


def _refuses_binary(content: Content) -> bool:
    kind = kind_of_bytes(content) if isinstance(content, bytes) else content
    return kind not in _TEXT and _stdout().isatty()


def _protect_inputs(path: Path, given: list[Path]) -> None:
    """Raise ExportError for a file that the command reads; not even `--force` replaces it."""
    if any(path.samefile(other) for other in given if other.is_file()):
        raise ExportError(Code.EXPORT_PATH, f"{path} is an input of this command", hint="pass another path")
    if any(path.parent.samefile(run) for run in given if is_run(run)) and _is_of_a_run(path):
        raise ExportError(Code.EXPORT_PATH, f"{path} belongs to the run", hint="pass another path")


def _is_of_a_run(path: Path) -> bool:
    from nin_spec.training.folder import FILES, LATER

    return path.name in FILES | LATER


def _replaceable(path: Path, content: Content, standing: Mapping[Path, Kind | None]) -> bool:
    """Whether the content can replace the file without losing a person's work."""
    kind, size = standing[path], path.stat().st_size
    if size == 0:
        return True
    if kind is not None:
        return kind == (kind_of_bytes(content) if isinstance(content, bytes) else content)
    if not isinstance(content, bytes):
        return content is None
    return (size == len(content) and path.read_bytes() == content) or _vouched(path, standing)


def _vouched(path: Path, standing: Mapping[Path, Kind | None]) -> bool:
    """Whether a sealed text beside a file, which is to be replaced with it, names it with its SHA-256."""
    said = f"{path.name} has the SHA-256 {sha256(path.read_bytes()).hexdigest()}".encode()
    beside = (p for p, kind in standing.items() if kind in _TEXT and p.parent == path.parent)
    return any(said in p.read_bytes() for p in beside)


def deliver(files: Mapping[Path, bytes], inputs: Iterable[str | None], *, force: bool) -> None:
    """Write all the files or none, or the only one to standard output. What changed meanwhile is not lost either."""
    protect(files, inputs, force=force)
    if Path(STDOUT) in files:
        stream = _stdout()
        stream.flush()
        stream.buffer.write(files[Path(STDOUT)])
        stream.buffer.flush()
    else:
        write_all(files)


def _stdout() -> Any:
    """Standard output, though the command's text may go elsewhere."""
    return click.get_current_context().meta.get(STDOUT_OWNER, sys.stdout)
