"""Files and modules that mean harm, or none: each is imported or refused, in bounded time and memory.

The whole: `python -m pytest -m long tests/importers/hostile`, over 1,400 cases made by hand, and each ONNX file opened
as run, evaluate and serve do.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SECONDS, MEGABYTES = 20, 1024
SAMPLE = {"onnx": 29, "open": 61, "caffe": 23, "module": 19}
"""In the usual run every so many-th case is tried."""
COUNTS = {"onnx": 1000, "open": 1000, "caffe": 250, "module": 70}
HERE = Path(__file__).parent


def survey(kind: str, every: int) -> list[dict[str, Any]]:
    """What came of the cases of a kind."""
    command = [sys.executable, str(HERE / "hostile_worker.py"), kind, str(every)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * 3600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def judge(found: list[dict[str, Any]]) -> None:
    """No traceback, no crash, none over the time, none over the memory. What most took is printed."""
    for key in ("seconds", "megabytes"):
        sys.stdout.write(json.dumps(max(found, key=lambda case: case[key])) + "\n")
    assert len({case["name"] for case in found}) == len(found)
    assert [case for case in found if case["outcome"] not in {"imported", "refused"}] == []
    assert [case for case in found if case["seconds"] > SECONDS] == []
    assert [case for case in found if case["megabytes"] > MEGABYTES] == []


@pytest.mark.parametrize("kind", SAMPLE)
def test_some_hostile_cases_are_imported_or_refused(kind: str) -> None:
    found = survey(kind, SAMPLE[kind])
    judge(found)
    assert any(case["outcome"] == "refused" for case in found)


@pytest.mark.long
@pytest.mark.parametrize("kind", SAMPLE)
def test_every_hostile_case_is_imported_or_refused(kind: str) -> None:
    found = survey(kind, 1)
    judge(found)
    assert len(found) >= COUNTS[kind]
