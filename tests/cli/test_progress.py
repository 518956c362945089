"""Progress of long commands."""

from __future__ import annotations

import pytest

from nin_spec.cli.progress import clock


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (42, "42 s"), (180, "3 min"), (4800, "80 min"), (5520, "1 h 32 min")]
)
def test_time_left_is_shown_in_the_usual_units(seconds: float, text: str) -> None:
    """Seconds, then minutes, then hours."""
    assert clock(seconds) == text
