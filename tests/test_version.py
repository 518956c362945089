"""The version is said once, and all that is printed, written and answered tells the same one."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import onnx
import pytest
from packaging.version import Version
from test_floors import modules

import nin_spec
from nin_spec.bench.machine import machine_facts
from nin_spec.cli import execute
from nin_spec.serving.http.openapi import document
from nin_spec.serving.models import Choice, Repository
from nin_spec.serving.service import Service
from nin_spec.training.folder import versions_of

ROOT = Path(__file__).resolve().parent.parent
VERSION = nin_spec.__version__


def test_the_project_takes_its_version_from_the_package() -> None:
    """pyproject.toml has none of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"] == {"path": "nin_spec/__init__.py"}


def test_the_version_is_that_of_the_changelog() -> None:
    """A release has its own section; what is not released is a development version above all releases."""
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version, released = Version(VERSION), [Version(heading) for heading in headings if heading != "Unreleased"]
    assert released == sorted(released, reverse=True)
    if headings[0] == "Unreleased":
        assert version.is_devrelease
        assert version > released[0]
    else:
        assert version == released[0]


def test_no_module_asks_the_installation_for_our_version() -> None:
    """The metadata of an editable install is as old as the install."""
    for name, path in modules():
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            given = (*call.args, *(k.value for k in call.keywords if k.arg != "prog_name"))
            ours = {"nin-spec", "nin_spec"} & {v.value for v in given if isinstance(v, ast.Constant)}
            asks = re.search(r"version|metadata|distribution", ast.unparse(call.func))
            assert not (ours and asks), f"{name}:{call.lineno}: use __version__"


def test_the_command_line_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--version"]) == 0
    assert capsys.readouterr().out == f"nin-spec, version {VERSION}\n"


def test_an_exported_file_tells_it(tmp_path: Path) -> None:
    path = tmp_path / "digits.onnx"
    nin_spec.export(nin_spec.compile("nin_digits").initialise(0), "onnx", path, parity=False)
    made = onnx.load(path)
    assert (made.producer_name, made.producer_version) == ("nin-spec", VERSION)


def test_the_server_tells_it() -> None:
    """In its metadata, over REST and gRPC alike, and in its OpenAPI document."""
    assert Service(Repository(Choice())).metadata()["version"] == VERSION
    assert document([("small", "1")])["info"]["version"] == VERSION


def test_the_records_of_trainings_and_benches_tell_it() -> None:
    assert versions_of([])["nin-spec"] == VERSION
    assert machine_facts()["versions"]["nin-spec"] == VERSION
