"""Commands in processes that need not load PyTorch: copies of one that has.

What most commands take is the import of torch, one to three seconds. A server of `multiprocessing` imports the packages
of others once, and forks for each command, which imports nin-spec itself. What happens before Python code runs (flags,
the locale) is not the command's own here: tests of that start Python.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryFile
from threading import Thread
from typing import Any

HEAVY = (
    "torch",
    "torch._dynamo",
    "torch.distributed",
    "onnx",
    "onnxruntime",
    "numpy",
    "PIL.Image",
    "pydantic",
    "click",
)
"""What the server imports. None of these starts a thread, which a copy would lack."""
TESTS = Path(__file__).parent


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*HEAVY])
    return context


def start(
    arguments: Sequence[str], folder: Path, out: int, err: int, *, env: Mapping[str, str], script: str = ""
) -> ForkServerProcess:
    """`nin-spec ARGUMENTS`, or with `script` the text of a Python script with these arguments, in a folder.

    `out` and `err` are open files, `env` is the whole environment.
    """
    job = ([*arguments], str(folder), (DupFd(out), DupFd(err)), dict(env), script)
    process = _context().Process(target=_main, args=job)
    process.start()
    return process


def run(
    arguments: Sequence[str], folder: Path, *, env: Mapping[str, str] | None = None, script: str = ""
) -> CompletedProcess[str]:
    """The same, waited for, with all that it printed."""
    with TemporaryFile() as out, TemporaryFile() as err:
        variables = os.environ if env is None else env
        code = Waiting(start(arguments, folder, out.fileno(), err.fileno(), env=variables, script=script)).wait()
        for file in (out, err):
            file.seek(0)
        return CompletedProcess([*arguments], code, out.read().decode(), err.read().decode())


class Waiting:
    """A process of `multiprocessing` that ends as one of `subprocess` does."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        self.pid: int = process.pid or 0

    @property
    def returncode(self) -> int | None:
        """None as long as it runs, negative for a signal."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises TimeoutExpired."""
        self._process.join(timeout)
        if (code := self.returncode) is None:
            raise TimeoutExpired(str(self.pid), timeout or 0)
        return code


class Running(Waiting):
    """A command that goes on, as `subprocess.Popen` has it: its output is a pipe of text."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        env: Mapping[str, str],
        script: str = "",
        merged: bool = False,
    ) -> None:
        """`merged`: what goes to standard error comes with the output."""
        reading, writing = os.pipe()
        self._errors = TemporaryFile()  # noqa: SIM115 closed by communicate
        err = writing if merged else self._errors.fileno()
        super().__init__(start(arguments, folder, writing, err, env=env, script=script))
        os.close(writing)
        self.stdout = open(reading, encoding="utf-8")  # noqa: SIM115, PTH123 closed by communicate

    def send_signal(self, number: int) -> None:
        """Nothing where it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it has printed and not been asked for, when it has ended. Raises TimeoutExpired."""
        if self._errors.closed:
            return "", ""
        found: list[str] = []
        reader = Thread(target=lambda: found.append("" if self.stdout.closed else self.stdout.read()), daemon=True)
        reader.start()
        self.wait(timeout)
        reader.join()
        self.stdout.close()
        with self._errors as errors:
            errors.seek(0)
            return found[0], errors.read().decode()


def _main(arguments: list[str], folder: str, streams: tuple[Any, Any], env: dict[str, str], script: str) -> None:
    for number, stream in enumerate(streams, 1):
        given = stream.detach()
        os.dup2(given, number)
        os.close(given)
    # As Python makes them at its start, by what is behind them.
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    outside = [place for place in sys.path if not Path(place).is_relative_to(TESTS)]
    sys.path[:] = [*filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), *outside]
    sys.argv = ["nin-spec", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if script:
        exec(compile(script, "script.py", "exec"), {"__name__": "__main__"})  # noqa: S102 it is ours
        return
    from nin_spec.cli import main

    main(arguments)
