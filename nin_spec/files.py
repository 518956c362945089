"""All writing to disk: each file is written whole or not at all, several files all or none.

Each is written beside its target first, then renamed over it. Only regular files are written: a device node, a FIFO
or a socket is refused, and so is a link that leads to one, for a rename would put a regular file in its place.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nin_spec.diagnostics import Code, ExportError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:)/")
_NODES = {
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically: if the process is killed, either the old or the new file remains.

    A link is followed, an existing file keeps its mode. Raises ExportError (EXPORT_PATH) when the folder is
    missing, the path is a folder, a device, a FIFO or a URL, or the write fails; no partial file remains.
    """
    write_all({path: data})


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write several files: either all are replaced or none.

    All are written beside their targets before the first is renamed; when a rename fails, those before it are undone.
    (Only a process killed between two renames leaves one new and one old.) Raises ExportError, as `write_atomic`.
    """
    targets = {path: check_target(path) for path in files}
    if len(set(targets.values())) < len(targets):
        names = ", ".join(map(str, files))
        raise ExportError(Code.EXPORT_PATH, f"two of these are the same file: {names}")
    with ExitStack() as stack:
        staged = [
            (path, target, stack.enter_context(_staged(path, target, files[path]))) for path, target in targets.items()
        ]
        if len(staged) == 1:
            ((path, target, beside),) = staged
            _rename(path, beside, target)
            return
        kept = {target: stack.enter_context(_kept(path, target)) for path, target in targets.items()}
        done: list[Path] = []
        try:
            for path, target, beside in staged:
                done.append(target)
                _rename(path, beside, target)
        except BaseException:
            for target in done:
                _restore(kept[target], target)
            raise


def check_target(path: Path) -> Path:
    """The target of a path, links resolved. Raises ExportError when no regular file can be written there."""
    refuse_url(str(path))
    try:
        require_regular(path)
        target = Path(os.path.realpath(path))
        if not target.parent.is_dir():
            raise _unwritable(path, f"the folder {target.parent} does not exist", f"mkdir -p {target.parent}")
        if not os.access(target.parent, os.W_OK):
            raise _unwritable(path, f"the folder {target.parent} is read-only")
    except (OSError, ValueError) as error:
        raise _unwritable(path, _reason(error)) from None
    return target


def require_regular(path: Path) -> None:
    """Raise ExportError unless the path, links resolved, is a regular file; OSError if `stat` fails."""
    mode = _mode(path)
    if mode is not None and stat.S_ISDIR(mode):
        raise _unwritable(path, "it is a folder", f"pass {path}/NAME")
    if mode is not None and not stat.S_ISREG(mode):
        what = _NODES.get(stat.S_IFMT(mode), "not a regular file")
        raise _unwritable(path, f"it is {what}", "pass the path of a regular file; `-` is standard output")


def refuse_url(path: str) -> None:
    """Raise ExportError for a path that looks like a URL: `s3://bucket/x` would become a folder `s3:` here."""
    if _URL.match(path):
        hint = "write to a local path, then upload the result with your storage's own tool"
        raise ExportError(Code.EXPORT_PATH, f"{as_written(path)} is a URL, and only local files are written", hint=hint)


def as_written(path: Path | str) -> str:
    """The path as the user wrote it: of `s3://bucket/x`, a `Path` keeps one slash."""
    text = str(path)
    url = _URL.match(text)
    return text if url is None or text.startswith("/", url.end()) else f"{url[1]}//{text[url.end() :]}"


def why_missing(path: Path) -> tuple[str, str | None]:
    """Why a path does not exist, and the fix if there is one. It may be a URL."""
    if _URL.match(str(path)):
        return "it is a URL, and only local files are read", "download it, and pass its path"
    return "it does not exist", None


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


@contextmanager
def _staged(path: Path, target: Path, data: bytes) -> Iterator[Path]:
    """The data in a temporary file beside the target, with the target's mode; removed on exit."""
    try:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
        # Not named after the target: a name that already has 255 bytes could not be extended.
        handle, name = tempfile.mkstemp(prefix=".nin-spec-", suffix=".part", dir=target.parent)
    except OSError as error:
        raise _unwritable(path, _reason(error)) from None
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(mode)
        yield beside
    except OSError as error:
        raise _unwritable(path, _reason(error)) from None
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _kept(path: Path, target: Path) -> Iterator[Path | None]:
    """A second link to the existing target, so that a failed write can restore it."""
    if not target.exists():
        yield None
        return
    try:
        folder = tempfile.mkdtemp(prefix=".nin-spec-", suffix=".kept", dir=target.parent)
    except OSError as error:
        raise _unwritable(path, _reason(error)) from None
    kept = Path(folder, "old")
    try:
        try:
            kept.hardlink_to(target)
        except OSError:  # a file system without hard links
            shutil.copy2(target, kept)
        yield kept
    except OSError as error:
        raise _unwritable(path, _reason(error)) from None
    finally:
        kept.unlink(missing_ok=True)
        Path(folder).rmdir()


def _rename(path: Path, beside: Path, target: Path) -> None:
    try:
        os.replace(beside, target)  # noqa: PTH105
    except OSError as error:
        raise _unwritable(path, _reason(error)) from None


def _restore(kept: Path | None, target: Path) -> None:
    """Restore the file that was at a target, if any."""
    if kept is None:
        target.unlink(missing_ok=True)
    else:
        os.replace(kept, target)  # noqa: PTH105


def _umask() -> int:
    """The process's umask; reading it means setting it."""
    current = os.umask(0)
    os.umask(current)
    return current


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _unwritable(path: Path, why: str, hint: str | None = None) -> ExportError:
    return ExportError(Code.EXPORT_PATH, f"{path} can't be written: {why}", hint=hint)
