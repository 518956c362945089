"""Every dependency and extra at its lower bound: installed into an environment of its own, and tested there.

    python tests/lower_bounds.py ENVIRONMENT             the whole suite; then writes tests/lower_bounds.json
    python tests/lower_bounds.py ENVIRONMENT --quick     the tests marked `floors`, a few for each dependency

The bounds are read from pyproject.toml: the lowest version that a requirement allows is the one installed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests" / "lower_bounds.json"
COMMAND = "make test-floors"


def requirements() -> Iterator[Requirement]:
    """What pyproject.toml requires: to build, to run, and for each extra; not the package itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = [project["build-system"]["requires"], project["project"]["dependencies"]]
    for text in (text for part in (*named, *project["project"]["optional-dependencies"].values()) for text in part):
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) != "nin-spec":
            yield requirement


def lowest(requirement: Requirement) -> str:
    """The lower bound of a requirement. Raises ValueError where there is not exactly one."""
    bounds = [each.version for each in requirement.specifier if each.operator in {">=", "==", "~="}]
    if len(bounds) != 1:
        raise ValueError(f"{requirement}: a requirement needs one lower bound, and has {len(bounds)}")
    return bounds[0]


def lower_bounds() -> tuple[dict[str, str], dict[str, str]]:
    """Lower bounds by package: those that apply on this platform, and those that apply on others alone.

    Raises ValueError where two requirements give one package two lower bounds.
    """
    here: dict[str, str] = {}
    elsewhere: dict[str, str] = {}
    for requirement in requirements():
        found = here if requirement.marker is None or requirement.marker.evaluate() else elsewhere
        name, bound = canonicalize_name(requirement.name), lowest(requirement)
        if found.setdefault(name, bound) != bound:
            raise ValueError(f"{name}: two lower bounds, {found[name]} and {bound}")
    return here, elsewhere


def install(environment: Path, bounds: Mapping[str, str]) -> dict[str, str]:
    """A virtual environment with all of it at the lower bounds: the versions that are there, of those packages.

    Raises CalledProcessError where pip can't, ValueError where it installed another version.
    """
    subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
    constraints = environment / "constraints.txt"
    constraints.write_text("".join(f"{name}=={bound}\n" for name, bound in bounds.items()))
    pip = [_python(environment), "-m", "pip", "--disable-pip-version-check"]
    put = [*pip, "install", "--quiet", "--no-compile", "--constraint", str(constraints)]
    # What builds stays in the environment too, so that it can be looked at: pip's own would be gone.
    subprocess.run([*put, "hatchling", "editables"], check=True)
    subprocess.run([*put, "--no-build-isolation", "--editable", f"{ROOT}[dev]"], check=True)
    subprocess.run([*pip, "check"], check=True)
    listed = subprocess.run([*pip, "list", "--format", "json"], check=True, capture_output=True, text=True).stdout
    installed: dict[str, str] = {canonicalize_name(each["name"]): str(each["version"]) for each in json.loads(listed)}
    for name, bound in bounds.items():
        if Version(Version(installed[name]).public) != Version(bound):
            raise ValueError(f"{name}: asked for {bound}, and {installed[name]} was installed")
    return {name: installed[name] for name in sorted(bounds)}


def test(environment: Path, *, quick: bool, workers: str) -> tuple[int, dict[str, int]]:
    """The exit code of pytest there, and how many tests passed and were skipped."""
    results = environment / "results.xml"
    marked = [str(path) for path in sorted(ROOT.glob("tests/**/test_*.py")) if "mark.floors" in path.read_text("utf-8")]
    together = ["-n", workers, "--dist", "loadfile", "--no-loadscope-reorder"]
    chosen = ["-m", "floors", *marked] if quick else together  # those files alone: to collect them all takes longer
    command = [_python(environment), "-m", "pytest", f"--junitxml={results}", *chosen]
    code = subprocess.run(command, check=False, cwd=ROOT).returncode
    if not results.exists():
        return code, {}
    suite = ET.parse(results).getroot().find("testsuite")  # noqa: S314 pytest has just written it
    counts = (
        {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")} if suite is not None else {}
    )
    passed = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    return code, {"passed": passed, "skipped": counts["skipped"]}


def table(installed: Mapping[str, str], elsewhere: Mapping[str, str], counts: Mapping[str, int]) -> dict[str, Any]:
    """What is written down of a run in which nothing failed."""
    return {
        "written_by": COMMAND,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "tests": dict(counts),
        "installed": dict(installed),
        "not_tested": {name: f"{bound}: for another platform" for name, bound in sorted(elsewhere.items())},
    }


def _python(environment: Path) -> str:
    return str(environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def main() -> int:
    """Install, test, and write the table of a whole run that passed; the exit code of pytest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path, help="where the virtual environment is made, and replaced")
    parser.add_argument("--quick", action="store_true", help="run the tests marked `floors` alone, write no table")
    parser.add_argument("--workers", default="2", help="how many processes share the whole suite, as pytest-xdist's -n")
    asked = parser.parse_args()
    environment = asked.environment.absolute()
    here, elsewhere = lower_bounds()
    installed = install(environment, here)
    print("installed:", ", ".join(f"{name} {version}" for name, version in installed.items()), flush=True)
    code, counts = test(environment, quick=asked.quick, workers=asked.workers)
    if code == 0 and not asked.quick:
        TABLE.write_text(json.dumps(table(installed, elsewhere, counts), indent=2) + "\n")
        print(f"wrote {TABLE.relative_to(ROOT)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
