"""An nn.Module becomes a spec: its dropout, its statistics and its names with it; it is left as it was."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 the field's name
from oracle_graphs import ORACLES, golden_names, record
from torch import Tensor, nn

import nin_spec
from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.torch.importing import import_module

sys.path.insert(0, str(ORACLES))


class Notebook(nn.Module):
    """As in a notebook: layers, functions and methods side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5, padding="same")
        self.cccp1 = nn.LazyConv2d(6, 1)
        self.drop = nn.Dropout2d(0.3)
        self.bn = nn.BatchNorm2d(6, momentum=0.2)
        self.out = nn.Conv2d(6, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 12, 12) to (N, 4)."""
        x = F.relu(self.conv1(x))
        x = x * torch.sigmoid(x)
        x = self.bn(self.cccp1(x)).relu()
        x = self.drop(F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 2))
        pooled: Tensor = self.out(x).mean((2, 3))
        return pooled


def test_layers_functions_and_methods_are_one_to_it() -> None:
    net = Notebook().train()
    found = import_module(net, (3, 12, 12))
    assert net.training
    assert "norm: {kind: batch, momentum: 0.2}" in found.text
    assert "pool: {kind: max, kernel: 3, stride: 2, ceil_mode: true}" in found.text
    assert "dropout: {p: 0.3, by: channel}" in found.text
    assert "name: Notebook" in found.text
    x = torch.randn(2, 3, 12, 12)
    with torch.no_grad():
        assert torch.allclose(nin_spec.build_module(found.model)(x), net.eval()(x), atol=1e-6)


@pytest.mark.parametrize("name", ["seed_fashion_mnist_lazy", "tflearn_cifar10_nin", "seed_fixed_average_double"])
def test_some_published_modules_come_back(name: str) -> None:
    comes_back(name)


@pytest.mark.long
@pytest.mark.parametrize("name", golden_names())
def test_every_published_module_comes_back(name: str) -> None:
    comes_back(name)


def comes_back(name: str) -> None:
    """Proved in float64 by the import itself."""
    import build_record  # type: ignore[import-not-found]

    facts = record(name)
    net = build_record.build(facts)
    build_record.set_parameters(net, "hash")
    assert import_module(net, facts["input"], name).network.graph.input.dtype == "float64"


class Residual(nn.Module):
    """What a chain can't be."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of x and conv(x), pooled."""
        pooled: Tensor = (x + self.conv(x)).mean((2, 3))
        return pooled


class Shared(Residual):
    """One layer, twice."""

    def forward(self, x: Tensor) -> Tensor:
        """The layer of itself, pooled."""
        pooled: Tensor = self.conv(self.conv(x)).mean((2, 3))
        return pooled


class Broken(Residual):
    """A forward that fails."""

    def forward(self, x: Tensor) -> Tensor:
        """Nothing."""
        raise ValueError("no such luck")


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Residual(), "has several users"),
        (
            Shared(),
            "conv.weight: used by conv .conv2d. and by conv .conv2d_1.: shared weights are outside the language",
        ),
        (Broken(), "Broken: it can't be traced .* no such luck"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.Softplus()), "has no equivalent"),
        (nn.Sequential(nn.ConvTranspose2d(3, 4, 2)), "conv_transpose2d"),
    ],
)
def test_what_the_language_cannot_say_is_refused(net: nn.Module, message: str) -> None:
    with pytest.raises(ForeignModelError, match=message):
        import_module(net, (3, 8, 8))


def test_a_shape_that_is_none_is_refused() -> None:
    with pytest.raises(ForeignModelError, match="is not a picture"):
        import_module(nn.Conv2d(3, 3, 1), (8, 8))
