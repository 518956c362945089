"""Pictures and arrays: exactly the model's contract, or a refusal that names the file."""

from __future__ import annotations

import io
import pickle
import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from small_models import content

from nin_spec.diagnostics import Code, InputError
from nin_spec.model import Preprocessing
from nin_spec.pictures import FORMATS, preprocess
from nin_spec.runtime.images import load_inputs
from nin_spec.runtime.session import Session, open_session

Pixels = NDArray[np.uint8]
RGB = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def session(shape: tuple[int | str, ...] = ("N", 3, 8, 8), **contract: Any) -> Session:
    """A model of an input shape, with a contract; scale 1 unless given, so that pixels stay as they are."""
    preprocessing = Preprocessing(**{"scale": 1.0, **contract}).as_dict()
    return open_session(content(shape, metadata={"preprocessing": preprocessing}), "cpu", threads=1)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    """A picture file of an array's pixels."""
    Image.fromarray(pixels).save(path, **options)
    return path


def load(path: Path, to: Session) -> NDArray[Any]:
    """The one input that a file gives."""
    ((name, array),) = load_inputs([path], to)
    assert name == str(path)
    assert array.dtype == np.float32
    return array


def refused(path: Path, to: Session) -> str:
    """The message of the refusal, which has the right code and the file's name."""
    with pytest.raises(InputError) as caught:
        load_inputs([path], to)
    (found,) = caught.value.diagnostics
    assert found.code is Code.INPUT_UNUSABLE
    assert str(path) in found.message
    return found.message


def chw(pixels: Pixels) -> NDArray[np.float32]:
    """Pixels as the network takes them."""
    return np.moveaxis(pixels, -1, 0).astype(np.float32)


# ------------------------------------------------------------------ the contract


def test_the_contract_is_scale_then_mean_then_std_by_channel(tmp_path: Path) -> None:
    """(pixel * scale - mean) / std, channels first, float32."""
    mean, std = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)
    expected = (RGB * np.float32(1 / 255) - np.array(mean, np.float32)) / np.array(std, np.float32)
    found = load(save(tmp_path / "p.png", RGB), session(scale=1 / 255, mean=mean, std=std))
    assert np.array_equal(found, np.moveaxis(expected, -1, 0))
    np.testing.assert_allclose(expected, (RGB / 255 - mean) / std, atol=1e-6)


def test_one_number_serves_every_channel(tmp_path: Path) -> None:
    """A mean or std of one number is broadcast."""
    assert np.array_equal(load(save(tmp_path / "p.png", RGB), session(mean=(3.0,), std=(2.0,))), (chw(RGB) - 3) / 2)


def test_bgr_networks_get_blue_first(tmp_path: Path) -> None:
    """Channels are reversed before mean and std, which are in the network's order."""
    found = load(save(tmp_path / "p.png", RGB), session(color="bgr", mean=(1.0, 2.0, 3.0), std=(1.0, 1.0, 1.0)))
    assert np.array_equal(found[0], RGB[..., 2].astype(np.float32) - 1)
    assert np.array_equal(found[2], RGB[..., 0].astype(np.float32) - 3)


@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_one_channel_takes_the_luminance(tmp_path: Path, color: str) -> None:
    """A colour picture for a network of one channel becomes ITU-R 601 luma."""
    luma = np.asarray(Image.fromarray(RGB).convert("L"), np.float32)
    assert np.array_equal(load(save(tmp_path / "p.png", RGB), session(("N", 1, 8, 8), color=color)), luma[None])


@pytest.mark.parametrize(("color", "source"), [("gray", RGB), ("rgb", RGB[..., 0])])
def test_gray_fills_three_channels(tmp_path: Path, color: str, source: Pixels) -> None:
    """A gray contract, or a gray picture, gives three equal channels."""
    found = load(save(tmp_path / "p.png", source), session(color=color))
    assert found.shape == (3, 8, 8)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_a_contract_for_another_number_of_channels_is_refused() -> None:
    """Three means for one channel can't be right."""
    with pytest.raises(InputError, match="3 numbers in mean, for 1 channels"):
        preprocess(RGB[..., 0], Preprocessing(mean=(0.0, 0.0, 0.0)), 1, np.dtype(np.float32))


def test_a_model_without_a_contract_takes_no_pictures(tmp_path: Path) -> None:
    """Nothing is guessed: arrays are asked for."""
    foreign = open_session(content(), "cpu")
    assert "doesn't declare its preprocessing" in refused(save(tmp_path / "p.png", RGB), foreign)


def test_five_channels_take_no_pictures(tmp_path: Path) -> None:
    """Channels that are neither 1 nor 3 need arrays."""
    assert "1 or 3 channels" in refused(save(tmp_path / "p.png", RGB), session(("N", 5, 8, 8)))


