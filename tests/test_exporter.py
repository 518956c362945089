"""Exporters are found by entry point, and what they make is written below its target and nowhere else."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar

import click
import pytest
from pydantic import BaseModel, create_model

import nin_spec
from nin_spec import exporter
from nin_spec.cli.exporter_flags import derived, own_words
from nin_spec.diagnostics import ExportError
from nin_spec.exporter import KEYWORDS, Artifact, Exporter, Proof, artifact_of, discover, find, survey, write
from nin_spec.model import Model


class NoteExporter:
    """Write the model's name."""

    name: ClassVar[str] = "note"
    Options: ClassVar[type[BaseModel]] = BaseModel
    proof: ClassVar[Proof] = Proof.NONE

    def export(self, model: Model, options: BaseModel) -> Artifact:
        return Artifact({"note.txt": model.card.name.encode()})


class NotAnExporter:
    """Has no name, no options and no export."""


def points(monkeypatch: pytest.MonkeyPatch, **named: str) -> None:
    """Let these entry points be all that are installed."""
    found = [EntryPoint(name.rstrip("_"), value, exporter.GROUP) for name, value in named.items()]
    monkeypatch.setattr(exporter, "entry_points", lambda group: found if group == exporter.GROUP else [])


def test_the_built_in_exporters_are_installed() -> None:
    """They come through the same door as all others."""
    found = discover()
    assert {"onnx", "source"} <= set(found)
    assert list(found) == sorted(found)
    for name, each in found.items():
        assert isinstance(each, Exporter)
        assert each.name == name
        assert each.Options.model_config.get("frozen")
        assert each.Options.model_config.get("extra") == "forbid"


def test_an_exporter_of_another_package_is_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point is all that it takes."""
    points(monkeypatch, note=f"{__name__}:NoteExporter")
    assert isinstance(find("note"), NoteExporter)


def test_only_the_exporter_asked_for_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken one beside it does not matter, until it is asked for."""
    points(monkeypatch, note=f"{__name__}:NoteExporter", broken="no_such_module:Nothing")
    assert find("note").name == "note"
    with pytest.raises(ExportError, match="'broken'"):
        find("broken")


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    """Nobody has to look the names up."""
    with pytest.raises(ExportError, match="did you mean 'onnx'"):
        find("onx")


def test_two_exporters_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither wins by the order of installation; the same one found twice is not a collision."""
    points(monkeypatch, note=f"{__name__}:NoteExporter", note_=f"{__name__}:NoteExporter")
    assert find("note").name == "note"
    points(monkeypatch, note=f"{__name__}:NoteExporter", note_="another.package:NoteExporter")
    with pytest.raises(ExportError, match=r"two exporters are named 'note': .*another.package"):
        find("note")


@pytest.mark.parametrize("value", ["NotAnExporter", "NoteExporter"])
def test_an_entry_point_must_be_an_exporter_of_its_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Something else, or another name, is refused by name."""
    points(monkeypatch, other=f"{__name__}:{value}")
    with pytest.raises(ExportError, match="'other'"):
        find("other")


def test_the_exporter_declares_what_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its artifact names models where it says parity, and none where it says nothing; the suffix decides nothing."""
    model, options = nin_spec.compile("nin_digits").initialise(), create_model("Options")()
    named: dict[Proof, list[tuple[tuple[str, ...], str]]] = {
        Proof.PARITY: [((), "names no model to prove"), (("a.onnx",), "has no file 'a.onnx'")],
        Proof.NONE: [(("note.onnx",), "names models, and its exporter proves nothing")],
    }
    for proof, wrong in named.items():
        monkeypatch.setattr(NoteExporter, "proof", proof)
        for models, why in wrong:
            made = Artifact({"note.onnx": b""}, models=models)
            monkeypatch.setattr(NoteExporter, "export", lambda *_, made=made: made)
            with pytest.raises(ExportError, match=why):
                artifact_of(NoteExporter(), model, options)
    monkeypatch.setattr(NoteExporter, "export", lambda *_: Artifact({"note.onnx": b""}))
    assert artifact_of(NoteExporter(), model, options).models == ()


def test_a_model_inside_another_file_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is among the graphs that are proved, and counts as one where the exporter proves nothing."""
    model, options = nin_spec.compile("nin_digits").initialise(), create_model("Options")()
    made = Artifact({"a.html": b"page", "b.onnx": b"own"}, models=("b.onnx",), inside={"the model in a.html": b"inner"})
    assert made.graphs == [b"own", b"inner"]
    alone = Artifact({"a.html": b"page"}, inside={"the model in a.html": b"inner"})
    monkeypatch.setattr(NoteExporter, "export", lambda *_: alone)
    monkeypatch.setattr(NoteExporter, "proof", Proof.PARITY)
    assert artifact_of(NoteExporter(), model, options).graphs == [b"inner"]
    monkeypatch.setattr(NoteExporter, "proof", Proof.NONE)
    with pytest.raises(ExportError, match="its exporter proves nothing"):
        artifact_of(NoteExporter(), model, options)


