"""What decoding a picture really takes, measured in a process of its own, and what is said of it beforehand."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import picture_bombs
import pytest
from PIL import Image

from nin_spec import children
from nin_spec.pictures import MOST_BYTES, Frame, PictureTooLargeError, decode, memory_of, to_frame

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
SLACK = 48 << 20
"""Bytes for the decoder's own buffers and the file."""


def spent(path: Path, channels: int, resize: str) -> tuple[int, str]:
    """The peak in bytes, and what happened."""
    command = children.python(picture_bombs.__file__, str(path), str(channels), resize)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size, _, told = done.stdout.strip().partition(" ")
    return int(size), told


@pytest.mark.parametrize("resize", ["stretch", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.long
def test_no_picture_takes_more_than_it_may(tmp_path: Path, channels: int, resize: Any) -> None:
    """Each kind of PNG and the greediest of the other formats: the foreseen memory is not exceeded, nor the limit."""
    for path in picture_bombs.bombs(tmp_path):
        assert path.stat().st_size < 2 << 20
        found, told = spent(path, channels, resize)
        assert found < MOST_BYTES + SLACK, (path.name, told)
        foreseen = memory_of(path, Frame(channels, 32, 32, resize))
        assert found < foreseen + SLACK, (path.name, told)
        path.unlink()


@pytest.mark.parametrize(("kind", "depth"), [(0, 16), (3, 8), (6, 16)])
def test_a_small_file_takes_no_gigabyte(tmp_path: Path, kind: int, depth: int) -> None:
    """16-bit gray, a palette, and 16-bit colour with transparency, of 81 million pixels."""
    path = tmp_path / "bomb.png"
    path.write_bytes(picture_bombs.png(kind, depth, picture_bombs.SIDE, picture_bombs.SIDE))
    found, told = spent(path, 3, "stretch")
    assert found < memory_of(path, Frame(3, 32, 32)) + SLACK < MOST_BYTES + SLACK, told


def test_what_is_too_large_is_refused_before_it_is_decoded() -> None:
    """By the header: a thin picture that would be scaled across all its rows, and a WebP."""
    tall = io.BytesIO(picture_bombs.png(0, 1, 2, 40_000_000))
    picture = decode(tall)
    with pytest.raises(PictureTooLargeError, match="the limit is 768 MiB"):
        to_frame(picture, Frame(1, 32, 32))
    saved = io.BytesIO()
    Image.new("RGB", (8000, 7000)).save(saved, "WEBP", method=0)
    with pytest.raises(PictureTooLargeError, match="8000x7000"):
        decode(saved)


def test_gray_is_scaled_as_its_three_channels_would_be() -> None:
    """Kept gray until the end, with the bits of a picture that is made colour first; 16 bits in strips as at once."""
    gray = Image.effect_noise((61, 47), 80)
    frame = Frame(3, 20, 30)
    assert to_frame(gray, frame).tobytes() == to_frame(gray.convert("RGB"), frame).tobytes()
    wide = Image.new("I;16", (1500, 1400))
    wide.putdata([n * 7919 % 65536 for n in range(1500 * 1400)])
    found = to_frame(wide, Frame(1, 1400, 1500))[..., 0]
    expected = [(n * 7919 % 65536 * 255 + 32767) // 65535 for n in range(1500 * 1400)]
    assert found.ravel().tolist() == expected
