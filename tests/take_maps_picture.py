"""The picture of class maps in the README: `python tests/take_maps_picture.py` writes tests/pictures."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).parent / "pictures" / "class_maps.png"


def main(run: str | None = None) -> None:
    """What the README's command draws of three digits; of a `run` if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        calls = [
            *([] if run else ["train nin_digits -o digits"]),
            "data save digits pictures --count 3",
            f"explain {run or 'digits'} pictures -o maps.png",
        ]
        for call in calls:
            subprocess.run([sys.executable, "-m", "nin_spec", *call.split()], cwd=folder, check=True)
        shutil.copy(Path(folder, "maps.png"), PICTURE)


if __name__ == "__main__":
    main(*(str(Path(argument).resolve()) for argument in sys.argv[1:2]))
