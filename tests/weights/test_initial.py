"""Fresh weights begin as their scheme says."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from torch import nn
from weight_files import (
    small,
)

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import DType, TensorType
from nin_spec.weights import Init, Scheme, initialise

CONV = ops.Conv2d(120, (3, 3), groups=2)


def wide() -> Graph:
    """A grouped convolution and a dense layer with enough weights for statistics."""
    graph = Graph("wide", TensorType((60, 3, 3))).then("conv", CONV).then("flatten", ops.Flatten())
    return graph.then("dense", ops.Linear(300))


def torch_drawn(scheme: Scheme, shape: tuple[int, ...]) -> torch.Tensor:
    """What torch.nn.init draws by the same scheme."""
    t = torch.empty(shape)
    torch.manual_seed(0)
    match scheme.kind:
        case "framework":
            return nn.init.kaiming_uniform_(t, a=math.sqrt(5))
        case "gaussian":
            return nn.init.normal_(t, std=scheme.std)
        case "xavier_uniform" | "xavier_normal":
            return getattr(nn.init, f"{scheme.kind}_")(t)  # type: ignore[no-any-return]
        case _:
            return getattr(nn.init, f"{scheme.kind}_")(t, mode=scheme.mode, nonlinearity="relu")  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["conv.weight", "dense.weight"])
@pytest.mark.parametrize(
    "scheme",
    [
        Scheme(),
        Scheme("gaussian", std=0.05),
        Scheme("xavier_uniform"),
        Scheme("xavier_normal"),
        Scheme("kaiming_uniform"),
        Scheme("kaiming_normal"),
        Scheme("kaiming_uniform", mode="fan_out"),
        Scheme("kaiming_normal", mode="fan_out"),
    ],
    ids=lambda s: f"{s.kind}-{s.mode}",
)
def test_schemes_draw_what_torch_draws(scheme: Scheme, name: str) -> None:
    """The spread, the mean and, where uniform, the bounds are those of torch.nn.init."""
    ours = initialise(wide(), Init(scheme), 0)[name]
    theirs = torch_drawn(scheme, ours.shape).numpy()
    assert ours.std() == pytest.approx(theirs.std(), rel=0.02)
    assert abs(ours.mean()) < 0.02 * ours.std()
    if "uniform" in scheme.kind or scheme.kind == "framework":
        assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=2e-3)
    else:
        assert np.abs(ours).max() > 3.5 * ours.std()


def test_the_framework_draws_biases_too() -> None:
    """Uniform in +-1 / sqrt(fan_in), as PyTorch's layers do."""
    drawn = initialise(wide(), Init(), 0)
    for name, fan_in in (("conv.bias", 30 * 9), ("dense.bias", 120)):
        bound = 1 / math.sqrt(fan_in)
        assert 0.9 * bound < np.abs(drawn[name]).max() <= bound


def test_other_biases_are_what_the_scheme_says() -> None:
    """Zero, a constant, or a constant give or take a deviation."""
    assert not initialise(wide(), Init(Scheme("kaiming_normal")), 0)["conv.bias"].any()
    assert (initialise(wide(), Init(Scheme("gaussian", bias=0.2)), 0)["conv.bias"] == np.float32(0.2)).all()
    drawn = initialise(wide(), Init(Scheme("gaussian", bias=0.2, bias_std=0.1)), 0)["dense.bias"]
    assert drawn.mean() == pytest.approx(0.2, abs=0.03)
    assert drawn.std() == pytest.approx(0.1, rel=0.15)


def test_scale_multiplies_the_weights() -> None:
    """And leaves the biases."""
    plain = initialise(wide(), Init(Scheme("gaussian", std=0.05, bias_std=1)), 0)
    scaled = initialise(wide(), Init(Scheme("gaussian", std=0.05, bias_std=1, scale=0.1)), 0)
    np.testing.assert_allclose(scaled["conv.weight"], plain["conv.weight"] * 0.1, rtol=1e-6)
    np.testing.assert_array_equal(scaled["conv.bias"], plain["conv.bias"])


def test_norms_and_slopes_begin_neutral() -> None:
    """Scale 1, shift 0, mean 0, variance 1, and the slope that the op says."""
    drawn = initialise(small(), Init(), 0)
    begins = {"norms.0.weight": 1, "norms.0.bias": 0, "norms.0.running_mean": 0, "norms.0.running_var": 1}
    for name, value in {**begins, "activations.0.weight": np.float32(0.1)}.items():
        assert (drawn[f"blocks.0.{name}"] == value).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_are_the_graph_s(dtype: DType) -> None:
    """Names in layer order, shapes, and the graph's dtype."""
    graph = small(dtype)
    drawn = initialise(graph, Init(), 0)
    assert {n: a.shape for n, a in drawn.items()} == {n: p.shape for n, p in graph.parameters().items()}
    assert list(drawn) == list(graph.parameters())
    assert {str(a.dtype) for a in drawn.values()} == {dtype}


def test_a_layer_may_have_its_own_scheme() -> None:
    """Which changes no other layer's numbers."""
    default = Init(Scheme("gaussian", std=1.0))
    one = Init(default.default, {"blocks.0.convs.1": Scheme("gaussian", std=0.5)})
    a, b = initialise(small(), default, 3), initialise(small(), one, 3)
    np.testing.assert_allclose(b["blocks.0.convs.1.weight"], a["blocks.0.convs.1.weight"] / 2)
    for name in set(a) - {"blocks.0.convs.1.weight"}:
        np.testing.assert_array_equal(a[name], b[name])


def test_a_seed_gives_the_same_bytes_everywhere() -> None:
    """These bytes, on every machine and with every version; another seed gives others."""
    digest = hashlib.sha256(initialise(small(), Init(), 7)["head.dense.0.weight"].tobytes()).hexdigest()
    assert digest.startswith("5a9fdefaf8f37b1e")
    drawn = [initialise(small(), Init(), seed) for seed in (7, 8)]
    assert not np.array_equal(drawn[0]["head.dense.0.weight"], drawn[1]["head.dense.0.weight"])
    assert not np.array_equal(drawn[0]["blocks.0.convs.1.weight"], drawn[0]["blocks.0.convs.2.weight"])
