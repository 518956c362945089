"""The picture of the studio in the README: `python tests/take_studio_picture.py` writes tests/pictures/studio.png."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent / "studio"))
from studio_process import CHROMIUM, Tab, running

PICTURE = Path(__file__).parent / "pictures" / "studio.png"


def main() -> None:
    """nin_cifar as it comes."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with running(Path(folder), "nin_cifar") as studio, Tab(browser, studio, color_scheme="light") as tab:
            tab.page.wait_for_timeout(800)  # the editor's colours fade in
            data = tab.page.screenshot()
            Image.open(io.BytesIO(data)).quantize(96).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
