"""IDX files: every way MNIST lies on disks, and every way a file can be cut or mislabelled."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from data_files import all_of, idx_bytes, make_idx, pixels, refusal, replace_file
from examples import many
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.data import Frame
from nin_spec.data.idx import has_idx, open_idx, read_idx
from nin_spec.diagnostics import Code, DataError

TEN = tuple("0123456789")
FRAME = Frame(1, 7, 5)


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("sub", ["", "raw", "MNIST/raw"])
def test_every_spelling_of_the_files_is_read(tmp_path: Path, mark: str, end: str, sub: str) -> None:
    """Dash or dot, packed or plain, in the folder, in raw/ or where torchvision puts them."""
    arrays = make_idx(tmp_path / sub, mark=mark, end=end)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        found = open_idx("mnist", split, tmp_path, TEN, ("MNIST/raw",))  # type: ignore[arg-type]
        assert np.array_equal(all_of(found, FRAME)[..., 0], arrays[f"{prefix}-images"])
        assert np.array_equal(found.labels, arrays[f"{prefix}-labels"])
        assert found.labels.dtype == np.int64
        assert (found.dataset, found.name, found.classes) == ("mnist", split, TEN)
        assert len(found) == len(arrays[f"{prefix}-labels"])


def test_plain_files_are_mapped_and_come_before_packed_ones(tmp_path: Path) -> None:
    """Nothing is read that isn't asked for."""
    make_idx(tmp_path, end="")
    make_idx(tmp_path, count=3, end=".gz")
    assert isinstance(read_idx(tmp_path / "train-images-idx3-ubyte", 3), np.memmap)
    assert len(open_idx("mnist", "train", tmp_path, TEN)) == 12


def test_pictures_come_in_the_order_asked_for(tmp_path: Path) -> None:
    """Any numbers, also twice; a new array that may be written to."""
    arrays = make_idx(tmp_path, end="")
    numbers = np.array([5, 0, 5, 11])
    found = open_idx("mnist", "train", tmp_path, TEN).pictures(numbers, FRAME)
    assert np.array_equal(found[..., 0], arrays["train-images"][numbers])
    found[:] = 0


def test_without_names_the_labels_of_both_splits_count_the_classes(tmp_path: Path) -> None:
    """A class that only the training split has is one of the test split too."""
    make_idx(tmp_path, count=12, classes=10)
    assert open_idx("kmnist", "test", tmp_path).classes == TEN
    assert has_idx(tmp_path)
    assert not has_idx(tmp_path / "none")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With the folder where it was looked for."""
    make_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    message = refusal(lambda: open_idx("mnist", "train", tmp_path, TEN), Code.DATA_MISSING)
    assert f"{tmp_path} does not contain train-labels-idx1-ubyte.gz" in message


def test_as_many_labels_as_pictures(tmp_path: Path) -> None:
    """Files of two different sets are not mixed."""
    make_idx(tmp_path)
    replace_file(tmp_path / "train-labels-idx1-ubyte.gz", gzip.compress(idx_bytes(np.zeros(11, np.uint8))))
    message = refusal(lambda: open_idx("mnist", "train", tmp_path, TEN), Code.DATA_DAMAGED)
    assert "has 11 labels, but train-images-idx3-ubyte.gz has 12 pictures" in message


def test_a_label_that_is_not_a_class_is_named_by_its_byte(tmp_path: Path) -> None:
    """The first of them, and how many there are."""
    make_idx(tmp_path, end="")
    labels = np.arange(12, dtype=np.uint8)
    replace_file(tmp_path / "train-labels-idx1-ubyte", idx_bytes(labels))
    message = refusal(lambda: open_idx("mnist", "train", tmp_path, TEN), Code.DATA_DAMAGED)
    assert "byte 18 has the label 10; the classes are 0 to 9 (2 labels are out of range)" in message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it ends at byte 0, inside the header"),
        (b"\0\0\x08\x03\0\0", "it ends at byte 6, inside the header"),
        (b"\0\0\x0d\x03" + bytes(12), "byte 2 is 13, but 8 in an IDX file of pictures (unsigned bytes)"),
        (b"\0\0\x08\x01" + bytes(12), "byte 3 is 1, but 3 in an IDX file of pictures (unsigned bytes)"),
        (b"\x89PNG", "byte 0 is 137"),
        (idx_bytes(np.zeros((0, 3, 3), np.uint8)), "the size at byte 4 is 0"),
        (idx_bytes(pixels(2, 3, 3))[:-1], "it ends at byte 33 of the 34 that its header declares"),
        (idx_bytes(pixels(2, 3, 3)) + b"x", "it has data after byte 34"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_damage_is_named_by_its_byte(tmp_path: Path, data: bytes, words: str, *, packed: bool) -> None:
    """Header or body, packed or not."""
    path = tmp_path / ("x.gz" if packed else "x")
    path.write_bytes(gzip.compress(data) if packed else data)
    message = refusal(lambda: read_idx(path, 3), Code.DATA_DAMAGED)
    assert str(path) in message
    assert words in message
    assert ("(counted unpacked)" in message) == packed


def test_folders_and_files_that_may_not_be_read_are_refused(tmp_path: Path) -> None:
    """The system's own reason is given."""
    assert "Is a directory" in refusal(lambda: read_idx(tmp_path, 3), Code.DATA_MISSING)


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_promises_petabytes_allocates_nothing(tmp_path: Path, *, packed: bool) -> None:
    """Sizes are held against the file before memory is taken."""
    data = b"\0\0\x08\x03" + b"\xff" * 12 + bytes(100)
    (tmp_path / "x").write_bytes(gzip.compress(data) if packed else data)
    tracemalloc.start()
    refusal(lambda: read_idx(tmp_path / "x", 3), Code.DATA_DAMAGED)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000


def test_a_bomb_is_unpacked_no_further_than_its_header_says(tmp_path: Path) -> None:
    """A gigabyte of zeros behind a header of 10 bytes costs a few megabytes."""
    body = gzip.compress(idx_bytes(pixels(10)) + bytes(1 << 26))
    (tmp_path / "x.gz").write_bytes(body)
    tracemalloc.start()
    refusal(lambda: read_idx(tmp_path / "x.gz", 1), Code.DATA_DAMAGED)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16_000_000


PLAIN = idx_bytes(pixels(3, 4, 2))
PACKED = gzip.compress(PLAIN, mtime=0)


@many
@given(st.sampled_from([PLAIN, PACKED]), st.data())
def test_any_damage_reads_right_or_is_a_data_error(tmp_path: Path, whole: bytes, data: st.DataObject) -> None:
    """Cut anywhere or changed in any byte, no other exception comes out, and no array of another length."""
    damaged = bytearray(whole)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(whole) - 1)) :]
    else:
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = replace_file(tmp_path / "x", bytes(damaged))
    try:
        found = read_idx(path, 3)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert found.size == 24


def test_every_cut_of_a_packed_file_is_noticed(tmp_path: Path) -> None:
    """The checksum at the end of the stream is part of the file."""
    for cut in range(len(PACKED)):
        with pytest.raises(DataError):
            read_idx(replace_file(tmp_path / "x.gz", PACKED[:cut]), 3)
