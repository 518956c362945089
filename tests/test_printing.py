"""Text that people read: sizes and their units."""

from __future__ import annotations

import pytest

from nin_spec.printing import memory


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 << 20, "5.0 MiB"),
        (3 << 30, "3.0 GiB"),
        (1 << 42, "4096.0 GiB"),
    ],
)
def test_memory_has_a_binary_unit(size: int, text: str) -> None:
    """B, KiB, MiB, GiB."""
    assert memory(size) == text
