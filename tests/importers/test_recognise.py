"""A function is taken for a word of the language only where no input that it was not tried on tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_models import graph_file
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from torch import Tensor, nn

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.onnx.importing import import_onnx
from nin_spec.importers.recognise import recognise, window_pools
from nin_spec.importers.regions import Array, Region
from nin_spec.importers.torch.importing import import_module
from nin_spec.ir import ops

RNG = np.random.default_rng(0)
W = RNG.standard_normal((8, 3, 3, 3))
GAP: list[Any] = [("GlobalAveragePool", ["last"], ["gap"], {}), ("Flatten", ["gap"], ["y"], {})]
Nodes = list[tuple[str, list[str], list[str], dict[str, Any]]]
NUMBERS = {
    **{f"n{v}": np.float32(v) for v in (0, 1, 3, 6, 20, 100, 500, 50_000)},
    "tenth": np.float32(0.1),
    "low": np.finfo(np.float32).min,
    "high": np.float32(np.inf),
    "minus": np.float32(-1),
    "third": np.array([6, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9], np.float32).reshape(1, 8, 1, 1),
}


def brought_in(nodes: Nodes, folder: Path, shape: Sequence[int | str] = ("n", 3, 8, 8)) -> str:
    """The spec of a convolution, these nodes from `c` to `last`, and a global average."""
    chain = [("Conv", ["x", "W"], ["c"], {}), *nodes, *GAP]
    path = graph_file(folder / "net.onnx", chain, {"W": W, **NUMBERS}, shape)
    return import_onnx(path)[0].text


CLIPS: dict[str, Nodes] = {
    "relu6 of two": [("Max", ["c", "n0"], ["a"], {}), ("Min", ["a", "n6"], ["last"], {})],
    "clip at 20": [("Min", ["c", "n20"], ["a"], {}), ("Max", ["a", "n0"], ["last"], {})],
    "clip far away": [("Relu", ["c"], ["a"], {}), ("Min", ["a", "n50000"], ["last"], {})],
    "clip of one channel": [("Relu", ["c"], ["a"], {}), ("Min", ["a", "third"], ["last"], {})],
    "clip by three": [("Max", ["c", "n0", "minus"], ["last"], {})],
    "floor at 1": [("Max", ["c", "n1"], ["last"], {})],
    "Clip": [("Clip", ["c", "n0", "n100"], ["last"], {})],
    "Clip from below": [("Clip", ["c", "minus"], ["last"], {})],
    "HardSigmoid": [("HardSigmoid", ["c"], ["last"], {})],
    "six times a hard swish": [
        ("Add", ["c", "n3"], ["a"], {}),
        ("Clip", ["a", "n0", "n6"], ["b"], {}),
        ("Mul", ["c", "b"], ["last"], {}),
    ],
    "ThresholdedRelu": [("ThresholdedRelu", ["c"], ["last"], {"alpha": 1e-3})],
    "ThresholdedRelu far away": [
        ("Neg", ["c"], ["a"], {}),
        ("ThresholdedRelu", ["a"], ["b"], {"alpha": 30_000.0}),
        ("Add", ["c", "b"], ["last"], {}),
    ],
    "Selu": [("Selu", ["c"], ["last"], {})],
    "what bright cells do": [
        ("Greater", ["c", "n500"], ["a"], {}),
        ("Where", ["a", "n0", "c"], ["last"], {}),
    ],
    "what very bright cells do": [
        ("Sub", ["c", "n50000"], ["a"], {}),
        ("Relu", ["a"], ["b"], {}),
        ("Add", ["c", "b"], ["last"], {}),
    ],
    "what bright maps do": [
        ("ReduceMean", ["c"], ["a"], {"axes": [1, 2, 3]}),
        ("Greater", ["a", "n100"], ["b"], {}),
        ("Where", ["b", "n0", "c"], ["last"], {}),
    ],
    "what one cell does": [
        ("Equal", ["c", "n3"], ["a"], {}),
        ("Where", ["a", "n0", "c"], ["last"], {}),
    ],
    "leaky until 100": [
        ("Mul", ["c", "tenth"], ["a"], {}),
        ("Max", ["c", "a"], ["b"], {}),
        ("Min", ["b", "n100"], ["last"], {}),
    ],
    "rounding": [("Round", ["c"], ["last"], {})],
    "whole numbers": [("Cast", ["c"], ["a"], {"to": 6}), ("Cast", ["a"], ["last"], {"to": 1})],
    "half numbers": [("Cast", ["c"], ["a"], {"to": 10}), ("Cast", ["a"], ["last"], {"to": 1})],
    "two channels swapped": [("Gather", ["c", "swapped"], ["last"], {"axis": 1})],
}


@pytest.mark.parametrize("name", CLIPS)
def test_what_acts_only_on_large_values_is_refused(name: str, tmp_path: Path) -> None:
    """Whether its breakpoint lies where networks come or beyond; and what rounds."""
    NUMBERS["swapped"] = np.array([0, 1, 2, 4, 3, 5, 6, 7])
    with pytest.raises(ForeignModelError):
        brought_in(CLIPS[name], tmp_path)


def thirds(count: int) -> Nodes:
    """Nodes that divide `c` by three so many times, without a constant: to `small`."""
    nodes: Nodes = []
    for k in range(count):
        value, made = ("c" if k == 0 else f"a{k}"), ("small" if k == count - 1 else f"a{k + 1}")
        nodes += [("Neg", [value], [f"n{k}"], {}), ("Mean", [value, value, f"n{k}"], [made], {})]
    return nodes


TURNED: Nodes = [("Greater", ["c", "limit"], ["far"], {}), ("Where", ["far", "t", "c"], ["last"], {})]
HIDDEN: dict[str, Nodes] = {
    "a filled map": [
        ("Neg", ["c"], ["t"], {}),
        ("Shape", ["t"], ["s"], {}),
        ("ConstantOfShape", ["s"], ["limit"], {"value": numpy_helper.from_array(np.array([37.01], np.float32))}),
        ("Equal", ["c", "limit"], ["hit"], {}),
        ("Where", ["hit", "t", "c"], ["last"], {}),
    ],
    "the size of the maps": [
        ("Neg", ["c"], ["t"], {}),
        ("Size", ["t"], ["s"], {}),
        ("Cast", ["s"], ["f"], {"to": 1}),
        ("Mul", ["f", "f"], ["limit"], {}),
        *TURNED,
    ],
    "the size of the maps, filled in": [
        ("Neg", ["c"], ["t"], {}),
        ("Shape", ["t"], ["s"], {}),
        ("Size", ["t"], ["n"], {}),
        ("Cast", ["n"], ["f"], {"to": 1}),
        ("Expand", ["f", "s"], ["limit"], {}),
        *TURNED,
    ],
    "the usual alpha": [*thirds(13), ("ThresholdedRelu", ["small"], ["u"], {}), ("Sub", ["c", "u"], ["last"], {})],
    "a slope that acts elsewhere": [
        ("Neg", ["c"], ["t"], {}),
        ("Mul", ["c", "tenth"], ["a"], {}),
        ("Max", ["c", "a"], ["leaky"], {}),
        ("Mul", ["a", "tenth"], ["b"], {}),
        ("Mul", ["b", "tenth"], ["d"], {}),
        ("Equal", ["d", "tenth"], ["hit"], {}),
        ("Where", ["hit", "t", "leaky"], ["last"], {}),
    ],
}


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("batch", [1, "n"])
def test_a_threshold_that_is_not_a_constant_hides_nothing(name: str, batch: int | str, tmp_path: Path) -> None:
    """Nor does a constant that acts, in another place."""
    with pytest.raises(ForeignModelError):
        brought_in(HIDDEN[name], tmp_path, (batch, 3, 8, 8))


def test_one_use_of_a_constant_must_act_as_another_does() -> None:
    """By cell, where there is a number for each: one of them may be out of reach."""
    limits = np.zeros((1, 2, 4, 4), np.float32)
    limits[0, 0, 1, 2] = 1e15
    here = (limits > 0).astype(np.float32)

    def compute(x: Array, changed: Any) -> Array:
        limit, chosen = changed.get("limits", limits), changed.get("here", here)
        found: Array = x - np.minimum(x, limit) + chosen * np.maximum(x, 0)
        return found

    with pytest.raises(ForeignModelError, match="its constant limits has no effect"):
        recognise(Region(compute, {"limits": limits, "here": here}), (1, 2, 4, 4), "here")


@pytest.mark.parametrize(
    ("nodes", "word"),
    [
        ([("Max", ["n0", "c"], ["last"], {})], "blocks"),
        ([("Clip", ["c", "n0", "high"], ["last"], {})], "blocks"),
        ([("Clip", ["c", "low", "high"], ["last"], {})], "activation: none"),
        ([("Min", ["c", "high"], ["a"], {}), ("Max", ["a", "low"], ["last"], {})], "activation: none"),
        ([("ThresholdedRelu", ["c"], ["last"], {"alpha": 0.0})], "blocks"),
        ([("Celu", ["c"], ["last"], {})], "activation: elu"),
        ([("HardSwish", ["c"], ["last"], {})], "activation: hardswish"),
        (
            [("HardSigmoid", ["c"], ["a"], {"alpha": 1 / 6, "beta": 0.5}), ("Mul", ["c", "a"], ["last"], {})],
            "activation: hardswish",
        ),
        (
            [
                ("Add", ["c", "n3"], ["a"], {}),
                ("Clip", ["a", "n0", "n6"], ["b"], {}),
                ("Mul", ["c", "b"], ["d"], {}),
                ("Div", ["d", "n6"], ["last"], {}),
            ],
            "activation: hardswish",
        ),
        (
            [
                ("Greater", ["c", "n0"], ["a"], {}),
                ("Mul", ["c", "tenth"], ["b"], {}),
                ("Where", ["a", "c", "b"], ["last"], {}),
            ],
            "{kind: leaky_relu, slope: 0.1}",
        ),
        (
            [
                ("Exp", ["c"], ["a"], {}),
                ("Sub", ["a", "n1"], ["b"], {}),
                ("Min", ["b", "n0"], ["d"], {}),
                ("Relu", ["c"], ["e"], {}),
                ("Add", ["d", "e"], ["last"], {}),
            ],
            "activation: elu",
        ),
    ],
)
def test_what_computes_a_word_everywhere_is_that_word(nodes: Nodes, word: str, tmp_path: Path) -> None:
    """However it is spelled, float's own limits as bounds among the spellings."""
    assert word in brought_in(nodes, tmp_path)


