"""What rows import: this checkout, and a folder of wheels, beside the packages of the Python that runs them.

Nothing is installed into that Python. Packages are never fetched: a wheel that is missing is a package that is missing,
and its rows say so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-compile")


def install(wheels: Path, site: Path, end: float) -> list[str]:
    """Install every wheel of a folder into `site`, and return what went wrong.

    If pip refuses them together, each is tried alone. `end` is when the clock ends it.
    """
    found = sorted(wheels.glob("*.whl"))
    if not found:
        return [f"{wheels} has no wheels"]
    if not _pip(found, site, end):
        return []
    return [f"{wheel.name}: {why}" for wheel in found if (why := _pip([wheel], site, end))]


def _pip(wheels: list[Path], site: Path, end: float) -> str:
    """What pip says against some wheels, "" if it has installed them."""
    left = end - time.monotonic()
    if left <= 0:
        return "no time left to install it"
    command = (sys.executable, *_PIP, "--upgrade", "--target", str(site), *map(str, wheels))
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=left)
    except subprocess.TimeoutExpired:
        return f"pip did not end within {left:.0f} s"
    lines = done.stderr.strip().splitlines() or [f"pip exited with status {done.returncode}"]
    return lines[-1] if done.returncode else ""


def register(site: Path) -> None:
    """Write the metadata that an installation would have, with the entry points of the exporters, if there is none."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    try:
        distribution(project["name"])
    except PackageNotFoundError:
        folder = site / "nin_spec-0.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0\n")
        groups = project["entry-points"]
        lines = [line for group, points in groups.items() for line in (f"[{group}]", *_points(points))]
        (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")


def _points(points: dict[str, str]) -> list[str]:
    return [f"{name} = {value}" for name, value in points.items()]


def environment(site: Path) -> dict[str, str]:
    """The environment of rows: modules from the wheels first, then from this checkout."""
    paths = [str(path) for path in (site, ROOT, ROOT / "tests")]
    before = os.environ.get("PYTHONPATH")
    # Scripts of the suite import one another from tests; the current folder is nobody's.
    return os.environ | {"PYTHONPATH": os.pathsep.join([*paths, *([before] if before else [])]), "PYTHONSAFEPATH": "1"}
