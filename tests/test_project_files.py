"""What stands beside the code keeps its word: workflows, hooks, the citation."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import nin_spec
from nin_spec.citing import PAPER, references
from nin_spec.cli.init import SUFFIX
from nin_spec.language.load import load

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FAULTY = """\
spec: 1
name: faulty
input: {channels: 3, size: 8}
classes: 10
defaults: {norm: batch}
blocks:
  - {channels: [8, classes], kernel: 3, padding: 1}
head: {pool: global_avg}
"""
"""A spec whose biases do nothing, which --fix removes."""


def read(name: str) -> Any:
    """A YAML file of the project as plain data."""
    return yaml.safe_load((ROOT / name).read_text())


def jobs(path: Path) -> dict[str, Any]:
    """The jobs of a workflow."""
    found: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]
    return found


def commands(path: Path) -> Iterator[list[str]]:
    """The words of every command that a workflow runs."""
    for job in jobs(path).values():
        for step in job.get("steps", ()):
            for line in str(step.get("run", "")).splitlines():
                yield from (shlex.split(command) for command in line.split("&&"))


# ------------------------------------------------------------------ workflows


def test_there_is_a_workflow_for_each_purpose() -> None:
    """So that the tests below have something to look at."""
    assert {path.stem for path in WORKFLOWS} == {"test", "floors", "wheels", "release"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_what_a_contributor_runs(path: Path) -> None:
    """Every target is in the Makefile, every script in .ci; and one of them is run, or a workflow that does."""
    makefile = (ROOT / "Makefile").read_text()
    ours = 0
    for command in commands(path):
        if command[0] == "make":
            assert re.search(rf"^{re.escape(command[1])}:", makefile, re.MULTILINE), command
            assert all(re.search(rf"\$\({word.partition('=')[0]}\)", makefile) for word in command[2:]), command
        elif command[0] == "bash":
            assert (ROOT / command[1]).is_file(), command
        ours += command[0] in {"make", "bash"}
    called = [job["uses"] for job in jobs(path).values() if "uses" in job]
    assert all((ROOT / name).is_file() for name in called)
    assert ours or called


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_named_by_commit(path: Path) -> None:
    """A tag can be moved to other code; a commit can't. The release that it is stands beside it."""
    named = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert named
    for action, remark in named:
        if not action.startswith("./"):
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r" # v\d+(\.\d+)*", remark), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_read_and_no_more(path: Path) -> None:
    """One job alone may ask for a token of PyPI's; none reads a secret, keeps git's, or runs text from an event."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    granted = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert granted == ({"publish": {"id-token": "write"}} if path.stem == "release" else {})
    assert "secrets" not in path.read_text()
    for job in workflow["jobs"].values():
        assert "uses" in job or job["timeout-minutes"]
        for step in job.get("steps", ()):
            assert "${{" not in step.get("run", "")
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_a_release_is_tested_before_it_is_published() -> None:
    """And published from what the wheel workflow has built and tried."""
    release = jobs(ROOT / ".github/workflows/release.yml")
    assert set(release["publish"]["needs"]) == {"test", "wheels"}
    (upload,) = (
        s for s in jobs(ROOT / ".github/workflows/wheels.yml")["wheel"]["steps"] if "upload" in s.get("uses", "")
    )
    (download,) = (step for step in release["publish"]["steps"] if "download" in step.get("uses", ""))
    assert download["with"]["name"] == upload["with"]["name"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_tag_must_be_the_version() -> None:
    """Another one stops the release."""
    script = [str(shutil.which("bash")), str(ROOT / ".ci/version")]
    assert subprocess.run([*script, f"v{nin_spec.__version__}"], capture_output=True, check=False).returncode == 0
    wrong = subprocess.run([*script, "v0.0.1"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert f"the tag is v0.0.1, and the version is {nin_spec.__version__}" in wrong.stderr


# ------------------------------------------------------------------ pre-commit

HOOKS = {hook["id"]: hook for hook in read(".pre-commit-hooks.yaml")}


def entry(hook: dict[str, Any]) -> list[str]:
    """A hook's command as pre-commit splits it, ours by this Python."""
    command, *options = shlex.split(hook["entry"])
    assert command == "nin-spec"
    return [sys.executable, "-m", "nin_spec", *options]


