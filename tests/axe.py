"""axe-core: what in a page hinders people who use a keyboard, a screen reader, or see little contrast."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "AXE"
"""The environment variable with the path of axe.min.js, which else is looked for where `.ci/programs` puts it."""
_RUN = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.flatMap(rule =>
    rule.nodes.map(node => `${rule.id}: ${node.target.join(" ")}: ${node.failureSummary}`))"""


@cache
def _script() -> str:
    beside = [Path(folder).parent / "axe-core" / "axe.min.js" for folder in os.get_exec_path() if folder]
    given = [Path(os.environ[VARIABLE])] if VARIABLE in os.environ else []
    found = next((path for path in [*given, *beside] if path.is_file()), None)
    if found is None:
        pytest.skip(f"needs axe-core (npm install axe-core) beside a program of the path, or its path in {VARIABLE}")
    return found.read_text("utf-8")


def violations(page: Any) -> list[str]:
    """Every rule that a page breaks, with the element and why; skips where axe is not installed."""
    page.evaluate(_script())
    found: list[str] = page.evaluate(_RUN)
    return found
