"""Pictures to frames and frames to inputs: one picture alone, or many at once, gets the same bits."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nin_spec.diagnostics import InputError
from nin_spec.model import Preprocessing
from nin_spec.pictures import Frame, decode, fit, frame_of, normalise, preprocess, to_frame


def noise(*shape: int) -> Any:
    """Bytes, the same each time."""
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


# ------------------------------------------------------------------ frames


@pytest.mark.parametrize("resize", ["stretch", "crop"])
def test_a_picture_of_the_right_size_is_taken_as_it_is(resize: Any) -> None:
    """No filter touches its pixels."""
    picture = noise(9, 7, 3)
    assert np.array_equal(to_frame(Image.fromarray(picture), Frame(3, 9, 7, resize)), picture)


def test_gray_and_colour_are_converted_to_each_other() -> None:
    """ITU-R 601 luma one way, three equal channels the other."""
    colour, gray = noise(5, 5, 3), noise(5, 5)
    luma = np.asarray(Image.fromarray(colour).convert("L"))
    assert np.array_equal(to_frame(Image.fromarray(colour), Frame(1, 5, 5)), luma[..., None])
    assert np.array_equal(to_frame(Image.fromarray(gray), Frame(3, 5, 5)), np.stack([gray] * 3, -1))


def test_stretch_scales_both_axes_and_crop_keeps_the_shape() -> None:
    """As Pillow's bilinear resize, and resize and centre crop."""
    picture = Image.fromarray(noise(10, 20, 3))
    assert np.array_equal(to_frame(picture, Frame(3, 8, 8)), np.asarray(picture.resize((8, 8), 2)))
    cropped = np.asarray(picture.resize((16, 8), 2).crop((4, 0, 12, 8)))
    assert np.array_equal(to_frame(picture, Frame(3, 8, 8, "crop")), cropped)


@given(st.tuples(st.integers(1, 500), st.integers(1, 500)), st.tuples(st.integers(1, 500), st.integers(1, 500)))
def test_a_crop_always_covers_its_target(own: tuple[int, int], target: tuple[int, int]) -> None:
    """The box lies inside the scaled picture and has the target's size, for any sizes."""
    scaled, (left, top, right, bottom) = fit(own, target, "crop")
    assert (right - left, bottom - top) == target
    assert left >= 0
    assert top >= 0
    assert right <= scaled[0]
    assert bottom <= scaled[1]


def test_a_hairline_is_refused_before_it_is_scaled() -> None:
    """A picture one pixel high would need gigabytes."""
    with pytest.raises(ValueError, match="too long and thin"):
        to_frame(Image.fromarray(np.zeros((1, 3_000_000), np.uint8)), Frame(1, 224, 224, "crop"))


def test_the_frame_of_a_gray_contract_has_one_channel() -> None:
    """Three channels are then filled with it when the pixels are normalised."""
    assert frame_of((3, 4, 5), Preprocessing(color="gray", resize="crop")) == Frame(1, 4, 5, "crop")
    assert frame_of((3, 4, 5), Preprocessing(color="bgr")) == Frame(3, 4, 5)


# ------------------------------------------------------------------ the contract


@given(
    st.sampled_from(["rgb", "bgr", "gray"]),
    st.sampled_from([(1, 1), (1, 3), (3, 3)]),
    st.lists(st.floats(-1, 1), min_size=3, max_size=3),
    st.lists(st.floats(0.1, 3), min_size=3, max_size=3),
    st.sampled_from(["float16", "float32", "float64"]),
)
def test_many_pictures_get_the_bits_of_one(
    color: Any, channels: tuple[int, int], mean: list[float], std: list[float], dtype: str
) -> None:
    """`normalise` is `preprocess`, picture by picture and bit by bit."""
    own, wanted = channels
    contract = Preprocessing(1 / 255, tuple(mean[:wanted]), tuple(std[:wanted]), color=color)
    pictures = noise(4, 3, 5, own)
    found = normalise(pictures, contract, dtype, wanted)
    assert found.shape == (4, wanted, 3, 5)
    assert found.dtype == np.dtype(dtype)
    assert found.flags.c_contiguous
    for k, picture in enumerate(pictures):
        alone = preprocess(picture, contract, wanted, np.dtype(dtype))
        assert alone.tobytes() == np.ascontiguousarray(found[k]).tobytes()


def test_the_arithmetic_is_that_of_float32() -> None:
    """(pixel * scale - mean) / std, each step rounded to float32; nothing is done in float64."""
    contract = Preprocessing(1 / 255, (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261))
    pictures = noise(2, 4, 4, 3)
    mean, std = (np.array(v, np.float32) for v in (contract.mean, contract.std))
    expected = (pictures * np.float32(1 / 255) - mean) / std
    assert np.array_equal(normalise(pictures, contract, np.float32), expected.transpose(0, 3, 1, 2))


def test_numbers_that_are_not_one_a_channel_are_refused() -> None:
    """Two means for three channels can't be right; and nothing is changed in the pictures."""
    pictures = noise(1, 2, 2, 3)
    before = pictures.copy()
    with pytest.raises(InputError, match="2 numbers in std, for 3 channels"):
        normalise(pictures, Preprocessing(std=(1.0, 2.0)), np.float32)
    normalise(pictures, Preprocessing(mean=(1.0,)), np.float32)
    assert np.array_equal(pictures, before)


def test_no_pictures_are_no_inputs() -> None:
    """An empty batch keeps its shape."""
    assert normalise(np.empty((0, 4, 5, 1), np.uint8), Preprocessing(), np.float32, 3).shape == (0, 3, 4, 5)


# ------------------------------------------------------------------ threads


def test_decoding_in_threads_leaves_the_warning_filters_alone(tmp_path: Path) -> None:
    """However the threads overlap, the filters afterwards are those from before."""
    Image.fromarray(noise(40, 40, 3)).save(tmp_path / "p.png")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: decode(tmp_path / "p.png").size, range(200)))
    assert warnings.filters == before


def test_the_limit_on_pixels_holds_in_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture just above Pillow's limit is an error there too, not a warning."""
    Image.fromarray(noise(10, 10)).save(tmp_path / "p.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 90)
    faults: list[Exception] = []

    def attempt() -> None:
        try:
            decode(tmp_path / "p.png")
        except Image.DecompressionBombWarning as error:
            faults.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(faults) == 8
