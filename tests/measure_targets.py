"""Measure what each release of onnxruntime computes, and write exporters/targets.json: `make targets`.

Every release for the CPU that pip has for this Python, of each minor version from 1.15 on the first and the last
(`--releases` names others), is installed into a folder of its own, runs the probes of target_probes.py there, and is
removed again. Then the last release of each minor version loads files that are exported for it (target_files.py), and
must compute them rightly: if one does not, the command fails. The table is written before.

What is done is kept in the work folder, and a second run goes on from there; `--again` begins at the beginning.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import target_files
import target_probes
import torch

from nin_spec.exporters.onnx_opset import OPSETS
from nin_spec.exporters.targets import TABLE, read_table

ROOT = Path(__file__).resolve().parent.parent
CHILD = Path(__file__).with_name("target_child.py")
FIRST = (1, 15)
DOCUMENTED = {
    "1.8": {"opset": 14, "ir": 7},
    "1.9": {"opset": 15, "ir": 8},
    "1.10": {"opset": 15, "ir": 8},
    "1.11": {"opset": 16, "ir": 8},
    "1.12": {"opset": 17, "ir": 8},
    "1.13": {"opset": 17, "ir": 8},
    "1.14": {"opset": 18, "ir": 8},
}
"""Releases for which pip has no wheel any more, as docs/reference/compatibility.md of onnxruntime has them."""
ONE_NODE = 1e-5
NETWORK = 1e-4
"""Largest differences allowed, relative to the largest value: of single nodes, and of whole networks in float32."""
MINUTES = 30
"""A release that takes longer hangs."""
Result = Mapping[str, Any]


def main() -> None:
    """Measure, write the table, and try it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "targets", help="where what is done is kept")
    parser.add_argument("--releases", help="releases to measure, by comma")
    parser.add_argument("--again", action="store_true", help="measure again what was measured before")
    parser.add_argument("--table-only", action="store_true", help="don't try exported files")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.again:
        shutil.rmtree(args.work, ignore_errors=True)
    args.work.mkdir(parents=True, exist_ok=True)
    releases = args.releases.split(",") if args.releases else chosen(available())
    found = list(measured(args.work, releases))
    table = table_of(found, index_of(args.work / "probes"))
    read_table(table)
    TABLE.write_text(as_text(table), encoding="utf-8")
    print(f"wrote {TABLE.relative_to(ROOT)}: {len(found)} releases")
    if not args.table_only:
        wrong = list(tried(args.work, last_of(releases)))
        sys.exit("\n".join(wrong) if wrong else 0)


# ------------------------------------------------------------------ releases


def available() -> list[str]:
    """Every release that pip has for this Python and machine, from FIRST on, in order."""
    done = _pip("index", "versions", "onnxruntime")
    (line,) = re.findall(r"Available versions: (.*)", done)
    found = [v for v in line.split(", ") if re.fullmatch(r"\d+\.\d+\.\d+", v) and _number(v) >= FIRST]
    return sorted(found, key=_number)


def chosen(releases: Iterable[str]) -> list[str]:
    """The first and the last release of each minor version."""
    by_minor: dict[str, list[str]] = {}
    for release in releases:
        by_minor.setdefault(minor(release), []).append(release)
    return [release for group in by_minor.values() for release in dict.fromkeys((group[0], group[-1]))]


def last_of(releases: Iterable[str]) -> list[str]:
    """The last release of each minor version."""
    return list({minor(release): release for release in sorted(releases, key=_number)}.values())


def minor(release: str) -> str:
    """`1.15` of 1.15.1."""
    return ".".join(release.split(".")[:2])


