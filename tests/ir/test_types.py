"""Windows and tensor types: the arithmetic that every shape rests on."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from examples import many
from hypothesis import assume, given
from hypothesis import strategies as st

from nin_spec.ir.types import Padding, ShapeError, TensorType, end_padding, window_count

small = st.integers(0, 6)


@dataclass(frozen=True)
class Axis:
    """What a window on one axis is made of."""

    size: int
    kernel: int
    stride: int
    before: int
    after: int
    ceil_mode: bool

    def counted(self) -> int:
        """How many windows the formula finds."""
        return window_count(self.size, self.kernel, self.stride, self.before, self.after, ceil_mode=self.ceil_mode)

    def tried(self) -> int:
        """How many windows there are, by trying each start."""
        end = self.size + self.before + self.after
        whole = [s for s in range(0, end, self.stride) if s + self.kernel <= end]
        partial = whole[-1] + self.stride
        counts = self.ceil_mode and whole[-1] + self.kernel < end and partial < self.size + self.before
        return len(whole) + counts


@many
@given(st.builds(Axis, st.integers(1, 20), st.integers(1, 7), st.integers(1, 5), small, small, st.booleans()))
def test_windows_are_counted_as_they_stand(axis: Axis) -> None:
    """The formula counts the windows that one finds by trying, wherever one fits."""
    assume(max(axis.before, axis.after) < axis.kernel <= axis.size + axis.before + axis.after)
    assert axis.counted() == axis.tried()


@pytest.mark.parametrize(("stride", "count"), [(1, 0), (2, 1), (3, 1)])
def test_a_window_larger_than_the_input(stride: int, count: int) -> None:
    """In ceil mode PyTorch takes one window of 2 cells from 1, where the stride is larger than what is missing."""
    assert Axis(1, 2, stride, 0, 0, ceil_mode=True).counted() == count
    assert Axis(1, 2, stride, 0, 0, ceil_mode=False).counted() == 0


@pytest.mark.parametrize(
    ("size", "ceil_mode", "count"),
    [(32, True, 16), (32, False, 15), (54, True, 27), (54, False, 26), (27, True, 13), (13, True, 6)],
)
def test_published_roundings(size: int, ceil_mode: bool, count: int) -> None:  # noqa: FBT001 a column of the table
    """Caffe's 3x3 pools of stride 2 give 54 -> 27 -> 13 -> 6, PyTorch's 54 -> 26."""
    assert window_count(size, 3, 2, 0, 0, ceil_mode=ceil_mode) == count


def test_a_last_window_in_the_padding_does_not_count() -> None:
    """In ceil mode a window that would begin in the padding behind the input is left out."""
    assert window_count(4, 2, 2, 1, 1, ceil_mode=True) == 3
    assert window_count(3, 2, 2, 1, 1, ceil_mode=True) == 2


def test_end_padding_reaches_the_last_window() -> None:
    """The cells that the last window needs beyond the input."""
    assert end_padding(32, 3, 2, 0, 16) == 1
    assert end_padding(32, 3, 2, 0, 15) == 0
    assert end_padding(32, 3, 2, 1, 16) == 0


def test_tensor_types() -> None:
    """Shapes leave the batch out; sizes and bytes are of one image."""
    maps = TensorType((3, 4, 5), "float64")
    assert (maps.size, maps.bytes, maps.is_map, str(maps)) == (60, 480, True, "float64[3, 4, 5]")
    flat = maps.with_shape(7)
    assert (flat.size, flat.bytes, flat.is_map, str(flat)) == (7, 56, False, "float64[7]")
    with pytest.raises(ShapeError, match="its input is flat: 7 features"):
        flat.maps()


@pytest.mark.parametrize(
    ("padding", "text"),
    [(Padding(), "0"), (Padding(1, 1, 1, 1), "1"), (Padding(1, 1, 2, 2), "1x2"), (Padding(0, 1, 2, 3), "t0 b1 l2 r3")],
)
def test_padding_is_written_as_short_as_can_be(padding: Padding, text: str) -> None:
    """One number, vertical x horizontal, or each side."""
    assert str(padding) == text
    assert padding.symmetric == ("b" not in text)
