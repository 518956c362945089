"""The two files of a certification: gpu.json for programs, gpu.md for people. Both are written whole after each row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpu.certify import Outcome
from gpu.rows import Ask, Row

FORMAT = 1
STAND_IN = "A stand-in: the CPU ran the same code, and nothing here was measured on a GPU."


def write(folder: Path, data: Mapping[str, Any]) -> None:
    """Write both files, each beside its place and then renamed."""
    texts = {
        "gpu.json": json.dumps(data, indent=2, ensure_ascii=False) + "\n",
        "gpu.md": "\n".join(markdown(data)) + "\n",
    }
    for name, text in texts.items():
        part = folder / f"{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(folder / name)


def record(
    ask: Ask, rows: Sequence[Row], outcomes: Sequence[Outcome], remarks: Sequence[str], seconds: float
) -> dict[str, Any]:
    """Everything so far as plain data; rows that are still to come are `waiting`."""
    waiting = rows[len(outcomes) :]
    return {
        "format": FORMAT,
        "device": ask.device,
        "stand_in": ask.is_stand_in,
        "quick": ask.quick,
        "seconds": round(seconds, 1),
        "complete": not waiting,
        "remarks": list(remarks),
        "rows": [outcome.as_dict() for outcome in outcomes],
        "waiting": [row.name for row in waiting],
    }


def markdown(data: Mapping[str, Any]) -> Iterator[str]:
    """The page: what became of each row, then what it found."""
    yield from (f"# nin-spec on {data['device']}", "")
    if data["stand_in"]:
        yield from (f"**{STAND_IN}**", "")
    if data["quick"]:
        yield from ("**Quick: only shows that everything works; no figure here is a measurement.**", "")
    for remark in data["remarks"]:
        yield from (f"- {remark}",)
    rows = data["rows"]
    done = sum(row["status"] == "done" for row in rows)
    yield from (f"{done} of {len(rows) + len(data['waiting'])} rows done, in {data['seconds']:.0f} s.", "")
    yield from table(("row", "", "s", "why"), [(r["title"], r["status"], r["seconds"], r["reason"]) for r in rows])
    if data["waiting"]:
        yield from ("", f"Not run yet: {', '.join(data['waiting'])}.")
    for row in rows:
        yield from section(row)


def section(row: Mapping[str, Any]) -> Iterator[str]:
    """A row's tables, checks and remarks; the end of its log where it is not done."""
    if row["status"] == "skipped":
        return
    yield from ("", f"## {row['title']}", "")
    yield f"{row['status']}, {row['seconds']} s{': ' if row['reason'] else ''}{row['reason']}"
    for title, content in row.get("tables", {}).items():
        yield from ("", f"{title}:", "", *table(content["head"], content["rows"]))
    checks = row.get("checks", ())
    if checks:
        yield ""
    for check in checks:
        verdict = "holds" if check["holds"] else f"MISSED ({check['why']})"
        yield f"- {check['what']}: {verdict}"
    for remark in row.get("remarks", ()):
        yield from ("", remark)
    if row["log"]:
        yield from ("", "```", *row["log"].splitlines(), "```")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """A table in Markdown."""
    yield line(head)
    yield line(["---"] * len(head))
    yield from (line([str(cell) for cell in row]) for row in rows)


def line(cells: Sequence[str]) -> str:
    """A row of a table: no cell may end it early."""
    return f"| {' | '.join(' '.join(cell.replace('|', '&#124;').split()) for cell in cells)} |"
