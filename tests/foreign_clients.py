"""Other people's clients, each in a process of its own: their generated modules and ours can't share one.

pip install --target FOLDER 'tritonclient[http,grpc]' kserve
NIN_SPEC_CLIENTS=FOLDER pytest ...
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def clients() -> Path:
    """The folder that holds them; the test is skipped where there is none."""
    folder = os.environ.get("NIN_SPEC_CLIENTS")
    if not folder:
        pytest.skip("NIN_SPEC_CLIENTS names no folder with tritonclient: see foreign_clients.py")
    return Path(folder)


def run_client(script: str, *arguments: str, folder: Path | None = None) -> str:
    """What a script prints that imports a foreign client. An AssertionError shows what it said when it failed."""
    env = {**os.environ, "PYTHONPATH": str(clients()), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