def test_no_option_takes_a_parameter_of_the_api() -> None:
    """`nin_spec.export(model, "x", path=...)` could not reach it."""
    parameters = set(inspect.signature(nin_spec.export).parameters)
    assert parameters == KEYWORDS | {"options"}


Quiet = type("Quiet", (NoteExporter,), {"name": "quiet", "__doc__": None})
"""Says nothing of itself."""


def taking(name: str, **options: Any) -> type[NoteExporter]:
    """An exporter with options of these types."""
    fields: dict[str, Any] = {key: (kind, None) for key, kind in options.items()}
    return type("Taking", (NoteExporter,), {"name": name, "Options": create_model("Options", **fields)})


class Raising:
    """Its package is broken in a way of its own."""

    def __init__(self) -> None:
        raise ValueError("broken on purpose")


class Leaving:
    """Its package is a program that ends when it is imported."""

    def __init__(self) -> None:
        sys.exit(3)


KINDS: dict[str, tuple[Any, str]] = {
    "note": (taking("note", force=bool), "its option --force belongs to nin-spec export"),
    "overriding": (taking("overriding", overrides=str), "its option --overrides belongs to nin-spec export"),
    "asking": (taking("asking", help=str), "its option --help belongs to nin-spec export"),
    "named": (taking("named", onnx=str), "its option --onnx belongs to the exporter 'onnx'"),
    "typed": (taking("typed", opset=list[str]), "its option --opset has another type for another exporter"),
    "device": (taking("device"), "--device belongs to nin-spec export"),
    "opset": (taking("opset"), "--opset is an option of another exporter"),
    "Not a flag": (taking("Not a flag"), "its name can't be a flag"),
    "itself": (taking("itself", itself=str), "its option --itself has another type"),
    "raising": (Raising, "can't be loaded: broken on purpose"),
    "leaving": (Leaving, "can't be loaded: it calls sys.exit"),
    "optionless": (type("Optionless", (NoteExporter,), {"name": "optionless", "Options": 3}), "is not an exporter"),
    "pathed": (taking("pathed", path=str), "its option --path belongs to nin_spec.export"),
    "unproved": (type("Unproved", (NoteExporter,), {"name": "unproved", "proof": None}), "is not an exporter"),
    "quiet": (Quiet, ""),
    "apart": (taking("apart", tone=str), ""),
}
"""Exporters of other packages by name, and what is wrong with each, if anything."""


@pytest.mark.parametrize("name", KINDS)
def test_what_an_exporter_takes_from_others_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """By name, and all others stay: the command line of the export can be made."""
    kind, why = KINDS[name]
    monkeypatch.setattr(sys.modules[__name__], "Current", kind, raising=False)
    found = [*entry_points(group=exporter.GROUP), EntryPoint(name, f"{__name__}:Current", exporter.GROUP)]
    monkeypatch.setattr(exporter, "entry_points", lambda group: found if group == exporter.GROUP else [])
    command = click.Command("export", params=[click.Option(["--force"]), click.Option(["--set", "overrides"])])
    command.params += [click.Option(["--device", "devices"])]
    seen = survey(own_words(command))
    assert {"onnx", "source", "triton", "kserve", "page"} <= set(seen.exporters)
    assert (name in seen.exporters) == (why == "")
    assert set(seen.refused) == ({name} if why else set())
    with click.Context(derived(command)) as context:
        shown = " ".join(command.get_help(context).split())
    assert "--onnx" in shown
    assert (f"Not available: {seen.refused[name].message}" if why else f"--{name}") in shown
    assert not why or why in seen.refused[name].message
    assert command.main(["--source"], standalone_mode=False, prog_name="export") is None
    if why and f"--{name}".islower() and name not in {"device", "opset"}:
        with pytest.raises(ExportError, match=re.escape(why)):
            command.main([f"--{name}"], standalone_mode=False, prog_name="export")


