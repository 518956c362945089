"""CIFAR's binary version: where it may lie, and what may be wrong with it."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from data_files import all_of, cifar_records, make_cifar10, make_cifar100, pack, pixels, refusal, replace_file
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.data import Frame
from nin_spec.data.catalog import CATALOG
from nin_spec.data.cifar import LAYOUTS, is_complete, open_cifar, unpack
from nin_spec.diagnostics import Code, DataError

TEN, HUNDRED = CATALOG["cifar10"].classes, CATALOG["cifar100"].classes
FRAME = Frame(3, 32, 32)


def lay(tmp_path: Path, how: str, dataset: str) -> Path:
    """A made data set lying one of the ways it does; the place to name."""
    layout = LAYOUTS[dataset]
    make = make_cifar10 if dataset == "cifar10" else make_cifar100
    if how == "folder itself":
        return make(tmp_path / "d")
    if how == "folder that holds it":
        make(tmp_path / layout.folder)
        return tmp_path
    archive = pack(make(tmp_path / "src"), tmp_path / layout.archive, layout.folder)
    return archive if how == "archive itself" else tmp_path


WAYS = ["folder itself", "folder that holds it", "archive itself", "folder with the archive"]


@pytest.mark.parametrize("how", WAYS)
def test_cifar10_is_read_wherever_it_lies(tmp_path: Path, how: str) -> None:
    """Five batches follow each other; planes of red, green and blue become pixels."""
    split = open_cifar("cifar10", "train", lay(tmp_path, how, "cifar10"), TEN)
    assert split.labels.tolist() == [(i + k) % 10 for k in range(1, 6) for i in range(4)]
    planes = np.concatenate([pixels(4, 3072, seed=k) for k in range(1, 6)]).reshape(-1, 3, 32, 32)
    assert np.array_equal(all_of(split, FRAME), planes.transpose(0, 2, 3, 1))
    mixed = np.array([19, 0, 7, 7, -1])
    assert np.array_equal(split.pictures(mixed, FRAME), planes.transpose(0, 2, 3, 1)[mixed])


@pytest.mark.parametrize("how", WAYS)
def test_cifar100_takes_the_fine_labels(tmp_path: Path, how: str) -> None:
    """The second byte of each record; the first, coarse one is only checked."""
    split = open_cifar("cifar100", "test", lay(tmp_path, how, "cifar100"), HUNDRED)
    assert split.labels.tolist() == [99, 98, 97, 96, 95, 94]
    assert split.classes[99] == "worm"
    assert np.array_equal(all_of(split, FRAME)[0, 0, 0], pixels(6, 3072, seed=4)[0, [0, 1024, 2048]])


def test_unpacked_files_are_mapped(tmp_path: Path) -> None:
    """And the archive beside them is left alone."""
    lay(tmp_path, "folder with the archive", "cifar10")
    unpack("cifar10", tmp_path)
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"never opened")
    split = open_cifar("cifar10", "test", tmp_path, TEN)
    assert split.where == str(tmp_path / "cifar-10-batches-bin")


def test_a_ragged_file_is_named_with_its_last_byte(tmp_path: Path) -> None:
    """Fewer records than published are fine, half a record is not."""
    folder = make_cifar10(tmp_path)
    data = (folder / "data_batch_3.bin").read_bytes()
    replace_file(folder / "data_batch_3.bin", data[:-5])
    message = refusal(lambda: open_cifar("cifar10", "train", folder, TEN), Code.DATA_DAMAGED)
    assert "data_batch_3.bin is damaged: records have 3,073 bytes, but the last, at byte 9,219, has 3,068" in message


@pytest.mark.parametrize(("column", "byte"), [(0, "byte 3,074"), (1, "byte 3,075")])
def test_labels_out_of_range_are_named_by_their_byte(tmp_path: Path, column: int, byte: str) -> None:
    """Coarse ones too: they show that the file is another format."""
    folder = make_cifar100(tmp_path)
    labels = np.zeros((3, 2), np.uint8)
    labels[1, column] = 200
    replace_file(folder / "train.bin", cifar_records(labels))
    message = refusal(lambda: open_cifar("cifar100", "train", folder, HUNDRED), Code.DATA_DAMAGED)
    assert f"{byte} has the label 200" in message


def test_an_empty_file_is_damaged(tmp_path: Path) -> None:
    """A file of no bytes holds no record."""
    folder = make_cifar10(tmp_path)
    replace_file(folder / "test_batch.bin", b"")
    assert "it is empty" in refusal(lambda: open_cifar("cifar10", "test", folder, TEN), Code.DATA_DAMAGED)


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    """Four of five batches are not a training split."""
    folder = make_cifar10(tmp_path)
    (folder / "data_batch_4.bin").unlink()
    message = refusal(lambda: open_cifar("cifar10", "train", folder, TEN), Code.DATA_MISSING)
    assert "has data_batch_1.bin but not data_batch_4.bin" in message
    assert not is_complete("cifar10", folder)


def test_a_folder_of_something_else_names_what_was_looked_for(tmp_path: Path) -> None:
    """All three ways in which it may lie."""
    message = refusal(lambda: open_cifar("cifar100", "test", tmp_path, HUNDRED), Code.DATA_MISSING)
    assert "neither test.bin nor cifar-100-binary/test.bin nor cifar-100-binary.tar.gz" in message


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("cifar10", "data_batch_1"), ("cifar10", "cifar-10-python.tar.gz"), ("cifar100", "cifar-100-python")],
)
def test_the_python_version_is_refused_with_its_reason(tmp_path: Path, dataset: str, name: str) -> None:
    """Pickles are not opened; the binary version is named."""
    (tmp_path / name).write_bytes(pickle.dumps({b"data": []}))
    classes = CATALOG[dataset].classes
    message = refusal(lambda: open_cifar(dataset, "train", tmp_path, classes), Code.DATA_MISSING)
    assert "Python version: pickle files, which can run code" in message
    assert f"use the binary version, {LAYOUTS[dataset].archive}: nin-spec data fetch {dataset}" in message


# ------------------------------------------------------------------ archives


def test_an_archive_without_the_files_is_refused(tmp_path: Path) -> None:
    """The first that is missing is named."""
    archive = pack(make_cifar100(tmp_path / "src"), tmp_path / "a.tar.gz", "x")
    message = refusal(lambda: open_cifar("cifar10", "train", archive, TEN), Code.DATA_MISSING)
    assert "does not contain data_batch_1.bin" in message


def test_an_archive_writes_nothing_outside_its_folder(tmp_path: Path) -> None:
    """Names that climb, absolute names, links and devices: only the known files, by their last name."""
    inside = tmp_path / "in"
    inside.mkdir()
    records = cifar_records(np.zeros((1, 2), np.uint8))
    with tarfile.open(inside / "cifar-100-binary.tar.gz", "w:gz") as tar:
        for name in ("../../evil.bin", "/x/evil.bin", "../train.bin", "/abs/test.bin", "fine_label_names.txt"):
            info = tarfile.TarInfo(name)
            info.size = len(records)
            tar.addfile(info, io.BytesIO(records))
        link = tarfile.TarInfo("cifar-100-binary/train.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert "unpacked" in unpack("cifar100", inside)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    below = "in/cifar-100-binary"
    assert found == {"in/cifar-100-binary.tar.gz", f"{below}/train.bin", f"{below}/test.bin"}
    assert (tmp_path / below / "train.bin").read_bytes() == records
    assert "already unpacked" in unpack("cifar100", inside)


def test_an_archive_that_lacks_a_file_is_not_unpacked(tmp_path: Path) -> None:
    """Nothing is written then."""
    folder = make_cifar100(tmp_path / "src")
    (folder / "test.bin").unlink()
    pack(folder, tmp_path / "cifar-100-binary.tar.gz", "cifar-100-binary")
    assert "does not contain test.bin" in refusal(lambda: unpack("cifar100", tmp_path), Code.DATA_DAMAGED)
    assert not (tmp_path / "cifar-100-binary").exists()


@given(st.data())
def test_a_damaged_archive_reads_right_or_is_a_data_error(tmp_path: Path, data: st.DataObject) -> None:
    """Cut or changed anywhere: the labels are those that were packed, or nothing is believed."""
    source = tmp_path / "whole.tar.gz"
    if not source.exists():
        pack(make_cifar100(tmp_path / "src", count=2), source, "cifar-100-binary")
    damaged = bytearray(source.read_bytes())
    at = data.draw(st.integers(0, len(damaged) - 1))
    if data.draw(st.booleans()):
        del damaged[at:]
    else:
        damaged[at] = data.draw(st.integers(0, 255))
    path = replace_file(tmp_path / "x.tar.gz", bytes(damaged))
    try:
        split = open_cifar("cifar100", "train", path, HUNDRED)
    except DataError:
        return
    assert split.labels.tolist() == [99, 98]
    assert np.array_equal(all_of(split, FRAME)[0, 0, 0], pixels(2, 3072, seed=5)[0, [0, 1024, 2048]])
