"""MATLAB files as SciPy writes them, read without it: the same arrays, and no crash on damaged ones."""

from __future__ import annotations

import importlib
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import pixels, refusal, replace_file
from examples import many
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.data.matlab import read_matlab
from nin_spec.diagnostics import Code, DataError

scipy_io = importlib.import_module("scipy.io")
KINDS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


def saved(path: Path, variables: dict[str, Any], *, compress: bool) -> bytes:
    """The bytes of a file that SciPy wrote."""
    scipy_io.savemat(path, variables, do_compression=compress)
    return path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compress", [True, False])
def test_arrays_are_those_that_scipy_reads(tmp_path: Path, kind: str, *, compress: bool) -> None:
    """Every type of numbers, long names and short ones, sizes down to one number, in any order."""
    path = tmp_path / "x.mat"
    shapes = {"X": (4, 3, 2, 5), "y": (5, 1), "a_rather_long_name": (1, 1), "z": (2, 7)}
    made = {name: pixels(*shape).astype(kind) for name, shape in shapes.items()}
    saved(path, {"text": "no numbers", **made, "cell": np.array([{}], object)}, compress=compress)
    theirs = scipy_io.loadmat(path)
    ours = read_matlab(path, (*shapes, "text", "cell", "absent"))
    assert set(ours) == set(shapes)
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype
        assert np.array_equal(array, theirs[name])


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    """Written by hand: flags, sizes, a name and three numbers."""

    def element(kind: int, data: bytes) -> bytes:
        return kind.to_bytes(4, "big") + len(data).to_bytes(4, "big") + data + bytes(-len(data) % 8)

    body = element(6, (9).to_bytes(4, "big") + bytes(4))
    body += element(5, (1).to_bytes(4, "big") + (3).to_bytes(4, "big")) + element(1, b"X")
    body += element(4, np.array([1, 2, 300], ">u2").tobytes())
    path = replace_file(tmp_path / "x.mat", b"MATLAB 5.0".ljust(124) + b"\1\0MI" + element(14, body))
    assert read_matlab(path, ("X",))["X"].tolist() == [[1, 2, 300]]


def test_stored_arrays_are_mapped(tmp_path: Path) -> None:
    """Nothing is read that isn't asked for."""
    saved(tmp_path / "x.mat", {"X": np.zeros((1000, 1000), np.uint8)}, compress=False)
    tracemalloc.start()
    array = read_matlab(tmp_path / "x.mat", ("X",))["X"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert array.shape == (1000, 1000)
    assert peak < 100_000


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", Code.DATA_DAMAGED, "does not start like a MATLAB file"),
        (
            b"MATLAB 7.3".ljust(124) + b"\0\2IM",
            Code.DATA_MISFIT,
            "of an unsupported version | save it in MATLAB with -v7",
        ),
        (b"x".ljust(124) + b"\0\1IM" + b"\x0e\0\0\0", Code.DATA_DAMAGED, "it ends at byte 132, but the header of"),
        (b"x".ljust(124) + b"\0\1IM" + b"\x0e\0\0\0\xff\0\0\0", Code.DATA_DAMAGED, "should end at byte 391"),
        (b"x".ljust(124) + b"\0\1IM" + bytes(64), Code.DATA_DAMAGED, "the element at byte 128 has type 0"),
        (b"x".ljust(124) + b"\0\1IM" + b"\x0f\0\0\0\3\0\0\0abc", Code.DATA_DAMAGED, "at byte 136 can't be unpacked"),
    ],
)
def test_damage_is_named_by_its_byte(tmp_path: Path, data: bytes, code: Code, words: str) -> None:
    """Another format, a cut, a stream that is none."""
    path = replace_file(tmp_path / "x.mat", data)
    message = refusal(lambda: read_matlab(path, ("X",)), code)
    assert words.replace("with -v7", "with the option -v7") in message


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A stream that is longer than the array it promises is given up one byte later."""
    whole = saved(tmp_path / "x.mat", {"X": pixels(8, 8)}, compress=True)
    bomb = zlib.compress(zlib.decompress(whole[136:]) + bytes(1 << 26))
    path = replace_file(tmp_path / "x.mat", whole[:128] + b"\x0f\0\0\0" + len(bomb).to_bytes(4, "little") + bomb)
    tracemalloc.start()
    message = refusal(lambda: read_matlab(path, ("X",)), Code.DATA_DAMAGED)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "does not have the" in message
    assert peak < 4_000_000


@many
@given(st.booleans(), st.data())
def test_any_damage_reads_or_is_a_data_error(tmp_path: Path, compress: bool, data: st.DataObject) -> None:  # noqa: FBT001
    """Up to three bytes changed, or the end cut off; SciPy's own reader crashes on some of these."""
    whole = saved(tmp_path / "whole.mat", {"X": pixels(4, 3, 2), "y": np.arange(3)}, compress=compress)
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(len(whole) // 2, len(whole))) :]
    path = replace_file(tmp_path / "x.mat", bytes(damaged))
    try:
        found = read_matlab(path, ("X", "y"))
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert all(array.nbytes <= 2 * len(whole) for array in found.values())
