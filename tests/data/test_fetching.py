"""Downloads from a server on this machine: whole, broken, resumed, wrong, and never half believed."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from data_files import make_cifar10, pack, pixels, refusal
from file_server import Server, serving
from nodes import NODES, node

from nin_spec.data.catalog import CATALOG, Download, Entry
from nin_spec.data.fetching import fetch
from nin_spec.data.published import is_published
from nin_spec.diagnostics import Code, InputError

DATA = pixels(300_000).tobytes()


@pytest.fixture
def server() -> Iterator[Server]:
    """Serves one file, x.bin."""
    with serving() as state:
        state.files["x.bin"] = DATA
        yield state


def entry(server: Server, data: bytes = DATA, name: str = "x.bin", *, mirrors: tuple[str, ...] = ()) -> Entry:
    """A data set of one file, which the mirrors are asked for before the server."""
    urls = tuple(base + name for base in (*mirrors, server.base))
    download = Download(name, urls, len(data), hashlib.sha256(data).hexdigest())
    return replace(CATALOG["mnist"], downloads=(download,))


def left(folder: Path) -> list[str]:
    """The names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", NODES)
@pytest.mark.parametrize("name", ["x.bin", "x.bin.part"])
def test_only_regular_files_are_fetched_into(server: Server, tmp_path: Path, kind: str, name: str) -> None:
    """A FIFO in the file's place is neither read, which would block forever, nor replaced."""
    with node(kind, tmp_path, name) as path:
        before = path.stat()
        assert "can't be written: it is a" in refusal(
            lambda: fetch(entry(server), tmp_path, replace=True), Code.DATA_FETCH
        )
        after = path.stat()
    assert (before.st_mode, before.st_ino) == (after.st_mode, after.st_ino)
    assert server.asked == []


# ------------------------------------------------------------------ what goes well


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    """Into a folder that is made; the second time nothing is asked for."""
    folder, told = tmp_path / "a" / "b", list[tuple[str, int, int]]()
    assert fetch(entry(server), folder, lambda *args: told.append(args)) == [
        f"{folder / 'x.bin'}: fetched, checksum verified"
    ]
    assert (folder / "x.bin").read_bytes() == DATA
    assert left(folder) == ["x.bin"]
    assert told[-1] == ("x.bin", len(DATA), len(DATA))
    assert fetch(entry(server), folder) == [f"{folder / 'x.bin'}: already complete"]
    assert len(server.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_is_taken_up_again(server: Server, tmp_path: Path, *, ranges: bool) -> None:
    """Where it broke off if the server can, else from the start."""
    server.cuts, server.ranges = [100_000, 50_000], ranges
    fetch(entry(server), tmp_path)
    assert (tmp_path / "x.bin").read_bytes() == DATA
    first, second = server.asked[1][1], server.asked[2][1]
    assert first == "bytes=100000-"
    assert second == ("bytes=150000-" if ranges else "bytes=50000-")


def test_a_later_run_resumes(server: Server, tmp_path: Path) -> None:
    """What came before the failure is kept beside the target, under another name."""
    server.cuts = [100_000, 0, 0, 0, 0, 0, 0]
    message = refusal(lambda: fetch(entry(server), tmp_path), Code.DATA_FETCH)
    assert "the connection broke after 100,000 of 300,000 bytes" in message
    assert left(tmp_path) == ["x.bin.part"]
    server.cuts, before = [], len(server.asked)
    fetch(entry(server), tmp_path)
    assert server.asked[before:] == [("/x.bin", "bytes=100000-")]
    assert (tmp_path / "x.bin").read_bytes() == DATA
    assert left(tmp_path) == ["x.bin"]


def test_a_complete_part_needs_no_server(server: Server, tmp_path: Path) -> None:
    """Killed between the last byte and the renaming."""
    (tmp_path / "x.bin.part").write_bytes(DATA)
    fetch(entry(server), tmp_path)
    assert server.asked == []
    assert left(tmp_path) == ["x.bin"]


def test_the_next_mirror_is_asked(server: Server, tmp_path: Path) -> None:
    """When the first has nothing under that name."""
    fetch(entry(server, mirrors=(f"{server.base}gone/",)), tmp_path)
    assert [path for path, _ in server.asked] == ["/gone/x.bin", "/x.bin"]


def test_cifar_is_unpacked(server: Server, tmp_path: Path) -> None:
    """The archive stays: it is what the checksum is of."""
    archive = pack(make_cifar10(tmp_path / "src"), tmp_path / "c.tar.gz", "cifar-10-batches-bin").read_bytes()
    server.files["cifar-10-binary.tar.gz"] = archive
    made = replace(entry(server, archive, "cifar-10-binary.tar.gz"), name="cifar10")
    target = tmp_path / "to"
    assert fetch(made, target)[1] == f"{target / 'cifar-10-batches-bin'}: unpacked"
    assert left(target) == ["cifar-10-batches-bin", "cifar-10-binary.tar.gz"]
    assert len(left(target / "cifar-10-batches-bin")) == 6
    assert fetch(made, target)[1].endswith("already unpacked")


# ------------------------------------------------------------------ what goes wrong


def test_another_file_is_not_believed(server: Server, tmp_path: Path) -> None:
    """Of the right length, and nothing is left of it."""
    server.files["x.bin"] = DATA[::-1]
    message = refusal(lambda: fetch(entry(server), tmp_path), Code.DATA_FETCH)
    assert f"{server.base}x.bin: it is not the expected file, whose SHA-256 is " in message
    assert f"download it manually to {tmp_path / 'x.bin'}" in message
    assert left(tmp_path) == []


def test_a_longer_file_is_given_up_after_one_byte(server: Server, tmp_path: Path) -> None:
    """No disk is filled by a server that never ends."""
    server.files["x.bin"] = DATA * 10
    message = refusal(lambda: fetch(entry(server), tmp_path), Code.DATA_FETCH)
    assert "it is longer than the expected 300,000 bytes" in message
    assert left(tmp_path) == []


def test_a_part_of_another_file_is_deleted(server: Server, tmp_path: Path) -> None:
    """Too long for this file; the next download starts from the beginning."""
    (tmp_path / "x.bin.part").write_bytes(DATA * 2)
    refusal(lambda: fetch(entry(server), tmp_path), Code.DATA_FETCH)
    fetch(entry(server), tmp_path)
    assert (tmp_path / "x.bin").read_bytes() == DATA


def test_a_server_whose_file_is_shorter_is_refused(server: Server, tmp_path: Path) -> None:
    """It answers 416 to what lies beyond; the part is dropped, and it ends."""
    server.files["x.bin"] = DATA[:1000]
    message = refusal(lambda: fetch(entry(server), tmp_path), Code.DATA_FETCH)
    assert "1,000 of 300,000 bytes" in message or "answers 416" in message


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (503, 4)])
def test_a_servers_refusal_is_passed_on(server: Server, tmp_path: Path, status: int, requests: int) -> None:
    """Asked again only where that may help."""
    server.status = status
    message = refusal(lambda: fetch(entry(server), tmp_path), Code.DATA_FETCH)
    assert f"the server responded {status}" in message
    assert len(server.asked) == requests
    assert left(tmp_path) == []


