"""The many ways in which people's modules say one thing, each proved by the import itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from examples import few
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import nin_spec
from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.torch.importing import import_module
from nin_spec.ir.ops import LocalResponseNorm

Function = Callable[[Tensor], Tensor]


class Net(nn.Module):
    """A convolution to 8 channels, a function of its maps or of the scores, and a last convolution where asked."""

    def __init__(self, function: Function, *, last: bool = False, groups: int = 1) -> None:
        super().__init__()
        self.a, self.function = nn.Conv2d(3, 8, 3), function
        self.b = nn.Conv2d(8, 10, 1, groups=groups) if last else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 8, 8) to scores."""
        x = self.function(self.a(x))
        return x if self.b is None else self.b(x).mean((2, 3))


@pytest.mark.parametrize("kind", [nn.Softmax, nn.LogSoftmax])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d(1), nn.AvgPool2d(6), nn.AdaptiveMaxPool2d(1)])
def test_a_softmax_over_maps_of_one_cell_is_the_heads(kind: type[nn.Module], late: bool, pool: nn.Module) -> None:  # noqa: FBT001
    """Before the flattening or after it."""
    last = [nn.Flatten(), kind(1)] if late else [kind(1), nn.Flatten()]
    found = import_module(nn.Sequential(nn.Conv2d(3, 10, 3), nn.ReLU(), pool, *last), (3, 8, 8))
    assert f"output: {'softmax' if kind is nn.Softmax else 'log_softmax'}" in found.text


