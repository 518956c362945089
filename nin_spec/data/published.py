"""Is a data set of a known name the published one? Told cheaply before it is trained on, in full by `data check`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nin_spec.data.catalog import CATALOG, Download
from nin_spec.data.nearby import TORCHVISION
from nin_spec.data.part import Part
from nin_spec.diagnostics import counted

_HASHED = 64 << 20
"""Bytes of a file up to which its checksum costs next to nothing."""


def doubts(part: Part, location: Path | None) -> list[str]:
    """Why a part, whole as it was opened, is not what its data set is published as; nothing where it may be.

    Looks at the number of pictures, at the sizes of the files at `location`, and at the SHA-256 of the first.
    """
    entry = CATALOG.get(part.dataset)
    if entry is None:
        return []
    found = []
    published = entry.counts[part.part == "test"]
    if len(part) != published:
        found.append(f"{part.where} has {counted(len(part), 'picture')} ({part.part}), and {entry.title} {published:,}")
    elif location is not None:
        files = published_files(part.dataset, location)
        wrong = [path for path, download in files if path.stat().st_size != download.size]
        small = [(path, download) for path, download in files if download.size <= _HASHED]
        if not wrong and small and not is_published(*small[0]):
            wrong = [small[0][0]]
        if wrong:
            more = f" and {len(wrong) - 1} more are not the files" if len(wrong) > 1 else " is not the file"
            found.append(f"{wrong[0]}{more} that {entry.title} is published as")
    return found


def published_files(dataset: str, location: Path) -> list[tuple[Path, Download]]:
    """The files at a place that bear the names of the published ones."""
    folders = [location / inside for inside in ("", "raw", *TORCHVISION.get(dataset, ()))]
    downloads = CATALOG[dataset].downloads if dataset in CATALOG else ()
    if location.is_file():
        return [(location, d) for d in downloads if d.name == location.name]
    candidates = ((folder / d.name, d) for d in downloads for folder in folders)
    return [(path, download) for path, download in candidates if path.is_file()]


def is_published(path: Path, download: Download) -> bool:
    """True when a file is the published one, by size and SHA-256."""
    if path.stat().st_size != download.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == download.sha256
