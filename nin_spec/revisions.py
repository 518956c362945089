"""A spec at a git revision, with the specs that it extends: read from git's objects, file by file."""

from __future__ import annotations

import os
import posixpath
import shutil
import subprocess
from pathlib import Path

from nin_spec.diagnostics import Code, Source, SpecError, short
from nin_spec.language import document, family
from nin_spec.language.load import MAX_EXTENDS
from nin_spec.named import SHIPPED

_HINT = "write REVISION:path, for example HEAD~1:specs/mine.yaml"
_TIMEOUT = 60.0
"""Timeout of git in seconds, per object."""
_TOLD = {
    "missing": "there is none",
    "dangling": "it is a dangling symbolic link",
    "loop": "it is a symbolic link to itself",
    "notdir": "a parent of its path is a file",
    "symlink": "it is a symbolic link out of the repository",
    "ambiguous": "the revision is ambiguous",
}


def restore(revision: str, file: str, folder: Path) -> Path:
    """Write the spec at a revision below `folder`, in the repository's layout, with the files that it extends.

    `file` is relative to the current folder, like git's `REV:./path`. Raises SpecError.
    """
    # Checked first: git would read such a revision as an option.
    if revision.startswith("-") or any(c in f"{revision}{file}" for c in "\n\0"):
        raise _missing(revision, file, "not a revision")
    path = posixpath.normpath(posixpath.join(_prefix(revision, file), file))
    first = folder / path
    for _ in range(MAX_EXTENDS + 1):
        if path.startswith(("../", "/")) or path == "..":
            raise _missing(revision, path, "it is outside the repository")
        place = folder / path
        data = _read(revision, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        base = _extended(place, data)
        if base is None or base.exists():
            break
        path = Path(os.path.relpath(base, folder)).as_posix()
    return first


def _extended(place: Path, data: bytes) -> Path | None:
    """The file that a spec extends; None if it is not in the revision: shipped, absolute, or an invalid spec."""
    try:
        root = document.parse(Source(str(place), data.decode("utf-8-sig")))
    except (SpecError, UnicodeDecodeError):
        return None
    entry = root.entries.get("extends") if isinstance(root, document.Table) else None
    if entry is None or not isinstance(entry.node, document.Value) or not isinstance(entry.node.value, str):
        return None
    base = family.base_path(entry.node.value, Source(str(place), ""), SHIPPED)
    own = base.parent == SHIPPED or Path(entry.node.value).is_absolute()
    return None if own else Path(os.path.normpath(base))


def _read(revision: str, path: str) -> bytes:
    """A file of the revision's tree; symbolic links inside the tree are followed. Raises SpecError."""
    asked = f"{revision}:{path}"
    # git prints the object, or a status word and what it could not find.
    answer = _git(asked, "cat-file", "--batch-check", "--follow-symlinks", given=asked).split()
    if answer[-1:] and answer[-1] in _TOLD:
        raise _missing(revision, path, _TOLD[answer[-1]])
    if answer[:1] and answer[0] in _TOLD:
        raise _missing(revision, path, _TOLD[answer[0]])
    name, kind, size = answer
    if kind != "blob":
        raise _missing(revision, path, f"it is a {kind}, not a file")
    if int(size) > document.MAX_BYTES:
        message = f"{short(asked)} is larger than {document.MAX_BYTES:,} bytes, the limit of a spec"
        raise SpecError(Code.FILE_TOO_LARGE, message)
    return _git_bytes(asked, "cat-file", "blob", name)


def _prefix(revision: str, file: str) -> str:
    """The current folder, relative to the repository's root."""
    return _git(f"{revision}:{file}", "rev-parse", "--show-prefix").strip("\n")


def _git(asked: str, *arguments: str, given: str = "") -> str:
    return os.fsdecode(_git_bytes(asked, *arguments, given=given))


def _git_bytes(asked: str, *arguments: str, given: str = "") -> bytes:
    revision, _, file = asked.partition(":")
    command = shutil.which("git")
    if command is None:
        raise _missing(revision, file, "git is not installed")
    # A partial clone would fetch missing objects.
    environment = os.environ | {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(  # noqa: S603 git, without a shell
            [command, *arguments],
            input=os.fsencode(f"{given}\n"),
            env=environment,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _missing(revision, file, f"git takes more than {_TIMEOUT:g} s") from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        raise _missing(revision, file, why[-1] if why else "not a revision")
    return done.stdout


def _missing(revision: str, file: str, why: str) -> SpecError:
    message = f"git has no {short(revision)}:{short(file)}: {short(why, 200)}"
    return SpecError(Code.FILE_NOT_FOUND, message, hint=_HINT)