WORDS: dict[str, Any] = {
    "relu": lambda x, _: np.maximum(x, 0),
    "leaky_relu": lambda x, _: np.maximum(x, 0.1 * x),
    "silu": lambda x, _: x / (1 + np.exp(-x)),
    "none": lambda x, _: x,
}
CHANGES: dict[str, Any] = {
    "clipped": lambda y, _, t: np.minimum(y, t),
    "reflected": lambda y, x, t: y - 2 * np.maximum(x - t, 0),
    "dropped": lambda y, x, t: np.where(x > t, 0, y),
    "lifted": lambda y, x, t: np.where(x < -t, y + 0.01 * t, y),
    "window": lambda y, x, t: np.where((x > t) & (x < 1.001 * t), 0, y),
}


@given(st.sampled_from([*WORDS]), st.sampled_from([*CHANGES]), st.floats(-2, 7).map(lambda e: 10.0**e))
def test_a_breakpoint_anywhere_is_seen(word: str, change: str, threshold: float) -> None:
    """Each word changed beyond a number from 0.01 to 10,000,000 is refused, or is not a word of the language."""

    def compute(x: Array, changed: Any) -> Array:
        limit = float(changed.get("limit", np.float32(threshold)))
        with np.errstate(over="ignore"):
            found: Array = CHANGES[change](WORDS[word](x, None), x, limit).astype(np.float32)
        return found

    region = Region(compute, {"limit": np.array(threshold, np.float32)}, pointwise=True)
    try:
        found = recognise(region, (1, 4, 8, 8), "here")
    except ForeignModelError as error:
        assert "limit has no effect" in str(error)  # noqa: PT017 it may be refused either way
    else:
        assert found is None


