"""Files are written whole or not at all: beside the target first, then renamed over it."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from nin_spec.diagnostics import Code, Diagnostic, ExportError


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path`. Killed at any moment, the old file or the new one is there.

    A link is followed, an existing file keeps its mode. Raises ExportError (EXPORT_PATH) when the folder is
    missing, the path is a folder, or the disk refuses; nothing is left behind then.
    """
    target = check_target(path)
    try:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
        handle, beside = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except (OSError, ValueError) as error:
        raise _refuse(path, getattr(error, "strerror", None) or str(error)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, mode)  # noqa: PTH101 a string from mkstemp
        os.replace(beside, target)  # noqa: PTH105
    except OSError as error:
        raise _refuse(path, error.strerror or str(error)) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)  # noqa: PTH108


def check_target(path: Path) -> Path:
    """Where a path leads, links followed. Raises ExportError when no file can be written there."""
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise _refuse(path, "it is a folder", f"say {path}/NAME")
        if not target.parent.is_dir():
            raise _refuse(path, f"there is no folder {target.parent}", f"mkdir -p {target.parent}")
    except (OSError, ValueError) as error:
        raise _refuse(path, getattr(error, "strerror", None) or str(error)) from None
    return target


def _umask() -> int:
    """The process's umask; reading it means setting it."""
    current = os.umask(0)
    os.umask(current)
    return current


def _refuse(path: Path, why: str, hint: str | None = None) -> ExportError:
    return ExportError(Diagnostic(Code.EXPORT_PATH, f"{path} can't be written: {why}", hint=hint))
