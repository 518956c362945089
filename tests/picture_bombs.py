"""Pictures that are small as files and large in memory, and what it takes to bring one to a frame.

python -P picture_bombs.py FILE CHANNELS RESIZE     prints what happened, and the peak beyond the start in bytes
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from PIL import Image

SIDE = 9000
"""81 million pixels: below Pillow's own limit."""
_KINDS = {(0, 1), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 8), (4, 8), (4, 16), (6, 8), (6, 16)}
"""Colour types and bit depths of PNG (W3C PNG, 11.2.1)."""
_BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
"""Adam7: the first column and row of a pass, and its steps."""


_ZEROS = bytes(1 << 20)


def _shares(total: int) -> Iterator[int]:
    """That many bytes in shares of a mebibyte."""
    whole, rest = divmod(total, len(_ZEROS))
    yield from repeat(len(_ZEROS), whole)
    yield rest


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(kind: int, depth: int, width: int, height: int, *, interlaced: bool = False) -> bytes:
    """A picture of zeros, never held in memory as a whole."""
    passes = _PASSES if interlaced else [(0, 0, 1, 1)]
    packer, packed = zlib.compressobj(9), bytearray()
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0:
            line = 1 + -(-columns * _BANDS[kind] * depth // 8)
            for size in _shares(line * max(rows, 0)):
                packed += packer.compress(memoryview(_ZEROS)[:size])
    packed += packer.flush()
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    palette = _chunk(b"PLTE", bytes(3)) if kind == 3 else b""
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + palette + _chunk(b"IDAT", bytes(packed)) + _chunk(b"IEND", b"")
    )


def bombs(folder: Path) -> Iterator[Path]:
    """Every kind of PNG, thin ones, and the largest of the other formats."""
    for kind, depth in sorted(_KINDS):
        (path := folder / f"{kind}-{depth}.png").write_bytes(png(kind, depth, SIDE, SIDE))
        yield path
    for name, width, height in (("tall", 4, SIDE * SIDE // 4), ("wide", SIDE * SIDE // 4, 4)):
        (path := folder / f"{name}.png").write_bytes(png(0, 8, width, height))
        yield path
    (path := folder / "interlaced.png").write_bytes(png(6, 16, SIDE, SIDE, interlaced=True))
    yield path
    for mode, name, options in (
        ("CMYK", "progressive.jpg", {"progressive": True}),
        ("RGB", "progressive.jpeg", {"progressive": True, "subsampling": 0}),
        ("RGB", "flat.webp", {"lossless": True, "method": 0}),
    ):
        Image.new(mode, (SIDE * 2 // 3, SIDE * 2 // 3)).save(path := folder / name, **options)
        yield path


def peak() -> int:
    """The most memory that this process ever had, in bytes (man 5 proc, VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def main(path: str, channels: str, resize: str) -> None:
    """Decode one picture, and bring it to a frame."""
    from nin_spec.pictures import Frame, decode, to_frame

    Image.preinit()
    Image.init()
    before = peak()
    try:
        to_frame(decode(Path(path)), Frame(int(channels), 32, 32, resize))  # type: ignore[arg-type]
        told = "done"
    except ValueError as error:
        told = str(error)
    sys.stdout.write(f"{peak() - before} {told}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