def test_ours_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another package takes it, that one is refused; of two other packages neither wins."""
    ours = [*entry_points(group=exporter.GROUP)]
    found = [EntryPoint("onnx", f"{__name__}:NoteExporter", exporter.GROUP), *ours]
    monkeypatch.setattr(exporter, "entry_points", lambda group: found if group == exporter.GROUP else [])
    assert find("onnx").name == discover()["onnx"].name == "onnx"
    assert "has that name" in next(iter(survey().refused.values())).message
    both = [EntryPoint("note", f"{place}:NoteExporter", exporter.GROUP) for place in (__name__, "another.package")]
    monkeypatch.setattr(exporter, "entry_points", lambda group: [*ours, *both] if group == exporter.GROUP else [])
    assert "two exporters are named 'note'" in survey().refused["note"].message
    assert "note" not in discover()


def test_a_source_tree_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package's metadata there are no entry points, and the fix is named."""
    points(monkeypatch)
    with pytest.raises(ExportError, match="install nin-spec with pip"):
        discover()


def test_finding_exporters_loads_nothing_heavy() -> None:
    """The protocol stands on a cold path."""
    heavy = ("torch", "onnx", "onnxruntime", "numpy", "jinja2")
    code = f"import sys, nin_spec.exporter; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "/a", "../a", "a/../b", "a/..", "a//b", "a/", "./a", "a/./b", "a\\b", "C:a", "C:/a", "a\0b"],
)
def test_an_artifact_holds_plain_relative_paths(path: str) -> None:
    """What could leave its folder, here or on another system, is refused when it is made."""
    with pytest.raises(ExportError, match="NIN603"):
        Artifact({"fine": b"", path: b""})


def test_one_file_goes_to_the_target(tmp_path: Path) -> None:
    """Under the target's name; into it, under its own, when it is a folder."""
    artifact = Artifact({"model.onnx": b"data"})
    assert write(artifact, tmp_path / "mine.onnx") == [tmp_path / "mine.onnx"]
    assert write(artifact, tmp_path) == [tmp_path / "model.onnx"]
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"mine.onnx": b"data", "model.onnx": b"data"}


def test_without_a_target_files_keep_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the current folder."""
    monkeypatch.chdir(tmp_path)
    write(Artifact({"model.onnx": b"data"}))
    assert (tmp_path / "model.onnx").read_bytes() == b"data"


def test_several_files_go_below_the_target(tmp_path: Path) -> None:
    """In folders made for them, over what was there."""
    write(Artifact({"config": b"old", "1/model.onnx": b"old"}), tmp_path / "new" / "place")
    written = write(Artifact({"config": b"a", "1/model.onnx": b"b"}), tmp_path / "new" / "place")
    assert [p.read_bytes() for p in written] == [b"a", b"b"]
    assert sorted(p.name for p in (tmp_path / "new/place").rglob("*")) == ["1", "config", "model.onnx"]


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    """Neither a linked folder nor a linked file takes the bytes elsewhere, and no other file is written."""
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (target / "1").symlink_to(outside)
    (target / "config").symlink_to(outside / "config")
    for name in ("1/model.onnx", "config"):
        with pytest.raises(ExportError, match="leads out of"):
            write(Artifact({"first": b"", name: b""}), target)
    assert list(outside.iterdir()) == []
    assert not (target / "first").exists()


def test_a_file_in_the_way_is_a_diagnostic(tmp_path: Path) -> None:
    """Where a folder is needed and a file stands."""
    (tmp_path / "taken").write_bytes(b"mine")
    with pytest.raises(ExportError, match="NIN603"):
        write(Artifact({"a": b"", "b": b""}), tmp_path / "taken")
    with pytest.raises(ExportError, match="NIN603"):
        write(Artifact({"taken/a": b"", "b": b""}), tmp_path)
    assert (tmp_path / "taken").read_bytes() == b"mine"
