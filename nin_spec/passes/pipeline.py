"""The passes in order, each run on the model, with the model before and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nin_spec.ir.types import DType
from nin_spec.model import Model
from nin_spec.passes import Pass, Step, run_passes
from nin_spec.passes.class_maps import average_last, class_maps
from nin_spec.passes.drop_identities import drop_identities
from nin_spec.passes.explicit_pools import explicit_pools
from nin_spec.passes.fold_batch_norm import fold_batch_norm
from nin_spec.passes.fold_input import fold_input
from nin_spec.passes.fold_temperature import fold_temperature
from nin_spec.passes.global_pools import global_pools
from nin_spec.passes.pixel_input import pixel_input
from nin_spec.passes.pool_first import pool_first

if TYPE_CHECKING:
    from nin_spec.passes.changes import PassChanges

ModelPass = Callable[[Model], Model]


def on_graph(rewrite: Pass) -> ModelPass:
    """Turn a pass over graphs into one over models: it leaves every parameter unchanged."""

    def run(model: Model) -> Model:
        graph = rewrite(model.graph)
        return model if graph == model.graph else Model(graph, model.weights, model.card)

    return run


PASSES: dict[str, ModelPass] = {
    "drop_identities": on_graph(drop_identities),
    "pool_first": on_graph(pool_first),
    "fold_batch_norm": fold_batch_norm,
    "fold_temperature": fold_temperature,
    "fold_input": fold_input,
    "explicit_pools": on_graph(explicit_pools),
    "global_pools": on_graph(global_pools),
}
"""In execution order: what is dropped or moved no longer separates a layer from its norm."""


@dataclass(frozen=True)
class Rewriting:
    """A model rewritten, and the model before and after each pass."""

    steps: tuple[Step[Model], ...]
    model: Model

    @property
    def changes(self) -> tuple[PassChanges, ...]:
        """What each pass did."""
        from nin_spec.passes.changes import changes_of

        return tuple(changes_of(*step) for step in self.steps)


def rewrite(
    model: Model, passes: Sequence[str] = tuple(PASSES), *, pixels: bool = False, maps: bool = False
) -> Rewriting:
    """The model after the passes named, taking raw pixels if asked, and averaging its class maps last if asked.

    Raises PassError for a pass that changes the type of the input or the output, NoClassMapsError where a network to
    average last has no class maps.
    """
    start = pixel_input(model) if pixels else model
    chosen = {name: run for name, run in PASSES.items() if name in passes}
    steps = run_passes(start, _with_maps(start, chosen) if maps else chosen)
    return Rewriting(tuple(steps), steps[-1].after if steps else start)


def _with_maps(model: Model, passes: Mapping[str, ModelPass]) -> dict[str, ModelPass]:
    """The passes after one that averages the class maps last, where none moves that average again."""
    average = class_maps(model.graph).node.name
    kept = {"pool_first": on_graph(partial(pool_first, kept=average))}
    return {"average_last": average_last, **passes, **{name: run for name, run in kept.items() if name in passes}}


def in_dtype(model: Model, dtype: DType) -> Model:
    """The model in another dtype, its weights rounded."""
    graph = model.graph
    start = replace(graph, input=replace(graph.input, dtype=dtype), nodes=())
    built = graph.rebuilt(((node, node.op) for node in graph), start)
    weights: Mapping[str, Any] = {name: array.astype(dtype, copy=False) for name, array in model.weights.items()}
    return Model(built, weights, model.card)
