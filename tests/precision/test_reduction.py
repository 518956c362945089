"""A file of smaller numbers as it is made from Python: measured, stamped, proved, or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from trained_digits import SPEC, bytes_of, exported, scaled, trained

import nin_spec
from nin_spec.diagnostics import BudgetError, DataError, DeviceError, ExportError, ParityError
from nin_spec.exporter import Artifact
from nin_spec.model import Model
from nin_spec.precision import PrecisionSettings, Watch, reduce
from nin_spec.precision.reduction import stamp
from nin_spec.runtime.metadata import read_info
from nin_spec.runtime.parity import check_parity
from nin_spec.runtime.session import open_session

UNMEASURED = SPEC[: SPEC.index("train:")]


def properties(data: bytes) -> dict[str, str]:
    """A file's metadata."""
    return {p.key: p.value for p in onnx.load_from_string(data).metadata_props}


def reduced(model: Model, precision: str, said: list[str] | None = None, **given: object) -> bytes:
    """The file in another precision."""
    settings = PrecisionSettings(precision, **given)  # type: ignore[arg-type]
    made = reduce(model, exported(model), settings, "cpu", Watch((said if said is not None else []).append))
    (data,) = made.artifact.files.values()
    return data


def test_an_int8_file_says_how_it_was_made() -> None:
    """What calibrated it, what measured it, and what it lost: as data in its metadata."""
    said: list[str] = []
    found = properties(reduced(trained(), "int8", said, calibrate=300, limit=200))
    assert found["nin_spec.precision"] == "int8"
    facts = json.loads(found["nin_spec.reduction"])
    assert facts["max_drop"] == 0.5
    assert facts["float_layers"] == []
    assert facts["calibration"] == {"dataset": "digits", "images": 300, "seed": 0}
    measured = facts["evaluation"]
    assert (measured["split"], measured["images"], measured["device"]) == ("test", 200, "cpu")
    assert 100 * (measured["float32"] - measured["int8"]) <= 0.5
    assert 0.9 < measured["same_class"] <= 1
    assert "calibrated on 300 of 1,438 training pictures of digits" in said[0]
    assert "of 200 of 359 pictures (digits test) on cpu" in said[1]
    assert "int8: 4 of 4 layers, 99.7% of the MACs; onnxruntime's CPU provider computes 4 by integer" in said[-1]


def test_a_fragile_network_is_reported_layer_by_layer() -> None:
    """And the layers left in float are in the metadata."""
    said: list[str] = []
    data = reduced(scaled(trained(), 3000), "int8", said)
    kept = json.loads(properties(data)["nin_spec.reduction"])["float_layers"]
    assert kept
    assert any(f"with {kept[-1]}" in line for line in said)
    assert f"int8: {4 - len(kept)} of 4 layers" in said[-1]


def test_two_reductions_give_the_same_bytes() -> None:
    """The pictures are chosen by a fixed seed, and nothing else is chosen at all."""
    assert reduced(trained(), "int8", calibrate=64, limit=50) == reduced(trained(), "int8", calibrate=64, limit=50)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_session_runs_it_and_parity_knows_its_tolerance(precision: str) -> None:
    """Each by the row of its precision."""
    model = trained()
    made = reduce(model, exported(model), PrecisionSettings(precision), "cpu")  # type: ignore[arg-type]
    (data,) = made.artifact.files.values()
    assert open_session(data, "cpu").metadata.precision == precision
    report = check_parity(model, data, pictures=made.pictures)
    assert report.precision == precision
    assert f"({report.tolerance:g}: " in str(report).replace("allowed ", "")
    assert report.tolerance > 1e-4


def test_a_wrong_int8_file_fails_its_parity() -> None:
    """Looser is not loose: a layer that computes something else is found, and named."""
    model = trained()
    made = reduce(model, exported(model), PrecisionSettings("int8"), "cpu")
    (data,) = made.artifact.files.values()
    proto = onnx.load_from_string(data)
    (scale,) = (t for t in proto.graph.initializer if t.name == "blocks.1.convs.0.weight_scale")
    scale.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(scale) * np.float32(2), scale.name))
    with pytest.raises(ParityError, match=r"first at blocks\.1\."):
        check_parity(model, proto.SerializeToString(), pictures=made.pictures)


def test_float16_without_pictures_claims_nothing() -> None:
    """No budget: nothing was measured, and the file says so."""
    said: list[str] = []
    model = nin_spec.compile(nin_spec.loads(UNMEASURED)).initialise(0)
    data = reduced(model, "float16", said, max_drop=None)
    assert json.loads(properties(data)["nin_spec.reduction"]) == {"max_drop": None, "float_layers": []}
    assert any("was not measured" in line for line in said)
    with pytest.raises(DataError, match="--max-drop none"):
        reduced(model, "float16")


