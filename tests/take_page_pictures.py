"""The pages, seen as people see them: `python tests/take_page_pictures.py [OUT]`.

The studio at 1440 pixels in light is the README's picture, tests/pictures/studio.png. Every page in light and dark, on
a desk and a phone, is written into the folder OUT, for a person to look at: `PAGE-SCHEME-WINDOW.png`.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browsers import LOOKS, WIDTHS, launched
from PIL import Image

sys.path.extend(str(Path(__file__).parent / folder) for folder in ("studio", "serving", "runtime"))
import server_process
import studio_process

PICTURE = Path(__file__).parent / "pictures" / "studio.png"
CALLS = (
    "train nin_digits -o run --set train.epochs=6",
    "evaluate run",
    "export run --onnx digits.onnx --outputs scores,maps",
    "export run --report report.html",
    "data save digits pictures --count 3",
)
"""The commands that make a run of digits, and what is shown of it."""
Show = Callable[[Any, str, str], Any]
"""Opens a page in a browser, in a colour scheme and a window, and returns it once it is whole."""


def main(out: Path) -> None:
    """A run of digits, then each page in each look."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, launched() as browser:
        folder = Path(name)
        for call in CALLS:
            subprocess.run([sys.executable, "-m", "nin_spec", *call.split()], cwd=folder, check=True)
        for page, shown in {"server": served(folder), "report": report(folder), "studio": studio(folder)}.items():
            with shown as show:
                for scheme, window in LOOKS:
                    tab = show(browser, scheme, window)
                    tab.screenshot(path=out / f"{page}-{scheme}-{window}.png", full_page=page != "studio")
                    tab.context.close()


def opened(browser: Any, address: str, scheme: str, window: str) -> Any:
    """A page in a window."""
    page = browser.new_context(viewport=WIDTHS[window], color_scheme=scheme).new_page()
    page.goto(address)
    return page


@contextmanager
def served(folder: Path) -> Iterator[Show]:
    """The server's page, with a digit and its class maps."""
    picture = sorted((folder / "pictures").glob("*.png"))[1]
    with server_process.running(f"digits={folder / 'digits.onnx'}") as server:

        def show(browser: Any, scheme: str, window: str) -> Any:
            page = opened(browser, f"http://127.0.0.1:{server.port}/", scheme, window)
            page.wait_for_selector("#diagram svg")
            page.set_input_files("#file", str(picture))
            page.wait_for_selector("#maps:not([hidden])")
            return page

        yield show


@contextmanager
def report(folder: Path) -> Iterator[Show]:
    """The report of the run."""
    yield lambda browser, scheme, window: opened(browser, (folder / "report.html").as_uri(), scheme, window)


@contextmanager
def studio(folder: Path) -> Iterator[Show]:
    """The studio on nin_cifar; the first look is the README's picture."""
    with studio_process.running(folder, "nin_cifar") as running:

        def show(browser: Any, scheme: str, window: str) -> Any:
            tab = studio_process.Tab(browser, running, viewport=WIDTHS[window], color_scheme=scheme)
            tab.page.wait_for_timeout(800)  # the editor's colours fade in
            if (scheme, window) == ("light", "desk"):
                Image.open(io.BytesIO(tab.page.screenshot())).quantize(96).save(PICTURE, optimize=True)
            return tab.page

        yield show


if __name__ == "__main__":
    main(Path(*sys.argv[1:2] or ["out", "pages"]))
