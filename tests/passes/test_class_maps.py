"""Class maps: which networks have them, that their mean is the score, and where their cells lie in the input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from examples import few
from hypothesis import given
from model_parts import assert_same, graph_of, model_of, random_weights, run, sample
from spec_strategies import specs, to_text

import nin_spec
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Padding, TensorType
from nin_spec.model import Model
from nin_spec.named import shipped_names
from nin_spec.passes.class_maps import NoClassMapsError, Place, average_last, class_maps
from nin_spec.passes.pipeline import PASSES, rewrite
from nin_spec.torch_module import build_module

ORACLE_SPECS = Path(__file__).parent.parent / "oracle_specs"
CELL = ops.Conv2d(6, (1, 1))
MEAN, FLAT = ops.AdaptiveAvgPool2d(), ops.Flatten()


def maps_of(model: Model, x: np.ndarray) -> np.ndarray:
    """What the average of the model is over, in float64."""
    module = build_module(model).double()
    value = torch.from_numpy(x.astype(np.float64))
    with torch.inference_mode():
        for name in module.order[: class_maps(model.graph).average]:
            value = module.get_submodule(name)(value)
    return value.numpy()


@pytest.mark.parametrize(
    ("steps", "average"),
    [
        ((CELL, MEAN, FLAT), 1),
        ((CELL, ops.ReLU(), MEAN, FLAT, ops.Dropout()), 2),
        ((CELL, ops.AvgPool2d((8, 8), (1, 1)), FLAT), 1),
        ((CELL, ops.AvgPool2d((3, 3), (3, 3), Padding(1, 0, 1, 0)), MEAN, FLAT, ops.Softmax()), 2),
        ((CELL, MEAN, CELL, ops.BatchNorm(), FLAT, ops.LogSoftmax()), 1),
        ((CELL, ops.ReLU(), MEAN, FLAT, ops.BatchNorm(), ops.Linear(4)), 2),
        ((CELL, MEAN, MEAN, ops.ChannelShuffle(2), FLAT, ops.Linear(7), ops.Linear(4)), 1),
    ],
)
def test_the_average_is_found_and_may_come_last(steps: tuple[ops.Op, ...], average: int) -> None:
    """Whatever affine follows it; then the function is the same, and the scores before a softmax are the mean."""
    model = model_of(graph_of(*steps))
    assert class_maps(model.graph).average == average
    last = average_last(model)
    assert_same(model, last)
    x = sample(model.graph.input.shape)
    mean, scores = maps_of(last, x).mean((2, 3)), run(last, x)
    if isinstance(steps[-1], ops.Softmax | ops.LogSoftmax):
        mean = torch.log_softmax(torch.from_numpy(mean), 1).numpy()
        scores = np.log(scores) if isinstance(steps[-1], ops.Softmax) else scores
    np.testing.assert_allclose(mean, scores, rtol=1e-9, atol=1e-9)


def test_where_the_average_is_last_nothing_changes() -> None:
    model = model_of(graph_of(CELL, MEAN, FLAT, ops.Dropout()))
    assert average_last(model) is model


def test_its_steps_say_which_values_the_spec_has() -> None:
    """The scores are those of the spec; the moved layers compute what it does not have."""
    moved = average_last(model_of(graph_of(CELL, MEAN, FLAT, ops.Linear(4), ops.Softmax()))).graph
    assert [(n.name, n.computes) for n in moved] == [
        ("layers.0", "layers.0"),
        ("layers.3", ""),
        ("layers.1", ""),
        ("layers.2", "layers.3"),
        ("layers.4", "layers.4"),
    ]


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ((CELL, ops.AdaptiveMaxPool2d(), FLAT), "layers.1 is a maximum"),
        ((CELL, FLAT, ops.Linear(4)), "layers.1 has 8x8 cells"),
        ((CELL, MEAN, FLAT, ops.Linear(5), ops.ReLU(), ops.Linear(4)), "layers.4 (ReLU) comes after the last average"),
        ((CELL, MEAN, FLAT, ops.Softmax(), ops.Linear(4)), "layers.3 (Softmax) comes after the last average"),
        ((CELL, ops.AvgPool2d((7, 7), (1, 1), Padding(0, 0, 0, 0)), FLAT), "layers.2 has 2x2 cells"),
        ((CELL, ops.AvgPool2d((6, 6), (6, 6)), FLAT), "layers.1 does not average all cells"),
        (
            (CELL, ops.AvgPool2d((10, 10), (1, 1), Padding(1, 1, 1, 1), count_include_pad=True), FLAT),
            "layers.1 does not average all cells",
        ),
        ((CELL, ops.MaxPool2d((8, 8), (1, 1)), FLAT), "layers.1 is a max pool"),
        ((FLAT, ops.Linear(4)), "layers.0 has 8x8 cells"),
        ((), "no average"),
    ],
)
def test_a_network_without_class_maps_is_refused(steps: tuple[ops.Op, ...], why: str) -> None:
    """Nothing is said to be a score's map that is not: the error names the layer."""
    with pytest.raises(NoClassMapsError) as caught:
        class_maps(graph_of(*steps))
    assert why in str(caught.value)


def test_for_an_open_size_only_a_global_average_counts() -> None:
    """A window that covers all cells of one size does not cover those of another."""
    window = ops.AvgPool2d((8, 8), (8, 8))
    assert class_maps(graph_of(CELL, MEAN, FLAT, open_size=True)).size == (8, 8)
    with pytest.raises(NoClassMapsError, match="does not average all cells"):
        class_maps(graph_of(CELL, window, FLAT, open_size=True))