def test_the_hooks_check_and_fix_specs(tmp_path: Path) -> None:
    """Run as pre-commit runs them, with the names of files behind the entry."""
    specs = tmp_path / "specs"
    specs.mkdir()
    (specs / "faulty.yaml").write_text(FAULTY)
    (specs / "wrong.yaml").write_text(FAULTY.replace("kernel", "kernle"))
    for hook in HOOKS.values():
        assert re.search(hook["files"], "a/specs/faulty.yaml")
        assert re.search(hook["files"], "specs/faulty.yaml")
        assert not re.search(hook["files"], "other.yaml")

    def run(name: str, file: str) -> int:
        done = subprocess.run([*entry(HOOKS[name]), f"specs/{file}"], cwd=tmp_path, capture_output=True, check=False)
        return done.returncode

    assert run("nin-spec-check", "faulty.yaml") == 0
    assert run("nin-spec-check", "wrong.yaml") == 2
    assert run("nin-spec-fix", "faulty.yaml") == 0
    assert "bias: false" in (specs / "faulty.yaml").read_text()


def test_our_own_hooks_run_the_tools_of_the_development_environment() -> None:
    """Every tool is one that `make setup` installs, so that its version has one home, constraints.txt."""
    (local,) = read(".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    tools = {shlex.split(hook["entry"])[0] for hook in local["hooks"]}
    assert tools == {f".venv/bin/{name}" for name in ("ruff", "mypy", "nin-spec")}


# ------------------------------------------------------------------ the citation


def test_the_citation_says_what_the_project_says() -> None:
    """In the Citation File Format 1.2.0: its required keys, and the project's own facts."""
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["title"] == PROJECT["name"]
    assert citation["license"] == PROJECT["license"]
    assert citation["abstract"] == PROJECT["description"]
    assert citation["keywords"] == PROJECT["keywords"]
    assert [author["name"] for author in citation["authors"]] == re.findall(
        r"\(c\) \d+ (.+)", (ROOT / "LICENSE").read_text()
    )


def test_what_cite_prints_is_the_citation() -> None:
    """The paper and nin-spec, with the titles, authors and addresses of CITATION.cff."""
    citation = read("CITATION.cff")
    *_, software = references(load("nin_cifar"))
    plain = {name: re.sub("[{}]", "", value) for name, value in software.fields.items()}
    assert plain["title"] == f"{citation['title']}: {citation['abstract']}".removesuffix(".")
    assert plain["author"] == citation["authors"][0]["name"]
    assert f"{citation['license']} licence" in plain["note"]
    (paper,) = citation["references"]
    assert re.sub("[{}]", "", PAPER.fields["title"]) == paper["title"]
    names = [f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]]
    assert PAPER.fields["author"] == " and ".join(names)
    assert PAPER.fields["url"] == paper["url"]
    assert f"arXiv:{PAPER.fields['eprint']}" == paper["identifiers"][0]["value"]
    assert PAPER.fields["year"] == str(paper["year"])


# ------------------------------------------------------------------ SchemaStore


def test_editors_are_told_of_the_suffix_that_init_writes() -> None:
    """The entry has the keys that SchemaStore's catalogue asks for, a short description, and our suffix."""
    entry = json.loads((ROOT / ".github/schemastore/catalog-entry.json").read_text())
    assert set(entry) == {"name", "description", "fileMatch", "url"}
    assert entry["name"] == PROJECT["name"]
    assert "schema" not in entry["description"].lower()
    assert f"*{SUFFIX}" in entry["fileMatch"]
    assert entry["url"].startswith("https://www.schemastore.org/")


# ------------------------------------------------------------------ CONTRIBUTING

CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text()


def test_every_file_that_contributing_names_exists() -> None:
    """But for those of a new thing, called NAME."""
    named = set(re.findall(r"`((?:nin_spec|exporters|tests|specs)/[\w/.]*)`", CONTRIBUTING))
    assert len(named) > 30
    assert [name for name in sorted(named) if "NAME" not in name and not (ROOT / name).exists()] == []


def test_every_target_that_contributing_names_exists() -> None:
    """In the Makefile."""
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)(?=`|  )", CONTRIBUTING))
    assert {"setup", "test", "test-floors", "wheel"} <= named
    makefile = (ROOT / "Makefile").read_text()
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
