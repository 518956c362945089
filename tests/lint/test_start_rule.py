"""NIN911 against weights as they are drawn, and signals as they arrive."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from lint_specs import SCORES, codes_of, network_of, spec_of, told

from nin_spec.diagnostics import Severity
from nin_spec.lint import lint
from nin_spec.lint.finding import Subject
from nin_spec.lint.start import _factor, _init, spread, variance
from nin_spec.network import compile as compile_network
from nin_spec.torch_module import build_module

DEEP = ("{channels: [64, 64, 64, 64], kernel: 8, stride: 4}", "{channels: [64, 64, 64, 64, 64], kernel: 3, padding: 1}")
INITS = [
    "framework",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "{kind: kaiming_normal, mode: fan_out}",
    "{kind: kaiming_normal, scale: 0.5}",
    "{kind: gaussian, std: 0.05, scale: 2}",
]


def deep(top: str) -> str:
    """Nine rectified layers, and what `top` says of them."""
    return spec_of(*DEEP, SCORES, top=top)


def test_the_framework_default_in_a_deep_network() -> None:
    """Told at the first layer, with how little arrives and the loss that stays."""
    ((line, column, shown, message),) = told(deep(""), "NIN911")
    assert (line, column, shown) == (6, 17, "64")
    assert message == (
        "the framework initialisation lets 5e-05 of a picture through 9 layers with a ReLU: "
        "the loss stays at ln(10) = 2.303"
    )


def test_a_said_initialisation_is_shown() -> None:
    """Where `defaults` chooses it, that is the place; both kinds are named."""
    assert told(deep("defaults: {init: framework}\n"), "NIN911")[0][:3] == (9, 18, "framework")
    text = spec_of(DEEP[0].replace("4}", "4, init: {kind: gaussian, std: 0.001}}"), DEEP[1], SCORES)
    assert "the gaussian and framework initialisation" in told(text, "NIN911")[0][3]


@pytest.mark.parametrize(
    "top",
    [
        "defaults: {init: kaiming_normal}\n",
        "defaults: {init: {kind: gaussian, std: 0.2}}\n",
        "defaults: {norm: batch, bias: false}\n",
        "defaults: {activation: silu}\n",
        "defaults: {activation: {kind: maxout, pieces: 2}}\n",
    ],
)
def test_starts_that_are_alive(top: str) -> None:
    """Weights that keep the size, a norm that restores it, and activations that the rule says nothing of."""
    assert "NIN911" not in codes_of(deep(top))


def test_shallow_networks_start() -> None:
    """Few layers lose little."""
    assert codes_of(spec_of("{channels: [64, 64], kernel: 8, stride: 4}", SCORES)) == []


def test_a_norm_in_the_middle_resets_the_scale() -> None:
    """Only what follows the last norm counts."""
    text = spec_of(DEEP[0], "{norm: batch}", "{channels: [64, 64], kernel: 3, padding: 1}", SCORES)
    assert "NIN911" not in codes_of(text)


def test_large_pixels_make_up_for_small_weights() -> None:
    """Pixels from 0 to 255 begin 255 times as large as those from 0 to 1."""
    small, large = (Subject(network_of(deep(""), f"input.preprocess.scale={s}")) for s in ("1/255", "1"))
    assert spread(large) == pytest.approx(255 * spread(small))
    assert "NIN911" not in [d.code.code for d in lint(large.network)]
    negative = network_of(deep(""), "input.preprocess.scale=-1")
    assert "NIN911" not in [d.code.code for d in lint(negative)]


def test_adam_makes_it_a_note() -> None:
    """What Adam divides by the gradient's own size gets away in the end."""
    found = {name: lint(compile_network(name)) for name in ("seed_cifar10_at_224", "seed_mlpconv_six_blocks")}
    severities = {name: [d.severity for d in ds if d.code.code == "NIN911"] for name, ds in found.items()}
    assert severities == {"seed_cifar10_at_224": [Severity.NOTE], "seed_mlpconv_six_blocks": [Severity.WARNING]}


@pytest.mark.parametrize("init", INITS)
def test_variances_are_those_drawn(init: str) -> None:
    """The rule's formulas and nin_spec.weights agree, layer by layer."""
    network = network_of(deep(f"defaults: {{init: {init}}}\n"))
    subject, weights = Subject(network), network.initialise(seed=3).weights
    for node, op in subject.convolutions():
        expected = variance(_init(subject, node), op.parameters(node.input)[0])
        assert np.var(weights[f"{node.name}.weight"]) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("init", ["kaiming_normal", "xavier_uniform", "{kind: kaiming_normal, scale: 0.5}"])
def test_the_signal_is_as_estimated(init: str) -> None:
    """Without biases and padding, a real module's signal shrinks as the rule says, within a factor of two."""
    text = spec_of("{channels: [64, 64, 64, 64, 64, 64], kernel: 8, stride: 4}", SCORES.replace("7, padding: 3", "1"))
    network = network_of(text + f"defaults: {{init: {init}, bias: false}}\n")
    subject, x = Subject(network), torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = math.prod(_factor(subject, n) for n in subject.nodes)
    with torch.inference_mode():
        arrived = dict(build_module(network.initialise(seed=1)).trace(x))["blocks.1.convs.0"]
    assert float(arrived.square().mean()) == pytest.approx(expected, rel=1.0)


def test_the_threshold_parts_what_is_published() -> None:
    """Textbook networks that train are left alone: Xavier's, and the author's on CIFAR-10."""
    for name in ("seed_fashion_mnist", "nin_cifar", "nin_svhn", "nin_imagenet"):
        assert "NIN911" not in [d.code.code for d in lint(compile_network(name))]