@pytest.mark.parametrize("passes", [tuple(PASSES), (), ("pool_first",), ("fold_batch_norm",)])
@pytest.mark.parametrize(
    "steps",
    [
        (CELL, ops.AvgPool2d((2, 2), (2, 2)), CELL, ops.BatchNorm(), MEAN, FLAT),
        (CELL, ops.BatchNorm(), MEAN, CELL, FLAT, ops.BatchNorm(), ops.Linear(4)),
    ],
)
def test_passes_leave_the_average_last(steps: tuple[ops.Op, ...], passes: tuple[str, ...]) -> None:
    """None moves it again, while they move and fold what else there is."""
    model = model_of(graph_of(*steps))
    made = rewrite(model, passes, maps=True).model
    assert_same(model, made)
    names = [type(n.op) for n in made.graph]
    assert names[-2:] == [ops.AdaptiveAvgPool2d, ops.Flatten]
    if "pool_first" in passes and isinstance(steps[1], ops.AvgPool2d):
        assert names[0] is ops.AvgPool2d


def test_an_average_of_one_cell_stays() -> None:
    """It is an identity, which would be dropped; the maps before it are an output all the same."""
    model = model_of(graph_of(ops.Conv2d(4, (8, 8)), ops.ReLU(), ops.AvgPool2d((1, 1), (1, 1)), ops.Flatten()))
    made = rewrite(model, maps=True).model
    assert_same(model, made)
    assert [type(n.op) for n in made.graph][-2:] == [ops.AdaptiveAvgPool2d, ops.Flatten]
    assert class_maps(made.graph).size == (1, 1)


@few
@given(specs())
def test_any_spec_has_maps_whose_mean_is_the_score_or_is_refused(data: dict[str, Any]) -> None:
    """Over the whole grammar, in float64."""
    network = nin_spec.compile(nin_spec.loads(to_text(data)))
    try:
        class_maps(network.graph)
    except NoClassMapsError:
        return
    graph = Graph(network.graph.name, TensorType(network.graph.input.shape, "float64"))
    graph = network.graph.rebuilt(((node, node.op) for node in network.graph), graph)
    model = Model(graph, random_weights(graph), network.card)
    made = rewrite(model, maps=True).model
    x = sample(graph.input.shape)
    wanted = run(model, x)
    maps = maps_of(made, x)
    assert maps.shape[:2] == wanted.shape
    mean = torch.from_numpy(maps.mean((2, 3)))
    match graph.nodes[-1].op:
        case ops.Softmax():
            mean = mean.softmax(1)
        case ops.LogSoftmax():
            mean = mean.log_softmax(1)
    np.testing.assert_allclose(mean.numpy(), wanted, rtol=0, atol=1e-9 * max(1.0, np.abs(wanted).max()))


# ------------------------------------------------------------------ where cells look


def thin(graph: Graph) -> Graph:
    """The graph with three channels in every layer, in float64: cells look where they did."""

    def narrowed(op: ops.Op) -> ops.Op:
        match op:
            case ops.Conv2d():
                return replace(op, out_channels=3, groups=1)
            case ops.Linear():
                return replace(op, out_features=3)
            case _:
                return op

    start = Graph(graph.name, TensorType(graph.input.shape, "float64"))
    return graph.rebuilt(((node, narrowed(node.op)) for node in graph), start)


PLACED = [
    *("nin_digits", "nin_cifar", "nin_fashion_mnist", "nin_mnist", "nin_svhn", "matconvnet_cifar_nin"),
    *("keras_cifar100_gap_dense", "pytorch_strided_no_padding", "gluon_cifar10_7_5_3", "pytorch_bn_all_but_last"),
]


def test_the_place_of_a_cell() -> None:
    """nin_cifar's maps have a cell for every four pixels, whose field starts in the padding."""
    place = class_maps(nin_spec.compile("nin_cifar").graph).place
    assert place == Place(field=(27, 27), jump=(4, 4), offset=(-10, -10))
    assert place.seen(0, 0, 32) == range(17)
    assert place.seen(1, 7, 32) == range(18, 32)
    assert place.centre(0, 0) == 3.5


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", PLACED)
def test_a_cell_changes_with_its_field_and_with_nothing_else(name: str, axis: int) -> None:
    """By brute force: each row and column of the input is changed alone, and the cells that change are noted."""
    network = nin_spec.compile(name if name in shipped_names() else ORACLE_SPECS / f"{name}.yaml")
    graph = thin(network.graph)
    # Positive weights: no ReLU hides a pixel.
    weights = {name: np.abs(array) + 0.01 for name, array in random_weights(graph).items()}
    weights = {name: np.zeros_like(a) if name.endswith("running_mean") else a for name, a in weights.items()}
    model = average_last(Model(graph, weights, network.card))
    size = graph.input.shape[1 + axis]
    base = np.random.default_rng(0).uniform(0.5, 1, (1, *graph.input.shape))
    changed = np.repeat(base, size, 0)
    for k in range(size):
        changed[k].swapaxes(0, axis + 1)[k] *= 1 + np.random.default_rng(k).uniform(1, 2)
    before, after = maps_of(model, np.repeat(base, size, 0)), maps_of(model, changed)
    differs = (after != before).any((1, 3 - axis))
    place, cells = class_maps(graph).place, class_maps(graph).size[axis]
    seen = [{k for k in range(size) if differs[k, cell]} for cell in range(cells)]
    assert seen == [set(place.seen(axis, cell, size)) for cell in range(cells)]
