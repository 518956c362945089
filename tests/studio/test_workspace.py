"""The one file that the studio writes: what it is, and when it is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from nin_spec.diagnostics import ExportError, InputError, SpecError
from nin_spec.language.load import loads
from nin_spec.named import SHIPPED
from nin_spec.studio.workspace import ChangedError, open_spec, starter


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a folder of its own."""
    monkeypatch.chdir(tmp_path)


def test_a_shipped_spec_is_saved_as_a_copy(tmp_path: Path) -> None:
    """In this folder, under its name; the installed one is never the target."""
    before = (SHIPPED / "nin_cifar.yaml").read_bytes()
    workspace = open_spec("nin_cifar")
    assert workspace.text == before.decode()
    workspace.save("name: changed\n")
    assert (tmp_path / "nin_cifar.yaml").read_text() == "name: changed\n"
    assert (SHIPPED / "nin_cifar.yaml").read_bytes() == before


def test_a_copy_replaces_nothing(tmp_path: Path) -> None:
    """A file that has the copy's name stays."""
    (tmp_path / "nin_cifar.yaml").write_text("mine")
    workspace = open_spec("nin_cifar")
    with pytest.raises(ChangedError):
        workspace.save("theirs")
    assert (tmp_path / "nin_cifar.yaml").read_text() == "mine"


def test_a_new_file_begins_with_a_spec(tmp_path: Path) -> None:
    """Without SPEC, and for a file that is not there; nothing is written before it is saved."""
    assert loads(starter()).spec.name == "my_nin"
    for name in (None, "new.yaml"):
        assert open_spec(name).text == starter()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("spec", "error"), [("-", InputError), ("nin_cifra", SpecError), (".", SpecError)])
def test_what_is_not_a_file_is_refused(spec: str, error: type[Exception]) -> None:
    """Standard input, a misspelt name, a folder."""
    with pytest.raises(error):
        open_spec(spec)


def test_a_file_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Neither changed nor deleted nor, for a new one, created; once seen, it may be replaced."""
    path = tmp_path / "a.yaml"
    path.write_text("one")
    workspace = open_spec("a.yaml")
    path.write_text("two")
    with pytest.raises(ChangedError):
        workspace.save("mine")
    assert path.read_text() == "two"
    assert workspace.difference("mine").splitlines()[-2:] == ["-two", "+mine"]
    workspace.accept(workspace.on_disk())
    assert workspace.text == "two"
    workspace.save("mine")
    path.unlink()
    with pytest.raises(ChangedError):
        workspace.save("mine")
    assert not path.exists()


@pytest.mark.parametrize("before", [b"a: 1\r\nb: 2\r\n", b"\xef\xbb\xbfa: 1\n", b"\xef\xbb\xbfa: 1\r\nb: 2"])
def test_line_ends_and_byte_order_mark_stay(tmp_path: Path, before: bytes) -> None:
    """The editor shows plain lines; the file keeps its own."""
    path = tmp_path / "a.yaml"
    path.write_bytes(before)
    workspace = open_spec("a.yaml")
    assert workspace.text.isprintable() or set(workspace.text) & {"\r", "\ufeff"} == set()
    workspace.save(workspace.text)
    assert path.read_bytes() == before


def test_what_the_disk_refuses_is_reported_and_nothing_is_lost(tmp_path: Path) -> None:
    """The folder has gone: an error that names the path, and the text is still unsaved."""
    folder = tmp_path / "gone"
    folder.mkdir()
    workspace = open_spec("gone/a.yaml")
    folder.rmdir()
    with pytest.raises(ExportError, match=r"the folder .* does not exist"):
        workspace.save("mine")
    assert workspace.seen is None


def test_half_a_character_is_saved(tmp_path: Path) -> None:
    """What a browser may send and UTF-8 can't say does not keep the rest from being saved."""
    open_spec("a.yaml").save("name: \ud800a")
    assert (tmp_path / "a.yaml").read_bytes() == b"name: ?a"
