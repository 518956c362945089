"""What commands write: nothing that a person made is lost, for any file in the output's place."""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from conftest import SWEEP, Outcome
from nodes import NODES, names_in, node
from PIL import Image

from nin_spec.browser.runtime_files import Release
from nin_spec.cli import execute, group
from nin_spec.cli.commands import COMMANDS
from nin_spec.cli.outputs import OutputFile, OutputFolder
from nin_spec.conformance.cases import Case
from nin_spec.conformance.run import Lane
from nin_spec.conformance.suite import suite
from nin_spec.conformance.verdict import Verdict
from nin_spec.conformance.worker import Worker
from nin_spec.seals import Kind, kind_of, sealed
from nin_spec.weights import save

Run = Callable[..., Outcome]
RUNTIME = {
    "ort.mjs": b"var a=1;export{a as InferenceSession,a as Tensor,a as env};",
    "ort.wasm": b"\0asm",
}
"""A release of onnxruntime-web that only has the right form."""

FILES: dict[tuple[str, str], tuple[str, list[str]]] = {
    ("build", "output"): ("w.safetensors", ["build", "nin_digits", "-o"]),
    ("export", "to_onnx"): ("m.onnx", ["export", "nin_digits", "--no-parity", "--onnx"]),
    ("export", "to_source"): ("m.py", ["export", "nin_digits", "--source"]),
    ("export", "to_page"): ("p.html", ["export", "nin_digits", "--no-parity", "--runtime-files", "ort", "--page"]),
    ("export", "to_kserve"): ("s.yaml", ["export", "nin_digits", "--storage-uri", "s3://b/m", "--kserve"]),
    ("export", "output"): ("d.svg", ["export", "nin_digits", "--diagram", "svg", "-o"]),
    ("export", "report"): ("p.html", ["export", "nin_digits", "--report"]),
    ("init", "output"): ("photos.nin.yaml", ["init", "photos", "-o"]),
    ("import", "output"): ("spec.yaml", ["import", "model.onnx", "-o"]),
    ("import", "weights"): ("w.safetensors", ["import", "model.onnx", "-o", "new.yaml", "--weights"]),
    ("run", "output"): ("scores.npy", ["run", "model.onnx", "x.npy", "-o"]),
    ("evaluate", "confusion"): ("c.png", ["evaluate", "model.onnx", "--limit", "20", "--confusion"]),
    ("evaluate", "reliability"): ("r.png", ["evaluate", "model.onnx", "--limit", "20", "--reliability"]),
    ("evaluate", "sheet"): ("s.png", ["evaluate", "model.onnx", "--limit", "20", "--wrong", "3", "--sheet"]),
    ("runs", "curves"): ("c.png", ["runs", ".", "--curves"]),
    ("sweep", "best"): ("b.yaml", ["sweep", "swept", "--best"]),
    ("sweep", "plot"): ("f.png", ["sweep", "swept", "--plot"]),
    ("explain", "output"): ("e.png", ["explain", "maps.onnx", "x.png", "-o"]),
    ("prove", "output"): ("p.json", ["prove", "cpu", "--precision", "float32", "--only", "shuffle", "-o"]),
    ("bench", "record"): ("b.json", ["bench", "nin_digits", "--json"]),
    ("bench", "plot"): ("b.png", ["bench", "nin_digits", "--plot"]),
}
"""Every option that names a file to write: a name for it, and a command that ends with the option."""

FOLDERS: dict[tuple[str, str], list[str]] = {
    ("export", "to_triton"): ["export", "nin_digits", "--no-parity", "--triton"],
    ("train", "output"): ["train", "nin_digits", "-o"],
    ("sweep", "output"): ["sweep", "pets.sweep.yaml", "-o"],
    ("data fetch", "target"): ["data", "fetch", "mnist", "--to"],
    ("data save", "folder"): ["data", "save", "digits"],
}
"""Every argument that names a folder to write into."""

SLOW = {
    ("evaluate", "confusion"),
    ("evaluate", "reliability"),
    ("evaluate", "sheet"),
    ("bench", "record"),
    ("bench", "plot"),
}
"""They write after seconds; what the others show is not shown with them again."""
NEVER_STDOUT = {("import", "weights"), ("prove", "output")}
"""They refuse `-`: the one is written beside a spec, the other is read again."""
every_file = pytest.mark.parametrize("option", FILES, ids="-".join)
every_quick_file = pytest.mark.parametrize("option", [o for o in FILES if o not in SLOW], ids="-".join)
every_output = pytest.mark.parametrize("option", [*FILES, *FOLDERS], ids="-".join)


