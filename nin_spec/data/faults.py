"""The errors of data sets, one function per code: missing, damaged, misfit."""

from __future__ import annotations

from pathlib import Path

from nin_spec.diagnostics import Code, DataError, Diagnostic


def missing(message: str, hint: str | None = None) -> DataError:
    """A data set, or a file of it, does not exist."""
    return DataError(Code.DATA_MISSING, message, hint=hint)


def damage(path: Path | str, why: str, hint: str | None = None) -> Diagnostic:
    """A file is truncated, corrupt or mislabelled; `why` names the byte."""
    return Diagnostic(Code.DATA_DAMAGED, f"{path} is damaged: {why}", hint=hint)


def damaged(path: Path | str, why: str, hint: str | None = None) -> DataError:
    """The same as an error."""
    return DataError(damage(path, why, hint))


def misfit(message: str, hint: str | None = None) -> DataError:
    """A valid data set that does not fit."""
    return DataError(Code.DATA_MISFIT, message, hint=hint)


def unreadable(path: Path | str, error: OSError | ValueError) -> DataError:
    """A file can't be opened or read."""
    reason = getattr(error, "strerror", None) or str(error)
    return missing(f"{path} can't be read: {reason}")


def fetch_error(message: str, hint: str | None = None) -> DataError:
    """A download that failed, or can't be written to its target."""
    return DataError(Code.DATA_FETCH, message, hint=hint)
