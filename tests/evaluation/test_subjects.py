"""What can be evaluated, and what is said of a file that can't be compared with torch."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from noise_split import SPEC, foreign, noise, refusal, small_model
from onnx import helper, numpy_helper

import nin_spec
from nin_spec.diagnostics import Code, DeviceError, InputError, WeightsError
from nin_spec.evaluation import (
    Subject,
    compare,
    subject_of,
    subject_of_file,
    subject_of_run,
    subject_of_spec,
)
from nin_spec.exporter import make
from nin_spec.seals import Kind, sealed
from nin_spec.weights import save

CONTRACT = json.dumps({"mean": [0.5], "std": [0.25]})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The small model as an ONNX file."""
    path = tmp_path / "small.onnx"
    nin_spec.export(small_model(), "onnx", path, parity=False)
    return path


def change(path: Path, **properties: str | None) -> onnx.ModelProto:
    """The file with other metadata; None removes a property."""
    proto = onnx.load(str(path))
    facts = {p.key: p.value for p in proto.metadata_props}
    facts |= {f"nin_spec.{key}": value for key, value in properties.items()}
    helper.set_model_props(proto, {key: value for key, value in facts.items() if value is not None})
    onnx.save(proto, str(path))
    return proto


def reason(path: Path) -> str:
    """Why a file is not compared with torch; it is evaluated all the same."""
    subject = subject_of_file(path, device="cpu")
    assert subject.module is None
    assert subject.torch_device is None
    found = compare(subject, noise())
    assert found.torch is None
    assert found.agreement is None
    assert found.onnxruntime.images == 40
    assert found.not_compared == subject.not_compared
    return subject.not_compared


def facts(subject: Subject) -> tuple[Any, ...]:
    """What a subject says of itself."""
    return subject.shape, subject.labels, subject.classes, subject.dataset, subject.location, subject.torch_device


def test_a_model_a_spec_and_a_file_are_one_subject(file: Path, tmp_path: Path) -> None:
    """The same facts, the same scores."""
    model = small_model()
    save(tmp_path / "w.safetensors", model.weights)
    network = nin_spec.compile(nin_spec.loads(SPEC))
    found = [
        subject_of(model),
        subject_of_spec(network, tmp_path / "w.safetensors", "cpu"),
        subject_of_file(file, device="cpu"),
    ]
    assert {facts(s) for s in found} == {((3, 6, 8), (), 7, "noise", None, "cpu")}
    assert [s.not_compared for s in found] == [""] * 3
    assert "each used once" in found[1].remarks[0]
    first, *others = (compare(s, noise()).as_dict() for s in found)
    assert others[0] == first
    # A file holds its batch norms folded, so its module rounds otherwise.
    assert others[1]["correct"] == first["correct"]
    assert others[1]["loss"] == pytest.approx(first["loss"], rel=1e-6)


def test_a_run_is_its_trained_model(tmp_path: Path) -> None:
    """With its data set and where that lay; other weights of the same network may be given."""
    model = small_model()
    network = nin_spec.compile(nin_spec.loads(SPEC))
    run: Any = SimpleNamespace(network=network, model=lambda: model, location=tmp_path, dataset="mine", remarks=["r"])
    found = subject_of_run(run, device="cpu")
    assert (found.dataset, found.location) == ("mine", tmp_path)
    save(tmp_path / "w.safetensors", small_model(seed=8).weights)
    other = subject_of_run(run, tmp_path / "w.safetensors", "cpu")
    assert (other.dataset, other.location) == ("mine", tmp_path)
    assert compare(other, noise()).as_dict() != compare(found, noise()).as_dict()


# ------------------------------------------------------------------ files


def test_a_files_weights_are_its_tensors(file: Path) -> None:
    """Changed in the file, they are changed in torch too: both compute the file's function."""
    proto = onnx.load(str(file))
    for tensor in proto.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 2, tensor.name))
    before = compare(subject_of_file(file, device="cpu"), noise())
    onnx.save(proto, str(file))
    after = compare(subject_of_file(file, device="cpu"), noise())
    assert after.agreement is not None
    assert after.agreement.complete
    assert after.onnxruntime.loss != before.onnxruntime.loss


