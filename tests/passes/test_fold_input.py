"""Raw pixels: what is put before a network for them, and what of it goes into the first convolution."""

from __future__ import annotations

import numpy as np
import pytest
from model_parts import CONTRACT, graph_of, model_of, run

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Padding
from nin_spec.model import Model, Preprocessing
from nin_spec.passes.fold_input import fold_input
from nin_spec.passes.pixel_input import pixel_input
from nin_spec.pictures import normalise

PLAIN = ops.Conv2d(6, (3, 3), bias=False)
PADDED = ops.Conv2d(6, (3, 3), (2, 2), Padding(1, 1, 1, 1))
ZERO = Preprocessing(std=(0.2, 0.25, 0.3))
BGR = Preprocessing(mean=(0.5, 0.4, 0.3), color="bgr")
GRAY = Preprocessing(mean=(0.5,), std=(0.3,), color="gray")
GRAY_BY_CHANNEL = Preprocessing(mean=(0.5, 0.4, 0.3), color="gray")


def pixels_like(model: Model) -> np.ndarray:
    """Pictures, as a client holds them."""
    contract = model.card.preprocessing
    channels, height, width = model.graph.input.shape
    own = 1 if contract.color == "gray" else channels
    return np.random.default_rng(2).integers(0, 256, (3, height, width, own), np.uint8)


def assert_same_of_pixels(model: Model, made: Model) -> None:
    """`made` gives of pixels what `model` gives of what the contract makes of them."""
    pictures = pixels_like(model)
    contract = model.card.preprocessing
    wanted = run(model, normalise(pictures, contract, np.float64, model.graph.input.shape[0]))
    got = run(made, pictures.transpose(0, 3, 1, 2))
    assert np.abs(got - wanted).max() <= 1e-9 * np.abs(wanted).max()


def kinds(graph: Graph) -> list[str]:
    """The ops' names in order."""
    return [n.kind for n in graph]


@pytest.mark.parametrize(
    ("first", "contract", "kept"),
    [
        (PLAIN, CONTRACT, []),
        (PADDED, ZERO, []),
        (PADDED, CONTRACT, ["Affine"]),
        (PLAIN, BGR, []),
        (PADDED, BGR, ["Affine"]),
        (PLAIN, GRAY, []),
        (PADDED, GRAY, ["Affine"]),
        (PADDED, GRAY_BY_CHANNEL, ["ChannelOrder", "Affine"]),
        (ops.Conv2d(6, (3, 3), groups=3), BGR, ["ChannelOrder"]),
        (ops.ReLU(), BGR, ["ChannelOrder", "Affine"]),
        (ops.MaxPool2d((2, 2), (2, 2)), CONTRACT, ["Affine"]),
        (PADDED, Preprocessing(scale=1.0), []),
        (ops.ReLU(), Preprocessing(scale=1.0), []),
    ],
)
def test_pixels(first: ops.Op, contract: Preprocessing, kept: list[str]) -> None:
    """Right with the ops that make the input of pixels, and right with as few of them as can be."""
    model = model_of(graph_of(first, ops.ReLU()), contract)
    open_ = pixel_input(model)
    assert_same_of_pixels(model, open_)
    folded = fold_input(open_)
    assert kinds(folded.graph) == [*kept, *kinds(model.graph)]
    assert_same_of_pixels(model, folded)


def test_what_stays_at_padded_borders_is_a_shift_by_the_mean_in_pixels() -> None:
    """Zero padding of the normalised picture is a border of mean pixels."""
    folded = fold_input(pixel_input(model_of(graph_of(PADDED), BGR)))
    (name,) = (n for n in folded.weights if n.startswith("input."))
    assert name == "input.normalise.bias"
    np.testing.assert_allclose(folded.weights[name], -255 * np.array(BGR.mean[::-1]))


def test_gray_pixels_cost_one_channel() -> None:
    """Copies of one channel are one channel, its weights summed."""
    model = model_of(graph_of(PLAIN), GRAY)
    folded = fold_input(pixel_input(model))
    assert folded.graph.input.shape == (1, 8, 8)
    assert folded.weights["layers.0.weight"].shape == (6, 1, 3, 3)


def test_a_network_of_prepared_numbers_is_left_alone() -> None:
    """Without pixels there is nothing to fold."""
    model = model_of(graph_of(PADDED))
    assert fold_input(model).graph == model.graph


def test_a_mean_that_is_not_finite_in_pixels_is_not_folded() -> None:
    """What can't be held stays as it was said."""
    open_ = pixel_input(model_of(graph_of(PADDED), Preprocessing(scale=1e-320, mean=(0.5,))))
    assert fold_input(open_).graph == open_.graph
