"""Packages that an extra brings: loaded when first needed, and asked for by name when missing."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from nin_spec.diagnostics import Code, InputError


def need(module: str, purpose: str, extra: str = "train") -> Any:
    """The module, imported. Raises InputError (EXTRA_MISSING) that says what it is for and how to get it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise _missing(error.name, purpose, extra) from None


def require(*modules: str, purpose: str, extra: str = "train") -> None:
    """Raise the same for the first module that is not installed; load none."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise _missing(module, purpose, extra)


def _missing(module: str, purpose: str, extra: str) -> InputError:
    message = f"{purpose} needs {module}, which is not installed"
    return InputError(Code.EXTRA_MISSING, message, hint=f"pip install 'nin-spec[{extra}]'")
