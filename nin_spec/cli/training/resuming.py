"""Which run --resume resumes, and that it stays the run that it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_spec.cli.options import compile_spec, tell
from nin_spec.cli.training.arguments import Arguments

if TYPE_CHECKING:
    from nin_spec.network import Network
    from nin_spec.training.folder import Run


def run_to_resume(asked: Arguments) -> Run | None:
    """The run to resume; None where -o names one that does not exist yet."""
    from nin_spec.named import is_run
    from nin_spec.training.folder import latest_folder, open_run

    if asked.output is not None and not is_run(asked.output):
        return None
    folder = Path(asked.output or asked.target)
    if not is_run(folder):
        folder = latest_folder(compile_spec(asked.target, (), None).card.name)
    run = open_run(folder)
    _require_same(run, asked)
    if run.record.status == "finished":
        tell([f"{folder} is finished; to train it longer: {run.longer}"])
    return run


def _require_same(run: Run, asked: Arguments) -> None:
    """A run keeps its settings: refuse what would make it another one."""
    from nin_spec.named import is_run

    said = _said()
    if asked.output is not None and not is_run(asked.target):
        network = compile_spec(asked.target, asked.overrides, asked.size)
        if keys := _differing(network, run.network):
            named = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
            message = f"{run.path} is a run of another network or recipe: pass another --output (differs in: {named})"
            raise click.UsageError(message)
        said -= {"overrides", "size"}
    before, now = _settings_of(run), _settings(asked, run.record.started_from)
    if other := {name for name in said if name not in before or before[name] != now[name]}:
        parameters = click.get_current_context().command.params
        flags = ", ".join(sorted(next(p.opts[0] for p in parameters if p.name == name) for name in other))
        longer = f"; to train it longer: {run.longer}" if run.record.status == "finished" else ""
        raise click.UsageError(f"--resume keeps the settings of {run.path}; leave out {flags}{longer}")


_FREE = {"target", "resumed", "output", "data", "peer_timeout"}
"""What may change when a run is resumed."""


def _said() -> set[str]:
    """The parameters that the command line sets, except those that may change."""
    context = click.get_current_context()
    source = click.core.ParameterSource.COMMANDLINE
    return {name for name in context.params if context.get_parameter_source(name) is source} - _FREE


def _settings_of(run: Run) -> dict[str, Any]:
    """A run's settings, by the names of the parameters."""
    settings = asdict(run.record.settings)
    start = run.record.start
    new_head = start is not None and start.new_head
    return {**settings, "compiled": settings["compile"], "weights": run.record.started_from, "new_head": new_head}


def _settings(asked: Arguments, before: str | None) -> dict[str, Any]:
    """The same as asked for. `before` is the file that the run started from, which it does not need any more."""
    start = None if asked.weights is None else _file(Path(asked.weights), before)
    return {**asdict(asked), **asdict(asked.settings), "weights": start}


def _file(asked: Path, before: str | None) -> str:
    """The file of weights that was asked for; the one before, if it was that file or its run folder."""
    from nin_spec.weights import weights_file

    place = asked.resolve()
    if before is not None and not place.exists() and place in {Path(before), Path(before).parent}:
        return before
    return str(weights_file(asked).resolve())


def _differing(ours: Network, theirs: Network) -> list[str]:
    """The keys in which two specs differ, except their names; labels count where both have them."""
    left, right = ({k: v for k, v in n.spec.data.items() if k not in {"name", "summary"}} for n in (ours, theirs))
    if ours.card.classes == theirs.card.classes and not ours.card.labels:
        left["classes"] = right["classes"]  # a run has those of its data set
    return [".".join(map(str, path)) for path in _apart(left, right)]


def _apart(ours: Any, theirs: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths at which two trees of plain data differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys((*ours, *theirs)):
            yield from _apart(ours.get(key), theirs.get(key), (*path, key))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _apart(one, other, (*path, number))
    elif ours != theirs:
        yield path
