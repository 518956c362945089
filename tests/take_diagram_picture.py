"""The picture of a diagram in the README: `python tests/take_diagram_picture.py` writes tests/pictures."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from browsers import launched
from PIL import Image

NETWORK = "nin_imagenet"
PICTURE = Path(__file__).parent / "pictures" / f"diagram_{NETWORK}.png"


def main() -> None:
    """The diagram as `export --diagram svg` writes it, in no more colours than it needs."""
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        call = [sys.executable, "-m", "nin_spec", "export", NETWORK, "--diagram", "svg"]
        subprocess.run(call, cwd=folder, check=True, capture_output=True)
        page = browser.new_page(viewport={"width": 1140, "height": 570}, color_scheme="light")
        page.goto((Path(folder) / f"{NETWORK}.svg").as_uri())
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        shot.quantize(64, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
