"""Picture files by class: DIR/train/CLASS/* and DIR/test/CLASS/*, or only DIR/CLASS/*.

A folder may have a million files, so opening it only lists names; a file without a picture's extension is identified by
its first bytes. Decoding, in a few threads, finds damaged files: all headers before training, each picture when it is
read, or every one in `nin-spec data check`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nin_spec.data.faults import damage, misfit, missing, unreadable
from nin_spec.data.held_out import smallest
from nin_spec.data.split import Indices, SplitName
from nin_spec.data.threads import each
from nin_spec.diagnostics import DataError, Diagnostic, counted
from nin_spec.pictures import FORMATS, Frame, Pixels, decode, read_header, to_frame

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
TEST_FOLDERS = ("test", "val")
TEST_SHARE = 0.2
_OF_SYSTEMS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "@eadir")
"""Files that Windows, macOS and network drives leave in folders, case-insensitive."""
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"GIF8", b"RIFF")


@dataclass(frozen=True, eq=False)
class FolderSplit:
    """Picture k is the file `files[k]`, a path below `root`."""

    dataset: str
    name: SplitName
    where: str
    classes: tuple[str, ...]
    labels: Indices
    root: str = field(repr=False)
    files: tuple[str, ...] = field(repr=False)

    def pictures(self, indices: Indices, frame: Frame) -> Pixels:
        result = np.empty((len(indices), frame.height, frame.width, frame.channels), np.uint8)
        faults = each(lambda k: self._read(int(indices[k]), frame, result[k]), len(indices))
        if found := [fault for fault in faults if fault is not None]:
            raise DataError(found)
        return result

    def _read(self, number: int, frame: Frame, into: Pixels) -> Diagnostic | None:
        """Decode one picture into `into`; returns a diagnostic if it is damaged."""
        path = Path(self.root, self.files[number])
        try:
            picture = decode(path)
        except Exception as error:  # noqa: BLE001 a decoder may raise anything on a damaged file
            return _undecodable(path, error)
        try:
            into[:] = to_frame(picture, frame)
        except ValueError as error:
            return damage(path, str(error))
        return None

    def headers(self, indices: Indices) -> list[Diagnostic]:
        """A diagnostic for each of these files without the header of a picture; no pixel is decoded."""
        found = each(lambda k: _header_fault(Path(self.root, self.files[int(indices[k])])), len(indices))
        return [fault for fault in found if fault is not None]

    def names(self, indices: Indices) -> list[str]:
        """The files below the folder of the split."""
        return [self.files[int(k)] for k in indices]

    def evidence(self, indices: Indices) -> bytes:
        """Names relative to the class folders' parent, and sizes; -1 for a file that no longer exists."""
        lines = (f"{self.files[k]} {_size(Path(self.root, self.files[k]))}\n" for k in indices)
        return "".join(lines).encode(errors="surrogateescape")

    def __len__(self) -> int:
        return len(self.files)


def _header_fault(path: Path) -> Diagnostic | None:
    try:
        read_header(path)
    except Exception as error:  # noqa: BLE001 a decoder may raise anything on a damaged file
        return _undecodable(path, error)
    return None


