"""The bytes of a file that is imported."""

from __future__ import annotations

import stat
from pathlib import Path

from nin_spec.files import as_written, why_missing
from nin_spec.importers.chain import refusal


def read_bytes(path: Path, limit: int) -> bytes:
    """The bytes of a regular file. Raises ForeignModelError, also for more than `limit` of them."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise refusal(str(path), "it is not a file")
        if status.st_size > limit:
            raise refusal(str(path), f"it has {status.st_size:,} bytes; the limit is {limit:,}")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise refusal(as_written(path), *why_missing(path)) from error
    except (OSError, ValueError) as error:
        raise refusal(str(path), f"it can't be read: {getattr(error, 'strerror', None) or error}") from error