def test_a_file_is_compared_with_the_weights_given(file: Path, tmp_path: Path) -> None:
    """The proof that it holds them; other weights are found out."""
    for seed, agree in ((3, True), (4, False)):
        save(tmp_path / "w.safetensors", small_model(seed=seed).weights)
        found = compare(subject_of_file(file, tmp_path / "w.safetensors", "cpu"), noise())
        assert found.agreement is not None
        assert found.agreement.complete is agree


def test_a_changed_graph_is_found_out(file: Path) -> None:
    """The weights are there, and the function is another."""
    proto = onnx.load(str(file))
    next(node for node in proto.graph.node if node.op_type == "Relu").op_type = "Neg"
    onnx.save(proto, str(file))
    found = compare(subject_of_file(file, device="cpu"), noise())
    assert found.agreement is not None
    assert not found.agreement.complete


def test_weights_beside_the_file_are_read(file: Path) -> None:
    """A file may keep its tensors in another one."""
    wanted = compare(subject_of_file(file, device="cpu"), noise()).as_dict()
    proto = onnx.load(str(file))
    onnx.save(proto, str(file), save_as_external_data=True, location="beside.bin", size_threshold=0)
    assert compare(subject_of_file(file, device="cpu"), noise()).as_dict() == wanted


def test_without_a_spec_there_is_no_comparison(file: Path) -> None:
    """A foreign file with a contract is evaluated in onnxruntime alone."""
    change(file, spec=None)
    assert reason(file) == "it has no embedded spec: another tool wrote it, or its metadata was removed"


def test_a_spec_of_another_network_is_not_compared(file: Path) -> None:
    """By its hash, by its input, or because it can't be compiled."""
    change(file, spec=SPEC.replace("max", "avg"))
    assert "compiles to a different network" in reason(file)
    change(file, spec="spec: 2\n")
    assert "can't compile the spec in it: " in reason(file)
    other = small_model("input.size=8").card
    change(file, spec=other.spec, hash=other.hash)
    assert reason(file) == "its graph takes (?, 3, 6, 8), but its spec declares (?, 3, 8, 8)"


def test_a_fused_graph_is_not_compared(file: Path) -> None:
    """Tensors under other names, or of other shapes, are not the spec's weights."""
    proto = onnx.load(str(file))
    names = {t.name: f"fused_{k}" for k, t in enumerate(proto.graph.initializer) if "bias" in t.name}
    for tensor in proto.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in proto.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    onnx.save(proto, str(file))
    assert reason(file) == "its graph was changed: it lacks blocks.0.convs.0.bias and 3 more"


def test_a_narrower_graph_is_not_compared(file: Path) -> None:
    """The names are ours, and a shape is not."""
    nin_spec.export(small_model("blocks.0.channels=[8, 4]"), "onnx", file, parity=False)
    card = small_model().card
    change(file, spec=card.spec, hash=card.hash)
    assert reason(file).startswith("its graph was changed: ")
    assert "has the shape" in reason(file)


def test_weights_for_a_file_without_a_spec_are_an_error(file: Path, tmp_path: Path) -> None:
    """What was asked for can't be done, and that is not passed over."""
    change(file, spec=None)
    save(tmp_path / "w.safetensors", small_model().weights)
    found = refusal(InputError, lambda: subject_of_file(file, tmp_path / "w.safetensors", "cpu"))
    assert found.code is Code.MODEL_UNREADABLE
    assert "it has no module for the weights of" in found.message


def test_weights_that_do_not_fit_are_an_error(file: Path, tmp_path: Path) -> None:
    """Given for a file, they must be its network's."""
    save(tmp_path / "w.safetensors", small_model("blocks.0.channels=[4, 4]").weights)
    found = refusal(WeightsError, lambda: subject_of_file(file, tmp_path / "w.safetensors", "cpu"))
    assert found.code is Code.WEIGHTS_MISMATCH