def asked(option: tuple[str, str], target: str | Path) -> list[str]:
    """The command that writes to a target."""
    return [*(FILES[option][1] if option in FILES else FOLDERS[option]), str(target)]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Two models, an array, a picture and a run of one step, for the commands that read them."""
    folder = tmp_path_factory.mktemp("inputs")
    np.save(folder / "x.npy", np.zeros((1, 8, 8), "f4"))
    Image.linear_gradient("L").save(folder / "x.png")
    (folder / "ort").mkdir()
    for name, data in RUNTIME.items():
        (folder / "ort" / name).write_bytes(data)
    for name in ("a", "b"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("L", (8, 8), number).save(folder / "photos" / name / f"{number}.png")
    export = ["export", "nin_digits", "--no-parity", "--onnx"]
    assert execute([*export, str(folder / "model.onnx")]) == 0
    assert execute([*export, str(folder / "maps.onnx"), "--outputs", "scores,maps"]) == 0
    train = ["train", "nin_digits", "--limit", "20", "--set", "train.epochs=1", "--device", "cpu", "--threads", "1"]
    assert execute([*train, "-o", str(folder / "run")]) == 0
    shutil.rmtree(folder / "run/checkpoints")
    (folder / "pets.sweep.yaml").write_text(SWEEP)
    sweep = ["sweep", str(folder / "pets.sweep.yaml"), "--limit", "40", "--device", "cpu", "--threads", "1"]
    assert execute([*sweep, "-o", str(folder / "swept")]) == 0
    for part in ("runs", "locks"):
        shutil.rmtree(folder / "swept" / part)
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: dict[str, bytes]) -> Path:
    """A working folder with them, and another beside it for what is written."""
    work = tmp_path / "work"
    work.mkdir()
    for name, data in inputs.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(data)
    monkeypatch.chdir(work)
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


SUITE = functools.cache(suite)


class LaneHere(Lane):
    """A worker of `prove` in this process: each file would wait seconds for one of its own."""

    def open(self) -> dict[str, Any]:
        """The device's facts."""
        self.here = Worker()
        return self.here.open(**asdict(self.place))

    def verdict(self, case: Case) -> Verdict:
        """The verdict on a case."""
        return Verdict.from_dict(self.here.prove(asdict(case)))


@pytest.fixture(autouse=True)
def small_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a page's runtime are few bytes; tests/browser has real ones."""
    known = {name: sha256(data).hexdigest() for name, data in RUNTIME.items()}
    monkeypatch.setattr(
        "nin_spec.browser.runtime_files.RELEASES", (Release("1.0.0", {"wasm": known, "webgpu": known}),)
    )


@pytest.fixture(autouse=True)
def workers_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started for `prove`, and its cases are made once; tests/cli/test_prove.py has real ones."""
    monkeypatch.setattr("nin_spec.conformance.run.Lane", LaneHere)
    monkeypatch.setattr("nin_spec.conformance.suite.suite", SUITE)


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command, those of groups among them."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from commands(found, f"{name} {below}".strip())
    else:
        yield name, command


def test_every_output_of_every_command_is_tried_here() -> None:
    """The tables above hold all that go through the door, and no option of a writer's name goes round it."""
    found = dict(commands(group, ""))
    assert {name.split(" ")[0] for name in found} == set(COMMANDS)
    typed = {(n, str(p.name)): type(p.type) for n, c in found.items() for p in c.params}
    assert {key for key, kind in typed.items() if kind is OutputFile} == set(FILES) | {("export", "to_triton")}
    assert {key for key, kind in typed.items() if kind is OutputFolder} == set(FOLDERS) - {("export", "to_triton")}
    writes = re.compile(r"output|plot|record|report|confusion|curves|reliability|sheet|to_\w+|target", re.ASCII)
    assert {key for key in typed if writes.fullmatch(key[1])} - {("train", "target"), ("export", "target")} <= {
        *FILES,
        *FOLDERS,
    }


@every_output
@pytest.mark.parametrize("kind", [k for k in NODES if not k.endswith("folder")])
def test_no_node_is_replaced(option: tuple[str, str], kind: str, place: Path, nin_spec: Run) -> None:
    """A device, a FIFO and a socket stay what they are, forced or not, and the command ends at once."""
    with node(kind, place, FILES[option][0] if option in FILES else "folder") as path:
        before, names = path.stat(), names_in(place)
        for more in ([], ["--force"] if option[0] != "train" else []):
            outcome = nin_spec(*asked(option, path), *more)
            assert outcome.code == 2
            assert "Traceback" not in outcome.err
            assert "error NIN" in outcome.err
        after = path.stat()
        assert (before.st_mode, before.st_ino, before.st_rdev) == (after.st_mode, after.st_ino, after.st_rdev)
        assert names_in(place) == names


