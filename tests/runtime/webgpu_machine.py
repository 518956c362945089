"""WebGPU on this machine: with the GPU's own driver, else with a software one that a browser brings.

Sessions on it run in processes of their own: a Vulkan driver is chosen by the environment, once per process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nin_spec.children import environment
from nin_spec.runtime.plugins import SOFTWARE_ADAPTER

CHILD = Path(__file__).with_name("webgpu_child.py")
SOFTWARE = tuple(
    Path(folder, "vk_swiftshader_icd.json")
    for folder in ("/usr/lib/chromium", "/usr/lib64/chromium", "/opt/google/chrome")
)
"""SwiftShader, as browsers bring it."""

_ASK = """
from nin_spec.runtime.providers import explain
found = explain("webgpu")
print(found.reason if not found.usable else "")
"""


@cache
def found() -> tuple[dict[str, str], str]:
    """The variables with which WebGPU works here, and why it does not: one of them is empty."""
    pytest.importorskip("onnxruntime_ep_webgpu")
    own = {SOFTWARE_ADAPTER: "1", "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()}
    ways = [own, *({**own, "VK_DRIVER_FILES": str(f), "VK_ICD_FILENAMES": str(f)} for f in SOFTWARE if f.exists())]
    why = ""
    for way in ways:
        done = _python(way, "-c", _ASK)
        if done.returncode == 0 and not done.stdout.strip():
            return way, ""
        why = done.stdout.strip() or done.stderr.strip().splitlines()[-1]
    return {}, f"WebGPU does not work here: {why}"


def variables() -> dict[str, str]:
    """The variables with which WebGPU works here. Skips the test where it does not."""
    way, why = found()
    if why:
        pytest.skip(why)
    return way


def ask(jobs: Sequence[Any], device: str = "webgpu") -> list[dict[str, Any]]:
    """The answers to jobs, in one process."""
    lines = "".join(f"{json.dumps(job)}\n" for job in jobs)
    done = _python(variables() if device == "webgpu" else {}, str(CHILD), device, given=lines)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(jobs), done.stderr
    return answers


def _python(way: dict[str, str], *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(**way),
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