def test_a_server_that_says_nothing_is_given_up(server: Server, tmp_path: Path) -> None:
    """After the seconds allowed."""
    server.silent = True
    message = refusal(lambda: fetch(entry(server), tmp_path, seconds=0.02), Code.DATA_FETCH)
    assert "timed out" in message


def test_no_server_at_all(tmp_path: Path) -> None:
    """The system's own words."""
    with serving() as gone:
        pass
    assert "Connection refused" in refusal(lambda: fetch(entry(gone), tmp_path), Code.DATA_FETCH)


def test_a_file_that_is_there_is_not_replaced_unasked(server: Server, tmp_path: Path) -> None:
    """It may be somebody's own; with `replace` it is, and only once the new one is whole."""
    (tmp_path / "x.bin").write_bytes(b"mine")
    message = refusal(lambda: fetch(entry(server), tmp_path), Code.DATA_FETCH)
    assert "exists and is not the published file" in message
    server.status = 404
    refusal(lambda: fetch(entry(server), tmp_path, replace=True), Code.DATA_FETCH)
    assert (tmp_path / "x.bin").read_bytes() == b"mine"
    server.status = 0
    fetch(entry(server), tmp_path, replace=True)
    assert (tmp_path / "x.bin").read_bytes() == DATA


def test_places_that_can_not_be_written(server: Server, tmp_path: Path) -> None:
    """A file where the folder should be, and a folder where the file should be."""
    (tmp_path / "file").touch()
    message = refusal(lambda: fetch(entry(server), tmp_path / "file"), Code.DATA_FETCH)
    assert f"{tmp_path / 'file'} can't be created: File exists" in message
    (tmp_path / "x.bin.part").mkdir()
    assert "can't be written" in refusal(lambda: fetch(entry(server), tmp_path), Code.DATA_FETCH)
    (tmp_path / "x.bin").mkdir()
    message = refusal(lambda: fetch(entry(server), tmp_path, replace=True), Code.DATA_FETCH)
    assert f"{tmp_path / 'x.bin'} can't be written: it is a folder" in message


def test_without_pooch_the_extra_is_named(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is asked for."""
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(InputError, match="fetching a data set needs pooch"):
        fetch(entry(server), tmp_path)
    assert server.asked == []


def test_a_published_file_is_known_by_size_and_checksum(server: Server, tmp_path: Path) -> None:
    """One byte more or less, or other ones, and it isn't."""
    download = entry(server).downloads[0]
    path = tmp_path / "x"
    for data, known in ((DATA, True), (DATA[:-1], False), (DATA[1:] + b"\0", False)):
        path.write_bytes(data)
        assert is_published(path, download) is known
