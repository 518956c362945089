"""Protocol Buffers' wire format: what the parser reads is what is found, and what is cut off is not a field."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nin_spec import wire_format as wire

numbers = st.integers(0, (1 << 64) - 1)


@given(numbers, st.binary(max_size=300), st.floats(width=32, allow_nan=False))
def test_the_fields_of_a_message_are_found(number: int, text: bytes, value: float) -> None:
    """By their numbers, with their contents, whatever these hold."""
    signed = number - (1 << 64) if number >= 1 << 63 else number
    message = onnx.AttributeProto(i=signed, s=text, f=value, ints=[signed] * 2)
    data = message.SerializeToString(deterministic=True)
    found = {(field, kind): (start, end) for field, kind, start, end in wire.fields(data, 0, len(data))}
    assert set(found) == {(3, wire.VARINT), (4, wire.LENGTH), (2, wire.FIXED32), (8, wire.VARINT)}
    assert wire.varint(data, found[3, wire.VARINT][0])[0] == number
    start, end = found[4, wire.LENGTH]
    assert data[start:end] == text


@given(st.binary(max_size=60))
def test_any_bytes_are_fields_or_not(data: bytes) -> None:
    """Each field within the bytes, each after the one before; nothing but NoFieldError."""
    last = 0
    try:
        for _, _, start, end in wire.fields(data, 0, len(data)):
            assert last < start <= end <= len(data)
            last = end
    except wire.NoFieldError:
        return
    assert last == len(data)


@pytest.mark.parametrize(
    "data", [b"\x08", b"\x08\x80", b"\x12\x05abc", b"\x0d\0\0\0", b"\x0e", b"\x80" * 11, b"\x12\x7f"]
)
def test_cut_off_and_unknown_fields_are_refused(data: bytes) -> None:
    with pytest.raises(wire.NoFieldError):
        list(wire.fields(data, 0, len(data)))