# ------------------------------------------------------------------ kinds of pictures


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_lossless_formats_give_the_pixels(tmp_path: Path, suffix: str) -> None:
    """PNG, BMP and lossless WebP arrive exactly."""
    options = {"lossless": True} if suffix == "webp" else {}
    assert np.array_equal(load(save(tmp_path / f"p.{suffix}", RGB, **options), session()), chw(RGB))


def test_jpeg_is_decoded(tmp_path: Path) -> None:
    """JPEG arrives nearly: smooth pixels survive."""
    smooth = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    np.testing.assert_allclose(load(save(tmp_path / "p.jpg", smooth, quality=95), session()), chw(smooth), atol=3)


def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path) -> None:
    """A GIF's later frames don't matter."""
    frames = [Image.fromarray(np.full((8, 8), v, np.uint8)) for v in (10, 200)]
    frames[0].save(tmp_path / "p.gif", save_all=True, append_images=frames[1:])
    assert (load(tmp_path / "p.gif", session()) == 10).all()


def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    """16-bit gray 0..65535 maps to 0..255, rounded."""
    wide = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    found = load(save(tmp_path / "p.png", wide), session(("N", 1, 8, 8)))
    assert np.array_equal(found[0], np.round(wide / 257).astype(np.float32))


@pytest.mark.parametrize("mode", ["P", "1", "L", "LA", "RGBA", "CMYK"])
def test_every_mode_becomes_what_pillow_converts_it_to(tmp_path: Path, mode: str) -> None:
    """Palettes, bits, gray, alpha (dropped) and CMYK follow Pillow's convert("RGB")."""
    path = tmp_path / ("p.jpg" if mode == "CMYK" else "p.png")
    Image.fromarray(RGB).convert(mode).save(path)
    with Image.open(path) as picture:
        expected = np.asarray(picture.convert("RGB"))
    assert np.array_equal(load(path, session()), chw(expected))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    """A photograph stored on its side arrives upright."""
    upright = np.zeros((8, 8), np.uint8)
    upright[0, :4] = 255
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "p.png", np.ascontiguousarray(undo[orientation](upright)), exif=exif)
    assert np.array_equal(load(path, session(("N", 1, 8, 8)))[0], upright)


# ------------------------------------------------------------------ sizes


def test_stretch_resizes_to_the_input_antialiased(tmp_path: Path) -> None:
    """Both axes are scaled to the input size with Pillow's bilinear filter."""
    pixels = np.random.default_rng(1).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((12, 8), Image.Resampling.BILINEAR))
    assert np.array_equal(load(save(tmp_path / "p.png", pixels), session(("N", 3, 8, 12))), chw(expected))


@pytest.mark.parametrize(
    ("height", "width", "scaled", "corner"),
    [(16, 32, (16, 8), (4, 0)), (37, 16, (8, 18), (0, 5)), (8, 8, (8, 8), (0, 0)), (5, 8, (12, 8), (2, 0))],
)
def test_crop_scales_the_shorter_side_and_keeps_the_centre(
    tmp_path: Path, height: int, width: int, scaled: tuple[int, int], corner: tuple[int, int]
) -> None:
    """The shapes are kept, as torchvision's Resize and CenterCrop keep them."""
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    left, top = corner
    whole = Image.fromarray(pixels).resize(scaled, Image.Resampling.BILINEAR)
    expected = np.asarray(whole.crop((left, top, left + 8, top + 8)))
    assert np.array_equal(load(save(tmp_path / "p.png", pixels), session(resize="crop")), chw(expected))


@pytest.mark.parametrize("resize", ["stretch", "crop"])
def test_an_open_size_keeps_the_pictures_own(tmp_path: Path, resize: str) -> None:
    """A model that takes any size gets the picture as it is."""
    pixels = np.random.default_rng(1).integers(0, 256, (13, 21, 3), dtype=np.uint8)
    found = load(save(tmp_path / "p.png", pixels), session(("N", 3, "H", "W"), resize=resize))
    assert np.array_equal(found, chw(pixels))


def test_a_hairline_is_not_scaled_to_gigabytes(tmp_path: Path) -> None:
    """A picture one pixel high would be scaled to a huge one before the crop: it is refused."""
    path = save(tmp_path / "p.png", np.zeros((1, 3_000_000), np.uint8))
    assert "too long and thin" in refused(path, session(resize="crop"))


# ------------------------------------------------------------------ files that are no pictures


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above Pillow's limit on pixels a picture is an error, also where Pillow would only warn."""
    path = save(tmp_path / "p.png", RGB)
    for limit in (50, 20):  # 64 pixels: above the limit, and above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert "exceeds limit" in refused(path, session())


def test_files_that_are_not_there_or_empty_are_refused(tmp_path: Path) -> None:
    """Missing, empty, a folder, an impossible name."""
    (tmp_path / "empty.png").touch()
    to = session()
    assert "empty" in refused(tmp_path / "empty.png", to)
    assert "folder" in refused(tmp_path, to)
    assert "No such file" in refused(tmp_path / "none.png", to)
    assert "can't be read" in refused(Path("a\0b.png"), to)


