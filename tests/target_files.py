"""Files exported for a target, with inputs and what must come out, for `make targets` to try in the real release.

Every pool of target_probes.py as a network of its own, of a fixed and of an open size, at the opset that the exporter
chooses and at the highest; and random specs that have a pool. What the exporter refuses is counted, and must have said
what to do instead.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import Phase, given, seed, settings
from spec_strategies import specs, to_text
from target_probes import CARD, CONVOLUTION, Array, Probes, reference

import nin_spec
from nin_spec.conformance.pools import pools
from nin_spec.conformance.trial import weights_of
from nin_spec.diagnostics import ExportError, NinSpecError
from nin_spec.exporter import make
from nin_spec.exporters.targets import find_target
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Pair, ShapeError, TensorType
from nin_spec.model import Model
from nin_spec.runtime.sizes import sizes_to_try

RANDOM = 40
"""Random specs with a pool that each release gets."""
EVERY = 5
"""Of the pools that were measured one by one, each release gets every fifth; the count is prime to their order."""
SIZE = (9, 8)
EXPECTED: dict[str, Array] = {}
"""What networks give, kept from one release to the next: inputs are the same for each."""


def write_files(folder: Path, target: str) -> str:
    """Write the files for a target into an empty folder, and return how many there are and how many were refused."""
    probes, tally = Probes(folder), Counter[str]()
    highest = min(find_target(target).runtime.opset, 26)
    for name, model in models():
        for opset in (None, highest):
            options = {"target": target, "opset": opset}
            try:
                (data,) = make(model, "onnx", options).files.values()
            except ExportError as error:
                tally["refused"] += 1
                if not all(d.hint for d in error.diagnostics):
                    raise
                continue
            tally["written"] += 1
            probes.add(data, f"{name} at {opset or 'any'}", opset or 0, list(cases_of(model, name, probes)))
    probes.write()
    return f"{tally['written']} files, {tally['refused']} refused"


def cases_of(model: Model, name: str, probes: Probes) -> Iterator[dict[str, Any]]:
    """Inputs of every size that the network is tried at, and its scores."""
    sizes = sizes_to_try(model.graph) if model.graph.open_size else [_size(model)]
    for size in sizes:
        taken = probes.input(model.graph.input.shape[0], size)
        given = f"{name} {size}"
        if given not in EXPECTED:
            EXPECTED[given] = reference(model)(probes.array(taken))
        yield {"input": taken, "outputs": {"scores": probes.keep(given, EXPECTED[given])}}


@cache
def models() -> tuple[tuple[str, Model], ...]:
    """Every network by name: the same ones for every target."""
    return (*pool_models(), *random_models())


def _size(model: Model) -> Pair:
    _, height, width = model.graph.input.maps()
    return height, width


def pool_models() -> Iterator[tuple[str, Model]]:
    """Each pool behind a convolution, of a fixed and of an open size."""
    for op in itertools.islice(pools(), 0, None, EVERY):
        for open_size in (False, True):
            graph = Graph("pool", TensorType((3, *SIZE)), open_size=open_size).then("conv", CONVOLUTION)
            try:
                graph = graph.then("pool", op)
            except ShapeError:
                continue
            yield f"{op}{' open' if open_size else ''}", Model(graph, weights_of(graph), CARD)


def random_models() -> Iterator[tuple[str, Model]]:
    """Random specs with a pool, the same ones for every target; of an open size where they allow it."""
    drawn: list[dict[str, Any]] = []

    @seed(0)
    @settings(max_examples=6 * RANDOM, deadline=None, database=None, phases=[Phase.generate])
    @given(specs())
    def draw(data: dict[str, Any]) -> None:
        if any("pool" in block for block in data["blocks"]):
            drawn.append(data)

    draw()
    for k, data in enumerate(drawn[:RANDOM]):
        for open_size in (False, True):
            text = to_text({**data, "input": {**data["input"], "open": open_size}})
            try:
                graph = nin_spec.compile(nin_spec.loads(text, "random.yaml")).graph
            except NinSpecError:
                continue  # not every network lets its size open
            yield f"random {k}{' open' if open_size else ''}", Model(graph, weights_of(graph), CARD)
