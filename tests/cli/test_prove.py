"""nin-spec prove, end to end with real workers; faults come from tests/conformance/stand_in.py."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nin_spec import children
from nin_spec.cli import execute
from nin_spec.conformance.suite import suite
from nin_spec.language.load import loads
from nin_spec.network import compile as compile_network
from nin_spec.seals import Kind, kind_of

pytestmark = pytest.mark.usefixtures("folder")
Run = Callable[..., Any]
STAND_IN = Path(__file__).parent.parent / "conformance" / "stand_in.py"
QUICK = ("cpu", "--precision", "float32", "--only", "shuffle")


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a device with a fault in the place of cpu."""

    def put(name: str, op: str = "shuffle") -> None:
        command = children.python(str(STAND_IN), name, op, "log")
        monkeypatch.setattr("nin_spec.conformance.run.COMMAND", command)

    return put


def test_the_table(nin_spec: Run) -> None:
    """The device and versions, a row per op and precision, and the totals."""
    done = nin_spec("prove", *QUICK)
    first, versions, _, head, *rows, _, total = done.out.splitlines()
    assert first.startswith("cpu: CPUExecutionProvider (cpu ")
    assert "onnxruntime" in versions
    assert head.split() == ["op", "precision", "exact", "refused", "wrong", "worst"]
    assert [row.split()[:5] for row in rows] == [["shuffle", "float32", "2", "0", "0"]]
    assert total == "2 cases: 2 exact, 0 refused, 0 wrong"
    assert done.code == 0


def test_what_is_wrong_is_shown_with_its_smallest_spec(fault: Run, nin_spec: Run) -> None:
    """It compiles, it is the one that the document has, and the exit code is 1."""
    fault("crashes")
    done = nin_spec("prove", *QUICK, "-o", "cpu.json", "--format", "json")
    assert done.code == 1
    found = json.loads(done.out)
    assert found["totals"] == {"cases": 2, "exact": 0, "refused": 0, "wrong": 2}
    (row,) = found["rows"]
    shown = row["smallest"]
    assert "killed by SIGSEGV" in shown["reason"]
    assert compile_network(loads(shown["spec"])).graph.nodes[0].kind == "ChannelShuffle"
    assert len(shown["spec"]) == min(len(shown["spec"]), 130)
    text = nin_spec("prove", *QUICK, "-o", "cpu.json").out
    assert f"shuffle in float32: 2 wrong of 2\n  {shown['reason']}\n" in text
    assert "".join(f"    {line}\n" for line in shown["spec"].splitlines()) in text


def test_a_refusal_is_shown_and_exits_with_0(fault: Run, nin_spec: Run) -> None:
    """In Markdown, too."""
    fault("refuses")
    done = nin_spec("prove", *QUICK, "--format", "markdown")
    assert done.code == 0
    assert "| shuffle | float32 | 0 | 2 | 0 |  |" in done.out
    assert "**shuffle in float32: 2 refused of 2**\n\nthe stand-in has no kernel for it\n" in done.out
    assert "```yaml\nspec: 1\n" in done.out


def test_a_finished_run_is_not_repeated(fault: Run, nin_spec: Run) -> None:
    """Its file has the verdicts, also of cases that another run with it did not ask for."""
    fault("none")
    first = nin_spec("prove", *QUICK, "-o", "cpu.json")
    assert kind_of(Path("cpu.json")) is Kind.CONFORMANCE
    assert len(Path("log").read_text().splitlines()) == 2
    again = nin_spec("prove", *QUICK, "-o", "cpu.json")
    assert again.out == first.out
    assert "cpu.json has 2 of 2 verdicts" in again.err
    other = nin_spec("prove", *QUICK[:-1], "dropout channel", "-o", "cpu.json")
    count = sum(case.op == "dropout channel" for case in suite())
    assert other.out.endswith(f"{count} cases: {count} exact, 0 refused, 0 wrong\n")
    assert len(Path("log").read_text().splitlines()) == 2 + count
    assert len(json.loads(Path("cpu.json").read_text())["verdicts"]) == 2 + count


def test_other_circumstances_begin_again(fault: Run, nin_spec: Run) -> None:
    """A verdict with other options of the device says nothing of these."""
    fault("none")
    nin_spec("prove", *QUICK, "-o", "cpu.json")
    nin_spec("prove", *QUICK, "-o", "cpu.json", "--device-option", "spinning=never")
    assert len(Path("log").read_text().splitlines()) == 4


def test_an_interrupted_run_resumes(folder: Path) -> None:
    """Ctrl-C ends it with its table so far; the same command proves what is left, each case once in all."""
    code = (
        # A shell starts what runs in its background deaf to SIGINT, and so would be what that starts.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import sys; from nin_spec import children; import nin_spec.conformance.run as run;"
        f"run.COMMAND = children.python({str(STAND_IN)!r}, 'none', '', 'log');"
        "from nin_spec.start import start; start()"
    )
    arguments = ("prove", "cpu", "--precision", "float32", "--only", "norm lrn", "-o", "cpu.json")
    command = children.python("-c", code, *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (folder / "log").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "not proved yet" in out
    assert "resumes from cpu.json" in err
    known = json.loads(Path("cpu.json").read_text())["totals"]["exact"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.endswith("20 cases: 20 exact, 0 refused, 0 wrong\n")
    tried = Path("log").read_text().splitlines()
    assert len(set(tried)) == 20
    assert len(tried) - 20 <= 1  # the one that was interrupted
    assert known < 20


def test_a_device_that_can_not_be_used_exits_with_2(nin_spec: Run) -> None:
    """With the reason that doctor has; nothing is written."""
    done = nin_spec("prove", "cuda", "-o", "cuda.json")
    assert done.code == 2
    assert "NIN703: cuda (CUDAExecutionProvider) can't run here" in done.err
    assert "hint:" in done.err
    assert not Path("cuda.json").exists()
    assert nin_spec("prove", "abacus").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("auto",), "prove takes one device by its name"),
        (("cpu", "--precision", "float23"), "did you mean 'float32'?"),
        (("cpu", "-o", "-"), "-o is a file to resume from"),
        (("cpu", "--device-option", "spin=1"), "unknown option 'spin'"),
        (("cpu", "--only", "convolution"), "no case matches 'convolution'"),
    ],
)
def test_what_can_not_be_proved_is_refused(arguments: tuple[str, ...], message: str, nin_spec: Run) -> None:
    """Before the work, with what to do."""
    done = nin_spec("prove", *arguments)
    assert done.code == 2
    assert message in done.err


def test_a_file_of_a_person_is_not_replaced(nin_spec: Run) -> None:
    """Nor one that was edited since."""
    Path("mine.json").write_text("{}")
    done = nin_spec("prove", *QUICK, "-o", "mine.json")
    assert done.code == 2
    assert "mine.json exists" in done.err
    assert Path("mine.json").read_text() == "{}"


def test_help_teaches() -> None:
    """What the words of the table mean, and what the exit codes."""
    assert execute(["prove", "--help"]) == 0
