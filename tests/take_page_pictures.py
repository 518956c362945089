"""The pictures of diagrams and reports in tests/pictures, taken of what the commands write: `make pictures`.

Needs playwright and a Chromium, and trains nin_digits, which takes some seconds.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

PICTURES = Path(__file__).parent / "pictures"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
LIMIT = 150_000
"""Bytes of a picture, at most."""

COMMANDS = (
    ("export", "nin_imagenet", "--diagram", "svg"),
    ("export", "nin_cifar", "--report"),
    ("train", "nin_digits", "--output", "run"),
    ("evaluate", "run", "--format", "json"),
    ("export", "run", "--report", "run.html"),
)
SHOTS = (
    ("diagram_nin_imagenet", "nin_imagenet.svg", 1140, 570, "light"),
    ("report_nin_cifar", "nin_cifar.html", 1200, 1500, "light"),
    ("report_run_dark", "run.html", 1200, 1500, "dark"),
    ("report_run_phone", "run.html", 375, 1500, "light"),
)


def make(folder: Path) -> None:
    """Run the commands; what evaluate prints is kept with the run."""
    for command in COMMANDS:
        call = [sys.executable, "-m", "nin_spec", *command]
        done = subprocess.run(call, cwd=folder, check=True, capture_output=True)
        if command[0] == "evaluate":
            (folder / "run" / "evaluation.json").write_bytes(done.stdout)


def shoot(browser: Any, folder: Path) -> None:
    """Each picture, in no more colours than it needs."""
    for name, file, width, height, scheme in SHOTS:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        page = context.new_page()
        page.goto((folder / file).as_uri())
        target = PICTURES / f"{name}.png"
        small = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(64, dither=Image.Dither.NONE)
        small.save(target, optimize=True)
        size = target.stat().st_size
        print(f"wrote {target} ({size:,} bytes)")  # noqa: T201
        if size > LIMIT:
            sys.exit(f"{target} is larger than {LIMIT:,} bytes")
        context.close()


def main() -> None:
    """Take them all."""
    from playwright.sync_api import sync_playwright

    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        make(Path(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shoot(browser, Path(folder))
        browser.close()


if __name__ == "__main__":
    main()