def _undecodable(path: Path, error: Exception) -> Diagnostic:
    return damage(path, f"it can't be decoded: {error}", f"pictures are {', '.join(FORMATS)}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


# ------------------------------------------------------------------ opening


def is_split(folder: Path) -> bool:
    """True for DIR/train/CLASS/: a folder named train that contains folders."""
    return has_classes(folder / "train")


def has_classes(folder: Path) -> bool:
    """True for a folder that contains folders."""
    return bool(_classes(folder))


def look_over(dataset: str, split: SplitName, folder: Path) -> tuple[FolderSplit, list[Diagnostic]]:
    """A split of a folder of pictures: the usable files, with diagnostics for the rest, to check everything at once.

    Classes are the sorted names of the training split's class folders. The test split is DIR/test, else DIR/val.
    Without DIR/train, DIR contains the class folders, and a fixed fifth of each class, chosen by file names, is the
    test split. Hidden and system files (Thumbs.db, desktop.ini) are skipped, links are followed.
    """
    if not is_split(folder):
        return _undivided(dataset, split, folder)
    classes = _classes(folder / "train")
    test = next((folder / name for name in TEST_FOLDERS if _classes(folder / name)), None)
    faults: list[Diagnostic] = []
    if test is not None and (strange := [name for name in _classes(test) if name not in classes]):
        faults += misfit(f"{test} has classes that {folder / 'train'} does not have: {_few(strange)}").diagnostics
    if split == "train":
        return _listed(dataset, split, folder / "train", classes, faults)
    if test is None:
        hint = (
            f"put test pictures into {folder / 'test'}/CLASS/, or remove the train/ level, so that a fifth is held out"
        )
        raise missing(f"{folder} has train/ but neither test/ nor val/ with class folders", hint)
    return _listed(dataset, split, test, classes, faults)


def _undivided(dataset: str, split: SplitName, folder: Path) -> tuple[FolderSplit, list[Diagnostic]]:
    classes = _classes(folder)
    if not classes:
        raise missing(
            f"{folder} has no class folders",
            f"put pictures into {folder}/train/CLASS/ or {folder}/CLASS/; for arrays, pass the .npz file",
        )
    every, faults = _listed(dataset, split, folder, classes, [])
    keys = [int.from_bytes(hashlib.sha256(_bytes(name)).digest()[:8], "big") for name in every.files]
    chosen = smallest(every.labels, TEST_SHARE, np.array(keys, np.uint64))[split == "test"]
    share = "a fixed fifth of each class" if split == "test" else "all but a fixed fifth of each class"
    where = f"{folder} ({share}; it has no train/)"
    files = tuple(every.files[k] for k in chosen)
    if not files and not faults:
        raise misfit(f"{folder} has too few pictures to hold out a fifth of them for the {split} split")
    return FolderSplit(dataset, split, where, classes, _frozen(every.labels[chosen]), every.root, files), faults


def _listed(
    dataset: str, split: SplitName, root: Path, classes: tuple[str, ...], faults: list[Diagnostic]
) -> tuple[FolderSplit, list[Diagnostic]]:
    """Every picture in the class folders, by class and name; problems are appended to `faults`."""
    if unsayable := [name for name in classes if not name.isprintable()]:
        message = f"{root} has class folders whose names can't be printed: {_few(map(ascii, unsayable))}"
        faults += misfit(message, "rename them: they become class names").diagnostics
    files: list[str] = []
    strange: list[str] = []
    counts: list[int] = []
    present = set(_classes(root))
    for name in classes:
        mine, others = _sorted_out(root / name) if name in present else ([], [])
        if not mine and not others and name in present:
            faults += misfit(f"{root / name} has no pictures", "remove the folder, or fill it").diagnostics
        files += [f"{name}/{file}" for file in mine]
        counts.append(len(mine))
        strange += [f"{name}/{file}" for file in others]
    if strange:
        message = f"{root} has {counted(len(strange), 'file')} that are not pictures: {_few(strange)}"
        faults += misfit(message, f"pictures are {', '.join(FORMATS)} files; move the others away").diagnostics
    labels = np.repeat(np.arange(len(classes)), counts)
    return FolderSplit(dataset, split, str(root), classes, _frozen(labels), str(root), tuple(files)), faults


def _sorted_out(folder: Path) -> tuple[list[str], list[str]]:
    """The names of a class folder's pictures, and of its other entries; hidden files are in neither."""
    pictures, others = list[str](), list[str]()
    for entry in _entries(folder):
        named = entry.name.lower().endswith(SUFFIXES)
        fits = entry.is_file() and (named or is_picture(Path(entry.path)))
        (pictures if fits else others).append(entry.name)
    return sorted(pictures), sorted(others)


def is_picture(path: Path) -> bool:
    """Whether a file has the header of a picture, regardless of its name."""
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(_MAGIC)
    except OSError:
        return False


def _classes(folder: Path) -> tuple[str, ...]:
    """The sorted names of the folders in a folder; empty if it does not exist."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(entry.name for entry in _entries(folder) if entry.is_dir()))


def _entries(folder: Path) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not is_passed_over(entry.name)]
    except OSError as error:
        raise unreadable(folder, error) from None


def is_passed_over(name: str) -> bool:
    """True for hidden files and folders, and for system files."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def _frozen(labels: Indices) -> Indices:
    result = labels.astype(np.int64)
    result.setflags(write=False)
    return result


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def _few(names: Iterable[str], limit: int = 5) -> str:
    names = list(names)
    return ", ".join(names[:limit]) + (f", and {len(names) - limit:,} more" if len(names) > limit else "")