def test_the_words_themselves_are_found() -> None:
    """The property above could not fail if nothing were ever recognised."""
    region = Region(lambda x, changed: np.maximum(x, changed.get("end", 0)), {}, pointwise=True)
    assert recognise(region, (1, 4, 40, 40), "here") == [ops.ReLU()]


class By(nn.Module):
    """A convolution and then a function, averaged."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 4)."""
        scores: Tensor = self.function(self.conv(x)).mean((2, 3))
        return scores


@pytest.mark.parametrize(
    "function",
    [
        nn.ReLU6(),
        nn.Hardtanh(0, 20),
        nn.Hardtanh(-1e6, 1e6),
        nn.Hardsigmoid(),
        lambda x: x * nn.functional.relu6(x + 3) / 6.01,
        nn.Threshold(0.01, 0),
        nn.Threshold(-1e6, 0),
        nn.SELU(),
        lambda x: x.clamp(0, 6),
        lambda x: x.clamp(min=0).clamp(max=50_000),
        lambda x: torch.minimum(x.relu(), torch.tensor(20.0)),
        lambda x: torch.where(x > 500, 0.0, x),
        lambda x: x + (x - 50_000).relu(),
        lambda x: x.round(),
        lambda x: x.half().float(),
        lambda x: x.int().float(),
        lambda x: nn.functional.dropout(x, 0.5, training=True),
        lambda x: torch.where(x.mean() > 100, torch.zeros_like(x), x),
    ],
)
def test_modules_that_act_only_on_large_values_are_refused(function: Any) -> None:
    """As layers, functions and methods."""
    with pytest.raises(ForeignModelError):
        import_module(By(function), (3, 8, 8))


