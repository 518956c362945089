"""Processes that torchrun restarts resume the run that they started, and with no other."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ranks import launched
from small_parts import small_network

import nin_spec
from nin_spec.training.begin import _begun, train
from nin_spec.training.folder import Run, open_run
from nin_spec.training.settings import TrainSettings
from nin_spec.training.world import World

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

KILLED_ONCE = """
import os, signal, sys
from nin_spec.cli import main
from nin_spec.training.loop import Loop

step = Loop._step
def dying(self, pieces):
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and os.environ["RANK"] == "1" and self.state.step == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, pieces)
if sys.argv.pop(1) == "kill":
    Loop._step = dying
main()
"""


@pytest.mark.long
def test_a_restarted_gang_comes_to_the_same_bytes(tmp_path: Path) -> None:
    """One process is killed in the second epoch; no --resume is given."""
    (tmp_path / "spec.yaml").write_text(small_network("batch", 0.3).spec.text)
    (tmp_path / "train.py").write_text(KILLED_ONCE)
    script = (str(tmp_path / "train.py"), "kill", "train", str(tmp_path / "spec.yaml"), "--threads", "1")
    quick = ("--checkpoint-minutes", "0.01")
    killed = (*TORCHRUN, "--max-restarts", "1", *script, *quick)
    whole = (*TORCHRUN, *(word if word != "kill" else "leave" for word in script), *quick)
    said, _ = launched(tmp_path, [killed, whole])
    assert "process 1 of 2" in said
    assert [path.name for path in (tmp_path / "0" / "runs").iterdir()] == ["small"]
    for name in ("metrics.csv", "last.safetensors"):
        assert (tmp_path / "0/runs/small" / name).read_bytes() == (tmp_path / "1/runs/small" / name).read_bytes()
    assert open_run(tmp_path / "0" / "runs" / "small").record.status == "finished"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that the agents a and b began."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("begun"))
        run = train(small_network("none", 0.0, "train.epochs=1"), settings=TrainSettings(threads=1))
        path = run.path.resolve()
    record = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(record | {"agents": ["a", "b"]}))
    return open_run(path)


@pytest.mark.parametrize(
    ("agents", "changes", "found"),
    [
        (("b", "c"), {}, True),
        (("b", "c"), {"named": True}, True),
        (("c",), {}, False),
        (("c",), {"named": True}, False),
        (("a",), {"epochs": 2}, False),
        (("a",), {"threads": 2}, False),
    ],
)
def test_the_run_that_was_begun_is_known_by_its_launcher_its_spec_and_its_settings(
    run: Run, monkeypatch: pytest.MonkeyPatch, agents: tuple[str, ...], changes: dict[str, int], *, found: bool
) -> None:
    monkeypatch.chdir(run.path.parent.parent)
    settings = replace(run.record.settings, threads=changes.get("threads", 1))
    text = run.network.spec.text.replace("epochs: 1", f"epochs: {changes.get('epochs', 1)}")
    network, place = nin_spec.compile(nin_spec.loads(text, "small.yaml")), Path("runs/small")
    begun = _begun(network, settings, place if "named" in changes else None, World(agents=agents))
    assert begun == (place if found else None)
