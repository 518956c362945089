"""A file that we exported comes back as the spec that it was made from, with any options, or the error says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from examples import few
from hypothesis import given
from onnx import helper, numpy_helper
from own_files import exported, network_of, options, precisions, texts, trained

import nin_spec
from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.onnx.importing import import_onnx
from nin_spec.named import shipped_names
from nin_spec.network import Network
from nin_spec.runtime.plain_files import is_plain

QUICK = [name for name in shipped_names() if name in {"nin_digits", "nin_mnist", "nin_cifar_bn"}]


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def told(network: Network) -> dict[str, Any]:
    """What a file keeps of its spec."""
    card = network.card
    names = [block.name for block in network.spec.spec.blocks if block.name]
    return {
        "hash": network.hash,
        "name": card.name,
        "summary": card.summary,
        "labels": card.labels,
        "preprocessing": card.preprocessing,
        "names": names,
    }


def comes_back(network: Network, given_: dict[str, Any], precision: str, path: Path) -> None:
    """The export of a network is the network again, and not by its graph alone."""
    data = exported(trained(network), given_, precision)
    if data is None:
        return
    assert is_plain(data)  # no other process has to try it before it is opened
    found, remarks = import_onnx(written(path, data))
    assert told(found.network) == told(network)
    assert not any("the metadata is ignored" in remark for remark in remarks)


@few
@given(texts, options, precisions)
def test_any_own_file_comes_back(tmp_path: Path, text: str, given_: dict[str, Any], precision: str) -> None:
    """Over the whole grammar, every way to export and every precision but int8."""
    comes_back(network_of(text), given_, precision, tmp_path / "own.onnx")


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("takes", ["normalised", "pixels"])
def test_shipped_specs_come_back_from_their_files(name: str, takes: str, tmp_path: Path) -> None:
    """Those that are small."""
    given_ = {"takes": takes, "outputs": ("probabilities", "top1")}
    comes_back(nin_spec.compile(name), given_, "float32", tmp_path / "a")


POOLED = """\
spec: 1
name: pooled
input: {channels: 3, size: 10, open: true}
classes: 3
blocks:
  - channels: [4]
    kernel: 3
    pool: {kind: avg, kernel: 3, stride: 2, padding: 1, ceil_mode: true, count_include_pad: true}
  - {channels: [classes], kernel: 1}
"""
"""Releases of onnxruntime compute a ceil-mode average of an open size differently, and a target changes its nodes."""


def pooled(target: str) -> tuple[Network, onnx.ModelProto]:
    network = nin_spec.compile(nin_spec.loads(POOLED))
    return network, onnx.load_model_from_string(exported(trained(network), {"target": target}) or b"")


@pytest.mark.parametrize("target", ["onnxruntime==1.16.3", "triton==23.05", "triton==24.10", "onnxruntime==1.20"])
def test_a_file_for_a_target_comes_back_by_its_metadata(target: str, tmp_path: Path) -> None:
    network, proto = pooled(target)
    found, remarks = import_onnx(written(tmp_path / "a.onnx", proto.SerializeToString()))
    assert told(found.network) == told(network)
    assert remarks[0] == "a.onnx equals, node by node, the export of its spec"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (None, "its node 'blocks.0.pool/padded' is not the same"),
        ("onnxruntime==99", "onnxruntime 99 is unknown"),
    ],
)
def test_the_target_that_a_file_names_decides_what_it_is_compared_with(
    said: str | None, why: str, tmp_path: Path
) -> None:
    """Where it is missing or not known, the graph is used."""
    _, proto = pooled("onnxruntime==1.16.3")
    (entry,) = [p for p in proto.metadata_props if p.key == "nin_spec.target"]
    proto.metadata_props.remove(entry)
    if said is not None:
        proto.metadata_props.add(key="nin_spec.target", value=said)
    with pytest.raises(ForeignModelError) as caught:
        import_onnx(written(tmp_path / "a.onnx", proto.SerializeToString()))
    hint = str(caught.value.diagnostics[0].hint)
    assert "the metadata is ignored, since the graph does not match it" in hint
    assert why in hint


@pytest.mark.long
@pytest.mark.parametrize("name", shipped_names())
@pytest.mark.parametrize("precision", ["float32", "float16", "float64"])
def test_every_shipped_spec_comes_back_from_its_file(name: str, precision: str, tmp_path: Path) -> None:
    """In each precision."""
    comes_back(nin_spec.compile(name), {"takes": "pixels"}, precision, tmp_path / "a")


SMALL = """\
spec: 1
name: small
input: {channels: CHANNELS, size: SIZE}
classes: [walk, sit, stand]
blocks:
  - {name: first, channels: [8, 6], kernel: [5, 1], padding: [2, 0], pool: {kind: max, kernel: [2, 1]}}
  - {channels: [classes], kernel: 1, activation: none}
