"""The output `maps` of an ONNX file: in the file that serves, its mean is the score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import nin_spec
from nin_spec.diagnostics import ExportError
from nin_spec.exporter import make
from nin_spec.importers.onnx.importing import import_onnx
from nin_spec.model import Model
from nin_spec.named import shipped_names
from nin_spec.network import Network
from nin_spec.passes.class_maps import class_maps
from nin_spec.precision.float16 import to_float16
from nin_spec.precision.reduction import stamp
from nin_spec.runtime.metadata import read_info
from nin_spec.runtime.parity import check_parity
from nin_spec.runtime.session import open_session

PUBLISHED = sorted((Path(__file__).parent.parent / "oracle_specs").glob("*.yaml"))
SPEC = """\
spec: 1
name: small
input: {channels: 3, size: [6, 8], OPEN}
classes: 7
blocks: [{channels: [5, LAST], kernel: 3, norm: batch, activation: none}]
head: {HEAD}
"""
DENSE = "dense: [{units: 9, activation: none, norm: batch}, classes], output: softmax"


def small(head: str = "output: scores", last: str = "classes", size: str = "open: false") -> Network:
    text = SPEC.replace("HEAD", head).replace("LAST", last).replace("OPEN", size)
    return nin_spec.compile(nin_spec.loads(text))


def file_of(model: Model, **options: Any) -> bytes:
    (data,) = make(model, "onnx", {"outputs": "scores,maps", **options}).files.values()
    return data


def run(data: bytes, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores and the maps."""
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    scores, maps = session.run(["scores", "maps"], {"input": x})
    return scores, maps


def noise(network: Network, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, *network.graph.input.shape)).astype(np.float32)


def averages(maps: np.ndarray, kind: str) -> np.ndarray:
    """The mean of each map in float64; after the softmax of a network that ends in one."""
    mean = maps.mean((2, 3), dtype=np.float64)
    likely = np.exp(mean - mean.max(1, keepdims=True))
    likely /= likely.sum(1, keepdims=True)
    found: np.ndarray = {"scores": mean, "probabilities": likely, "log_probabilities": np.log(likely)}[kind]
    return found


@pytest.mark.parametrize("name", [*shipped_names(), *PUBLISHED], ids=lambda name: Path(name).stem)
def test_the_mean_of_a_map_is_the_score(name: str | Path) -> None:
    """Of every shipped and every published network, in onnxruntime: to 1e-5 of the largest score."""
    network = nin_spec.compile(name)
    data = file_of(network.initialise())
    scores, maps = run(data, noise(network))
    assert maps.shape == (2, *scores.shape[1:], *class_maps(network.graph).size)
    kind = read_info({p.key: p.value for p in onnx.load_from_string(data).metadata_props}).output
    assert kind is not None
    assert np.abs(averages(maps, kind) - scores).max() <= 1e-5 * np.abs(scores).max()


@pytest.mark.parametrize(
    "network", [small(), small(DENSE, "6"), small(size="open: true"), small("output: log_softmax")]
)
@pytest.mark.parametrize("options", [{}, {"takes": "pixels"}, {"without": "pool_first,drop_identities"}, {"batch": 2}])
def test_parity_covers_the_maps(network: Network, options: dict[str, Any]) -> None:
    """They are compared with the network's own head on each cell alone, in float64."""
    model = network.initialise(3)
    report = check_parity(model, file_of(model, **options))
    assert report.outputs == ("scores", "maps")


def test_wrong_maps_are_caught() -> None:
    """Maps that are not those of the head fail the proof, though the scores are right."""
    model = small(DENSE, "6").initialise(1)
    proto = onnx.load_from_string(file_of(model))
    node = next(n for n in proto.graph.node if n.output[0] == "maps")
    node.output[0] = "right"
    for other in proto.graph.node:
        other.input[:] = ["right" if name == "maps" else name for name in other.input]
    two = onnx.numpy_helper.from_array(np.array(2, np.float32), "two")
    proto.graph.initializer.append(two)
    proto.graph.node.append(onnx.helper.make_node("Mul", ["right", "two"], ["maps"]))
    with pytest.raises(nin_spec.NinSpecError, match="in maps"):
        check_parity(model, proto.SerializeToString())


def test_the_score_is_an_average_in_the_file_itself() -> None:
    """What follows the maps is a global average and a flatten, for any passes and head."""
    for network in (small(), small("norm: batch, dense: [classes]", "6"), nin_spec.compile("nin_digits")):
        nodes = list(onnx.load_from_string(file_of(network.initialise())).graph.node)
        at = next(k for k, n in enumerate(nodes) if n.output[0] == "maps")
        assert [n.op_type for n in nodes[at + 1 :]] == ["GlobalAveragePool", "Flatten"]


def test_the_file_says_where_a_cell_looks() -> None:
    """As metadata, and typed in a session."""
    model = nin_spec.compile("nin_cifar").initialise()
    facts = {p.key: p.value for p in onnx.load_from_string(file_of(model)).metadata_props}
    assert json.loads(facts["nin_spec.maps"]) == {"field": [27, 27], "jump": [4, 4], "offset": [-10, -10]}
    assert open_session(file_of(model), "cpu").metadata.maps == class_maps(model.graph).place
    (plain,) = make(model, "onnx", {}).files.values()
    assert open_session(plain, "cpu").metadata.maps is None


def test_the_cost_is_reported() -> None:
    """MACs that a file without maps saves by averaging first, or that there are none."""
    remarks = make(nin_spec.compile("nin_digits").initialise(), "onnx", {"outputs": "scores,maps"}).remarks
    assert remarks == ("maps: averaged last, which takes 9,600 MACs more per image (0.78%)",)
    remarks = make(nin_spec.compile("nin_cifar").initialise(), "onnx", {"outputs": "scores,maps"}).remarks
    assert remarks == ("maps: the average over them is last anyway: no more MACs",)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize(
    "network",
    [small("norm: batch, dense: [{units: 9, activation: none}, classes]", "6"), nin_spec.compile("nin_digits")],
)
def test_such_a_file_is_imported_again(network: Network, precision: str, tmp_path: Path) -> None:
    """By its spec, though dense layers are convolutions in it."""
    data = file_of(network.initialise())
    if precision == "float16":
        data = stamp(to_float16(data)[0], "float16", {})
    (tmp_path / "a.onnx").write_bytes(data)
    found, remarks = import_onnx(tmp_path / "a.onnx")
    assert found.network.hash == network.hash
    assert not any("the metadata is ignored" in remark for remark in remarks)


@pytest.mark.parametrize(
    ("head", "last", "why", "line"),
    [
        ("pool: global_max", "classes", "no class maps: a score is the maximum of its map", 6),
        ("pool: none, dense: [classes]", "9", "no class maps: no average over the maps comes before", 6),
        ("dense: [{units: 9, activation: relu}, classes]", "9", "no class maps: head.activations.0 (ReLU) comes", 6),
    ],
)
def test_other_heads_are_refused_at_their_line(head: str, last: str, why: str, line: int) -> None:
    """Nothing is exported as a map whose mean is not the score."""
    with pytest.raises(ExportError) as caught:
        file_of(small(head, last).initialise())
    (found,) = caught.value.diagnostics
    assert found.message.startswith(why)
    assert found.span is not None
    assert found.span.line == line


def test_maps_need_scores() -> None:
    with pytest.raises(ExportError, match="outputs can't be") as caught:
        file_of(small().initialise(), outputs="probabilities,maps")
    assert caught.value.diagnostics[0].hint == "the maps need the scores, their averages, too: pass scores,maps"
