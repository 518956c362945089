"""The process of one row: `python -m gpu.child CALL ASK ARGUMENTS RESULT`, the middle two as JSON.

Exits 0 when the row has reported, though something that it checked may not hold. An error of nin-spec is printed in its
own words, any other as a traceback.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from gpu.found import Found
from gpu.rows import Ask


def run(call: str, ask: Ask, arguments: dict[str, object], found: Found) -> int:
    """Call the row's function, and keep what it found even if it raises."""
    module, _, name = call.partition(":")
    try:
        getattr(importlib.import_module(f"gpu.{module}"), name)(ask, found, **arguments)
    except Exception as error:
        found.skipped = missing(error)
        said = explained(error)
        if not (found.skipped or said):
            raise
        print(found.skipped or said, file=sys.stderr)
        return 0 if found.skipped else 1
    finally:
        found.keep()
    return 0


def missing(error: Exception) -> str:
    """What an error says of a package that is not installed, "" for other errors and for modules of this repository."""
    if isinstance(error, ModuleNotFoundError):
        name = (error.name or "").partition(".")[0]
        return "" if name in {"gpu", "nin_spec"} else f"the package {name} is not installed"
    codes = {d.code.name for d in getattr(error, "diagnostics", ())}
    return (explained(error) or "") if codes == {"EXTRA_MISSING"} else ""


def explained(error: Exception) -> str | None:
    """The message and hint of nin-spec's own error, None for others."""
    found = getattr(error, "diagnostics", None)
    if not found:
        return None
    return "\n".join(f"{d.message}; {d.hint}" if d.hint else d.message for d in found)


def main() -> int:
    """Run the row of the command line."""
    call, ask, arguments, result = sys.argv[1:]
    return run(call, Ask(**json.loads(ask)), json.loads(arguments), Found(Path(result)))


if __name__ == "__main__":
    raise SystemExit(main())
