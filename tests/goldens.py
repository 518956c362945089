"""Golden files: what a command printed once, reviewed, and must print again."""

from __future__ import annotations

import os
import re
from pathlib import Path


def assert_golden(text: str, path: Path) -> None:
    """`text` is what the golden file holds; `UPDATE_GOLDENS=1 pytest` writes it again, for a person to review.

    Semantic hashes are masked: they have tests of their own.
    """
    text = re.sub(r"nin1:[0-9a-f]{32}", "nin1:<hash>", text)
    if os.environ.get("UPDATE_GOLDENS"):
        path.write_text(text)
    assert text == path.read_text()
