"""Pictures in memory, resized in groups: the bytes of each are those of the picture alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nin_spec.data import resizing, threads
from nin_spec.data.resizing import resize
from nin_spec.pictures import Frame, PictureTooLargeError, Pixels, to_frame


def pictures(count: int, height: int, width: int, channels: int) -> Pixels:
    """Noise."""
    return np.random.default_rng(height).integers(0, 256, (count, height, width, channels), np.uint8)


def alone(given: Pixels, frame: Frame) -> Pixels:
    """Each picture brought to the frame on its own."""
    flat = given[..., 0] if given.shape[3] == 1 else given
    return np.stack([to_frame(Image.fromarray(picture), frame) for picture in flat])


SIDES = st.integers(1, 40)


@given(
    count=st.integers(1, 40),
    size=st.tuples(SIDES, SIDES),
    frame=st.tuples(SIDES, SIDES),
    channels=st.tuples(st.sampled_from([1, 3]), st.sampled_from([1, 3])),
    more=st.one_of(st.none(), st.tuples(st.integers(0, 9), st.integers(0, 9))),
    how=st.sampled_from(["stretch", "crop"]),
)
def test_a_group_has_the_bytes_of_each_picture_alone(  # noqa: PLR0917
    count: int,
    size: tuple[int, int],
    frame: tuple[int, int],
    channels: tuple[int, int],
    more: tuple[int, int] | None,
    how: str,
) -> None:
    """Larger and smaller, stretched and cropped, gray and colour into each other."""
    target = None if more is None else (frame[0] + more[0], frame[1] + more[1])
    wanted = Frame(channels[1], *frame, how, target)  # type: ignore[arg-type]
    made = pictures(count, *size, channels[0])
    assert np.array_equal(resize(made, wanted), alone(made, wanted))


@pytest.mark.parametrize("pixels", [1, 500, 1 << 21])
@pytest.mark.parametrize("cores", [1, 3])
def test_any_grouping_gives_the_same(pixels: int, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, in small groups, and on several threads."""
    monkeypatch.setattr(resizing, "_GROUP_PIXELS", pixels)
    monkeypatch.setattr(threads, "THREADS", cores)
    made, frame = pictures(50, 9, 7, 3), Frame(3, 12, 16, "crop", (20, 20))
    assert np.array_equal(resize(made, frame), alone(made, frame))


BAD: list[tuple[Callable[[], Pixels], Frame, type[ValueError]]] = [
    (lambda: pictures(3, 1, 30000, 1), Frame(1, 30000, 8, "crop"), ValueError),
    (lambda: np.broadcast_to(np.zeros((), np.uint8), (2, 20000, 20000, 3)), Frame(3, 8, 8), PictureTooLargeError),
]


@pytest.mark.parametrize(("make", "frame", "error"), BAD)
def test_what_would_take_too_much_is_refused_before_it_is_made(
    make: Callable[[], Pixels], frame: Frame, error: type[ValueError]
) -> None:
    with pytest.raises(error):
        resize(make(), frame)