@every_output
@pytest.mark.parametrize("url", ["s3://bucket/x", "https://host/x.onnx", "gs://b/c"])
def test_a_url_is_refused_before_work_begins(option: tuple[str, str], url: str, nin_spec: Run) -> None:
    """No folder `s3:` appears, and no training is lost."""
    before = names_in(Path())
    outcome = nin_spec(*asked(option, url))
    assert outcome.code == 2
    assert f"{url} is a URL, and only local files are written" in outcome.err
    assert outcome.out == ""
    assert names_in(Path()) == before


@every_file
def test_a_file_of_a_person_is_not_replaced(option: tuple[str, str], place: Path, nin_spec: Run) -> None:
    """Whatever it holds: text that speaks of nin-spec, or what another program wrote."""
    path = place / FILES[option][0]
    for content in (b"mine", b"# Written by nin-spec\nmine\n", b"PK\3\4" + bytes(5000), bytes(range(256)) * 40):
        path.write_bytes(content)
        outcome = nin_spec(*asked(option, path))
        assert outcome.code == 2
        assert f"{path} exists, and nin-spec did not write it, or it was edited since" in outcome.err
        assert path.read_bytes() == content
        assert names_in(place) == [path.name]


@every_file
def test_a_missing_folder_is_reported_before_work_begins(
    option: tuple[str, str], place: Path, nin_spec: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a proof nor a measurement is made for nothing."""
    for work in ("nin_spec.exporter.make", "nin_spec.bench.contest.Contest.run", "nin_spec.evaluation.compare"):
        monkeypatch.setattr(work, lambda *_, **__: pytest.fail("work was done"))
    outcome = nin_spec(*asked(option, place / "nowhere" / FILES[option][0]))
    assert outcome.code == 2
    assert f"the folder {place / 'nowhere'} does not exist" in outcome.err


@every_file
def test_a_file_of_another_kind_is_not_replaced(option: tuple[str, str], place: Path, nin_spec: Run) -> None:
    """A spec by a drawing, a drawing by a model: though nin-spec wrote both."""
    path = place / FILES[option][0]
    content = sealed(b"x", Kind.DOT)
    path.write_bytes(content)
    outcome = nin_spec(*asked(option, path))
    assert outcome.code == 2
    assert f"{path} exists, and it is a file of another kind (dot)" in outcome.err
    assert path.read_bytes() == content


@every_quick_file
def test_own_files_are_replaced_until_they_are_edited(option: tuple[str, str], place: Path, nin_spec: Run) -> None:
    """Again and again without being asked, then only by force; an empty file is nobody's work."""
    path = place / FILES[option][0]
    command = asked(option, path)
    path.touch()
    assert nin_spec(*command).code == 0
    content = path.read_bytes()
    assert (kind_of(path) is None) == (option == ("run", "output"))
    assert nin_spec(*command).code == 0
    assert path.read_bytes() == content
    for edited in (content + b"\n", content[:-1], b"#" + content):
        path.write_bytes(edited)
        outcome = nin_spec(*command)
        assert outcome.code == 2
        assert "or it was edited since" in outcome.err
        assert path.read_bytes() == edited
    assert nin_spec(*command, "--force").code == 0
    assert path.read_bytes() == content


@every_quick_file
@pytest.mark.parametrize("name", ["x" * 255, "é" * 127 + "x", " a'b\"c\n"], ids=["ascii", "utf8", "odd"])
def test_any_name_will_do(option: tuple[str, str], name: str, place: Path, nin_spec: Run) -> None:
    """Up to the file system's 255 bytes, new and old."""
    for _ in range(2):
        assert nin_spec(*asked(option, place / name)).code == 0
    assert names_in(place) == [name]


@pytest.mark.parametrize("option", [o for o in FILES if FILES[o][0].endswith(".png")], ids="-".join)
def test_a_picture_is_never_named_as_another_kind_of_file(option: tuple[str, str], place: Path, nin_spec: Run) -> None:
    """A PNG by the name of an SVG or of weights would be opened by the wrong program; PNG in capitals is one."""
    for name in ("a.svg", "best.safetensors", "b.c.jpg"):
        outcome = nin_spec(*asked(option, place / name))
        assert outcome.code == 2
        assert f"{place / name} is drawn as a PNG: pass {(place / name).with_suffix('.png')}" in outcome.err
    assert names_in(place) == []
    if option not in SLOW:
        assert nin_spec(*asked(option, place / "A.PNG")).code == 0


@every_quick_file
def test_standard_output(option: tuple[str, str], place: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """`-` is the file and nothing else; what the command prints goes to standard error."""
    path = place / FILES[option][0]
    assert execute(asked(option, path)) == 0
    capsysbinary.readouterr()
    if option in NEVER_STDOUT:
        assert execute(asked(option, "-")) == 2
        assert b"- is standard output" in capsysbinary.readouterr().err
        return
    assert execute(asked(option, "-")) == 0
    found = capsysbinary.readouterr()
    assert found.out == path.read_bytes()
    assert "-" not in names_in(Path())


@pytest.mark.parametrize(
    "command",
    [
        ["export", "nin_digits", "--no-parity", "--triton", "-"],
        ["export", "nin_digits", "--no-parity", "--onnx", "-", "--source", "m.py"],
        ["export", "nin_digits", "--no-parity", "--onnx", "-", "--source", "-"],
        ["export", "nin_digits", "--diagram", "svg", "-o", "-", "--report"],
        ["import", "model.onnx", "-o", "s.yaml", "--weights", "-"],
        ["import", "model.onnx", "--weights", "-"],
        ["bench", "nin_digits", "--json", "-", "--plot", "b.png"],
        ["bench", "nin_digits", "--json", "b", "--plot", "b"],
        ["train", "nin_digits", "-o", "-"],
        ["data", "fetch", "mnist", "--to", "-"],
        ["data", "save", "digits", "-"],
    ],
    ids=" ".join,
)
def test_several_files_do_not_go_to_standard_output(command: list[str], nin_spec: Run) -> None:
    """With the reason, and nothing is written anywhere."""
    before = names_in(Path())
    outcome = nin_spec(*command)
    assert outcome.code == 2
    assert "standard output" in outcome.err or "can't both be" in outcome.err
    assert outcome.out == ""
    assert names_in(Path()) == before


def test_binary_files_do_not_go_to_a_terminal(monkeypatch: pytest.MonkeyPatch, nin_spec: Run) -> None:
    """They would drive it."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    outcome = nin_spec("export", "nin_digits", "--no-parity", "--onnx", "-")
    assert outcome.code == 2
    assert "standard output is a terminal" in outcome.err
    assert nin_spec("export", "nin_digits", "--diagram", "dot", "-o", "-").code == 0


def test_each_file_of_a_repository_is_looked_after(place: Path, nin_spec: Run) -> None:
    """An edit of any one keeps all of them from being replaced; without edits they are."""
    command = asked(("export", "to_triton"), place)
    assert nin_spec(*command).code == 0
    assert nin_spec(*command).code == 0
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert sorted(path.name for path in before) == ["config.pbtxt", "labels.txt", "model.onnx"]
    for path, content in before.items():
        path.write_bytes(content + b"\n")
        outcome = nin_spec(*command)
        assert outcome.code == 2
        assert f"{path} exists" in outcome.err
        assert path.read_bytes() == content + b"\n"
        path.write_bytes(content)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_spec_and_weights_are_both_new_or_both_old(place: Path, nin_spec: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the second can't be put in its place, the first is as it was."""
    command = ["import", "model.onnx", "-o", str(place / "s.yaml"), "--weights", str(place / "w.safetensors")]
    assert nin_spec(*command).code == 0
    old = {name: (place / name).read_bytes() for name in names_in(place)}
    assert nin_spec("export", "nin_mnist", "--no-parity", "--onnx", "model.onnx").code == 0
    real = os.replace

    def failing(source: object, target: object) -> None:
        if str(target).endswith("w.safetensors"):
            raise OSError(28, "No space left on device")
        real(source, target)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", failing)
        outcome = nin_spec(*command)
    assert outcome.code == 2
    assert "No space left on device" in outcome.err
    assert {name: (place / name).read_bytes() for name in names_in(place)} == old
    assert nin_spec(*command).code == 0
    assert all((place / name).read_bytes() != data for name, data in old.items())


def test_what_a_person_saves_meanwhile_is_not_lost(place: Path, nin_spec: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof takes minutes: the file is looked at again before it is replaced."""
    command = ["export", "nin_digits", "--onnx", str(place / "m.onnx")]
    assert nin_spec(*command, "--no-parity").code == 0

    def edit(*_: object, **__: object) -> list[object]:
        (place / "m.onnx").write_bytes(b"mine")
        return []

    monkeypatch.setattr("nin_spec.api.prove", edit)
    assert nin_spec(*command).code == 2
    assert (place / "m.onnx").read_bytes() == b"mine"


def test_what_a_training_learned_is_not_replaced_by_fresh_weights(place: Path, nin_spec: Run) -> None:
    """What the trainer saves can't be made again in a moment, so it has no seal."""
    path = place / "last.safetensors"
    save(path, {"blocks.0.weight": np.zeros((2, 2), np.float32)}, {"nin_spec.weights": "trained"})
    content = path.read_bytes()
    assert nin_spec("build", "nin_digits", "-o", str(path)).code == 2
    assert path.read_bytes() == content
