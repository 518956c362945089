"""Names that people gave their layers come back as names of blocks; those that tools gave do not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from foreign_models import torch_file
from torch import Tensor, nn

import nin_spec
from nin_spec.exporter import make
from nin_spec.importers.chain import Chain
from nin_spec.importers.decompiler.decompile import decompile
from nin_spec.importers.decompiler.names import words_of
from nin_spec.importers.onnx.importing import import_onnx
from nin_spec.importers.torch.importing import import_module
from nin_spec.ir import ops
from nin_spec.ir.types import TensorType


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("conv1", ["conv1"]),
        ("conv4-1024", ["conv4-1024"]),
        ("conv1_1", ["conv1_1"]),
        ("features.0.weight", []),
        ("blocks.0.convs.1", []),
        ("Conv_0", []),
        ("onnx::Conv_123", []),
        ("node_conv2d_3", []),
        ("val_12", []),
        ("mul", []),
        ("div_1", []),
        ("w", []),
        ("/conv1/Conv", ["conv1"]),
        ("model/conv1/Conv2D/ReadVariableOp:0", ["conv1"]),
        ("conv1_weight", ["conv1"]),
        ("mlpconv1.0.weight", ["mlpconv1"]),
        ("layer1.0.conv2.weight", ["layer1", "conv2"]),
        ("inception_3a/5x5", ["inception_3a"]),
    ],
)
def test_what_a_person_wrote_is_distinguished_from_what_a_tool_did(path: str, words: list[str]) -> None:
    assert words_of(path) == words


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([["conv1", "cccp1"], ["conv2", "cccp2"]], ["conv1", "conv2"]),
        ([["mlp1.conv_a", "mlp1.conv_b"], ["mlp2.conv_a", "mlp2.conv_b"]], ["mlp1", "mlp2"]),
        ([["net.first.0", "net.first.2"], ["net.second.0"]], ["first", "second"]),
        ([["a.spatial", "a.mix"], ["b.spatial", "b.mix"]], []),
        ([["same", "same"], ["same", "same"]], []),
        ([["conv1", "cccp1"], ["features.3", "features.5"]], []),
    ],
)
def test_all_blocks_have_a_name_or_none_has(paths: list[list[str]], names: list[str]) -> None:
    """What the layers of a block share comes first, then the name of its first layer."""
    chain = Chain("net", TensorType((3, 12, 12)))
    for block in paths:
        for k, path in enumerate(block):
            chain = _conv(chain, 3 if k == 0 else 1, path).then(ops.ReLU(), "relu")
    chain = chain.then(ops.AdaptiveAvgPool2d(), "gap").then(ops.Flatten(), "flat")
    found = decompile(chain)
    assert [block.name for block in found.network.spec.spec.blocks if block.name] == names


def _conv(chain: Chain, kernel: int, path: str) -> Chain:
    op = ops.Conv2d(4, (kernel, kernel))
    model = {p.name: torch.zeros(p.shape).numpy() for p in op.parameters(chain.output)}
    return chain.then(op, path, **model).called(path)


class Named(nn.Module):
    """A NiN whose layers have names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.cccp1 = nn.Conv2d(3, 8, 5, padding=2), nn.Conv2d(8, 6, 1)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2, self.cccp2 = nn.Conv2d(6, 8, 3), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 12, 12) to (N, 4)."""
        x = torch.relu(self.cccp1(torch.relu(self.bn1(self.conv1(x)))))
        x = torch.relu(self.cccp2(torch.relu(self.conv2(torch.max_pool2d(x, 2)))))
        pooled: Tensor = x.mean((2, 3))
        return pooled


def test_modules_keep_their_names() -> None:
    assert names_in(import_module(Named(), (3, 12, 12)).text) == ["Named", "conv1", "conv2"]


@pytest.mark.floors
@pytest.mark.parametrize("dynamo", [True, False])
def test_exported_modules_keep_their_names(dynamo: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Through both of PyTorch's exporters, one of which folds the batch norm and renames its tensors."""
    found, _ = import_onnx(torch_file(tmp_path / "net.onnx", Named(), (3, 12, 12), dynamo=dynamo))
    assert names_in(found.text) == ["net", "conv1", "conv2"]


def test_our_own_files_give_their_blocks_names_back(tmp_path: Path) -> None:
    model = nin_spec.compile("nin_cifar").initialise()
    (data,) = make(model, "onnx", {}).files.values()
    (tmp_path / "net.onnx").write_bytes(data)
    found, _ = import_onnx(tmp_path / "net.onnx")
    assert names_in(found.text) == ["nin_cifar", "mlpconv1", "mlpconv2", "mlpconv3"]
    assert found.network.hash == model.card.hash


def names_in(text: str) -> list[str]:
    """The names in a spec, its own first."""
    return re.findall(r"\bname: ([\w-]+)", text)
