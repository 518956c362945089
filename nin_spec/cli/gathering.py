"""Folders as arguments: the specs in one, or the pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from nin_spec.diagnostics import Code, InputError, SpecError, counted
from nin_spec.foreign import is_folder, says_spec
from nin_spec.named import SpecFile, is_run

_SPECS = (".yaml", ".yml")


def specs_in(names: tuple[str, ...]) -> dict[str, str | SpecFile]:
    """The specs that the names refer to: for a run folder its own, for another folder every one in it, once each.

    Each by its name; a file that was found here need not be identified again. Raises SpecError for a folder
    without any.
    """
    found: dict[str, str | SpecFile] = {}
    for name in names:
        folder = Path(name)
        if not name or not is_folder(folder):  # Path("") is the working folder, and nobody named that
            found[name] = name
        else:
            files = [folder / "spec.yaml"] if is_run(folder) else _specs_below(folder)
            found |= {str(file): SpecFile(file) for file in files}
    return found


def _specs_below(folder: Path) -> list[Path]:
    texts = [path for path in _walk(folder, without_runs=True) if path.suffix.lower() in _SPECS and path.is_file()]
    specs = [path for path in texts if says_spec(path)]
    if not specs:
        message = f"{folder} contains no specs"
        hint = (
            f"{counted(len(texts), 'other YAML file')} skipped"
            if texts
            else "specs are .yaml files that begin with `spec: 1`"
        )
        raise SpecError(Code.FILE_NOT_FOUND, message, hint=hint)
    return specs


def pictures_in(names: tuple[str, ...]) -> tuple[list[Path], list[str]]:
    """The inputs that the names refer to: for a folder every picture and array in it; and what was skipped.

    Raises InputError for a folder without any.
    """
    from nin_spec.data.folder import SUFFIXES, is_picture

    found: list[Path] = []
    others: list[str] = []
    for name in names:
        folder = Path(name)
        if not name:
            raise InputError(Code.INPUT_UNUSABLE, "the name of an input is empty", hint="pass a path")
        if not is_folder(folder):
            found.append(folder)
            continue
        files = [path for path in _walk(folder) if path.is_file()]
        inputs = [path for path in files if path.suffix.lower() in {*SUFFIXES, ".npy"} or is_picture(path)]
        if not inputs:
            hint = "inputs are pictures, or arrays (.npy)"
            raise InputError(Code.INPUT_UNUSABLE, f"{folder} holds no pictures", hint=hint)
        found += inputs
        if passed := [path.name for path in files if path not in set(inputs)]:
            more = f" and {len(passed) - 3:,} more" if len(passed) > 3 else ""
            others.append(f"skipped in {folder}: {', '.join(passed[:3])}{more}")
    return found, others


def _walk(folder: Path, *, without_runs: bool = False) -> Iterator[Path]:
    """Every file below a folder, folder by folder in the order of their names; hidden ones and systems' are left out.

    Links to folders are not followed. Raises InputError for a folder that can't be read.
    """
    from nin_spec.data.folder import is_passed_over

    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        message = f"{folder} can't be read: {error.strerror}"
        raise InputError(Code.FILE_UNREADABLE, message) from None
    for entry in found:
        if is_passed_over(entry.name):
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield Path(entry.path)
        elif not (without_runs and is_run(entry.path)):
            yield from _walk(Path(entry.path), without_runs=without_runs)
