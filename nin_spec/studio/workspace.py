"""The one file that the studio may write, only while it is unchanged since the user saw it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from nin_spec.diagnostics import Code, InputError, short
from nin_spec.files import write_atomic
from nin_spec.language import document
from nin_spec.language.load import read
from nin_spec.named import ShippedSpec, StandardInput, resolve

NEW = "my_nin"
_BOM = b"\xef\xbb\xbf"


class ChangedError(Exception):
    """The file on disk differs from what the user saw; nothing was written."""


@dataclass(eq=False)
class Workspace:
    """`path` is the file, `seen` its bytes as the user saw them: None if there is no file."""

    path: Path
    text: str
    seen: bytes | None

    @property
    def name(self) -> str:
        """The text's name in diagnostics."""
        return str(self.path)

    def on_disk(self) -> bytes | None:
        """The file's current bytes; None if there is no file. Raises SpecError if it can't be read."""
        if not self.path.exists():
            return None
        document.read_file(self.path)  # raises for what is not text, not a file, or too large
        return self.path.read_bytes()

    def changed(self) -> bool:
        """True if another program changed the file."""
        return self.on_disk() != self.seen

    def save(self, text: str) -> None:
        """Write the text atomically. Raises ChangedError, or ExportError if writing fails."""
        if self.changed():
            raise ChangedError
        data = _encode(text, self.seen)
        write_atomic(self.path, data)
        self.text, self.seen = text, data

    def decode(self, data: bytes | None) -> str:
        """The file's bytes as text for the editor."""
        return _decode(self.path, data)

    def accept(self, data: bytes | None) -> None:
        """Record the file's bytes as seen by the user."""
        self.seen, self.text = data, self.decode(data)

    def difference(self, text: str) -> str:
        """A unified diff from the current file to `text`."""
        now = self.decode(self.on_disk()).splitlines()
        lines = difflib.unified_diff(now, text.splitlines(), "the file now", "your text", lineterm="")
        return "\n".join(lines)


def open_spec(spec: str | None) -> Workspace:
    """A file, a new file, or a copy of a shipped spec in this folder. Raises SpecError, InputError."""
    if spec is None:
        return _new(Path(f"{NEW}.yaml"), starter())
    named, path = resolve(spec), Path(spec)
    if isinstance(named, StandardInput):
        message = "the studio needs a writable file, not standard input"
        raise InputError(Code.SERVE_UNUSABLE, message, hint="pass FILE.yaml")
    if isinstance(named, ShippedSpec):
        return _new(Path(f"{named.name}.yaml"), _plain(read(named).text))
    if path.suffix in {".yaml", ".yml"} and not path.exists() and path.parent.is_dir():
        return _new(path, starter())
    source = read(named)
    return Workspace(path, _plain(source.text), path.read_bytes())


def _new(path: Path, text: str) -> Workspace:
    return Workspace(path.resolve(), text, None)


def starter() -> str:
    """A small spec to start with."""
    return files("nin_spec.studio").joinpath("starter.yaml").read_text("utf-8")


def _decode(path: Path, data: bytes | None) -> str:
    return "" if data is None else _plain(document.decode(short(str(path), 200), data).text)


def _plain(text: str) -> str:
    """A browser's editor uses one kind of line ending."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encode(text: str, before: bytes | None) -> bytes:
    """Line endings and byte order mark as in the file. Characters that UTF-8 can't encode become question marks."""
    before = before or b""
    if b"\r\n" in before:
        text = text.replace("\n", "\r\n")
    data = text.encode("utf-8", "replace")
    return _BOM + data if before.startswith(_BOM) else data
