"""Parts of bytes in memory: into the frame, and one array out of several files."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import pixels, refusal
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nin_spec.data.arrays import Blocks, bring, class_numbers, numbered
from nin_spec.diagnostics import Code
from nin_spec.pictures import Frame, to_frame


@pytest.mark.parametrize("shape", [(3, 6, 5), (3, 6, 5, 1), (3, 6, 5, 3)])
@pytest.mark.parametrize(
    ("size", "target"), [((6, 5), None), ((9, 4), None), ((6, 5), (6, 5)), ((6, 5), (12, 12)), ((9, 4), (9, 12))]
)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resize", ["stretch", "crop"])
def test_many_pictures_are_brought_as_one_is(
    shape: tuple[int, ...], size: tuple[int, int], target: tuple[int, int] | None, channels: int, resize: str
) -> None:
    """The short cuts of equal size and colour change nothing: each is what `to_frame` makes of it."""
    frame = Frame(channels, *size, resize, target)  # type: ignore[arg-type]
    raw = pixels(*shape)
    alone = [to_frame(Image.fromarray(picture.reshape(6, 5, -1).squeeze()), frame) for picture in raw]
    found = bring(raw, frame)
    assert np.array_equal(found, alone)
    assert found.flags.writeable
    assert found.flags.c_contiguous
    assert not np.shares_memory(found, raw)


def test_no_pictures_have_the_frame_too() -> None:
    """An empty batch is not a special case for the caller."""
    assert bring(pixels(0, 6, 5), Frame(3, 4, 4)).shape == (0, 4, 4, 3)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_blocks_are_one_array(sizes: list[int], data: st.DataObject) -> None:
    """Any numbers in any order, negative ones too."""
    arrays = [pixels(n, 3, seed=k) for k, n in enumerate(sizes)]
    joined = np.concatenate(arrays)
    numbers = np.array(data.draw(st.lists(st.integers(-len(joined), len(joined) - 1))), np.int64)
    assert np.array_equal(Blocks(arrays).take(numbers), joined[numbers])


def test_a_number_beyond_the_blocks_is_an_index_error() -> None:
    """As of any array."""
    with pytest.raises(IndexError):
        Blocks([pixels(2, 3), pixels(2, 3)]).take(np.array([4]))


def test_labels_out_of_range_are_counted() -> None:
    """The first is named; labels can't be changed afterwards."""
    message = refusal(lambda: class_numbers(np.array([0, 7, -1]), 3, "f", lambda k: f"byte {k}"), Code.DATA_DAMAGED)
    assert "f is damaged: byte 1 has the label 7; the classes are 0 to 2 (2 labels are out of range)" in message
    assert not class_numbers(np.array([0, 1], np.uint8), 2, "f", str).flags.writeable
    assert numbered(3) == ("0", "1", "2")
