"""Packages of optional extras: imported on first use, with a clear error if missing."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from nin_spec.diagnostics import Code, InputError


def need(module: str, purpose: str, extra: str = "train") -> Any:
    """Import a module. Raises InputError (EXTRA_MISSING) with its purpose and how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise _missing(error.name, purpose, extra) from None


def require(*modules: str, purpose: str, extra: str = "train") -> None:
    """Raise the same error for the first module that is not installed, without importing any."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise _missing(module, purpose, extra)


def _missing(module: str, purpose: str, extra: str) -> InputError:
    message = f"{purpose} needs {module}, which is not installed"
    return InputError(Code.EXTRA_MISSING, message, hint=f"pip install 'nin-spec[{extra}]'")
