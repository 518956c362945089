"""Certify nin-spec on this machine's NVIDIA GPU: `make gpu`, or `python tests/gpu` with a Python that has torch.

Nothing is fetched and nothing is installed into this Python. WHEELS is a folder with those packages of nin-spec that it
lacks, for example click, pydantic and onnxruntime-gpu; they are installed into
OUT/gpu/site.

    make gpu PYTHON=python3 WHEELS=wheels OUT=out
    make gpu DEVICE=cpu                                 the same code, as far as a CPU can run it
    make gpu ONLY='--only prove-float32 --seconds 900'  some rows, which then take longer each

OUT/gpu.md and OUT/gpu.json are written after each row, so that a machine that goes away leaves what was done. The exit
code is 1 if a row failed, or missed what it checks, or none could be run; a row that can't be run here is skipped, with
the reason.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu import page, wheels
from gpu.certify import Certification, Outcome
from gpu.rows import ROWS, TOTAL, Ask, Row


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="make gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu is a stand-in  [default: cuda]")
    parser.add_argument("--out", type=Path, default=Path("out"), help="where the pages are written  [default: out]")
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="wheels of packages that this Python lacks")
    parser.add_argument("--seconds", type=float, default=TOTAL, help=f"for everything  [default: {TOTAL:.0f}]")
    parser.add_argument("--only", metavar="LIST", help=f"of {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--quick", action="store_true", help="only show that everything works, with little of all")
    given = parser.parse_args(arguments)
    if given.wheels is not None and not given.wheels.is_dir():
        parser.error(f"{given.wheels} is not a folder")
    unknown = set(names(given.only)) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: rows are {', '.join(row.name for row in ROWS)}")
    return given


def names(text: str | None) -> list[str]:
    """The names of a list."""
    return [name for name in map(str.strip, (text or "").split(",")) if name]


def chosen(only: Sequence[str], seconds: float) -> list[Row]:
    """The rows asked for; `doctor` always, because the others depend on it. Few rows may take longer each."""
    rows = [row for row in ROWS if not only or row.name in {"doctor", *only}]
    longer = max(1.0, seconds / sum(row.seconds for row in rows))
    return [replace(row, seconds=row.seconds * longer) for row in rows]


def certify(given: argparse.Namespace) -> int:
    """Run the rows; 1 if one failed or missed, or none was done, 130 if interrupted."""
    begun = time.monotonic()
    out = given.out.resolve()
    site, folder = out / "gpu" / "site", out / "gpu"
    folder.mkdir(parents=True, exist_ok=True)
    remarks = wheels.install(given.wheels.resolve(), site, begun + given.seconds) if given.wheels else []
    wheels.register(site)
    ask, rows = Ask(given.device, given.quick, str(folder)), chosen(names(given.only), given.seconds)
    certification = Certification(ask, begun + given.seconds, wheels.environment(site))

    def done(outcomes: Sequence[Outcome]) -> None:
        page.write(out, page.record(ask, rows, outcomes, remarks, time.monotonic() - begun))

    done(())
    try:
        certification.run(rows, done)
    except KeyboardInterrupt:
        print(f"interrupted; {out / 'gpu.md'} has what was done", file=sys.stderr)
        return 130
    print((out / "gpu.md").read_text(encoding="utf-8"))
    print(f"wrote {out / 'gpu.md'} and {out / 'gpu.json'}", file=sys.stderr)
    found = {outcome.status for outcome in certification.outcomes}
    return int("done" not in found or not found.isdisjoint({"failed", "missed"}))


if __name__ == "__main__":
    raise SystemExit(certify(options()))
