"""The Python processes that nin-spec starts: none imports from the current folder or reports usage data.

Python puts the current folder on its path for `-m` and `-c`: a `click.py` beside a spec would be run.
onnxruntime 1.31 and later sends usage data unless an environment variable disables it before the import.
"""

from __future__ import annotations

import os
import sys

TELEMETRY = ("ORT_DISABLE_TELEMETRY", "1")
"""onnxruntime reads it once, on import; any value except 0, false and the empty string disables usage data."""


def python(*arguments: str) -> tuple[str, ...]:
    """The command that runs this interpreter without the current folder on its path."""
    return (sys.executable, "-P", *arguments)


def environment(**more: str) -> dict[str, str]:
    """This process's environment for a child, with the same two guarantees for its own children."""
    name, off = TELEMETRY
    return os.environ | {"PYTHONSAFEPATH": "1", name: off} | more
