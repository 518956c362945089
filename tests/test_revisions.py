"""What is read of a repository for `diff REV:FILE`: the spec and what it extends, within bounds, and nothing runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from nin_spec import revisions
from nin_spec.diagnostics import Code, SpecError
from nin_spec.language.document import MAX_BYTES

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(*arguments: str) -> None:
    """Run git in the working folder."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([str(shutil.which("git")), *identity, *arguments], check=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The work tree, which is the working folder."""
    folder = tmp_path / "repository"
    (folder / "specs" / "deep").mkdir(parents=True)
    monkeypatch.chdir(folder)
    git("init", "-q")
    return folder


def commit(files: dict[str, str], links: dict[str, str] | None = None) -> None:
    """Write files and symbolic links, commit them, and take them away from the work tree."""
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    for name, target in (links or {}).items():
        Path(name).symlink_to(target)
    git("add", ".")
    git("commit", "-qm", "first")
    git("rm", "-rq", "--cached", ".")
    for name in (*files, *(links or {})):
        Path(name).unlink()


@pytest.mark.usefixtures("repository")
def test_only_what_the_spec_needs_is_read(tmp_path: Path) -> None:
    """The spec, the one it extends in another folder and the one that extends; no neighbour, however large."""
    commit(
        {
            "specs/deep/mine.yaml": "extends: ../base.yaml\n",
            "specs/base.yaml": "extends: ./root.yaml\n",
            "specs/root.yaml": "extends: nin_cifar\n",
            "specs/deep/data.bin": "x" * (MAX_BYTES + 1),
        }
    )
    found = revisions.restore("HEAD", "specs/deep/mine.yaml", tmp_path / "out")
    assert found.read_text() == "extends: ../base.yaml\n"
    names = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert names == {"specs/deep/mine.yaml", "specs/base.yaml", "specs/root.yaml"}


def test_a_path_is_relative_to_the_working_folder(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder of the repository as at its top."""
    commit({"specs/deep/mine.yaml": "a: 1\n", "top.yaml": "b: 2\n"})
    monkeypatch.chdir(repository / "specs")
    assert revisions.restore("HEAD", "deep/mine.yaml", tmp_path / "out").read_text() == "a: 1\n"
    assert revisions.restore("HEAD", "../top.yaml", tmp_path / "out").read_text() == "b: 2\n"


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("name", "target", "why"),
    [
        ("link.yaml", "specs/base.yaml", None),
        ("specs/deep/link.yaml", "../base.yaml", None),
        ("folder", "specs", "is a tree"),
        ("gone.yaml", "nowhere.yaml", "dangling symbolic link"),
        ("self.yaml", "self.yaml", "symbolic link to itself"),
        ("out.yaml", "/etc/hostname", "out of the repository"),
        ("up.yaml", "../../etc/hostname", "out of the repository"),
    ],
)
def test_symbolic_links(tmp_path: Path, name: str, target: str, why: str | None) -> None:
    """Those inside the tree are followed, others refused in words."""
    commit({"specs/base.yaml": "a: 1\n"}, {name: target})
    if why is None:
        assert revisions.restore("HEAD", name, tmp_path / "out").read_text() == "a: 1\n"
        return
    with pytest.raises(SpecError, match=r".") as caught:
        revisions.restore("HEAD", name, tmp_path / "out")
    (found,) = caught.value.diagnostics
    assert found.code is Code.FILE_NOT_FOUND
    assert why in found.message


REFUSED = [
    ("--output=x", "a.yaml", Code.FILE_NOT_FOUND, "not a revision"),
    ("-h", "a.yaml", Code.FILE_NOT_FOUND, "not a revision"),
    ("", "../a.yaml", Code.FILE_NOT_FOUND, "outside"),
    ("HEAD", "../a.yaml", Code.FILE_NOT_FOUND, "outside"),
    ("HEAD", "specs", Code.FILE_NOT_FOUND, "is a tree"),
    ("HEAD", "a.yaml/b.yaml", Code.FILE_NOT_FOUND, ""),
    ("HEAD\nHEAD", "a.yaml", Code.FILE_NOT_FOUND, "not a revision"),
    ("nope", "a.yaml", Code.FILE_NOT_FOUND, "there is none"),
    ("HEAD", "large.yaml", Code.FILE_TOO_LARGE, "larger"),
    ("HEAD", "escapes.yaml", Code.FILE_NOT_FOUND, "outside"),
]


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_is_refused(repository: Path, tmp_path: Path, case: tuple[str, str, Code, str]) -> None:
    """In words, for any revision or path; nothing is written beside."""
    revision, file, code, why = case
    escapes = "extends: ../../b.yaml\n"
    commit({"a.yaml": "a: 1\n", "large.yaml": "#" * (MAX_BYTES + 1), "escapes.yaml": escapes, "specs/b": ""})
    before = sorted(repository.iterdir())
    with pytest.raises(SpecError) as caught:
        revisions.restore(revision, file, tmp_path / "out")
    (found,) = caught.value.diagnostics
    assert found.code is code
    assert why in found.message
    assert sorted(repository.iterdir()) == before


@pytest.mark.usefixtures("repository")
def test_git_does_not_run_for_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A revision that begins with a dash is refused before."""

    def never(*_: object, **__: object) -> None:
        pytest.fail("git ran")

    monkeypatch.setattr(subprocess, "run", never)
    with pytest.raises(SpecError):
        revisions.restore("--output=x", "a.yaml", tmp_path)