def test_formats_outside_the_list_are_not_opened(tmp_path: Path) -> None:
    """Pillow's other decoders are kept away from what people send."""
    path = save(tmp_path / "p.tiff", RGB)
    message = refused(path, session())
    assert "can't be decoded" in message
    assert "TIFF" not in FORMATS


def test_damaged_files_give_inputs_or_input_errors(tmp_path: Path) -> None:
    """Cut, changed or spliced anywhere, a file gives an input or an InputError, never another exception."""
    originals: list[bytes] = []
    for kind in FORMATS:
        buffer = io.BytesIO()
        Image.fromarray(RGB).save(buffer, kind)
        originals.append(buffer.getvalue())
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 3, 8, 8), np.float32))
    originals.append(buffer.getvalue())
    rng = random.Random(0)  # noqa: S311 - repeatable damage, no secrets
    to, path, refusals = session(), tmp_path / "damaged", 0
    for _ in range(600):
        data = bytearray(rng.choice(originals))
        at = rng.randrange(len(data))
        match rng.randrange(3):
            case 0:
                del data[at:]
            case 1:
                data[at % 128 % len(data)] = rng.randrange(256)
            case _:
                del data[at : at + 5]
        path.write_bytes(data)
        try:
            load_inputs([path], to)
        except InputError:
            refusals += 1
    assert refusals > 100


# ------------------------------------------------------------------ arrays


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_array_is_one_input_as_it_is(tmp_path: Path, dtype: type[np.floating[Any]]) -> None:
    """(C, H, W) floats are taken as they are: the contract is not applied again."""
    array = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(dtype)
    np.save(tmp_path / "x.npy", array)
    assert np.array_equal(load(tmp_path / "x.npy", session(mean=(9.0,))), array.astype(np.float32))


def test_an_array_can_be_a_batch(tmp_path: Path) -> None:
    """(N, C, H, W) is N inputs, numbered."""
    batch = np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", np.asfortranarray(batch))
    found = load_inputs([tmp_path / "x.npy"], session())
    assert [name for name, _ in found] == [f"{tmp_path / 'x.npy'}[{k}]" for k in range(3)]
    assert np.array_equal([array for _, array in found], batch)


def test_inputs_keep_the_order_of_the_paths(tmp_path: Path) -> None:
    """Pictures and arrays may be mixed."""
    np.save(tmp_path / "b.npy", np.zeros((3, 8, 8), np.float32))
    paths = [save(tmp_path / "c.png", RGB), tmp_path / "b.npy", save(tmp_path / "a.png", RGB)]
    assert [name for name, _ in load_inputs(paths, session())] == [str(p) for p in paths]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 8, 8), np.uint8), "its dtype is uint8, not a float dtype"),
        (np.zeros((3, 8, 8), np.int64), "its dtype is int64, not a float dtype"),
        (np.zeros((3, 8, 8), np.complex64), "its dtype is complex64, not a float dtype"),
        (np.zeros((8, 8, 3)), "has shape (8, 8, 3), but the model takes (3, 8, 8), or a batch (?, 3, 8, 8)"),
        (np.zeros((0, 3, 8, 8)), "has shape (0, 3, 8, 8)"),
        (np.zeros(()), "has shape ()"),
        (np.full((3, 8, 8), np.nan), "NaN or infinite"),
        (np.full((3, 8, 8), np.inf, np.float32), "NaN or infinite"),
        (np.full((3, 8, 8), 1e300), "NaN or infinite in float32"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, array: NDArray[Any], words: str) -> None:
    """Integers, other shapes, values that float32 can't hold."""
    np.save(tmp_path / "x.npy", array)
    assert words in refused(tmp_path / "x.npy", session())


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    """Neither a pickle named .npy nor an array of objects."""
    (tmp_path / "p.npy").write_bytes(pickle.dumps([1, 2]))
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    assert "not a NumPy array" in refused(tmp_path / "p.npy", session())
    assert "not a NumPy array" in refused(tmp_path / "o.npy", session())


@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.png"])
def test_archives_are_refused_by_what_they_are(tmp_path: Path, name: str) -> None:
    """An .npz is recognised under any name."""
    with (tmp_path / name).open("wb") as file:
        np.savez(file, x=np.zeros((3, 8, 8)))
    assert "archive of arrays" in refused(tmp_path / name, session())


@pytest.mark.parametrize("count", [1 << 18, 1 << 40])
def test_a_header_that_promises_too_much_allocates_nothing(tmp_path: Path, count: int) -> None:
    """The file's size is compared before memory is taken, be it 200 MB or a petabyte."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, 3, 8, 8)}
    with (tmp_path / "x.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    to = session()
    tracemalloc.start()
    assert "not a NumPy array" in refused(tmp_path / "x.npy", to)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000
