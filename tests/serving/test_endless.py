"""A model that never ends, or that ends its process: a reload gives it up, and SIGTERM ends the server all the same."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import crashing_models
import endless_models
import pytest
import server_process
from server_process import Process, ask, running, until


def served(folder: Path) -> Path:
    """A file that answers, whose place one without end can take: the same tensors."""
    path = folder / "small.onnx"
    path.write_bytes(endless_models.plain())
    return path


def start(monkeypatch: pytest.MonkeyPatch, limit: float) -> None:
    """Have servers give up on opening a file after so many seconds."""
    code = f"import sys; from nin_spec.runtime import session; session.OPENING = {limit}; from nin_spec.cli import main"
    command = [sys.executable, "-P", "-c", f"{code}; main(sys.argv[1:])", "serve"]
    monkeypatch.setattr(server_process, "SERVE", command)


def replace(path: Path, data: bytes) -> None:
    """Put a file in its place, whole."""
    other = path.with_suffix(".new")
    other.write_bytes(data)
    other.replace(path)


def trials(server: Process) -> list[int]:
    """The processes that a server has started and that run (man 5 proc_pid_task_children, proc_pid_stat)."""
    threads = Path(f"/proc/{server.process.pid}/task").glob("*/children")
    return [int(number) for thread in threads for number in thread.read_text().split()]


def processor_seconds(process: int) -> float:
    """What a process has computed so far, in all its threads; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def works(server: Process) -> bool:
    """Whether the model that was there answers."""
    return ask(server.port, "GET", "/v2/models/small/ready")[0] == 200


def test_a_reload_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old model stays, the log gives the reason, and the server still exits in time, with the code of SIGTERM."""
    start(monkeypatch, 2.0)
    path = served(tmp_path)
    with running(str(path), "--reload", "--drain", "0.5") as server:
        replace(path, endless_models.looping())
        server.wait_for("reload failed, the old model stays")
        assert any("takes more than 2 s" in line for line in server.lines)
        assert works(server)
        assert server.stop() in {0, 143}


@pytest.mark.skipif(sys.platform != "linux", reason="the time is read from /proc")
def test_sigterm_ends_it_while_a_reload_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before the reload would be given up."""
    start(monkeypatch, 3600.0)
    path = served(tmp_path)
    with running(str(path), "--reload", "--drain", "0.5") as server:
        replace(path, endless_models.looping())
        until(lambda: any(processor_seconds(trial) > 1 for trial in trials(server)))  # one opens the file, without end
        (trial,) = trials(server)
        assert works(server)
        assert server.stop() == 143
        assert any("did not finish in time" in line for line in server.lines)
        until(lambda: not Path(f"/proc/{trial}/exe").exists())


def test_a_reload_of_a_file_that_ends_its_process_is_given_up(tmp_path: Path) -> None:
    """The signal reaches the process that tries the file, and not the server."""
    path = served(tmp_path)
    with running(str(path), "--reload", "--drain", "0.5") as server:
        replace(path, crashing_models.FAULTS["the lowest int64 / -1"])
        server.wait_for("reload failed, the old model stays")
        assert any("it was killed by SIGFPE" in line for line in server.lines)
        assert works(server)
