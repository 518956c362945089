"""nin-spec data, end to end: list, show, fetch from a server on this machine, check."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Outcome
from data_files import make_cifar10, make_idx, make_pictures
from file_server import serving

from nin_spec.data.catalog import CATALOG, Download

Command = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data root; the working folder is empty too."""
    monkeypatch.setenv("NIN_SPEC_DATA", str(tmp_path / "root"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "root"


# ------------------------------------------------------------------ list, show


def test_list_says_what_is_here(nin_spec: Command, root: Path) -> None:
    """A row for each known set, with its place."""
    make_cifar10(root / "cifar10")
    out = nin_spec("data", "list")
    assert out.code == 0
    rows = {line.split()[0]: line for line in out.out.splitlines()}
    assert list(rows) == ["name", *CATALOG]
    assert rows["digits"].endswith("included in nin-spec")
    assert rows["cifar10"].split() == [
        *("cifar10", "50,000", "+", "10,000", "3x32x32", "10", "170", "MB"),
        str(root / "cifar10"),
    ]
    assert rows["mnist"].endswith("not here")


def test_show_says_what_one_needs_to_use_it(nin_spec: Command) -> None:
    """Classes, licence, citation, and the files for a download by hand."""
    out = nin_spec("data", "show", "fashion_mnist").out
    assert "licence   MIT" in out
    assert "10: T-shirt/top, Trouser" in out
    for download in CATALOG["fashion_mnist"].downloads:
        assert f"{download.name}, {download.size:,} bytes, sha256 {download.sha256}" in out
        assert download.urls[0] in out
    wrong = nin_spec("data", "show", "cifar-10")
    assert wrong.code == 2
    assert "error NIN801" in wrong.err
    assert "did you mean 'cifar10'?" in wrong.err


@pytest.mark.parametrize("arguments", [(), ("list",), ("show",), ("fetch",), ("check",)])
def test_help_teaches(nin_spec: Command, arguments: tuple[str, ...]) -> None:
    """Every command of the group has a page."""
    out = nin_spec("data", *arguments, "--help")
    assert out.code == 0
    assert "Usage: nin-spec data" in out.out


# ------------------------------------------------------------------ fetch


def test_fetch_brings_it_where_it_is_looked_for(
    nin_spec: Command, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is there; with --to it goes elsewhere; its licence is said."""
    make_idx(tmp_path / "src")
    with serving() as server:
        files = {path.name: path.read_bytes() for path in (tmp_path / "src").iterdir()}
        server.files.update(files)
        downloads = tuple(
            Download(name, (server.base + name,), len(data), hashlib.sha256(data).hexdigest())
            for name, data in files.items()
        )
        monkeypatch.setitem(CATALOG, "mnist", replace(CATALOG["mnist"], downloads=downloads))
        first = nin_spec("data", "fetch", "mnist")
        assert first.code == 0
        assert first.out.count("fetched, checksum verified") == 4
        assert "licence: CC BY-SA 3.0; cite: Y. LeCun" in first.err
        assert nin_spec("data", "fetch", "mnist").out.count("already complete") == 4
        assert nin_spec("data", "fetch", "mnist", "--to", "here").code == 0
        assert len(list(Path("here").iterdir())) == 4
        server.status = 500
        broken = nin_spec("data", "fetch", "mnist", "--to", "there")
    assert broken.code == 2
    assert "error NIN804" in broken.err
    assert f"{server.base}" in broken.err
    assert "download it manually to there/" in broken.err
    checked = nin_spec("data", "check", "mnist")
    assert checked.code == 0
    assert checked.out.count(": the published file") == 4
    assert "16 pictures read, none damaged" in checked.out
    assert str(root / "mnist") in checked.out


def test_the_digits_need_no_fetching(nin_spec: Command) -> None:
    """They are bundled."""
    assert "nothing to fetch" in nin_spec("data", "fetch", "digits").out


# ------------------------------------------------------------------ check


def test_check_counts_the_classes(nin_spec: Command, tmp_path: Path) -> None:
    """Of your own pictures, by the folder's name."""
    make_pictures(tmp_path / "work" / "pets" / "train", {"cat": 3, "dog": 2})
    make_pictures(tmp_path / "work" / "pets" / "test", {"cat": 1})
    out = nin_spec("data", "check", "pets")
    assert (out.code, out.err) == (0, "")
    assert out.out.splitlines() == [
        "train: pets/train",
        "test: pets/test",
        "   class  train  test",
        "0  cat        3     1",
        "1  dog        2     0",
        "   all        5     1",
        "6 pictures read, none damaged",
    ]


def test_check_lists_every_damaged_file(nin_spec: Command, tmp_path: Path) -> None:
    """Of both splits, and exits 2."""
    for split in ("train", "test"):
        make_pictures(tmp_path / split, {"cat": 2})
        (tmp_path / split / "cat" / "000.png").write_bytes(b"no picture")
    out = nin_spec("data", "check", "pets", "--data", str(tmp_path))
    assert out.code == 2
    for split in ("train", "test"):
        assert f"error NIN802: {tmp_path / split / 'cat' / '000.png'} is damaged: it can't be decoded" in out.err
    assert "2 errors" in out.err
    assert "0  cat        2     2" in out.out


def test_check_tells_everything_that_is_wrong_with_a_folder(nin_spec: Command, tmp_path: Path) -> None:
    """An empty class, a file that is not a picture and a damaged one, after a table of both splits."""
    make_pictures(tmp_path / "train", {"cat": 3, "dog": 3})
    make_pictures(tmp_path / "test", {"cat": 1})
    (tmp_path / "train" / "emu").mkdir()
    (tmp_path / "train" / "cat" / "notes.txt").touch()
    (tmp_path / "train" / "dog" / "001.png").write_bytes(b"no picture")
    out = nin_spec("data", "check", str(tmp_path))
    assert out.code == 2
    for words in ("emu has no pictures", "cat/notes.txt", "001.png is damaged", "3 errors"):
        assert words in out.err
    assert out.out.splitlines()[2:5] == ["   class  train  test", "0  cat        3     1", "1  dog        3     0"]


def test_check_says_last_what_is_not_as_published(nin_spec: Command, root: Path) -> None:
    """After the table, where it is seen."""
    make_idx(root / "mnist")
    lines = nin_spec("data", "check", "mnist").out.splitlines()
    start = lines.index("16 pictures read, none damaged")
    assert all("publish" in line for line in lines[start + 1 :])
    assert lines[start + 1].endswith("has 12 pictures (train), but MNIST has 60,000")
    assert len(lines) == start + 7


def test_check_names_both_splits_that_can_not_be_opened(nin_spec: Command, tmp_path: Path) -> None:
    """A cut batch to train on, and a cut one to test with."""
    folder = make_cifar10(tmp_path / "c")
    for name in ("data_batch_2.bin", "test_batch.bin"):
        (folder / name).write_bytes(b"cut")
    out = nin_spec("data", "check", "cifar10", "--data", str(folder))
    assert out.code == 2
    assert "data_batch_2.bin is damaged" in out.err
    assert "test_batch.bin is damaged" in out.err


def test_check_takes_training_pictures_alone(nin_spec: Command, tmp_path: Path) -> None:
    """And says that there's nothing to test with."""
    make_pictures(tmp_path / "train", {"cat": 2})
    out = nin_spec("data", "check", str(tmp_path))
    assert out.code == 0
    assert "no test split: " in out.err


def test_check_holds_files_against_the_published_ones(
    nin_spec: Command, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the right size with other bytes is damaged; another size is another packing."""
    make_idx(root / "mnist", end="")
    names = sorted(path.name for path in (root / "mnist").iterdir())
    sizes = [(root / "mnist" / name).stat().st_size for name in names]
    downloads = tuple(
        Download(name, (), size + (k > 0), "0" * 64) for k, (name, size) in enumerate(zip(names, sizes, strict=True))
    )
    monkeypatch.setitem(CATALOG, "mnist", replace(CATALOG["mnist"], downloads=downloads))
    out = nin_spec("data", "check", "mnist")
    assert out.code == 2
    assert f"{names[0]} is damaged: its SHA-256 is not that of the published file" in out.err
    assert out.out.count("not the published file") == 3


def test_what_is_not_there(nin_spec: Command) -> None:
    """A known name, and one that is neither known nor a folder."""
    out = nin_spec("data", "check", "mnist")
    assert out.code == 2
    assert "nin-spec data fetch mnist" in out.err
    assert out.err.count("error") == 1
    assert "nowhere is neither a folder nor a known data set" in nin_spec("data", "check", "nowhere").err
