"""Packages that an extra brings: loaded when first needed, and asked for by name when missing."""

from __future__ import annotations

import importlib
from typing import Any

from nin_spec.diagnostics import Code, Diagnostic, InputError


def need(module: str, purpose: str, extra: str = "train") -> Any:
    """The module, imported. Raises InputError (EXTRA_MISSING) that says what it is for and how to get it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        message = f"{purpose} needs {error.name}, which is not installed"
        hint = f"pip install 'nin-spec[{extra}]'"
        raise InputError(Diagnostic(Code.EXTRA_MISSING, message, hint=hint)) from None
