"""Every writer goes through the one door, nin_spec.files, or is known with the reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

_WRITES = {
    "write_text",
    "write_bytes",
    "savefig",
    "mkdtemp",
    "mkstemp",
    "NamedTemporaryFile",
    "TemporaryDirectory",
    "SummaryWriter",
    "EventsWriter",
    "extractall",
    "rmtree",
    "unlink",
    "rename",
    "move",
    "copy2",
    "copyfile",
    "symlink_to",
    "hardlink_to",
    "tofile",
    "savez",
    "touch",
}
"""Names of calls that write, move or remove. `open` and `save` are looked at more closely."""

ROUND_THE_DOOR = {
    ("nin_spec/files.py", "*"): "the door itself",
    ("nin_spec/bench/contest.py", "TemporaryDirectory"): "a temporary folder of its own",
    ("nin_spec/processes.py", "open"): "a log in a folder of its caller",
    ("nin_spec/conformance/run.py", "TemporaryDirectory"): "for the logs of its workers",
    ("nin_spec/bench/subjects.py", "write_bytes"): "the model, in that folder",
    ("nin_spec/bench/subjects.py", "write_text"): "its spec, in that folder",
    ("nin_spec/bench/subjects.py", "save"): "its inputs, in that folder",
    ("nin_spec/bench/other_runtimes.py", "TemporaryDirectory"): "a temporary folder of its own",
    ("nin_spec/bench/worker.py", "save"): "its outputs, in that folder",
    ("nin_spec/diagrams/charts.py", "savefig"): "into memory",
    ("nin_spec/opened.py", "TemporaryDirectory"): "a temporary folder of its own",
    ("nin_spec/cli/run.py", "save"): "into memory",
    ("nin_spec/explanation/drawing.py", "save"): "into memory",
    ("nin_spec/runtime/isolation.py", "TemporaryDirectory"): "a temporary folder of its own",
    ("nin_spec/runtime/isolation.py", "write_bytes"): "the file that is tried, in that folder",
    ("nin_spec/runtime/isolated_process.py", "TemporaryDirectory"): "a temporary folder of its own",
    ("nin_spec/pictures.py", "save"): "into memory",
    ("nin_spec/data/fetching.py", "open"): "a download, which may be of many gigabytes, behind require_regular",
    ("nin_spec/data/fetching.py", "unlink"): "that download, found wrong",
    ("nin_spec/data/saving.py", "save"): "into memory",
    ("nin_spec/data/fetching.py", "replace"): "that download, whole, behind require_regular",
    ("nin_spec/passes/__init__.py", "replace"): "no file: a field of a dataclass",
    ("nin_spec/precision/calibration.py", "TemporaryDirectory"): "a temporary folder of its own",
    ("nin_spec/precision/calibration.py", "write_bytes"): "into that folder",
    ("nin_spec/precision/int8.py", "TemporaryDirectory"): "a temporary folder of its own",
    ("nin_spec/studio/conflict.py", "replace"): "no file: the text of the editor",
    ("nin_spec/studio/page.py", "replace"): "no file: the text of the editor",
    ("nin_spec/revisions.py", "write_bytes"): "a spec out of git, into a temporary folder of the caller",
    ("nin_spec/studio/downloads.py", "TemporaryDirectory"): "a temporary folder of its own",
    ("nin_spec/sweeps/plan.py", "TemporaryDirectory"): "the short training that is timed",
    ("nin_spec/training/begin.py", "mkdtemp"): "the new run folder, before it has its name",
    ("nin_spec/training/begin.py", "replace"): "gives the new run folder its name",
    ("nin_spec/training/begin.py", "rmtree"): "the new run folder that could not be renamed",
    ("nin_spec/training/checkpoint.py", "unlink"): "checkpoints of its own run folder",
    ("nin_spec/training/board.py", "rmtree"): "the log of its own run folder",
    ("nin_spec/training/board.py", "EventsWriter"): "the log of its own run folder",
    ("nin_spec/training/session.py", "rmtree"): "a run folder of its own in which nothing was learned",
}
"""Who may write without the door, and why nothing of a person's can be lost there."""


def writers(path: Path) -> Iterator[str]:
    """The calls in a module that write, move or remove a file, and some that only look so."""
    for call in (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)):
        owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        words = [a.value for a in ast.walk(call) if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        writes = {
            "open": any(set(word) <= set("rwabxt+") and set(word) & set("wax+") for word in words),
            "save": owner not in {"", "self", "self.workspace"},
            "replace": owner == "os" or (len(call.args) == 1 and not call.keywords),  # a text's takes two
        }
        if name in _WRITES or writes.get(name):
            yield name


@pytest.mark.parametrize("path", sorted([*ROOT.glob("nin_spec/**/*.py"), *ROOT.glob("exporters/*.py")]), ids=str)
def test_every_writer_goes_through_the_door(path: Path) -> None:
    """Or is known, with the reason."""
    name = path.relative_to(ROOT).as_posix()
    if (name, "*") not in ROUND_THE_DOOR:
        assert [w for w in writers(path) if (name, w) not in ROUND_THE_DOOR] == []


def test_everybody_listed_writes() -> None:
    """The list holds nobody who went through the door since."""
    listed = {(name, what) for name, what in ROUND_THE_DOOR if what != "*"}
    assert {(name, w) for name, _ in listed for w in writers(ROOT / name)} >= listed
