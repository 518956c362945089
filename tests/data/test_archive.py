"""Arrays in an .npz: Keras's and MedMNIST's names, packed or mapped, and everything that doesn't fit."""

from __future__ import annotations

import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import all_of, npz_bytes, pixels, refusal, replace_file
from examples import many
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.data import Frame
from nin_spec.data.archive import open_archive
from nin_spec.diagnostics import Code, DataError

KERAS = ("x_train", "y_train", "x_test", "y_test")
MEDMNIST = ("train_images", "train_labels", "test_images", "test_labels")
SAVES = [np.savez, np.savez_compressed]


def arrays(names: tuple[str, ...] = KERAS, shape: tuple[int, ...] = (4, 3), **other: Any) -> dict[str, Any]:
    """Six pictures to train on, three to test with."""
    values = (pixels(6, *shape), np.arange(6) % 3, pixels(3, *shape, seed=1), np.array([2, 1, 0]))
    return {**dict(zip(names, values, strict=True)), **other}


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("names", [KERAS, MEDMNIST])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1), (4, 3, 3)])
def test_both_ways_of_naming_are_read(
    tmp_path: Path, save: Callable[..., None], names: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    """Gray with or without its channel, or colour."""
    path = replace_file(tmp_path / "d.npz", npz_bytes(save, arrays(names, shape)))
    split = open_archive("d", "train", path)
    frame = Frame(shape[2] if len(shape) == 3 else 1, 4, 3)
    assert np.array_equal(all_of(split, frame).reshape(6, *shape), pixels(6, *shape))
    assert split.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert split.classes == ("0", "1", "2")
    assert len(open_archive("d", "test", path)) == 3


def test_stored_arrays_are_mapped(tmp_path: Path) -> None:
    """In the order of the file, Fortran's too."""
    path = replace_file(tmp_path / "d.npz", npz_bytes(np.savez, arrays(x_train=np.asfortranarray(pixels(6, 4, 3)))))
    split = open_archive("d", "train", path)
    assert np.array_equal(all_of(split, Frame(1, 4, 3))[..., 0], pixels(6, 4, 3))
    assert split.where == str(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_labels_may_stand_in_a_column(tmp_path: Path, dtype: Any) -> None:
    """MedMNIST's (n, 1), in any whole numbers; they become int64."""
    path = replace_file(tmp_path / "d.npz", npz_bytes(np.savez, arrays(y_train=np.arange(6).astype(dtype)[:, None])))
    labels = open_archive("d", "train", path).labels
    assert labels.dtype == np.int64
    assert labels.tolist() == list(range(6))


@pytest.mark.parametrize(
    ("other", "code", "words"),
    [
        (
            {"x_train": np.zeros((6, 4, 3))},
            Code.DATA_MISFIT,
            "x_train in PATH has dtype float64; pictures must be uint8",
        ),
        ({"x_train": pixels(6, 3, 8, 8)}, Code.DATA_MISFIT, "write channels last: x.transpose(0, 2, 3, 1)"),
        ({"x_train": pixels(6, 8, 8, 4)}, Code.DATA_MISFIT, "has shape (6, 8, 8, 4); pictures must be (n, H, W)"),
        ({"x_train": pixels(6, 0, 8)}, Code.DATA_MISFIT, "has shape (6, 0, 8)"),
        ({"x_train": pixels(6)}, Code.DATA_MISFIT, "has shape (6,)"),
        ({"x_train": pixels(5, 4, 3)}, Code.DATA_DAMAGED, "y_train has 6 labels, but x_train has 5 pictures"),
        (
            {"y_train": np.arange(6) / 2},
            Code.DATA_MISFIT,
            "y_train in PATH has dtype float64; labels must be integers",
        ),
        ({"y_train": np.zeros((6, 14), int)}, Code.DATA_MISFIT, "one class per picture"),
        ({"y_train": np.zeros(0, int)}, Code.DATA_MISFIT, "has shape (0,)"),
        ({"y_train": np.array([0, 0, 0, -1, 0, 0])}, Code.DATA_DAMAGED, "y_train[3] has the label -1"),
        ({"y_train": np.full(6, 1 << 40)}, Code.DATA_DAMAGED, "is too large for a class number"),
        ({"y_train": np.array([{}] * 6)}, Code.DATA_MISFIT, "contains Python objects, which are never loaded"),
    ],
)
@pytest.mark.parametrize("save", SAVES)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, save: Callable[..., None], other: dict[str, Any], code: Code, words: str
) -> None:
    """With their name, type and shape."""
    path = replace_file(tmp_path / "d.npz", npz_bytes(save, arrays(**other)))
    assert words.replace("PATH", str(path)) in refusal(lambda: open_archive("d", "train", path), code)


def test_labels_beyond_the_names_are_refused(tmp_path: Path) -> None:
    """Of a known data set the classes are known."""
    path = replace_file(tmp_path / "d.npz", npz_bytes(np.savez, arrays()))
    message = refusal(lambda: open_archive("d", "train", path, ("a", "b")), Code.DATA_DAMAGED)
    assert "y_train[2] has the label 2; the classes are 0 to 1 (2 labels are out of range)" in message


def test_other_names_are_listed(tmp_path: Path) -> None:
    """What the archive holds, and what a data set holds."""
    path = replace_file(tmp_path / "d.npz", npz_bytes(np.savez, {"a": np.zeros(1), "x_train": np.zeros(1)}))
    message = refusal(lambda: open_archive("d", "train", path), Code.DATA_MISSING)
    assert "has a, x_train; a data set has x_train, y_train, x_test, y_test or train_images" in message


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_header_that_promises_petabytes_allocates_nothing(tmp_path: Path, method: int) -> None:
    """It is held against the sizes that the archive gives."""
    path = replace_file(tmp_path / "d.npz", npz_bytes(np.savez, arrays()))
    with zipfile.ZipFile(path, "a", method) as file, file.open("y_test2.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<i8", "fortran_order": False, "shape": (1 << 45,)})
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "e.npz", "w", method) as new:
        for name in old.namelist():
            if name != "y_test.npy":
                new.writestr(name.replace("y_test2", "y_test"), old.read(name))
    tracemalloc.start()
    message = refusal(lambda: open_archive("d", "train", tmp_path / "e.npz"), Code.DATA_DAMAGED)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "y_test declares 281,474,976,710,656 bytes of int64 but has 0" in message
    assert peak < 8_000_000


def test_a_header_of_megabytes_is_not_read(tmp_path: Path) -> None:
    """Its length stands before it, and zeros pack well."""
    path = replace_file(tmp_path / "d.npz", npz_bytes(np.savez, {k: v for k, v in arrays().items() if k != "y_test"}))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("y_test.npy", b"\x93NUMPY\2\0" + (1 << 26).to_bytes(4, "little") + bytes(1 << 26))
    tracemalloc.start()
    message = refusal(lambda: open_archive("d", "train", path), Code.DATA_DAMAGED)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "y_test has an invalid NumPy header" in message
    assert peak < 8_000_000


@many
@given(st.sampled_from([npz_bytes(save, arrays()) for save in SAVES]), st.data())
def test_any_damage_reads_or_is_a_data_error(tmp_path: Path, whole: bytes, data: st.DataObject) -> None:
    """Cut or changed anywhere: what is read has the right shape, and no other exception comes out."""
    damaged = bytearray(whole)
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        del damaged[at:]
    else:
        damaged[at] = data.draw(st.integers(0, 255))
    path = replace_file(tmp_path / "d.npz", bytes(damaged))
    try:
        split = open_archive("d", "train", path)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert all_of(split, Frame(1, 4, 3)).shape == (6, 4, 3, 1)
