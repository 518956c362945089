"""Every Python process is started in one way, and onnxruntime imported in one place."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_floors import ROOT, imports, modules

from nin_spec import children

STARTERS = {"run", "Popen", "call", "check_call", "check_output", "create_subprocess_exec", "create_subprocess_shell"}
ELSEWHERE = {"nin_spec.revisions": "git", "nin_spec.processes": "a worker, in the environment that its caller passes"}
"""Modules that start a program other than Python, or in an environment that is looked at elsewhere."""
MODULES = [(name, path) for name, path in modules() if name != "nin_spec.children"]


def starts(path: Path) -> list[ast.Call]:
    """The calls of a file that start a process."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in STARTERS]
    started = [call for call in named if ast.unparse(call.func).startswith(("subprocess.", "asyncio."))]
    return started + [call for call in calls if ast.unparse(call.func) == "WorkerProcess"]


@pytest.mark.parametrize(("name", "path"), MODULES, ids=lambda v: v if isinstance(v, str) else "")
def test_processes_are_started_in_one_way(name: str, path: Path) -> None:
    """By children.py's command and environment: nobody else names this interpreter, forks, or starts a pool."""
    text = path.read_text()
    for word in ("sys.executable", "os.fork", "os.exec", "os.spawn", "os.system", "os.popen", "ProcessPoolExecutor"):
        assert word not in text, word
    assert not {"multiprocessing", "torch.multiprocessing"} & {module for module, _ in imports(path)}
    if name not in ELSEWHERE:
        for call in starts(path):
            given = [ast.unparse(word) for word in call.args] + [
                ast.unparse(w.value) for w in call.keywords if w.arg == "env"
            ]
            assert any("environment(" in word for word in given), f"{path.name}:{call.lineno}"


@pytest.mark.parametrize(("name", "path"), MODULES, ids=lambda v: v if isinstance(v, str) else "")
def test_onnxruntime_is_imported_in_one_place(name: str, path: Path) -> None:
    """Where its telemetry is turned off before it is loaded."""
    found = [module for module, _ in imports(path) if module.partition(".")[0] == "onnxruntime"]
    assert found == (["onnxruntime"] if name == "nin_spec.runtime.installation" else [])


def test_a_child_keeps_both_promises() -> None:
    """The working folder is not on its path, nor on that of a process which it starts; telemetry is off in both."""
    code = """
import json, os, subprocess, sys
told = [sys.path[0], os.environ["ORT_DISABLE_TELEMETRY"]]
if sys.argv[1] == "1":
    told += json.loads(subprocess.check_output([sys.executable, "-c", sys.argv[2], "0", ""]))
print(json.dumps(told))
"""
    done = subprocess.run(
        children.python("-c", code, "1", code), env=children.environment(), capture_output=True, text=True, check=True
    )
    first, off, second, off_too = json.loads(done.stdout)
    assert (off, off_too) == ("1", "1")
    assert "" not in {first, second}
    assert str(Path.cwd()) not in {first, second}


def test_the_library_turns_telemetry_off_and_leaves_the_environment(tmp_path: Path) -> None:
    """Opening a session in a process of someone else writes no file of telemetry and changes no variable."""
    code = (
        "import os; before = dict(os.environ); from nin_spec.runtime.installation import import_onnxruntime\n"
        "import_onnxruntime('quantization'); assert dict(os.environ) == before"
    )
    for variable in ({}, {"ORT_DISABLE_TELEMETRY": "0"}):
        kept = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY" and not k.startswith("XDG_")}
        env = kept | variable | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code], env=env, check=True)
        assert list(tmp_path.rglob("*")) == []
