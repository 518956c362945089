"""The Python processes that nin-spec starts: none imports from the working folder, and none reports usage data.

Python puts the working folder on its path for `-m` and `-c`: a `click.py` that lies beside a spec would run.
onnxruntime from 1.31 on sends usage data unless an environment variable forbids it before it is imported.
"""

from __future__ import annotations

import os
import sys

TELEMETRY = ("ORT_DISABLE_TELEMETRY", "1")
"""onnxruntime reads it once, when it is imported; any value but 0, false and the empty text turns it off."""


def python(*arguments: str) -> tuple[str, ...]:
    """The command that runs this interpreter with arguments, without the working folder on its path."""
    return (sys.executable, "-P", *arguments)


def environment(**more: str) -> dict[str, str]:
    """This process's environment for a child: the same two promises for what the child itself starts."""
    name, off = TELEMETRY
    return os.environ | {"PYTHONSAFEPATH": "1", name: off} | more
