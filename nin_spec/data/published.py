"""Whether a data set with a known name is the published one: cheap before training, full in `data check`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nin_spec.data.catalog import CATALOG, Download
from nin_spec.data.nearby import TORCHVISION
from nin_spec.data.split import Split
from nin_spec.diagnostics import counted

_HASHED = 64 << 20
"""Largest file in bytes whose checksum is cheap."""


def doubts(split: Split, location: Path | None) -> list[str]:
    """Why a complete split is not the published one; empty if it may be.

    Checks the number of pictures, the sizes of the files at `location`, and the SHA-256 of the first.
    """
    entry = CATALOG.get(split.dataset)
    if entry is None:
        return []
    found = []
    published = entry.counts[split.name == "test"]
    if len(split) != published:
        found.append(
            f"{split.where} has {counted(len(split), 'picture')} ({split.name}), but {entry.title} has {published:,}"
        )
    elif location is not None:
        files = published_files(split.dataset, location)
        wrong = [path for path, download in files if path.stat().st_size != download.size]
        small = [(path, download) for path, download in files if download.size <= _HASHED]
        if not wrong and small and not is_published(*small[0]):
            wrong = [small[0][0]]
        if wrong:
            more = f" and {len(wrong) - 1} more are not the files" if len(wrong) > 1 else " is not the file"
            found.append(f"{wrong[0]}{more} published for {entry.title}")
    return found


def published_files(dataset: str, location: Path) -> list[tuple[Path, Download]]:
    """The files at a path that have the names of the published ones."""
    folders = [location / inside for inside in ("", "raw", *TORCHVISION.get(dataset, ()))]
    downloads = CATALOG[dataset].downloads if dataset in CATALOG else ()
    if location.is_file():
        return [(location, d) for d in downloads if d.name == location.name]
    candidates = ((folder / d.name, d) for d in downloads for folder in folders)
    return [(path, download) for path, download in candidates if path.is_file()]


def is_published(path: Path, download: Download) -> bool:
    """True if a file is the published one, by size and SHA-256."""
    if path.stat().st_size != download.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == download.sha256