def _number(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


def _pip(*arguments: str) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def installed(release: str, work: Path) -> Iterator[Path]:
    """A folder with one release and the NumPy that it was built for, removed afterwards."""
    folder = work / "installed"
    shutil.rmtree(folder, ignore_errors=True)
    numpy = "numpy<2" if _number(release) < (1, 19) else "numpy>=2"
    options = ("--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(folder))
    try:
        _pip("install", *options, f"onnxruntime=={release}", numpy)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(release: str, folder: Path, probes: Path, tolerance: float) -> Result:
    """What the probes came to in an installed release, in a process that sees nothing else."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "ORT_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-S", str(CHILD), str(probes), str(tolerance)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, timeout=MINUTES * 60, cwd=folder
    )
    if done.returncode:
        sys.exit(f"onnxruntime {release} ends with {done.returncode}: {done.stderr[-2000:]}")
    found: Result = json.loads(done.stdout.splitlines()[-1])
    if found["version"] != release:
        sys.exit(f"onnxruntime {release} says that it is {found['version']}")
    return found


# ------------------------------------------------------------------ the table


def measured(work: Path, releases: list[str]) -> Iterator[Result]:
    """What each release came to, from the work folder or measured now."""
    probes = work / "probes"
    if not (probes / "index.json").exists():
        shutil.rmtree(probes, ignore_errors=True)
        probes.mkdir()
        print("writing the probes", flush=True)
        target_probes.write_probes(probes)
    for k, release in enumerate(releases, 1):
        kept = work / f"{release}.json"
        if not kept.exists():
            with installed(release, work) as folder:
                found = run(release, folder, probes, ONE_NODE)
            kept.with_suffix(".tmp").write_text(json.dumps(found))
            kept.with_suffix(".tmp").replace(kept)
        result: Result = json.loads(kept.read_text())
        print(f"{k} of {len(releases)}: {release}: {len(result['wrong'])} of {result['count']} wrong", flush=True)
        yield result


def index_of(probes: Path) -> list[dict[str, Any]]:
    """The probes of a folder."""
    found: list[dict[str, Any]] = json.loads((probes / "index.json").read_text())["probes"]
    return found


def table_of(results: Iterable[Result], probes: list[dict[str, Any]]) -> dict[str, Any]:
    """The table: a row for each minor release, in which what is wrong in one of its releases is wrong."""
    rows: dict[str, dict[str, Any]] = {
        name: {**row, "versions": [], "source": "documentation"} for name, row in DOCUMENTED.items()
    }
    by_minor: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: _number(result["version"])):
        by_minor.setdefault(minor(result["version"]), []).append(result)
    rows |= {name: row_of(group, probes) for name, group in by_minor.items()}
    forms = sorted({probe["form"] for probe in probes if not _is_envelope(probe["form"])})
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "forms": forms,
        "onnxruntime": rows,
    }


def row_of(results: list[Result], probes: list[dict[str, Any]]) -> dict[str, Any]:
    """A row: the highest opset at which every op works, the highest IR version, and what is wrong below."""
    wrong = {file for result in results for file in result["wrong"]}
    bad: dict[str, set[int]] = {}
    for probe in probes:
        if probe["file"] in wrong:
            bad.setdefault(probe["form"], set()).add(probe["opset"])
    loads = [opset for opset in range(OPSETS[0], OPSETS[1] + 1) if opset not in bad.get("opset", ())]
    basic = [form for form in {probe["form"] for probe in probes} if _is_basic(form)]
    opset = max(opset for opset in loads if not any(opset in bad.get(form, ()) for form in basic))
    irs = [int(probe["form"].split()[1]) for probe in probes if probe["form"].startswith("ir ")]
    faults = {
        form: sorted(o for o in opsets if OPSETS[0] <= o <= opset)
        for form, opsets in sorted(bad.items())
        if not _is_envelope(form)
    }
    return {
        "opset": opset,
        "ir": max(ir for ir in irs if f"ir {ir}" not in bad),
        "versions": [result["version"] for result in results],
        "faults": {form: opsets for form, opsets in faults.items() if opsets},
    }


def _is_envelope(form: str) -> bool:
    return form == "opset" or form.startswith("ir ")


def _is_basic(form: str) -> bool:
    """An op, or a pool that no release may lack; the others are looked up one by one."""
    return form[:1].isupper() or form.startswith(("max floor unpadded", "average floor unpadded"))


def as_text(table: Mapping[str, Any]) -> str:
    """The table's JSON, its lists of numbers on one line each, for a person to review."""
    text = json.dumps(table, indent=1)
    return re.sub(r"\[\s*((?:(?:\d+|\"[\d.]+\"),?\s*)*)\]", lambda m: f"[{' '.join(m[1].split())}]", text) + "\n"


# ------------------------------------------------------------------ tried


def tried(work: Path, releases: list[str]) -> Iterator[str]:
    """What is wrong, in each release, with the files that are exported for it."""
    for release in releases:
        folder = work / "files"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        tally = target_files.write_files(folder, f"onnxruntime=={release}")
        with installed(release, work) as own:
            result = run(release, own, folder, NETWORK)
        names = {probe["file"]: probe["form"] for probe in index_of(folder)}
        print(f"{release}: {tally}; {len(result['wrong'])} wrong", flush=True)
        yield from (f"{release}: {names[file]}: {why}" for file, why in result["wrong"].items())
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
