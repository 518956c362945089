"""Caffe nets become specs, proved: the published NINs are the shipped specs; weights come under our names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caffe_nets import FOLDER, caffemodel, conv, layer, net, weights_only, written
from goldens import assert_golden

import nin_spec
from nin_spec.diagnostics import ForeignModelError, ParityError
from nin_spec.importers.caffe.importing import import_caffe
from nin_spec.importers.caffe.proto import messages
from nin_spec.importers.caffe.rules import RULES
from nin_spec.importers.proof import outputs

GOLDENS = Path(__file__).parent / "goldens"


@pytest.mark.parametrize(
    ("file", "size", "spec", "overrides"),
    [
        ("nin_cifar10_train_val", (3, 32, 32), "nin_cifar", []),
        ("nin_imagenet_train_val", (3, 224, 224), "nin_imagenet", []),
        ("nin_imagenet_deploy", None, "nin_imagenet", ["head.output=softmax"]),
    ],
)
def test_the_published_nets_are_the_shipped_specs(file: str, size: Any, spec: str, overrides: list[str]) -> None:
    """One hash, the names of the original's blocks, its fillers, and hardly more lines than people wrote."""
    found, _ = import_caffe(FOLDER / f"{file}.prototxt", size=size)
    assert found.network.hash == nin_spec.compile(spec, overrides).hash
    assert_golden(found.text, GOLDENS / f"caffe_{file}.yaml")
    shipped = (Path(nin_spec.__file__).parent / "specs" / f"{spec}.yaml").read_text().partition("\ntrain:")[0]
    by_hand = [line for line in shipped.splitlines() if line.strip() and not line.startswith("#")]
    assert len(found.text.splitlines()) <= 1.3 * len(by_hand)


def test_what_a_net_says_of_training_is_reported() -> None:
    _, remarks = import_caffe(FOLDER / "nin_cifar10_train_val.prototxt", size=(3, 32, 32))
    shown = "\n".join(remarks)
    assert '  lr_multipliers: {"conv3.convs.2.weight": 0.1, "*.bias": 2, "conv3.convs.2.bias": 0.2}' in shown
    assert '  no_decay: ["*.bias"]' in shown
    assert "with random weights, since it has none" in remarks[-1]
    assert "Caffe itself did not run" in remarks[-1]


OPENCV = [0.4085755944252014, 0.028406213968992233, 0.051648806780576706, 0.11081185936927795, 0.4005574584007263]
"""What OpenCV 4.14 gives (cv2.dnn.readNetFromCaffe), whose reading of Caffe's files is its own."""


def test_a_layer_of_every_kind_gives_what_opencv_gives(tmp_path: Path) -> None:
    caffemodel(FOLDER / "every_kind.prototxt", tmp_path / "net.caffemodel")
    found, _ = import_caffe(FOLDER / "every_kind.prototxt", tmp_path / "net.caffemodel")
    assert_golden(found.text, GOLDENS / "caffe_every_kind.yaml")
    x = np.sin(40 * np.linspace(-1, 1, 4 * 29 * 34, dtype=np.float32)).reshape(1, 4, 29, 34)
    assert np.allclose(outputs(found.model, x)[0], OPENCV, atol=1e-6)


# ------------------------------------------------------------------ weights


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("file", ["nin_cifar10_train_val", "every_kind"])
def test_weights_come_under_our_names(alone: bool, file: str, tmp_path: Path) -> None:  # noqa: FBT001
    """From a .caffemodel beside its .prototxt or by itself; old blobs have four dimensions."""
    size = (3, 32, 32) if file.startswith("nin") else None
    model = tmp_path / "net.caffemodel"
    arrays = caffemodel(FOLDER / f"{file}.prototxt", model, size)
    first, second = (model, None) if alone else (FOLDER / f"{file}.prototxt", model)
    found, remarks = import_caffe(first, second, size and size[1:])
    assert np.array_equal(found.model.weights["blocks.0.convs.0.weight"], arrays["conv1"][0])
    assert found.model.card.weights == "imported"
    assert "with its weights" in remarks[-1]


