"""Of the state dicts in a checkpoint the one that fits is taken, and what was chosen is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from weight_files import assert_same, foreign, refused, small, values

from nin_spec.diagnostics import Code
from nin_spec.network import compile as compile_network
from nin_spec.torch_module import build_module
from nin_spec.weights import load, save

Tensors = dict[str, torch.Tensor]


def ours(factor: float = 1.0, prefix: str = "") -> Tensors:
    """The network's tensors, times a factor."""
    return {prefix + n: torch.from_numpy(a) * factor for n, a in values(small()).items()}


def taken(content: Any, folder: Path) -> tuple[float, str]:
    """The factor of the tensors that were taken of a checkpoint, and what was said."""
    torch.save(content, folder / "c.pt")
    adoption = load(folder / "c.pt", small())
    assert list(adoption.weights) == list(values(small()))
    name = next(iter(adoption.weights))
    factor = float((adoption.weights[name] / values(small())[name]).mean())
    return round(factor, 3), "\n".join(adoption.remarks)


@pytest.mark.parametrize(
    ("content", "factor", "said"),
    [
        ({"model": ours(), "model_ema": ours(2), "epoch": 1}, 1, ["used model, not model_ema", "['model_ema']"]),
        ({"model_ema": ours(2), "model": ours()}, 1, ["used model, not model_ema"]),
        ({"state_dict": ours(), "state_dict_ema": ours(2), "arch": "nin"}, 1, ["used state_dict, not state_dict_ema"]),
        ({"ema_state_dict": ours(2), "optimizer": {"state": {0: {"m": torch.ones(3)}}}}, 2, ["averaged weights"]),
        ({"model": ours(prefix="module."), "best": ours(3)}, 1, ["used model, not best", "after the prefix 'module.'"]),
        ({"state_dict": {**ours(prefix="model."), "criterion.weight": torch.ones(4)}}, 1, ["criterion.weight"]),
        ({"checkpoint": {"net": {"state_dict": ours(5)}}, "rng": torch.ones(7)}, 5, ["checkpoint.net.state_dict"]),
        ({**ours(), "epoch": 7, "arch": "nin"}, 1, ["ignored epoch, arch"]),
        ({**ours(prefix="module."), "n_averaged": torch.tensor(5)}, 1, ["averaged weights, n_averaged is 5"]),
        ({**ours(prefix="module."), "n_averaged": torch.tensor(0)}, 1, ["nothing was averaged yet"]),
        (
            {**ours(prefix="ema_model."), **ours(2, "online_model."), "initted": torch.tensor(data=True)},
            2,
            ["used online_model.*, not ema_model.*", "initted"],
        ),
        ({"model": ours(), "ema": {"decay": 0.9, "shadow_params": [torch.ones(2)]}}, 1, ["ema.shadow_params"]),
        ({"model": {n: torch.from_numpy(a) for n, a in foreign(small()).items()}, "ema": ours(2)}, 2, ["averaged"]),
        ({"a": ours(), "b": ours()}, 1, ["used a, not b"]),
    ],
)
def test_what_is_taken_of_a_checkpoint_is_reported(
    content: Any, factor: float, said: list[str], tmp_path: Path
) -> None:
    """The weights before their average, names that are the network's before those that are not."""
    found, remarks = taken(content, tmp_path)
    assert found == factor
    for words in said:
        assert words in remarks


def test_one_state_dict_alone_needs_no_remark(tmp_path: Path) -> None:
    """There was nothing to choose."""
    assert taken({"state_dict": ours(), "epoch": 3}, tmp_path) == (1, "")


def test_two_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    """Both are named, and how to save one alone."""
    with refused(Code.WEIGHTS_MISMATCH, "which one to use is ambiguous: student, teacher") as caught:
        taken({"student": ours(), "teacher": ours(2)}, tmp_path)
    assert "['student']" in str(caught.value.diagnostics[0].hint)


def test_where_none_fits_the_nearest_is_explained(tmp_path: Path) -> None:
    """By its key in the file, with the tensor that it lacks."""
    lacking = {n: t for n, t in ours().items() if n != "head.dense.0.bias"}
    with refused(Code.WEIGHTS_MISMATCH, r"c.pt \(model\) does not fit: 11 of 12 .*lacks head.dense.0.bias"):
        taken({"scaler": {"scale": torch.ones(1)}, "model": lacking, "other": {"x": torch.ones(3)}}, tmp_path)


def test_tensors_without_names_are_reported(tmp_path: Path) -> None:
    """As packages for averages keep them; with what to save instead."""
    with refused(Code.WEIGHTS_UNREADABLE, "shadow_params, tensors without names") as caught:
        taken({"decay": 0.99, "shadow_params": [torch.ones(3), torch.ones(3)]}, tmp_path)
    assert "copy_to" in str(caught.value.diagnostics[0].hint)


def test_torch_s_own_averaged_model_is_understood(tmp_path: Path) -> None:
    """With the buffers and the counter that torch.optim.swa_utils adds, of a module of ours."""
    network = compile_network("nin_digits")
    averaged = torch.optim.swa_utils.AveragedModel(nn.DataParallel(build_module(network.initialise(seed=0))))
    averaged.update_parameters(nn.DataParallel(build_module(network.initialise(seed=0))))
    torch.save(averaged.state_dict(), tmp_path / "swa.pt")
    model, remarks = network.adopt(tmp_path / "swa.pt")
    assert_same(model.weights, network.initialise(seed=0).weights)
    assert any("n_averaged is 1" in remark for remark in remarks)
    assert not any("->" in remark for remark in remarks)


def test_a_checkpoint_of_our_own_gives_its_weights(tmp_path: Path) -> None:
    """Not what it keeps for the optimiser, which has the same names."""
    tensors = {f"optimizer/{n}/momentum_buffer": a for n, a in values(small()).items()}
    tensors |= {f"weights/{n}": a for n, a in values(small()).items()}
    save(tmp_path / "step.safetensors", tensors)
    adoption = load(tmp_path / "step.safetensors", small())
    np.testing.assert_array_equal(adoption.weights["head.dense.0.bias"], values(small())["head.dense.0.bias"])
    assert any("optimizer/" in remark for remark in adoption.remarks)
