"""An exporter of another package that can't be used takes nothing from the others, and is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from nin_spec.cli.export import _OWN, export_command

GOOD = """
from pydantic import BaseModel
from nin_spec.exporter import Artifact, Proof

class Options(BaseModel):
    tone: str | None = None

class Note:
    '''Write the name.'''
    name = "note"
    Options = Options
    proof = Proof.NONE

    def export(self, model, options):
        return Artifact({"note.txt": f"{model.card.name} {options.tone}".encode()})
"""


def package(folder: Path, name: str, code: str, kind: str = "Note", distribution: str = "") -> None:
    """A distribution in a folder of the path, with one exporter."""
    module = f"pkg_{distribution or name}".replace("-", "_")
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[nin_spec.exporters]\n{name} = {module}:{kind}\n")


def nin_spec(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that finds the packages of a folder, run there."""
    command = [sys.executable, "-m", "nin_spec", *arguments]
    path = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=path, capture_output=True, text=True, check=False)


def option(name: str, kind: str = "str | None") -> str:
    """The exporter with an option of another name and type."""
    return GOOD.replace("tone: str | None", f"{name}: {kind}").replace("options.tone", f"options.{name}")


def test_the_help_and_the_other_exports_work(tmp_path: Path) -> None:
    """With two packages that can't be used beside one that can, and both say what is wrong."""
    package(tmp_path, "note", GOOD)
    package(tmp_path, "forced", option("force", "bool | None").replace('"note"', '"forced"'))
    package(tmp_path, "other", option("tone", "int | None").replace('"note"', '"other"'))
    wrong = (
        "the exporter 'forced' (pkg_forced:Note) can't be used: its option --force belongs to nin-spec export",
        "the exporter 'other' (pkg_other:Note) can't be used: its option --tone has another type",
    )
    shown = nin_spec(tmp_path, "export", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "--onnx" in shown.stdout
    done = nin_spec(tmp_path, "export", "nin_digits", "--source", "--note", "--tone", "low")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "nin_digits.py").is_file()
    assert (tmp_path / "note.txt").read_text() == "nin_digits low"
    for why in wrong:
        assert why in " ".join(shown.stdout.split())
        assert f"warning: {why}" in done.stderr
    asked = nin_spec(tmp_path, "export", "nin_digits", "--forced")
    assert asked.returncode == 2
    assert wrong[0] in asked.stderr


def test_every_word_of_the_command_is_its_own() -> None:
    """Flags and parameters alike, those of options that have two."""
    assert {"--set", "overrides", "--device-option", "options", "--help", "spec", "-o"} <= _OWN
    assert not {"--onnx", "to_onnx", "--opset"} & _OWN
    assert {"to_onnx", "opset"} <= {p.name for p in export_command.params}