@pytest.mark.parametrize(("groups", "bias"), [(1, True), (2, True), (4, False)])
def test_the_authors_own_1x1_layer_is_a_convolution(groups: int, bias: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Type CCCP, whose num_output counts for each group and whose blobs are (1, 1, outputs, inputs / groups)."""
    said = f"num_output: {8 // groups} group: {groups} bias_term: {str(bias).lower()}"
    text = old_net(f"CCCP cccp_param {{ {said} }}")
    path, model = written(tmp_path, text), tmp_path / "net.caffemodel"
    blobs = caffemodel(path, model)["cccp1"]
    assert blobs[0].shape == (1, 1, 8, 4 // groups)
    found, remarks = import_caffe(path, model)
    assert "with its weights" in remarks[-1]
    assert np.array_equal(found.model.weights["blocks.0.convs.1.weight"], blobs[0].reshape(8, 4 // groups, 1, 1))
    said = f"num_output: 8 kernel_size: 1 group: {groups} bias_term: {str(bias).lower()}"
    plain = written(tmp_path, old_net(f"CONVOLUTION convolution_param {{ {said} }}"))
    again, _ = import_caffe(plain, model)
    assert again.text == found.text
    assert again.model.card.hash == found.model.card.hash
    assert all(np.array_equal(again.model.weights[name], array) for name, array in found.model.weights.items())


def old_net(cccp: str) -> str:
    """A net of the old form with a 1x1 layer of a given type and parameters."""
    return f"""name: "cccp" input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
    layers {{ name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1"
      convolution_param {{ num_output: 4 kernel_size: 3 }} }}
    layers {{ name: "cccp1" type: {cccp} bottom: "conv1" top: "cccp1" }}
    layers {{ name: "relu1" type: RELU bottom: "cccp1" top: "cccp1" }}
    layers {{ name: "pool" type: POOLING bottom: "cccp1" top: "pool" pooling_param {{ pool: AVE kernel_size: 6 }} }}"""


def test_weights_are_taken_from_layers_of_types_that_caffe_lacks(tmp_path: Path) -> None:
    """A .caffemodel of a fork has type numbers of its own; its blobs are found by the layers' names."""
    path, model = written(tmp_path, old_net("CCCP cccp_param { num_output: 8 }")), tmp_path / "net.caffemodel"
    caffemodel(path, model)
    message = messages.NetParameter.FromString(model.read_bytes())
    message.layers[1].ClearField("type")
    message.layers[1].ClearField("cccp_param")
    model.write_bytes(message.SerializeToString())
    assert "with its weights" in import_caffe(path, model)[1][-1]
    with pytest.raises(ForeignModelError, match=r"cccp1: it has no type\n.*read only from a \.prototxt"):
        import_caffe(model)


def test_without_weights_the_model_is_fresh_by_the_nets_own_fillers(tmp_path: Path) -> None:
    filler = 'kernel_size: 3 weight_filler { type: "gaussian" std: 0.02 } bias_filler { value: 0.5 }'
    found, _ = import_caffe(written(tmp_path, net(conv("c", channels=64, more=filler), last="c")))
    assert "init: {kind: gaussian, std: 0.02, bias: 0.5}" in found.text
    weights = found.model.weights
    assert np.std(weights["blocks.0.convs.0.weight"]) == pytest.approx(0.02, rel=0.1)
    assert np.all(weights["blocks.0.convs.0.bias"] == 0.5)


SOME = np.arange(108, dtype=np.float32).reshape(4, 3, 3, 3)


@pytest.mark.parametrize(
    ("blobs", "message"),
    [
        ({}, "the weights have 0 blobs for it, but it needs 2"),
        ({"c": [SOME]}, "the weights have 1 blobs for it, but it needs 2"),
        ({"c": [SOME[:3], SOME[:4, 0, 0, 0]]}, r"its weight have shape \(3, 3, 3, 3\), but it needs \(4, 3, 3, 3\)"),
        ({"c": [SOME, np.ones(3)]}, r"its bias have shape \(3,\), but it needs \(4,\)"),
    ],
)
def test_weights_of_another_net_are_refused_at_the_layer(blobs: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "net.caffemodel").write_bytes(weights_only(**blobs, other=[SOME]))
    with pytest.raises(ForeignModelError, match=message) as caught:
        import_caffe(written(tmp_path, net(conv("c"), last="c")), tmp_path / "net.caffemodel")
    assert caught.value.diagnostics[0].span is not None
    assert caught.value.diagnostics[0].span.line == 2


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """Wherever it is cut: as no .caffemodel, or at the layer that lacks its numbers."""
    path = tmp_path / "net.caffemodel"
    text = written(tmp_path, net(conv("c1"), conv("c2", "c1"), last="c2"))
    caffemodel(text, path)
    whole = path.read_bytes()
    for end in range(0, len(whole), 41):
        path.write_bytes(whole[:end])
        with pytest.raises(ForeignModelError):
            import_caffe(text, path)


# ------------------------------------------------------------------ pictures


def test_the_data_layers_transform_is_the_preprocessing(tmp_path: Path) -> None:
    """Caffe takes the mean away before it scales; the crop is the size, and the means are the channels."""
    transform = "transform_param { scale: 0.5 crop_size: 9 mean_value: 104 mean_value: 117 mean_value: 123 }"
    text = f'layer {{ name: "d" type: "Data" top: "data" top: "label" {transform} data_param {{ source: "x" }} }}\n'
    found, remarks = import_caffe(written(tmp_path, text + net(conv("c"), last="c").partition("\n")[2]))
    wanted = "size: 9\n  preprocess: {scale: 0.5, mean: [52, 58.5, 61.5], color: bgr, resize: crop}"
    assert wanted in found.text
    assert any("blue, green, red" in remark for remark in remarks)
    assert any("before the crop to 9 is not in the file" in remark for remark in remarks)


CROPS = [
    ("new_height: 12 new_width: 16 crop_size: 9", "resize: {kind: stretch, size: [12, 16]}"),
    ("new_height: 12 new_width: 12 crop_size: 9", "resize: {kind: stretch, size: 12}"),
    ("crop_size: 9", "resize: crop"),
]


@pytest.mark.parametrize(("data", "shown"), CROPS)
def test_a_crop_of_resized_pictures_is_reported_with_their_size(data: str, shown: str, tmp_path: Path) -> None:
    """Caffe stretches to new_height and new_width, and crops the centre in its test phase."""
    text = f'layer {{ type: "ImageData" top: "data" image_data_param {{ {data} }} }}\n'
    found, remarks = import_caffe(written(tmp_path, text + net(conv("c"), last="c").partition("\n")[2]))
    assert shown in found.text
    assert any("before the crop" in remark for remark in remarks) == (shown == "resize: crop")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ('input: "data" input_shape { dim: 1 dim: 3 dim: 7 dim: 9 }', "size: [7, 9]"),
        ('input: "data" input_dim: 5 input_dim: 3 input_dim: 7 input_dim: 7', "size: 7"),
        ('layer { type: "MemoryData" top: "data" memory_data_param { channels: 3 height: 7 width: 8 } }', "[7, 8]"),
        ('layer { type: "ImageData" top: "data" image_data_param { new_height: 7 new_width: 7 } }', "channels: 3"),
        ('layer { type: "ImageData" top: "data" image_data_param { crop_size: 6 is_color: false } }', "channels: 1"),
        (
            'layer { type: "DummyData" top: "data" dummy_data_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }',
            "2, size",
        ),
    ],
)
def test_every_source_of_pictures_tells_their_size(source: str, shown: str, tmp_path: Path) -> None:
    text = f"{source}\n" + net(conv("c"), last="c").partition("\n")[2]
    assert shown in import_caffe(written(tmp_path, text))[0].text


def test_a_size_that_is_open_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, 'layer { type: "Data" top: "data" }\n' + net(conv("c"), last="c").partition("\n")[2])
    with pytest.raises(ForeignModelError, match="the channels of its input is unknown") as caught:
        import_caffe(path, size=(8, 8))
    assert "--size 3x32x32" in (caught.value.diagnostics[0].hint or "")
    assert import_caffe(path, size=(2, 8, 8))[0].network.graph.input.shape == (2, 8, 8)
    with pytest.raises(ForeignModelError, match="its height is 8, but 9 was requested"):
        import_caffe(written(tmp_path, net(conv("c"), last="c")), size=(9, 9))


# ------------------------------------------------------------------ proof


def test_a_wrong_rule_is_caught_before_anything_is_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof does not depend on the rules being right."""
    path = written(tmp_path, net(conv("c"), layer("ELU", "c"), last="c"))
    import_caffe(path)
    monkeypatch.setitem(RULES, "ELU", RULES["ReLU"])
    with pytest.raises(ParityError, match="the imported network differs from net"):
        import_caffe(path)
