"""Seals: checksums that show that a file is unchanged since nin-spec wrote it, and its kind.

A seal is a line of text, `nin-spec seal: svg sha256:...`, with the SHA-256 of everything else in the file. It is at the
end of the file, in a form that the kind allows (a comment, a metadata property, a text chunk); in a safetensors file,
which ends with its tensors, it is in the header. A file that was edited, or written by another program, has no valid
seal, and is not replaced without --force. The same content has the same seal.
"""

from __future__ import annotations

import mmap
import re
import zlib
from collections.abc import Callable
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

Buffer = bytes | memoryview


class Kind(StrEnum):
    """The kind of a file. A file is not replaced by one of another kind without --force."""

    ONNX = "onnx"
    WEIGHTS = "safetensors"
    SPEC = "spec"
    SOURCE = "source"
    TRITON = "triton"
    KSERVE = "kserve"
    SVG = "svg"
    PDF = "pdf"
    TIKZ = "tikz"
    MERMAID = "mermaid"
    DOT = "dot"
    REPORT = "report"
    PAGE = "page"
    PNG = "png"
    BENCH = "bench"
    CONFORMANCE = "conformance"


KEY = "nin_spec.seal"
"""The metadata property with the seal of an ONNX or a safetensors file."""

_ANY = re.compile(rb"nin-spec seal: ([a-z]+) sha256:[0-9a-f]{64}")
_HEADER = re.compile(rb'"nin_spec\.seal":"nin-spec seal: safetensors sha256:([0-9a-f]{64})"')
_WINDOW = 256
"""Bytes at the end of a file that contain any seal."""
_MAX_HEADER = 100 << 20
"""The largest header that the safetensors format allows."""


def seal(kind: Kind, digest: str) -> str:
    """The text of a seal."""
    return f"nin-spec seal: {kind} sha256:{digest}"


EMPTY = seal(Kind.WEIGHTS, "0" * 64)
"""The placeholder of a seal whose digest is not known yet."""


def sealed(data: bytes, kind: Kind) -> bytes:
    """The content with its seal at the end; for safetensors, use `seal_header`."""
    rest = data.removesuffix(_ENDS.get(kind, b""))
    return rest + _ending(kind, sha256(rest).hexdigest())


def seal_header(header: bytes, *tensors: bytes) -> bytes:
    """The header of a safetensors file after its length, with the digest in place of EMPTY under KEY."""
    found = _HEADER.search(header)
    if found is None:
        raise ValueError(f"the header has no {KEY}")
    digest = sha256(header)
    for part in tensors:
        digest.update(part)
    return header[: found.start(1)] + digest.hexdigest().encode() + header[found.end(1) :]


def kind_of(path: Path) -> Kind | None:
    """The kind of a regular file that is unchanged since nin-spec wrote it, else None. Raises OSError."""
    with path.open("rb") as file:
        if claimed(file) is None:
            return None
        # Memory-mapped: a weights file may be larger than the memory.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
            return kind_of_bytes(view)


def claimed(file: BinaryIO) -> Kind | None:
    """The kind in a file's seal, without validating it, which is cheap."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _WINDOW))
    kind = _last(file.read(_WINDOW))
    if kind is not None:
        return kind
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    return Kind.WEIGHTS if length <= min(size, _MAX_HEADER) and _HEADER.search(file.read(length)) else None


def kind_of_bytes(data: Buffer) -> Kind | None:
    """The kind of content with a valid seal; None for any other."""
    kind = _last(bytes(data[-_WINDOW:]))
    if kind is not None:
        size = len(_ending(kind, "0" * 64))
        rest, end = data[:-size], bytes(data[-size:])
        return kind if _ending(kind, sha256(rest).hexdigest()) == end else None
    length = int.from_bytes(data[:8], "little")
    found = _HEADER.search(data, 8, 8 + length) if length <= min(len(data), _MAX_HEADER) else None
    if found is None:
        return None
    digest = sha256(data[: found.start(1)])
    digest.update(b"0" * 64)
    digest.update(data[found.end(1) :])
    return Kind.WEIGHTS if digest.hexdigest().encode() == found[1] else None


def _last(end: bytes) -> Kind | None:
    """The kind that the last seal of a file's end names."""
    words = [found[1].decode() for found in _ANY.finditer(end)]
    return Kind(words[-1]) if words and words[-1] in _ENDINGS else None


# ------------------------------------------------------------------ the form of each kind


def _comment(before: str, after: str = "") -> Callable[[bytes], bytes]:
    return lambda text: before.encode() + text + after.encode() + b"\n"


def _property(text: bytes) -> bytes:
    """One more metadata property of an ONNX file: protobuf concatenates repeated fields."""
    entry = b"\x0a" + bytes([len(KEY)]) + KEY.encode() + b"\x12" + bytes([len(text)]) + text
    return b"\x72" + bytes([len(entry)]) + entry  # field 14 of ModelProto, metadata_props


def _chunk(text: bytes) -> bytes:
    """A text chunk of a PNG file, before the final chunk."""
    body = b"tEXtSeal\0" + text
    return (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big") + _IEND


def _json_entry(text: bytes) -> bytes:
    """The last entry of a JSON object."""
    return b',\n  "seal": "' + text + b'"' + _JSON_END


_IEND = b"\0\0\0\0IEND\xae\x42\x60\x82"
_JSON_END = b"\n}\n"
_ENDS = {Kind.PNG: _IEND, Kind.BENCH: _JSON_END, Kind.CONFORMANCE: _JSON_END}
"""The bytes after the seal, by kind of file."""
_ENDINGS: dict[str, Callable[[bytes], bytes]] = {
    Kind.ONNX: _property,
    Kind.SPEC: _comment("# "),
    Kind.SOURCE: _comment("# "),
    Kind.TRITON: _comment("# "),
    Kind.KSERVE: _comment("# "),
    Kind.SVG: _comment("<!-- ", " -->"),
    Kind.PDF: _comment("% "),
    Kind.TIKZ: _comment("% "),
    Kind.MERMAID: _comment("%% "),
    Kind.DOT: _comment("// "),
    Kind.REPORT: _comment("<!-- ", " -->"),
    Kind.PAGE: _comment("<!-- ", " -->"),
    Kind.PNG: _chunk,
    Kind.BENCH: _json_entry,
    Kind.CONFORMANCE: _json_entry,
}


def _ending(kind: Kind, digest: str) -> bytes:
    return _ENDINGS[kind](seal(kind, digest).encode())
