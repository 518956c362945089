"""The browser that tests and pictures drive: playwright, on a Chromium of the system."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
WIDTHS = {"phone": {"width": 390, "height": 844}, "desk": {"width": 1440, "height": 900}}
"""The windows in which the pages are tested and shown, in CSS pixels."""
LOOKS = [(scheme, window) for scheme in ("light", "dark") for window in WIDTHS]
"""How a page may be seen."""


@contextmanager
def launched() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def chromium(subject: str) -> Iterator[Any]:
    """The same for tests of a subject, which skip where there is none."""
    pytest.importorskip("playwright.sync_api", reason=f"{subject} is tested where playwright is installed")
    if CHROMIUM is None:
        pytest.skip(f"{subject} is tested where a Chromium is installed")
    with launched() as browser:
        yield browser
