"""ONNX files of many tools become specs, proved; what the language can't say is refused at its node."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from foreign_models import graph_file, torch_file
from oracle_graphs import ORACLES, golden, golden_names, hash_input, record

import nin_spec
from nin_spec.diagnostics import ForeignModelError, ParityError
from nin_spec.exporter import make
from nin_spec.importers.decompiler.decompile import Imported
from nin_spec.importers.onnx.importing import import_onnx
from nin_spec.importers.proof import run

sys.path.insert(0, str(ORACLES))
CHANCE = np.random.default_rng(0)
W, V = CHANCE.standard_normal((8, 3, 3, 3)), CHANCE.standard_normal((8, 8, 3, 3))
GAP: list[tuple[str, list[str], list[str], dict[str, Any]]] = [
    ("GlobalAveragePool", ["last"], ["gap"], {}),
    ("Flatten", ["gap"], ["y"], {}),
]
SOME = ["seed_fashion_mnist", "tflearn_cifar10_nin", "torch7_wrn_nin_linear_head", "keras_cifar10_bn_same"]


def scores_of(found: Imported, x: Any) -> Any:
    """What the imported model gives in onnxruntime."""
    (data,) = make(found.model, "onnx", {}).files.values()
    return run(data, x)


def imports_to_its_golden(name: str, path: Path, *, dynamo: bool, opset: int | None) -> None:
    """Record -> torch.onnx.export -> import: the golden output, and no more lines than 1.3 times those by hand."""
    import build_record  # type: ignore[import-not-found]

    found_record = record(name)
    net = build_record.build(found_record)
    build_record.set_parameters(net, "hash")
    torch_file(path, net.float(), found_record["input"], dynamo=dynamo, opset=opset)
    found, _ = import_onnx(path)
    wanted = np.array(golden(name)["output_hash"]["values"])  # the first of them, where there are many
    got = scores_of(found, hash_input(tuple(found_record["input"]))).reshape(-1)[: len(wanted)]
    assert np.abs(got - wanted).max() <= 1e-4 * np.abs(wanted).max()
    by_hand = Path(__file__).parent.parent.parent / "oracle_specs" / f"{name}.yaml"
    if by_hand.is_file():
        written = [t for t in by_hand.read_text().splitlines() if t.strip() and not t.lstrip().startswith("#")]
        if not any(line.startswith("extends") for line in written):  # which says in seven lines what another spec does
            assert len(found.text.splitlines()) <= 1.3 * len(written)


@pytest.mark.parametrize("name", SOME)
def test_some_published_networks_come_back_from_the_legacy_exporter(name: str, tmp_path: Path) -> None:
    imports_to_its_golden(name, tmp_path / "net.onnx", dynamo=False, opset=17)


def test_a_published_network_comes_back_from_the_new_exporter(tmp_path: Path) -> None:
    imports_to_its_golden("tf_cifar10_leaky_relu", tmp_path / "net.onnx", dynamo=True, opset=None)


@pytest.mark.long
@pytest.mark.parametrize("name", golden_names())
@pytest.mark.parametrize(("dynamo", "opset"), [(False, 17), (False, 20), (True, 18), (True, None)])
def test_every_published_network_comes_back(name: str, dynamo: bool, opset: int | None, tmp_path: Path) -> None:  # noqa: FBT001
    imports_to_its_golden(name, tmp_path / "net.onnx", dynamo=dynamo, opset=opset)


@pytest.mark.parametrize("name", ["nin_mnist", "nin_cifar_bn", "nin_digits"])
@pytest.mark.parametrize("own", [True, False])
def test_our_own_files_come_back(name: str, own: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """With the spec that they carry, and without, as far as no pass made another network of them."""
    model = nin_spec.compile(name).initialise(seed=3)
    (data,) = make(model, "onnx", {} if own else {"without": "fold_batch_norm,pool_first"}).files.values()
    proto = onnx.load_model_from_string(data)
    if not own:
        del proto.metadata_props[:]
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    found, remarks = import_onnx(tmp_path / "net.onnx")
    assert found.network.hash == model.card.hash
    assert remarks[-1].startswith("computes the same as net.onnx")
    if own:
        assert found.network.card.labels == model.card.labels


def test_metadata_that_lies_is_not_believed(tmp_path: Path) -> None:
    """The spec that a file carries counts only if the file computes it."""
    model = nin_spec.compile("nin_mnist").initialise()
    (data,) = make(model, "onnx", {}).files.values()
    proto = onnx.load_model_from_string(data)
    for prop in proto.metadata_props:
        prop.value = prop.value.replace("kind: relu", "kind: tanh")
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    found, _ = import_onnx(tmp_path / "net.onnx")
    assert found.network.hash == model.card.hash
    assert "tanh" not in found.text


# ------------------------------------------------------------------ spellings


def test_channels_last_with_its_own_scaling_and_a_dense_head(tmp_path: Path) -> None:
    """As Keras's networks come: (N, H, W, C) pixels, `same` padding, features flattened channels last."""
    dense = CHANCE.standard_normal((4 * 4 * 8, 5))
    path = graph_file(
        tmp_path / "keras.onnx",
        [
            ("Mul", ["x", "scale"], ["a"], {}),
            ("Sub", ["a", "one"], ["b"], {}),
            ("Transpose", ["b"], ["c"], {"perm": [0, 3, 1, 2]}),
            ("Conv", ["c", "W"], ["d"], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
            ("Sigmoid", ["d"], ["e"], {}),
            ("Mul", ["d", "e"], ["f"], {}),
            ("Transpose", ["f"], ["g"], {"perm": [0, 2, 3, 1]}),
            ("Reshape", ["g", "shape"], ["h"], {}),
            ("MatMul", ["h", "D"], ["i"], {}),
            ("Add", ["i", "bias"], ["j"], {}),
            ("Softmax", ["j"], ["y"], {}),
        ],
        {"scale": [1 / 127.5], "one": [1.0], "W": W, "shape": np.array([-1, 128]), "D": dense, "bias": np.arange(5.0)},
        shape=("n", 8, 8, 3),
    )
    found, remarks = import_onnx(path)
    assert "preprocess: {scale: 1, mean: 127.5, std: 127.5}" in found.text
    assert "activation: silu" in found.text
    assert "head: {pool: none, dense: [classes], output: softmax}" in found.text
    assert "padding: {top: 0, bottom: 1, left: 0, right: 1}" in found.text
    assert "its pixels are assumed to be from 0 to 255" in remarks[0]


@pytest.mark.parametrize(
    ("nodes", "word"),
    [
        ([("Softplus", ["c"], ["s"], {}), ("Tanh", ["s"], ["t"], {}), ("Mul", ["c", "t"], ["last"], {})], "mish"),
        ([("Max", ["c", "zero"], ["last"], {})], "blocks"),  # a ReLU goes unsaid
        ([("Mul", ["c", "tenth"], ["s"], {}), ("Max", ["c", "s"], ["last"], {})], "{kind: leaky_relu, slope: 0.1}"),
        (
            [
                ("Div", ["c", "root"], ["s"], {}),
                ("Erf", ["s"], ["t"], {}),
                ("Add", ["t", "one"], ["u"], {}),
                ("Mul", ["c", "u"], ["v"], {}),
                ("Mul", ["v", "half"], ["last"], {}),
            ],
            "activation: gelu",
        ),
        (
            [
                ("Reshape", ["c", "split"], ["s"], {}),
                ("Transpose", ["s"], ["t"], {"perm": [0, 2, 1, 3, 4]}),
                ("Reshape", ["t", "back"], ["last"], {}),
            ],
            "shuffle: 2",
        ),
        (
            [("Reshape", ["c", "pairs"], ["s"], {}), ("ReduceMax", ["s"], ["last"], {"axes": [2], "keepdims": 0})],
            "maxout",
        ),
    ],
)
def test_functions_are_recognised_however_they_are_spelled(nodes: list[Any], word: str, tmp_path: Path) -> None:
    constants = {
        "W": W,
        "zero": [0.0],
        "tenth": [0.1],
        "root": [2**0.5],
        "one": [1.0],
        "half": [0.5],
        "split": np.array([-1, 2, 4, 8, 8]),
        "back": np.array([-1, 8, 8, 8]),
        "pairs": np.array([-1, 4, 2, 8, 8]),
    }
    conv: list[Any] = [("Conv", ["x", "W"], ["c"], {"pads": [1, 1, 1, 1]})]
    found, _ = import_onnx(graph_file(tmp_path / "net.onnx", [*conv, *nodes, *GAP], constants))
    assert word in found.text


def test_a_scale_after_a_convolution_is_part_of_it(tmp_path: Path) -> None:
    """A folded batch norm, as a product and a sum by channel."""
    gain, offset = CHANCE.standard_normal((2, 8, 1, 1))
    path = graph_file(
        tmp_path / "net.onnx",
        [
            ("Conv", ["x", "W"], ["c"], {}),
            ("Mul", ["c", "gain"], ["d"], {}),
            ("Add", ["d", "offset"], ["last"], {}),
            *GAP,
        ],
        {"W": W, "gain": gain, "offset": offset},
    )
    found, _ = import_onnx(path)
    assert list(found.model.weights) == ["blocks.0.convs.0.weight", "blocks.0.convs.0.bias"]


def test_an_open_size_needs_a_nominal_one(tmp_path: Path) -> None:
    nodes = [("Conv", ["x", "W"], ["c"], {}), ("Relu", ["c"], ["last"], {}), *GAP]
    path = graph_file(tmp_path / "net.onnx", nodes, {"W": W}, shape=("n", 3, "h", "w"))
    with pytest.raises(ForeignModelError, match="leaves the picture's size open"):
        import_onnx(path)
    found, _ = import_onnx(path, (16, 24))
    assert "input: {channels: 3, size: [16, 24], open: true}" in found.text


@pytest.mark.parametrize("tail", [[], [("Softmax", ["p"], ["y"], {"axis": 1})]])
def test_scores_may_be_maps_of_one_cell(tail: list[Any], tmp_path: Path) -> None:
    """As fully convolutional networks give them; a remark says that they are flattened."""
    last = "p" if tail else "y"
    nodes = [("Conv", ["x", "W"], ["c"], {}), ("GlobalAveragePool", ["c"], [last], {}), *tail]
    found, remarks = import_onnx(graph_file(tmp_path / "net.onnx", nodes, {"W": W}))
    assert found.network.graph.output.shape == (8,)
    assert "the file's scores are maps of one cell: the spec flattens them" in remarks


def test_a_batch_of_0_is_any(tmp_path: Path) -> None:
    """Tools write it so; to onnxruntime it would be 0 pictures."""
    path = graph_file(tmp_path / "net.onnx", [("Conv", ["x", "W"], ["last"], {}), *GAP], {"W": W}, (0, 3, 8, 8))
    found, remarks = import_onnx(path)
    assert found.proof is not None
    assert remarks[-1].startswith("computes the same as net.onnx")


# ------------------------------------------------------------------ refused


def altered(path: Path, **changes: Any) -> Path:
    """A usual file, of which these fields are set or, by None, cleared."""
    graph_file(path, [("Conv", ["x", "W"], ["last"], {}), *GAP], {"W": W})
    proto = onnx.load(path)
    for name, value in changes.items():
        if name == "shape":
            proto.graph.input[0].type.tensor_type.ClearField("shape")
        elif name == "opset":
            proto.opset_import[0].version = value
        elif value is None:
            proto.ClearField(name)
        else:
            setattr(proto, name, value)
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": None}, "input 'x': its shape is not declared"),
        ({"opset": 99}, r"its opset is 99; onnx [\d.]+ supports 1 to \d+"),
        ({"ir_version": 99}, r"its IR version is 99; onnx [\d.]+ supports 1 to \d+"),
        ({"opset_import": None}, "it does not declare its opset"),
    ],
)
def test_a_file_that_declares_something_odd_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Before onnxruntime says so in its own words."""
    with pytest.raises(ForeignModelError, match=message):
        import_onnx(altered(tmp_path / "net.onnx", **changes))


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        (
            [
                ("Conv", ["x", "W"], ["c"], {"pads": [1, 1, 1, 1]}),
                ("Conv", ["c", "V"], ["d"], {"pads": [1, 1, 1, 1]}),
                ("Add", ["c", "d"], ["last"], {}),
                *GAP,
            ],
            {"W": W, "V": V},
            r"Conv_1 \(Conv\): the value 'c' has several users \(Conv_1 \(Conv\), Add_2 \(Add\)\)",
        ),
        ([("Conv", ["x", "W"], ["c"], {}), ("Clip", ["c", "low", "six"], ["last"], {}), *GAP],
         {"W": W, "low": np.float32(0), "six": np.float32(6)}, r"it clips values at 6 \(ReLU6"),
        ([("Conv", ["x", "W"], ["c"], {}), ("HardSigmoid", ["c"], ["last"], {}), *GAP], {"W": W}, "has no equivalent"),
        ([("ConvTranspose", ["x", "T"], ["last"], {}), *GAP], {"T": V[:3]}, "has no equivalent of it"),
        ([("Conv", ["x", "x"], ["last"], {}), *GAP], {}, "is computed, but weights must be constants"),
        ([("Conv", ["x", "gone"], ["last"], {}), *GAP], {}, "no node produces its input 'gone'"),
        ([("Conv", ["x", "W"], ["y"], {})], {"W": W}, "the network outputs maps, not scores"),
        ([("Relu", ["x"], ["other"], {})], {}, "nothing uses this value"),
        ([("Relu", ["y"], ["z"], {}), ("Relu", ["z"], ["y"], {})], {}, "the graph has a cycle"),
        ([("MaxPool", ["x"], ["last"], {"kernel_shape": [2, 2], "dilations": [2, 2]}), *GAP], {}, "a dilated pool"),
        ([("Flatten", ["x"], ["f"], {}), ("Gemm", ["f", "D"], ["y"], {})], {"D": CHANCE.random((192, 5))},
         "Flatten_0 .Flatten.: it flattens the picture itself"),
        ([("Conv", ["x", "W"], ["last"], {}), *GAP], {"W": W * np.nan}, "its weight contains values that are NaN"),
        ([("QuantizeLinear", ["x", "s"], ["q"], {}), ("DequantizeLinear", ["q", "s"], ["d"], {}),
          ("Conv", ["d", "W"], ["last"], {}), *GAP],
         {"W": W, "s": np.float32(0.1)}, "import the float32 file from which the quantized one was made"),
    ],
)  # fmt: skip
def test_what_the_language_cannot_say_is_refused_at_its_node(
    nodes: list[Any], constants: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ForeignModelError, match=message):
        import_onnx(graph_file(tmp_path / "net.onnx", nodes, constants))


def test_a_norm_that_gives_its_statistics_is_in_training_mode(tmp_path: Path) -> None:
    """Before opset 14 its outputs alone say so."""
    norm: Any = ("BatchNormalization", ["c", "a", "a", "a", "a"], ["last", "mean", "var", "", ""], {})
    nodes = [("Conv", ["x", "W"], ["c"], {}), norm, *GAP]
    path = graph_file(tmp_path / "net.onnx", nodes, {"W": W, "a": np.ones(8)})
    proto = onnx.load(path)
    proto.opset_import[0].version, proto.ir_version = 9, 4
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ForeignModelError, match="a batch norm in training mode"):
        import_onnx(path)


def test_two_outputs_are_refused(tmp_path: Path) -> None:
    nodes = [("Conv", ["x", "W"], ["last"], {}), *GAP]
    path = graph_file(tmp_path / "net.onnx", nodes, {"W": W}, outputs=("y", "last"))
    with pytest.raises(ForeignModelError, match="1 input and 2 outputs"):
        import_onnx(path)


def test_files_that_are_not_models_are_refused(tmp_path: Path) -> None:
    """Missing, a folder, cut off, noise, empty."""
    good = graph_file(tmp_path / "net.onnx", [("Conv", ["x", "W"], ["last"], {}), *GAP], {"W": W}).read_bytes()
    for name, data in (("cut", good[: len(good) // 2]), ("noise", CHANCE.bytes(5000)), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ForeignModelError):
            import_onnx(tmp_path / name)
    for path in (tmp_path, tmp_path / "missing", Path("a\0b")):
        with pytest.raises(ForeignModelError):
            import_onnx(path)


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "", "missing.bin"])
def test_external_data_stays_in_its_folder(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(8 * 27 * 4))
    folder = tmp_path / "model"
    folder.mkdir()
    path = graph_file(folder / "net.onnx", [("Conv", ["x", "W"], ["last"], {}), *GAP], {"W": W})
    proto = onnx.load(path)
    (tensor,) = proto.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ForeignModelError, match="which is not a file in the model's folder"):
        import_onnx(path)


def test_a_constant_that_would_fill_the_memory_is_not_made(tmp_path: Path) -> None:
    nodes = [("ConstantOfShape", ["huge"], ["h"], {}), ("Conv", ["x", "h"], ["last"], {}), *GAP]
    path = graph_file(tmp_path / "net.onnx", nodes, {"huge": np.array([1 << 40, 1 << 20])})
    with pytest.raises(ForeignModelError, match="larger than an import needs"):
        import_onnx(path)


def test_a_wrong_import_is_caught_before_anything_is_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof does not depend on the rules being right."""
    path = graph_file(
        tmp_path / "net.onnx", [("Conv", ["x", "W"], ["c"], {}), ("Elu", ["c"], ["last"], {}), *GAP], {"W": W}
    )
    monkeypatch.setitem(__import__("nin_spec.importers.onnx.rules", fromlist=["RULES"]).RULES, "Elu", _as_relu)
    with pytest.raises(ParityError, match="the imported network differs from"):
        import_onnx(path)


def _as_relu(walk: Any, node: Any) -> bool:
    from nin_spec.importers.onnx.rules import RULES

    return RULES["Relu"](walk, onnx.helper.make_node("Relu", node.input, node.output))