def test_without_a_contract_nothing_is_guessed(tmp_path: Path) -> None:
    """The error says what to write into the file, and that is enough."""
    path = tmp_path / "other.onnx"
    path.write_bytes(foreign(["N", 3, 6, 8]))
    found = refusal(InputError, lambda: subject_of_file(path, device="cpu"))
    assert found.code is Code.MODEL_UNREADABLE
    assert found.message == f"{path} can't be evaluated: it doesn't declare its preprocessing"
    assert found.hint is not None
    contract = found.hint.partition("for example ")[2]
    path.write_bytes(foreign(["N", 3, 6, 8], "GlobalAveragePool", preprocessing=contract))
    found = refusal(InputError, lambda: subject_of_file(path, device="cpu"))
    assert found.message == f"{path} can't be evaluated: it returns (1, 3, 1, 1), not one score per class"
    path.write_bytes(foreign(["N", 3, 6, 8], "Flatten", preprocessing=contract))
    assert subject_of_file(path, device="cpu").classes == 144


@pytest.mark.parametrize(
    ("shape", "why"),
    [(["N", 7], "it takes (?, 7), not a batch of pictures"), (["N", 3, "h", "w"], "has an open size")],
)
def test_an_input_that_takes_no_picture_is_an_error(tmp_path: Path, shape: list[int | str], why: str) -> None:
    """No size, no frame."""
    path = tmp_path / "other.onnx"
    path.write_bytes(foreign(shape, preprocessing=CONTRACT))
    assert why in refusal(InputError, lambda: subject_of_file(path, device="cpu")).message


def test_an_open_size_is_the_specs_nominal_one(tmp_path: Path) -> None:
    """The file leaves it open, the spec in it does not."""
    nin_spec.export(small_model("input.open=true"), "onnx", tmp_path / "open.onnx", parity=False)
    subject = subject_of_file(tmp_path / "open.onnx", device="cpu")
    assert subject.session.input_shape == (None, 3, None, None)
    assert subject.shape == (3, 6, 8)


def test_torch_without_the_device_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name it never falls back; `auto` computes on the CPU."""
    from nin_spec.evaluation import subjects

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_gpu: Any = SimpleNamespace(device="cuda")
    found = refusal(DeviceError, lambda: subjects._module(small_model(), "cuda", on_gpu))
    assert found.code is Code.DEVICE_UNAVAILABLE
    module = subjects._module(small_model(), "auto", on_gpu)
    assert next(module.parameters()).device.type == "cpu"


def test_the_export_in_memory_is_the_exporters(file: Path) -> None:
    """What is compared is what would be written, but for the seal."""
    (data,) = make(small_model(), "onnx", {}).files.values()
    assert sealed(data, Kind.ONNX) == file.read_bytes()
    assert np.isfinite(compare(subject_of(small_model()), noise()).onnxruntime.loss or np.nan)


@pytest.mark.parametrize("outputs", ["scores", "probabilities", "scores,probabilities,top2"])
@pytest.mark.parametrize("takes", ["normalised", "pixels"])
def test_a_file_of_pixels_or_probabilities_is_compared(takes: str, outputs: str, tmp_path: Path) -> None:
    """In torch with its own weights, folded as they are, and with those of the spec: the same numbers in all."""
    model = small_model()
    path = tmp_path / "net.onnx"
    nin_spec.export(model, "onnx", path, takes=takes, outputs=outputs)
    save(tmp_path / "w.safetensors", model.weights)
    wanted = compare(subject_of(model), noise())
    for weights in (None, tmp_path / "w.safetensors"):
        found = compare(subject_of_file(path, weights, "cpu"), noise())
        assert found.agreement is not None
        assert found.agreement.complete
        assert found.agreement.max_difference < 1e-5
        assert found.accuracy == wanted.accuracy
        assert found.onnxruntime.loss == pytest.approx(wanted.onnxruntime.loss, rel=1e-5)
        assert found.torch is not None
        assert found.torch.loss == pytest.approx(wanted.onnxruntime.loss, rel=1e-5)


def test_passes_of_a_later_version_are_not_guessed(file: Path) -> None:
    """Its graph can't be made here; the file still runs."""
    proto = onnx.load(str(file))
    for p in proto.metadata_props:
        p.value = '["fold_everything"]' if p.key == "nin_spec.passes" else p.value
    onnx.save(proto, str(file))
    assert "unknown passes: fold_everything" in subject_of_file(file, device="cpu").not_compared
