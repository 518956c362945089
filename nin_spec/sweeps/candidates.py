"""Candidates: a sweep's base with one value of each axis, compiled; and which of them fit and differ."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from random import Random
from typing import Any

from nin_spec.diagnostics import Code, SpecError, SweepError
from nin_spec.language import family
from nin_spec.language import load as language
from nin_spec.language.document import Entry, Table
from nin_spec.network import Network
from nin_spec.network import compile as compile_network
from nin_spec.sweeps import objectives
from nin_spec.sweeps.axes import Param, choose, resolved, text_of
from nin_spec.sweeps.load import Sweep
from nin_spec.sweeps.rows import SweepTrial

PROBES, PROBE_SECONDS = 200, 1.0
"""Candidates that are compiled before a sweep starts, and the seconds after which fewer are enough."""


@dataclass(frozen=True)
class Candidate:
    """One network of a sweep. `tree` is its spec as merged, `params` what the sampler chose."""

    params: Mapping[str, Param]
    tree: Table
    network: Network

    @property
    def facts(self) -> dict[str, int]:
        """What its shape table says."""
        return objectives.of_table(self.network.table)

    @property
    def identity(self) -> str:
        """Equal for two candidates that would train the same: the same function, weights at the start, and recipe."""
        return identity_of(self.network)


def identity_of(network: Network) -> str:
    """The SHA-256 of what a training depends on: semantic hash, recipe, preprocessing and initialisation."""
    data = network.spec.data
    init = {name: asdict(scheme) for name, scheme in network.initialisation().by_node.items()}
    parts = [network.hash, data.get("train"), data["input"], init]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def candidate(sweep: Sweep, params: Mapping[str, Param]) -> Candidate:
    """The network of some parameters. Raises SpecError; positions of values are those in the sweep file."""
    chosen = {axis.key: axis.node(params[axis.key]) for axis in sweep.axes if axis.key in params}
    names = {key: node for key, node in chosen.items() if key.startswith("$")}
    tree = sweep.base
    for key, entry in sweep.fixed.items():
        tree = family.put(tree, key, Entry(entry.key_span, resolved(entry.node, names)))
    for axis in sweep.axes:
        if axis.key in chosen and axis.key not in names:
            tree = family.put(tree, axis.key, Entry(axis.key_span, resolved(chosen[axis.key], names)))
    network = compile_network(language.complete(tree))
    require_validation(sweep, network)
    return Candidate(params, tree, network)


def trained_candidate(sweep: Sweep, trial: SweepTrial) -> Candidate:
    """The network of a trial. Raises SweepError if the base would give another one now."""
    found = candidate(sweep, choose(sweep.axes, lambda axis: trial.params[axis.key]))
    if found.identity != trial.identity:
        message = f"trial {trial.number} was trained from another base: {sweep.file.base} has changed since"
        raise SweepError(Code.SWEEP_UNUSABLE, message, hint=f"its spec is {trial.folder}/spec.yaml")
    return found


def require_validation(sweep: Sweep, network: Network) -> None:
    """Raise SpecError unless the recipe holds pictures out: the test split must never choose."""
    recipe = network.spec.spec.train
    if recipe is None:
        message = f"{network.card.name} has no recipe: its spec has no train section"
        raise SpecError(Code.RECIPE, message, sweep.span("base"), "choose a base with a train section, or set one")
    if not recipe.validation:
        span = sweep.span("set", "train.validation")
        message = "the recipe holds no pictures out, and the test split must not choose a network"
        raise SpecError(Code.SWEEP, message, span, "hold some out, for example set: {train.validation: 0.2}")


def changes(sweep: Sweep, params: Mapping[str, Param]) -> str:
    """What a candidate has chosen, as a person would write it."""
    shown = [f"{axis.key}={_short(axis.node(params[axis.key]))}" for axis in sweep.axes if _varies(axis, params)]
    return ", ".join(shown)


def _varies(axis: Any, params: Mapping[str, Param]) -> bool:
    return axis.key in params and not axis.is_fixed


def _short(node: Any) -> str:
    value = getattr(node, "value", None)
    return f"{value:.4g}" if isinstance(value, float) else text_of(node)


def over_limits(limits: Mapping[str, float], facts: Mapping[str, int]) -> dict[str, float]:
    """The quantities that exceed their limits, and by which factor."""
    return {name: facts[name] / limit for name, limit in limits.items() if facts[name] > limit}


# ------------------------------------------------------------------ a look at the space


@dataclass(frozen=True)
class Probe:
    """What random candidates of a space are like."""

    drawn: int
    invalid: int
    outside: int
    distinct: int
    functions: int
    macs: tuple[int, ...]
    """MACs times epochs of one picture, of those that fit."""

    @property
    def fitting(self) -> int:
        """How many fit the limits, those drawn twice among them."""
        return self.drawn - self.invalid - self.outside


def probe(sweep: Sweep, probes: int = PROBES, seconds: float = PROBE_SECONDS) -> Probe:
    """Compile random candidates, without training, until it is clear what the space holds.

    Raises SpecError if none compiles, SweepError if none is within the limits.
    """
    rng, end = Random(sweep.file.seed), time.monotonic() + seconds  # noqa: S311 not for secrets
    failed: list[SpecError] = []
    nearest: dict[str, int] = {}
    seen: set[str] = set()
    functions: set[str] = set()
    costs: list[int] = []
    drawn = outside = 0
    while drawn < probes and (time.monotonic() < end or drawn < 5):
        drawn += 1
        try:
            found = candidate(sweep, choose(sweep.axes, lambda axis: axis.draw(rng)))
        except SpecError as error:
            failed.append(error)
            continue
        if over_limits(sweep.limits, found.facts):
            outside += 1
            nearest = {k: min(v, nearest.get(k, v)) for k, v in found.facts.items()}
            continue
        recipe = found.network.spec.spec.train
        costs.append(found.facts["macs"] * (recipe.epochs if recipe else 0))
        seen.add(found.identity)
        functions.add(found.network.hash)
    if len(failed) == drawn:
        raise failed[0]
    if not costs:
        raise _nothing_fits(sweep, drawn - len(failed), nearest)
    return Probe(drawn, len(failed), outside, len(seen), len(functions), tuple(costs))


def _nothing_fits(sweep: Sweep, tried: int, nearest: Mapping[str, int]) -> SweepError:
    least = ", ".join(f"{objectives.shown(name, nearest[name])} {name}" for name in sweep.limits)
    message = f"none of {tried} random candidates is within the limits; the least that one has: {least}"
    return SweepError(Code.NOTHING_FITS, message, sweep.span("within"), "raise the limit, or widen the space downwards")
