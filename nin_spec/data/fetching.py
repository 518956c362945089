"""Downloads of published files: resumable, and verified by checksum.

Nothing else in the package accesses the network, and this only for `nin-spec data fetch`.
"""

from __future__ import annotations

import http.client
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from nin_spec.data import cifar
from nin_spec.data.catalog import Download, Entry
from nin_spec.data.faults import fetch_error
from nin_spec.data.published import is_published
from nin_spec.diagnostics import DataError, ExportError
from nin_spec.extras import need
from nin_spec.files import require_regular

Progress = Callable[[str, int, int], object]
"""Called with a file's name, its size, and the bytes downloaded so far."""

_CHUNK = 1 << 16
_ATTEMPTS = 4
"""Attempts in a row without a new byte before giving up on a server."""
_SECONDS = 30.0


def fetch(
    entry: Entry,
    folder: Path,
    progress: Progress = lambda *_: None,
    *,
    replace: bool = False,
    seconds: float = _SECONDS,
) -> list[str]:
    """Download every file of a data set into a folder, and unpack CIFAR. Returns a message per file.

    A complete file is kept; one that is not the published file is an error, unless `replace`. `seconds` is the read
    timeout. Raises DataError (DATA_FETCH), which names the URL and the manual steps, and InputError (EXTRA_MISSING)
    without pooch.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fetch_error(f"{folder} can't be created: {error.strerror}") from None
    done = [_bring(download, folder, progress, replace=replace, seconds=seconds) for download in entry.downloads]
    if entry.name in cifar.LAYOUTS:
        done.append(cifar.unpack(entry.name, folder))
    return done


def _bring(download: Download, folder: Path, progress: Progress, *, replace: bool, seconds: float) -> str:
    path = folder / download.name
    try:
        for each in (path, _part_of(path)):  # nothing else may be read, appended to or replaced
            require_regular(each)
        there = path.exists()
        whole = there and is_published(path, download)
    except ExportError as error:
        raise fetch_error(
            error.diagnostics[0].message, f"move it away, or pass --to with a folder other than {folder}"
        ) from None
    except OSError as error:
        raise fetch_error(f"{path} can't be read: {error.strerror}") from None
    if whole:
        return f"{path}: already complete"
    if there and not replace:
        message = f"{path} exists and is not the published file"
        raise fetch_error(message, "move it away, pass --force to replace it, or pass --to with another folder")
    _from_any(download, path, progress, seconds)
    return f"{path}: fetched, checksum verified"


def _from_any(download: Download, path: Path, progress: Progress, seconds: float) -> None:
    """Download from the first mirror that serves the file."""
    faults: list[str] = []
    for url in download.urls:
        try:
            return _retrieve(url, download, path, progress, seconds)
        except _FailedError as error:
            faults.append(f"{url}: {error}")
    hint = f"try again later, which resumes the download; or download it manually to {path}"
    raise fetch_error(f"{download.name} can't be fetched: {'; '.join(faults)}", hint)


def _retrieve(url: str, download: Download, path: Path, progress: Progress, seconds: float) -> None:
    pooch = need("pooch", "fetching a data set")
    # pooch logs each file; the command reports them itself.
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{download.sha256}",
            fname=path.name,
            path=path.parent,
            downloader=_Resuming(path, download, progress, seconds),
        )
    except ValueError as error:  # a wrong checksum; pooch has deleted the file
        raise _FailedError(f"it is not the expected file, whose SHA-256 is {download.sha256}") from error
    except OSError as error:  # of the disk: network errors are handled above
        raise _unwritable(path, error) from None


def _part_of(path: Path) -> Path:
    """The path of a partial download."""
    return path.with_name(f"{path.name}.part")


class _FailedError(Exception):
    """One URL failed; another may work."""


@dataclass(frozen=True, slots=True)
class _Resuming:
    """Downloader for pooch: writes NAME.part beside the target, which is kept if the connection breaks."""

    path: Path
    download: Download
    progress: Progress
    seconds: float

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        beside = _part_of(self.path)
        fault: Exception | None = None
        best, vain = -1, 0
        while (have := _size(beside)) != self.download.size:
            if have > self.download.size:
                beside.unlink()
                raise _FailedError(f"it is longer than the expected {self.download.size:,} bytes")
            best, vain = max(best, have), 0 if have > best else vain + 1
            if vain >= _ATTEMPTS:
                raise _FailedError(_reason(fault, have, self.download.size))
            fault = self._attempt(url, beside)
        os.replace(beside, output_file)  # noqa: PTH105 a string from pooch

    def _attempt(self, url: str, beside: Path) -> Exception | None:
        """One attempt to resume; returns why it failed, if it did."""
        try:
            self._continue(url, beside)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # the partial file is not a prefix of this file
                beside.unlink(missing_ok=True)
            elif error.code < 500:
                raise _FailedError(_reason(error, 0, 0)) from None
            return error
        except (OSError, http.client.HTTPException) as error:
            return error
        return None

    def _continue(self, url: str, beside: Path) -> None:
        """Request the rest, and append it until it ends or breaks."""
        have = _size(beside)
        headers = {"User-Agent": "nin-spec", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 the catalog's URLs are http and https
        with urllib.request.urlopen(request, timeout=self.seconds) as answer:  # noqa: S310
            rest = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            with _open(beside, append=rest) as file:
                self._copy(answer, file, have if rest else 0)

    def _copy(self, answer: Any, file: IO[bytes], have: int) -> None:
        # One byte more than expected shows that it is a different file, and reading stops.
        while have <= self.download.size and (chunk := answer.read(min(_CHUNK, self.download.size + 1 - have))):
            _write(file, chunk)
            have += len(chunk)
            self.progress(self.path.name, self.download.size, have)


def _open(path: Path, *, append: bool) -> IO[bytes]:
    try:
        return path.open("ab" if append else "wb")
    except OSError as error:
        raise _unwritable(path, error) from None


def _write(file: IO[bytes], chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise _unwritable(file.name, error) from None


def _unwritable(path: Path | str, error: OSError) -> DataError:
    return fetch_error(f"{path} can't be written: {error.strerror}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(fault: Exception | None, have: int, size: int) -> str:
    """The reason of a failure."""
    if isinstance(fault, urllib.error.HTTPError):
        return f"the server responded {fault.code} {fault.reason}"
    if isinstance(fault, urllib.error.URLError):
        return f"{fault.reason}"
    broke = f"the connection broke after {have:,} of {size:,} bytes"
    return f"{broke} ({fault})" if fault is not None and str(fault) else broke
