"""The one door to the disk: whole files, regular files alone, and several of them all or none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nodes import NODES, names_in, node

from nin_spec.diagnostics import ExportError
from nin_spec.files import as_written, check_target, refuse_url, write_all, write_atomic


@pytest.mark.parametrize("kind", NODES)
def test_only_regular_files_are_written(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What else stands there stays what it is, and nothing is left beside it."""
    monkeypatch.chdir(tmp_path)
    with node(kind, tmp_path) as path:
        before = path.stat()
        names = names_in(tmp_path)
        with pytest.raises(ExportError, match="NIN603"):
            write_atomic(path, b"data")
        with pytest.raises(ExportError, match="NIN603"):
            write_all({tmp_path / "other": b"data", path: b"data"})
        after = path.stat()
        assert (before.st_mode, before.st_ino, before.st_rdev) == (after.st_mode, after.st_ino, after.st_rdev)
        assert names_in(tmp_path) == names


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "日" * 85, "x.onnx", "-", "a b\nc", os.fsdecode(b"caf\xe9")])
def test_any_name_that_the_file_system_takes(name: str, tmp_path: Path) -> None:
    """Up to its 255 bytes, and over an older file of that name."""
    for data in (b"one", b"two"):
        write_all({tmp_path / name: data, tmp_path / "other": data})
        assert (tmp_path / name).read_bytes() == data
    assert len(names_in(tmp_path)) == 2


@pytest.mark.parametrize("name", ["x" * 256, "a\0b", "no/such/x", "file/x"])
def test_what_no_file_system_takes_is_an_error(name: str, tmp_path: Path) -> None:
    """With a diagnostic, before anything is written."""
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(ExportError, match="NIN603"):
        check_target(tmp_path / name)
    with pytest.raises(ExportError, match="NIN603"):
        write_all({tmp_path / "good": b"", tmp_path / name: b""})
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "url", ["s3://bucket/x.onnx", "https://host/x", "gs://b/x", "hf://a/b", "file:///x", "S3://B", "abfss://c@a/x"]
)
def test_a_url_is_not_a_path(url: str) -> None:
    """As a text and as a path, in which one slash is left."""
    for name in (url, str(Path(url))):
        with pytest.raises(ExportError, match="only local files are written"):
            refuse_url(name)
    with pytest.raises(ExportError, match="only local files are written"):
        check_target(Path(url))


@pytest.mark.parametrize("url", ["s3://bucket/x.onnx", "https://host/x"])
def test_a_url_is_named_as_it_was_written(url: str) -> None:
    """With both of its slashes."""
    assert as_written(url) == as_written(Path(url)) == url
    with pytest.raises(ExportError) as caught:
        check_target(Path(url))
    assert caught.value.diagnostics[0].message == f"{url} is a URL, and only local files are written"


@pytest.mark.parametrize("path", ["C:/x", "s3/x", "a:b", "file:///x"])
def test_any_other_path_is_named_as_it_is(path: str) -> None:
    assert as_written(path) == path


@pytest.mark.parametrize("path", ["x.onnx", "C:/x", "a:b", "./s3/x", "/s3:/x", "12:30.png", "name:2"])
def test_other_colons_are_no_url(path: str) -> None:
    """A drive, a version, a time."""
    refuse_url(path)


def test_a_link_is_followed_and_a_mode_is_kept(tmp_path: Path) -> None:
    """The link stays one, and a file that is private stays so."""
    real = tmp_path / "real"
    real.write_bytes(b"old")
    real.chmod(0o640)
    (tmp_path / "link").symlink_to(real)
    write_atomic(tmp_path / "link", b"new")
    assert real.read_bytes() == b"new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert (tmp_path / "link").is_symlink()


def test_two_names_of_one_file_are_refused(tmp_path: Path) -> None:
    """One of the two contents would be lost."""
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ExportError, match="the same file"):
        write_all({tmp_path / "real": b"a", tmp_path / "link": b"b"})


@given(
    old=st.lists(st.booleans(), min_size=1, max_size=5),
    fails=st.integers(0, 4),
    error=st.sampled_from([OSError(28, "No space left on device"), KeyboardInterrupt()]),
    step=st.sampled_from(["replace", "fsync"]),
    copies=st.sampled_from(["links", "copies"]),
)
def test_several_files_are_all_new_or_all_old(  # noqa: PLR0917 what hypothesis draws
    old: list[bool], fails: int, error: BaseException, step: str, copies: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Wherever it fails: while they are made or while they are renamed, with hard links and without."""
    folder = tmp_path_factory.mktemp("x")
    paths = [folder / str(k) for k in range(len(old))]
    for path, stands in zip(paths, old, strict=True):
        if stands:
            path.write_bytes(b"old")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    calls = 0
    real = getattr(os, step)

    def failing(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == fails + 1:
            raise error
        return real(*arguments)

    def no_links(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, step, failing)
        if copies == "copies":
            patch.setattr(Path, "hardlink_to", no_links)
        if fails < len(paths):
            with pytest.raises((ExportError, KeyboardInterrupt)):
                write_all(dict.fromkeys(paths, b"new"))
            assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
        else:
            write_all(dict.fromkeys(paths, b"new"))
            assert {p.name: p.read_bytes() for p in folder.iterdir()} == {p.name: b"new" for p in paths}
