"""The generated source: standalone, readable, the same function, and no way in for code."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracle_graphs import golden, golden_names, hash_input, hash_weights, oracle_graph
from test_onnx_file import EVERY_OP

import nin_spec
from nin_spec.diagnostics import ExportError
from nin_spec.exporter import find
from nin_spec.exporters.torch_source import CALLS, LAYERS, class_name
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.temperature import Temperature
from nin_spec.ir.types import TensorType
from nin_spec.model import Model, ModelCard
from nin_spec.torch_module import build_module
from nin_spec.weights import save

GOLDENS = Path(__file__).parent / "goldens"


def source_of(model: Model) -> str:
    """The generated file."""
    exporter = find("source")
    (data,) = exporter.export(model, exporter.Options()).files.values()
    return data.decode()


def load(text: str, folder: Path) -> Any:
    """The generated file as a module."""
    path = folder / "generated.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("generated", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network_of(model: Model, folder: Path) -> torch.nn.Module:
    """The generated network in float64, with the model's weights read from a file."""
    weights = folder / "weights.safetensors"
    save(weights, model.weights)
    module = load(source_of(model), folder)
    network = getattr(module, class_name(model.graph.name))().double().eval()
    module.load_weights(network, str(weights))
    assert isinstance(network, torch.nn.Module)
    return network


@pytest.mark.parametrize("name", golden_names())
def test_goldens(name: str, tmp_path: Path) -> None:
    """Every published network, from its generated source and a weights file, to 1e-6."""
    graph, expected = oracle_graph(name), golden(name)["output_hash"]
    network = network_of(Model(graph, hash_weights(graph), ModelCard(name, "", "", "", 1)), tmp_path)
    with torch.inference_mode():
        scores = network(torch.from_numpy(hash_input(graph.input.shape))).numpy().reshape(-1)
    values = np.array(expected["values"])
    assert np.linalg.norm(scores[: values.size] - values) <= 1e-6 * np.linalg.norm(values)
    assert np.linalg.norm(scores) == pytest.approx(expected["l2"], rel=1e-6)


@pytest.mark.parametrize("open_size", [False, True])
def test_every_op(tmp_path: Path, open_size: bool) -> None:  # noqa: FBT001
    """A network with each op computes what the nn.Module does, at other sizes too when they are open."""
    graph = Graph("every_op", TensorType((4, 13, 14), "float64"), open_size=open_size)
    for i, op in enumerate(EVERY_OP):
        graph = graph.then(f"blocks.{i}.step", op)
    model = Model(graph, hash_weights(graph), ModelCard("every_op", "", "", "", 1))
    generated, reference = network_of(model, tmp_path), build_module(model)
    assert list(generated.state_dict()) == list(reference.state_dict())
    for size in [(13, 14), (17, 16)] if open_size else [(13, 14)]:
        x = torch.from_numpy(hash_input((4, *size)))
        with torch.inference_mode():
            torch.testing.assert_close(generated(x), reference(x), rtol=1e-12, atol=1e-14)


def test_there_is_a_rule_for_every_op() -> None:
    """Each op is a layer or a call, none both."""
    assert set(LAYERS) | set(CALLS) == {*ops.all_ops(), Temperature}
    assert not set(LAYERS) & set(CALLS)


def test_a_missing_rule_is_a_diagnostic(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the spec's line, never a KeyError."""
    monkeypatch.delitem(CALLS, ops.ReLU)
    with pytest.raises(ExportError, match=r"nin_cifar.yaml:\d+:\d+: error NIN602"):
        source_of(nin_spec.compile("nin_cifar").initialise())


RESIZES = [
    ("stretch", "stretch it to 32x48; take its channels as rgb, and compute (pixel * 0.5 - 0.0) / [1.0, 2.0, 3.0]."),
    ("crop", "scale it until it just covers 32x48 and keep the centre, 32x48;"),
    ("{kind: crop, shorter: 64}", "scale it until it just covers 64x64 and keep the centre, 32x48;"),
    ("{kind: stretch, size: [40, 50]}", "stretch it to 40x50 and keep the centre, 32x48;"),
]


@pytest.mark.parametrize(("resize", "said"), RESIZES)
def test_it_says_how_a_picture_becomes_its_input(resize: str, said: str) -> None:
    """The file has no preprocessing of its own, so it tells what the weights were trained with."""
    changes = ["input.size=[32, 48]", f"input.preprocess={{scale: 0.5, std: [1, 2, 3], resize: {resize}}}"]
    network = nin_spec.compile("nin_cifar_bn", changes)
    text = source_of(network.initialise())
    assert said in " ".join(text.split())


def test_it_reads_as_a_person_would_write_it() -> None:
    """The whole file for nin_mnist, to be reviewed."""
    model = nin_spec.compile("nin_mnist").initialise()
    model = replace(model, card=replace(model.card, hash="nin1:" + 32 * "0"))
    assert source_of(model) == (GOLDENS / "nin_mnist.py.txt").read_text()


@pytest.mark.parametrize("name", ["nin_cifar", "nin_cifar_bn", "seed_mlpconv_six_blocks"])
def test_it_needs_torch_alone(name: str) -> None:
    """Nothing but torch and the standard library is imported."""
    tree = ast.parse(source_of(nin_spec.compile(name).initialise()))
    imports = {n.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imports |= {module.split(".")[0] for module in modules}
    assert imports == {"__future__", "json", "sys", "torch"}


def test_it_is_formatted(tmp_path: Path) -> None:
    """As ruff formats a person's file, helpers and all."""
    graph = Graph("every_op", TensorType((4, 13, 14)))
    for i, op in enumerate(EVERY_OP):
        graph = graph.then(f"blocks.{i}.step", op)
    models = [Model(graph, hash_weights(graph), ModelCard("every_op", "", "", "", 1))]
    models += [nin_spec.compile(name).initialise() for name in ("nin_cifar_bn", "seed_mlpconv_six_blocks")]
    for i, model in enumerate(models):
        (tmp_path / f"net{i}.py").write_text(source_of(model))
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "120", "--diff", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_runs_as_a_script(tmp_path: Path) -> None:
    """With a weights file as its argument, in a double precision spec too."""
    model = nin_spec.compile("seed_fixed_average_double").initialise()
    (tmp_path / "net.py").write_text(source_of(model))
    save(tmp_path / "w.safetensors", model.weights)
    command = [sys.executable, "-I", str(tmp_path / "net.py"), str(tmp_path / "w.safetensors")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "torch.Size([1, 10])\n"


@pytest.mark.parametrize(
    "summary", ['"""\nimport os; os.abort()', "ends in a backslash \\", "{{ 7 * 7 }}", "'''", "\x00\x1b[2J", "\u202e"]
)
def test_a_summary_can_not_become_code(summary: str) -> None:
    """Whatever a summary says, the file parses and does nothing more."""
    graph = Graph("x", TensorType((1, 2, 2))).then("flatten", ops.Flatten())
    text = source_of(Model(graph, {}, ModelCard("x", summary, "", "", 4)))
    tree = ast.parse(text)
    kinds = [type(n).__name__ for n in tree.body]
    assert kinds == ["Expr", "ImportFrom", *["Import"] * 4, "ImportFrom", "ClassDef", "FunctionDef", "If"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nin_cifar", "NinCifar"),
        ("a-b", "AB"),
        ("x", "X"),
        ("NiN", "NiN"),
        ("none", "NetworkNone"),
        ("_", "Network"),
        ("f", "NetworkF"),
        ("tensor", "NetworkTensor"),
    ],
)
def test_class_names(name: str, expected: str) -> None:
    """Always an identifier."""
    assert class_name(name) == expected
