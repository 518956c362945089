"""Tensors that a module's forward computes of its parameters alone are weights like any other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import nin_spec
from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.torch.importing import import_module


def _pruned(layer: nn.Conv2d) -> nn.Module:
    return prune.l1_unstructured(layer, "weight", 0.5)  # type: ignore[no-any-return, no-untyped-call]


class Standardised(nn.Conv2d):
    """A convolution whose weight has no mean and a variance of one."""

    def forward(self, x: Tensor) -> Tensor:
        """A convolution with what the weight comes to."""
        mean, std = self.weight.mean((1, 2, 3), keepdim=True), self.weight.std((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, (self.weight - mean) / (std + 1e-5), self.bias)


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "changed",
    [
        nn.utils.weight_norm,
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        _pruned,
    ],
)
def test_a_weight_that_is_computed_of_parameters_is_its_value(changed: Callable[[nn.Module], nn.Module]) -> None:
    net = nn.Sequential(changed(nn.Conv2d(3, 8, 3)), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    _require_the_same(net)


def test_a_standardised_weight_is_its_value() -> None:
    _require_the_same(nn.Sequential(Standardised(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))


class Frozen(nn.Module):
    """A batch norm written out, as detectors have it."""

    def __init__(self) -> None:
        super().__init__()
        for name, low in (("weight", 0.5), ("bias", -1.0), ("mean", -1.0), ("var", 0.5)):
            self.register_buffer(name, torch.rand(8) + low)

    def forward(self, x: Tensor) -> Tensor:
        """Each channel by its statistics."""
        weight, bias, mean, var = (
            getattr(self, name).reshape(1, -1, 1, 1) for name in ("weight", "bias", "mean", "var")
        )
        scale = weight * (var + 1e-5).rsqrt()
        scaled: Tensor = x * scale + (bias - mean * scale)
        return scaled


def test_a_norm_written_out_of_its_statistics_comes_in() -> None:
    _require_the_same(nn.Sequential(nn.Conv2d(3, 8, 3), Frozen(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def _require_the_same(net: nn.Module) -> None:
    found = import_module(net, (3, 8, 8))
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(nin_spec.build_module(found.model)(x), net(x), atol=1e-5)


def test_a_computed_weight_that_two_layers_use_is_shared() -> None:
    layer = parametrizations.weight_norm(nn.Conv2d(3, 3, 1))
    with pytest.raises(ForeignModelError, match="shared weights are outside the language"):
        import_module(nn.Sequential(layer, nn.ReLU(), layer, nn.AdaptiveAvgPool2d(1), nn.Flatten()), (3, 8, 8))


class Hyper(nn.Module):
    """A weight that the picture itself gives."""

    def forward(self, x: Tensor) -> Tensor:
        """The picture's own product."""
        return nn.functional.conv2d(x, x.mean((0, 2, 3)).reshape(1, 3, 1, 1).expand(4, 3, 1, 1)).mean((2, 3))


def test_a_weight_that_depends_on_the_input_is_refused() -> None:
    with pytest.raises(ForeignModelError):
        import_module(Hyper(), (3, 8, 8))


class Drawn(nn.Module):
    """Noise on a weight, in each forward another."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """A convolution with a noisy weight."""
        return nn.functional.conv2d(x, self.conv.weight + torch.randn_like(self.conv.weight)).mean((2, 3))


def test_a_weight_that_is_drawn_is_refused() -> None:
    with pytest.raises(ForeignModelError, match="computed from the input"):
        import_module(Drawn(), (3, 8, 8))