def _by_hand(asked: str) -> Function:
    def shuffled(x: Tensor) -> Tensor:
        n, c, h, w = x.size()
        match asked:
            case "sizes":
                return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)
            case "the batch left open":
                return x.view(-1, 2, c // 2, h, w).transpose(1, 2).reshape(-1, c, h, w)
            case "the channels left open":
                return x.view(x.shape[0], 2, -1, h, w).transpose(1, 2).reshape(x.shape[0], -1, h, w)
            case "permute":
                return x.view(n, 2, c // 2, h, w).permute(0, 2, 1, 3, 4).contiguous().view(n, c, h, w)
            case _:
                return torch.unflatten(x, 1, (2, c // 2)).swapaxes(1, 2).flatten(1, 2)

    return shuffled


@pytest.mark.parametrize("asked", ["sizes", "the batch left open", "the channels left open", "permute", "unflatten"])
def test_a_channel_shuffle_by_hand_is_one(asked: str) -> None:
    assert "shuffle: 2" in import_module(Net(_by_hand(asked), last=True, groups=2), (3, 8, 8)).text


@pytest.mark.parametrize(
    ("function", "pool"),
    [
        (lambda x: torch.max(torch.max(x, 3)[0], 2)[0], "global_max"),
        (lambda x: x.max(-1).values.max(-1).values, "global_max"),
        (lambda x: x.flatten(2).max(-1).values, "global_max"),
        (lambda x: x.view(x.size(0), x.size(1), -1).max(2)[0], "global_max"),
        (lambda x: x.amax((2, 3)), "global_max"),
        (lambda x: nn.functional.adaptive_max_pool2d(x, 1).flatten(1), "global_max"),
        (lambda x: nn.functional.adaptive_max_pool2d(x, 1, return_indices=True)[0].flatten(1), "global_max"),
        (lambda x: x.view(x.size(0), x.size(1), -1).mean(-1), ""),
        (lambda x: x.reshape(x.size(0), x.size(1), -1).sum(-1) / 36, ""),
        (lambda x: x.mean(3).mean(2), ""),
    ],
)
def test_global_pools_by_hand_are_global_pools(function: Function, pool: str) -> None:
    """Maxima that give (values, indices) among them."""
    text = import_module(Net(function), (3, 8, 8)).text
    assert ("head: {pool: global_max}" in text) == bool(pool)
    assert "head" in text or not pool


def test_indices_that_are_used_are_refused() -> None:
    with pytest.raises(ForeignModelError):
        import_module(Net(lambda x: torch.max(x.flatten(2), 2)[1].float()), (3, 8, 8))


@few
@given(
    sides=st.tuples(*[st.integers(0, 3)] * 4),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 4),
    ceil=st.booleans(),
    mode=st.sampled_from(["replicate", "lowest", "zeros", "reflect", "circular"]),
    relu=st.booleans(),
)
def test_maps_padded_before_a_maximum_are_its_padding_or_refused(
    *,
    sides: tuple[int, ...],
    kernel: int,
    stride: int,
    ceil: bool,
    mode: str,
    relu: bool,
) -> None:
    """Edges, lowest numbers and zeros, on each side: what comes in computes the same on inputs of both signs."""
    number = -1e38 if mode == "lowest" else 0.0
    kind = mode if mode in {"replicate", "reflect", "circular"} else "constant"

    def padded(x: Tensor) -> Tensor:
        x = torch.relu(x) if relu else x
        x = nn.functional.pad(x, sides, kind, *([number] if kind == "constant" else []))
        return nn.functional.max_pool2d(x, kernel, stride, ceil_mode=ceil)

    net = Net(padded, last=True).eval()
    try:
        found = import_module(net, (3, 8, 8))
    except ForeignModelError:
        harmless = mode in {"replicate", "lowest"} or (mode == "zeros" and relu)
        assert not (harmless and max(sides) < kernel and not ceil and any(sides)), "a padding that the language has"
        return
    x = 50 * torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(nin_spec.build_module(found.model)(x), net(x), rtol=1e-4, atol=1e-3)


def test_a_padding_that_nothing_takes_up_is_refused_at_its_operator() -> None:
    with pytest.raises(ForeignModelError, match="pad: padding without a convolution or pool after it"):
        import_module(Net(lambda x: torch.relu(nn.functional.pad(x, (1, 1, 1, 1))), last=True), (3, 8, 8))


def _largest_of_chunks(x: Tensor) -> Tensor:
    return torch.max(*x.chunk(2, 1))


@pytest.mark.parametrize(
    "function",
    [
        _largest_of_chunks,
        lambda x: torch.maximum(*torch.split(x, 4, 1)),
        lambda x: torch.max(x[:, :4], x[:, 4:]),
        lambda x: x.view(x.size(0), 2, 4, 6, 6).max(1)[0],
        lambda x: x.view(-1, 4, 2, 6, 6).amax(2),
        lambda x: torch.stack(x.unflatten(1, (4, 2)).unbind(2)).max(0).values,
    ],
    ids=["chunk", "split", "slices", "view by chunks", "view by pairs", "stack"],
)
def test_a_maxout_by_hand_is_one(function: Function) -> None:
    """Over neighbouring channels, or over whole chunks of them, which a shuffle makes neighbours."""
    assert "maxout" in import_module(Net(lambda x: function(x).mean((2, 3))), (3, 8, 8)).text


@pytest.mark.parametrize(
    ("size", "alpha", "beta", "k"), [(5, 1e-4, 0.75, 1.0), (3, 0.5, 0.5, 2.0), (7, 2e-3, 0.75, 0.75)]
)
def test_a_local_response_norm_is_one(size: int, alpha: float, beta: float, k: float) -> None:
    net = Net(nn.LocalResponseNorm(size, alpha, beta, k), last=True)
    (norm,) = [
        node.op for node in import_module(net, (3, 8, 8)).network.graph if isinstance(node.op, LocalResponseNorm)
    ]
    assert (norm.size, norm.alpha, norm.beta, norm.k) == (size, alpha, beta, k)


def test_a_response_norm_over_an_even_window_is_refused() -> None:
    """PyTorch has the odd channel before, ONNX and the language after."""
    with pytest.raises(ForeignModelError):
        import_module(Net(nn.LocalResponseNorm(4, 0.5), last=True), (3, 8, 8))


@pytest.mark.parametrize("cast", [lambda x: x.float(), lambda x: x.to(torch.float32), lambda x: x.double().float()])
def test_a_cast_that_loses_nothing_does_nothing(cast: Function) -> None:
    net = nn.Sequential(Applied(cast), nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert import_module(net, (3, 8, 8)).text.endswith("kernel: 3}\n")


class Applied(nn.Module):
    """A function as a module."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """What the function gives."""
        return self.function(x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_module_in_half_precision_comes_in_as_float32(dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = import_module(net.to(dtype), (3, 8, 8))
    assert found.network.graph.input.dtype == "float32"
    kernel = next(array for array in found.model.weights.values() if array.ndim == 4)
    assert np.array_equal(kernel, net.state_dict()["0.weight"].float().numpy())


@pytest.mark.parametrize("wrapped", [lambda x: (x,), lambda x: [x], lambda x: {"logits": x}])
def test_an_output_alone_in_a_tuple_list_or_dict_is_the_scores(wrapped: Callable[[Tensor], object]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Applied(wrapped))  # type: ignore[arg-type]
    assert import_module(net, (3, 8, 8)).network.graph.output.shape == (8,)


class Product(nn.Module):
    """A convolution, and a product of what it comes to with a weight of (in, out)."""

    def __init__(self, product: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.product = nn.Conv2d(3, 8, 3), product
        self.weight, self.bias = nn.Parameter(torch.randn(8, 5)), nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 8, 8) to scores."""
        return self.product(torch.relu(self.conv(x)).mean((2, 3)), self.weight, self.bias)


@pytest.mark.parametrize(
    "product",
    [
        lambda x, weight, bias: x @ weight + bias,
        lambda x, weight, bias: torch.addmm(bias, x, weight),
        lambda x, weight, _: x @ weight,
        lambda x, weight, _: torch.mm(x, weight),
    ],
)
def test_a_product_with_a_weight_is_a_dense_layer(product: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    (dense,) = [node for node in import_module(Product(product), (3, 8, 8)).network.graph if node.kind == "Linear"]
    assert dense.output.shape == (5,)


def test_an_addmm_with_factors_of_its_own_is_refused() -> None:
    with pytest.raises(ForeignModelError, match="addmm"):
        import_module(Product(lambda x, weight, bias: torch.addmm(bias, x, weight, beta=2)), (3, 8, 8))


@pytest.mark.parametrize(
    ("cells", "text"), [(6, ""), (3, "kernel: 2"), ((2, 6), "kernel: [3, 1]"), (4, None), (12, None)]
)
@pytest.mark.parametrize("kind", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
def test_an_adaptive_pool_whose_windows_are_even_is_a_pool(kind: type[nn.Module], cells: int, text: str | None) -> None:
    """Of maps of 6 cells a side; windows that differ in size have no word."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), kind(cells), nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    if text is None:
        with pytest.raises(ForeignModelError, match=r"2 \(adaptive_"):
            import_module(net, (3, 8, 8))
    else:
        found = import_module(net, (3, 8, 8)).text
        assert text in found
        assert ("pool: {kind" in found) == bool(text)


def test_a_pool_that_is_asked_for_its_indices_gives_its_values() -> None:
    assert (
        "kind: max"
        in import_module(
            Net(lambda x: nn.functional.max_pool2d(x, 2, return_indices=True)[0], last=True), (3, 8, 8)
        ).text
    )


def test_a_maxout_by_a_pool_over_channels_is_one() -> None:
    by_pool: list[Function] = [
        lambda x: nn.functional.max_pool3d(x.unsqueeze(1), (2, 1, 1)).squeeze(1).mean((2, 3)),
        lambda x: (
            nn.functional.max_pool1d(x.permute(0, 2, 3, 1).flatten(1, 2), 2)
            .transpose(1, 2)
            .view(-1, 4, 6, 6)
            .mean((2, 3))
        ),
    ]
    for function in by_pool:
        assert "kind: maxout, pieces: 2" in import_module(Net(function), (3, 8, 8)).text


def test_a_norm_with_a_cumulative_average_learns() -> None:
    """PyTorch hands momentum=None on as 0, with which statistics never change."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, momentum=None), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert "momentum" not in import_module(net, (3, 8, 8)).text


def test_a_scripted_module_is_refused_with_what_to_pass() -> None:
    with warnings.catch_warnings(action="ignore"):
        scripted = torch.jit.trace(nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 8, 8))  # type: ignore[no-untyped-call]
    with pytest.raises(ForeignModelError, match="TorchScript"):
        import_module(scripted, (3, 8, 8))


def test_a_refusal_names_the_layer() -> None:
    """By its path in the module, and the operator that it came to."""
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU6()), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ForeignModelError, match=r"0\.1 \(hardtanh\): it clips values at 6"):
        import_module(net, (3, 8, 8))


@pytest.mark.parametrize(
    ("plain", "in_place"),
    [
        *[(kind(), kind(inplace=True)) for kind in (nn.ReLU, nn.SiLU, nn.Mish, nn.ELU, nn.LeakyReLU)],
        (torch.sigmoid, torch.sigmoid_),
        (torch.tanh, torch.tanh_),
        (lambda x: x.clamp_min(0), lambda x: x.clamp_min_(0)),
        (lambda x: x.add(1), lambda x: x.add_(1)),
    ],
)
def test_an_operator_that_works_in_place_is_the_same(plain: Function, in_place: Function) -> None:
    assert (
        import_module(Net(in_place, last=True), (3, 8, 8)).text == import_module(Net(plain, last=True), (3, 8, 8)).text
    )