@pytest.mark.parametrize(
    ("function", "word"),
    [
        (lambda x: x.clamp(min=0), "blocks"),
        (nn.Threshold(0, 0), "blocks"),
        (lambda x: torch.maximum(x, torch.tensor(0.0)), "blocks"),
        (lambda x: torch.where(x > 0, x, 0.1 * x), "slope: 0.1"),
        (lambda x: x * torch.tanh(nn.functional.softplus(x)), "mish"),
        (nn.Hardswish(), "hardswish"),
        (nn.Hardswish(inplace=True), "hardswish"),
        (nn.functional.hardswish, "hardswish"),
        (lambda x: x * nn.functional.hardsigmoid(x), "hardswish"),
        (lambda x: x * nn.functional.relu6(x + 3) / 6, "hardswish"),
        (lambda x: x * (nn.functional.relu6(x + 3) * (1 / 6)), "hardswish"),
        (lambda x: x * (x + 3).clamp(0, 6) / 6, "hardswish"),
        (lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)), "gelu"),
        (lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))), "approximate: tanh"),
    ],
)
def test_modules_that_compute_a_word_are_that_word(function: Any, word: str) -> None:
    """However they are spelled."""
    assert word in import_module(By(function), (3, 8, 8)).text


@dataclass(frozen=True, repr=False, eq=False)
class LpPool2d(ops.Pool2d):
    """A pool that the language could have."""

    p: float = 2.0

    def reduce(self, cells: Any, axes: tuple[int, ...]) -> Any:
        return (np.abs(cells) ** self.p).sum(axes) ** (1 / self.p)


@pytest.mark.parametrize("shape", [(1, 6), (1, 2, 4, 4), (1, 2, 2, 9)])
def test_a_window_that_does_not_fit_is_not_a_pool(shape: tuple[int, ...]) -> None:
    """On features, and on maps that are smaller."""
    region = Region(lambda x, _: x**3)
    assert recognise(region, shape, "here", window_pools([((3, 5), (1, 1))], [])) is None


def test_a_new_pool_is_recognised_by_its_window_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither importer needs a rule for it."""
    monkeypatch.setattr(ops, "WindowPool", ops.MaxPool2d | LpPool2d)
    wanted = LpPool2d((3, 2), (2, 2), p=4.0)
    windows = np.lib.stride_tricks.sliding_window_view
    region = Region(lambda x, _: wanted.reduce(windows(x, (3, 2), (2, 3))[:, :, ::2, ::2], (-2, -1)))
    hinted = window_pools([((3, 2), (2, 2))], [2.0, 4.0])
    assert len(hinted) == 3
    assert recognise(region, (1, 2, 9, 8), "here", hinted) == [wanted]
