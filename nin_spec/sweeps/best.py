"""A trial as a spec that extends the sweep's base: the changed parts in full, proved to be the same training."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from nin_spec.diagnostics import Code, Source, SpecError, SweepError
from nin_spec.language import load as language
from nin_spec.language.document import plain
from nin_spec.language.emit import emit
from nin_spec.language.load import load_source
from nin_spec.network import compile as compile_network
from nin_spec.sweeps import objectives
from nin_spec.sweeps.candidates import identity_of, trained_candidate
from nin_spec.sweeps.results import SweepResult
from nin_spec.sweeps.rows import SweepTrial

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


def spec_of(result: SweepResult, trial: SweepTrial, target: Path | None) -> str:
    """The YAML of a trial, for a file at `target`, or for standard output in the working folder.

    Raises SweepError if the text would not compile to the network and the recipe that were trained.
    """
    sweep = result.sweep
    found = trained_candidate(sweep, trial)
    base = plain(language.base_of(sweep.source, sweep.root.entries["base"]))
    name = f"{result.record.name}_best"
    name = name if _NAME.fullmatch(name) else f"{base['name']}_best"
    for whole in (False, True):
        head = {"spec": 1, "extends": _reference(result, target), "name": name}
        body = changes(base, plain(found.tree), whole=whole)
        text = _comment(result, trial) + emit(
            {**head, **{k: v for k, v in body.items() if k not in head}}, compact=True
        )
        if _identity(text, target) == trial.identity:
            return text
    message = f"trial {trial.number} can't be written as a spec that extends {sweep.file.base}"
    raise SweepError(Code.SWEEP, message, hint=f"its spec is {trial.folder}/spec.yaml")


def _identity(text: str, target: Path | None) -> str | None:
    """What a spec would train, or None if it does not compile."""
    try:
        return identity_of(compile_network(load_source(Source(str(target or "best.yaml"), text))))
    except SpecError:
        return None


def _reference(result: SweepResult, target: Path | None) -> str:
    """The base as the new file names it."""
    base = result.sweep.file.base
    if "/" not in base and not base.endswith((".yaml", ".yml")):
        return base
    file = (Path(result.record.file).parent / base).resolve()
    folder = (Path() if target is None else target.parent).resolve()
    return os.path.relpath(file, folder)


def _comment(result: SweepResult, trial: SweepTrial) -> str:
    values = ", ".join(f"{name} {objectives.shown(name, value)}" for name, value in trial.values.items())
    trained = len(result.trained)
    lines = [
        f"Trial {trial.number}, the best of {trained} candidates of {Path(result.record.file).name}: {values}.",
        "The best of many flatters itself: nin-spec sweep DIR --confirm 3 trains it again with other seeds.",
    ]
    return "".join(f"# {line}\n" for line in lines)


def changes(old: dict[str, Any], new: dict[str, Any], *, whole: bool = False) -> dict[str, Any]:
    """What a spec must say to become `new` by extending `old`; `whole` writes all blocks instead of changed ones."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key), new.get(key)
        if before == after and (key in old) == (key in new):
            continue
        if key == "blocks" and not whole and isinstance(before, list) and isinstance(after, list):
            found[key] = _blocks(before, after)
        else:
            found[key] = _changed(before, after)
    return found


def _changed(old: Any, new: Any) -> Any:
    """A value over the old one: a mapping with a kind in full, any other key by key, null for what is gone."""
    if not isinstance(new, dict) or not isinstance(old, dict):
        return new
    gone = {key: None for key in old if key not in new}
    kept = new if "kind" in new else {k: _changed(old.get(k), v) for k, v in new.items() if k not in old or old[k] != v}
    return {**kept, **gone}


def _blocks(old: list[Any], new: list[Any]) -> Any:
    """Changed blocks by name or index, or all of them where their number differs."""
    if len(old) != len(new) or not all(isinstance(block, dict) for block in (*old, *new)):
        return new
    names = [str(block.get("name", k)) for k, block in enumerate(old)]
    return {name: _changed(a, b) for name, a, b in zip(names, old, new, strict=True) if a != b}
