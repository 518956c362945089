"""Where a package's docstring says what each of its modules is for, it leaves none out and invents none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import nin_spec

ROOT = Path(nin_spec.__file__).parent


def map_of(package: Path) -> set[str]:
    """The modules (`name.py`) and packages (`name/`) that the docstring of a package names."""
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    return set(re.findall(r"\b\w+(?:\.py\b|/)", text))


PACKAGES = [file.parent for file in ROOT.glob("**/__init__.py")]
MAPPED = [package for package in PACKAGES if len([name for name in map_of(package) if name.endswith(".py")]) > 1]


def test_the_largest_packages_have_a_map() -> None:
    """So that the test below has something to hold to the truth."""
    assert {"nin_spec", "bench", "importers", "caffe", "onnx", "lint", "studio", "training"} <= {
        package.name for package in MAPPED
    }


@pytest.mark.parametrize("package", MAPPED, ids=lambda package: package.name)
def test_a_map_names_every_module(package: Path) -> None:
    """A module that is added is added to the map."""
    modules = {file.name for file in package.glob("*.py")} - {"__init__.py"}
    named = map_of(package)
    assert {name for name in named if name.endswith(".py")} == modules
    if package == ROOT:
        folders = {f"{f.name}/" for f in package.iterdir() if f.is_dir() and not f.name.startswith("_")}
        assert {name for name in named if name.endswith("/")} == folders
