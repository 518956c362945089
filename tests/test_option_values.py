"""Lists in options."""

from __future__ import annotations

from nin_spec.option_values import by_comma


def test_a_text_is_split_at_its_commas_and_anything_else_is_left() -> None:
    assert by_comma("1, 8,64 ") == ("1", "8", "64")
    for value in ((1, 8), 3, None):
        assert by_comma(value) == value
