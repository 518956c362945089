"""Exporters are found by entry point, and what they make is written below its target and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel

from nin_spec import exporter
from nin_spec.diagnostics import ExportError
from nin_spec.exporter import Artifact, Exporter, discover, find, write
from nin_spec.model import Model


class NoteExporter:
    """Write the model's name."""

    name: ClassVar[str] = "note"
    Options: ClassVar[type[BaseModel]] = BaseModel

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
    """Neither wins by the order of installation; the same one found twice is no collision."""
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


def test_a_source_tree_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package's metadata there are no entry points, and the cure is named."""
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