"""


@pytest.mark.parametrize(("channels", "size"), [(9, "[128, 1]"), (9, "[16, 3]"), (1, "[1, 64]"), (3, "[64, 3]")])
@pytest.mark.parametrize("own", [True, False])
def test_maps_one_or_three_cells_wide_are_not_taken_for_channels(
    channels: int,
    size: str,
    own: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    """With the metadata and without."""
    text = SMALL.replace("CHANNELS", str(channels)).replace("SIZE", size)
    text = text if channels != 1 else text.replace("kernel: [5, 1]", "kernel: [1, 5]").replace("[2, 0]", "[0, 2]")
    text = text if channels != 1 else text.replace("kernel: [2, 1]", "kernel: [1, 2]")
    network = nin_spec.compile(nin_spec.loads(text))
    proto = onnx.load_model_from_string(exported(trained(network), {"without": "pool_first"}) or b"")
    if not own:
        del proto.metadata_props[:]
    found, _ = import_onnx(written(tmp_path / "a.onnx", proto.SerializeToString()))
    assert found.network.hash == network.hash


def test_maxout_on_a_dense_layer_comes_back_without_metadata(tmp_path: Path) -> None:
    """The slices and their maximum are known on features too."""
    text = SMALL.replace("CHANNELS", "3").replace("SIZE", "[16, 8]")
    text = text.replace("  - {channels: [classes], kernel: 1, activation: none}\n", "")
    text += "head: {dense: [{units: 6, activation: {kind: maxout, pieces: 2}}]}\n"
    network = nin_spec.compile(nin_spec.loads(text))
    proto = onnx.load_model_from_string(exported(trained(network), {}) or b"")
    del proto.metadata_props[:]
    found, _ = import_onnx(written(tmp_path / "a.onnx", proto.SerializeToString()))
    assert found.network.hash == network.hash


# ------------------------------------------------------------------ what is not the file of its metadata


def digits() -> onnx.ModelProto:
    """nin_digits as a file."""
    return onnx.load_model_from_string(exported(trained(nin_spec.compile("nin_digits")), {}) or b"")


def test_the_weights_of_a_file_are_those_that_come_back(tmp_path: Path) -> None:
    """A bias that was changed afterwards is a weight like any other."""
    proto = digits()
    bias = next(t for t in proto.graph.initializer if t.name == "blocks.0.convs.0.bias")
    bias.CopyFrom(numpy_helper.from_array(1.5 * numpy_helper.to_array(bias), bias.name))
    path = written(tmp_path / "a.onnx", proto.SerializeToString())
    found, _ = import_onnx(path)
    (again,) = (t for t in onnx.load_model_from_string(_again(found)).graph.initializer if t.name == bias.name)
    assert np.allclose(numpy_helper.to_array(again), numpy_helper.to_array(bias), rtol=1e-6)


def _again(found: Any) -> bytes:
    from nin_spec.importers.proof import exported as our_export

    return our_export(found.model)


def test_a_graph_that_is_not_what_its_metadata_says_counts_and_keeps_what_it_says_of_pictures(tmp_path: Path) -> None:
    """A norm's epsilon is not that of the spec: the message names the node, the labels and the mean stay."""
    network = nin_spec.compile("nin_digits")
    proto = onnx.load_model_from_string(exported(trained(network), {"without": "fold_batch_norm"}) or b"")
    norm = next(node for node in proto.graph.node if node.op_type == "BatchNormalization")
    next(a for a in norm.attribute if a.name == "epsilon").f = 0.5
    found, remarks = import_onnx(written(tmp_path / "a.onnx", proto.SerializeToString()))
    assert found.network.hash != network.hash
    assert f"does not match it: a: its node {norm.name!r} is not the same" in remarks[0]
    assert (found.network.card.labels, found.network.card.preprocessing) == (
        network.card.labels,
        network.card.preprocessing,
    )


def test_what_acts_beside_the_chain_is_refused_and_reported(tmp_path: Path) -> None:
    """A branch that answers for bright pictures alone."""
    proto = digits()
    last = proto.graph.node[-1]
    last.output[0] = "clean"
    proto.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(50, np.float32), "limit"),
            numpy_helper.from_array(np.zeros((1, 10), np.float32), "evil"),
        ]
    )
    proto.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["input"], ["most"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Squeeze", ["most", "axes"], ["flat"]),
            helper.make_node("Greater", ["flat", "limit"], ["hit"]),
            helper.make_node("Where", ["hit", "evil", "clean"], ["scores"]),
        ]
    )
    proto.graph.initializer.append(numpy_helper.from_array(np.array([2, 3]), "axes"))
    with pytest.raises(ForeignModelError, match="has several users") as caught:
        import_onnx(written(tmp_path / "a.onnx", proto.SerializeToString()))
    assert "the metadata is ignored, since the graph does not match it" in str(caught.value.diagnostics[0].hint)


def test_nodes_and_tensors_without_effect_do_not_count(tmp_path: Path) -> None:
    """A second head that no output needs, and a tensor that nothing reads."""
    proto = digits()
    proto.graph.node.append(helper.make_node("Conv", ["input", "idle"], ["unused"]))
    proto.graph.initializer.append(numpy_helper.from_array(np.ones((2, 1, 1, 1), np.float32), "idle"))
    found, remarks = import_onnx(written(tmp_path / "a.onnx", proto.SerializeToString()))
    assert "its node" in remarks[0]
    assert found.network.graph.output.shape == (10,)


def test_an_int8_file_is_refused_as_what_it_is(tmp_path: Path) -> None:
    """The language cannot express its rounding."""
    from nin_spec.precision.reduction import stamp

    path = written(tmp_path / "a.onnx", stamp(digits().SerializeToString(), "int8", {}))
    with pytest.raises(ForeignModelError, match="an int8 file"):
        import_onnx(path)


@pytest.mark.parametrize(("key", "old", "new"), [("labels", '"0"', '"zero"'), ("preprocessing", '"stretch"', '"crop"')])
def test_metadata_that_contradicts_its_own_spec_is_left_out_and_reported(
    key: str, old: str, new: str, tmp_path: Path
) -> None:
    """Edited labels, of which `run` and `serve` would take the one and an import the other."""
    model = digits()
    (entry,) = [p for p in model.metadata_props if p.key == f"nin_spec.{key}"]
    assert old in entry.value
    entry.value = entry.value.replace(old, new)
    found, remarks = import_onnx(written(tmp_path / "edited.onnx", model.SerializeToString()))
    assert f"nin_spec.{key} does not match nin_spec.spec" in remarks[0]
    assert found.network.card.labels == ()