def test_a_value_beyond_half_is_found_on_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU computes such a file in float32 and would not show it; the line of the spec is named."""
    monkeypatch.setattr("nin_spec.precision.reduction.LARGEST", 1.0)
    with pytest.raises(ExportError, match="input reaches"):
        reduced(trained(), "float16")
    monkeypatch.setattr("nin_spec.precision.reduction.LARGEST", 2.0)
    with pytest.raises(ExportError, match=r"blocks\.0\.convs\.0 reaches") as caught:
        reduced(trained(), "float16")
    assert any(d.span is not None for d in caught.value.diagnostics)


def test_a_large_channel_overflows_half() -> None:
    """Weights that fit, and values that do not."""
    model = scaled(trained(), 6e4)
    with pytest.raises(ExportError, match=r"blocks\.1\.convs\.0 reaches"):
        reduced(model, "float16")


def test_float16_over_its_budget_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to search for."""
    monkeypatch.setattr("nin_spec.precision.trial.Outcome.within", lambda *_: False)
    with pytest.raises(BudgetError, match=r"float16 loses .* points; 0.5 are allowed"):
        reduced(trained(), "float16")


def test_bfloat16_is_refused_where_no_provider_computes_in_it() -> None:
    """The CPU provider by the table; a device that is not here by its own error."""
    with pytest.raises(ExportError, match="pass --device openvino"):
        reduced(trained(), "bfloat16")
    with pytest.raises(DeviceError):
        reduce(trained(), exported(trained()), PrecisionSettings("bfloat16"), "no_such_device")


def test_float64_is_not_made_smaller() -> None:
    """A number of two steps would be measured against the wrong one."""
    with pytest.raises(ExportError, match="float64"):
        reduce(trained(), exported(trained(), dtype="float64"), PrecisionSettings("int8"), "cpu")


def test_float32_is_what_it_was() -> None:
    """The very artifact."""
    artifact = Artifact({"x.onnx": b"any"}, models=("x.onnx",))
    assert reduce(trained(), artifact, PrecisionSettings("float32")).artifact is artifact


def test_a_stamp_changes_no_tensor_and_can_be_renewed() -> None:
    """Metadata alone; a second stamp replaces the first."""
    data = bytes_of(trained())
    stamped = stamp(stamp(data, "bfloat16"), "bfloat16", {"max_drop": 1.0})
    assert properties(stamped) == properties(data) | {
        "nin_spec.precision": "bfloat16",
        "nin_spec.reduction": '{"max_drop": 1.0}',
    }
    assert read_info(properties(stamped)).max_drop == 1.0
    before, after = (onnx.load_from_string(d).graph for d in (data, stamped))
    assert before == after


def test_export_from_python(tmp_path: Path) -> None:
    """One word, or settings."""
    (first,) = nin_spec.export(trained(), "onnx", tmp_path, precision="float16")
    (second,) = nin_spec.export(
        trained(), "onnx", tmp_path, precision=PrecisionSettings("int8", max_drop=1, calibrate=64)
    )
    assert (first.name, second.name) == ("small.float16.onnx", "small.int8.onnx")
    assert [open_session(path, "cpu").metadata.precision for path in (first, second)] == ["float16", "int8"]


def test_a_fixed_batch_is_kept() -> None:
    """Calibrated, measured and proved in batches of that size."""
    model = trained()
    made = reduce(model, exported(model, batch=7), PrecisionSettings("int8", calibrate=40, limit=30), "cpu")
    (data,) = made.artifact.files.values()
    assert open_session(data, "cpu").input_shape[0] == 7
    assert [c.images for c in check_parity(model, data, pictures=made.pictures).cases] == [7]


@pytest.mark.parametrize("precision", ["int8", "float16"])
@pytest.mark.parametrize(
    "options", [{"takes": "pixels"}, {"outputs": "probabilities,top3"}, {"without": "fold_batch_norm,pool_first"}]
)
def test_any_input_and_output_of_the_file(precision: str, options: dict[str, str]) -> None:
    """Raw pixels, other outputs, other passes: measured, and proved against the same nn.Module."""
    model = trained("defaults.norm=batch")
    settings = PrecisionSettings(precision, calibrate=64, limit=100, max_drop=1)  # type: ignore[arg-type]
    made = reduce(model, exported(model, **options), settings, "cpu")
    (data,) = made.artifact.files.values()
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    report = check_parity(model, data, pictures=made.pictures)
    assert report.precision == precision
    assert report.as_dict()["top1_agreement"] > 0.8


def test_pictures_of_other_classes_are_refused() -> None:
    """Before anything is computed."""
    model = trained()
    card = replace(model.card, labels=(), classes=7)
    with pytest.raises(DataError, match="has 10 classes"):
        reduced(replace(model, card=card), "int8")
