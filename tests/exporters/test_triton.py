"""A repository for Triton: what is chosen stands in it, what the release can't load is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from foreign_clients import run_client
from goldens import assert_golden
from google.protobuf import text_format
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import given
from hypothesis import strategies as st

import nin_spec
from nin_spec.diagnostics import ExportError, ParityError
from nin_spec.exporter import make
from nin_spec.exporters import onnx_rules
from nin_spec.exporters.onnx_writer import Writer
from nin_spec.exporters.targets import TRITON, find_target
from nin_spec.exporters.triton import DEFAULT_TARGET, buckets
from nin_spec.ir import ops
from nin_spec.ir.graph import Node
from nin_spec.model import Model
from nin_spec.rendering import quoted

GOLDENS = Path(__file__).parent / "goldens"

TINY = """\
spec: 1
name: tiny
input: {channels: 3, size: [12, 10]}
classes: [cat, dog]
blocks:
  - {channels: [6, 5], kernel: 3, padding: 1, pool: {kind: avg, kernel: 3, stride: 2, ceil_mode: true}}
  - {channels: [5, classes], kernel: 3, padding: 1}
"""


def tiny(text: str = TINY) -> Model:
    """A small model."""
    return nin_spec.compile(nin_spec.loads(text)).initialise()


OPEN = TINY.replace("[12, 10]", "[12, 10], open: true").replace("classes: [cat, dog]", "classes: 4")


def config(model: Model, **options: Any) -> str:
    """The repository's config.pbtxt."""
    return make(model, "triton", options).files[f"{model.graph.name}/config.pbtxt"].decode()


def test_ranked_probabilities_have_no_labels() -> None:
    """As many as there are classes, and in another order: only the scores' places are classes."""
    text = config(tiny(), outputs="scores,top2")
    blocks = {name: text.partition(f'name: "{name}"')[2].partition("}")[0] for name in ("scores", "top_probabilities")}
    assert "label_filename" in blocks["scores"]
    assert "label_filename" not in blocks["top_probabilities"]


def test_the_layout_is_tritons() -> None:
    """A configuration, a version with the file of the onnx exporter, and a label a line."""
    model = tiny()
    files = make(model, "triton", {"opset": 18}).files
    assert set(files) == {"tiny/config.pbtxt", "tiny/1/model.onnx", "tiny/labels.txt"}
    alone = make(model, "onnx", {"opset": 18, "target": DEFAULT_TARGET})
    assert files["tiny/1/model.onnx"] == alone.files["tiny.onnx"]
    assert files["tiny/labels.txt"] == b"cat\ndog\n"


def test_every_input_and_output_of_the_file_is_described() -> None:
    """Pixels in, several outputs: types and axes are the file's own, labels stand at what has one value a class."""
    text = config(tiny(), takes="pixels", outputs="probabilities,top1")
    assert "  data_type: TYPE_UINT8\n  dims: [ 12, 10, 3 ]\n" in text
    assert 'data_type: TYPE_FP32\n  dims: [ 2 ]\n  label_filename: "labels.txt"' in text
    assert '"top_classes"\n  data_type: TYPE_INT64\n  dims: [ 1 ]\n}' in text


def test_classes_without_names_have_no_labels() -> None:
    """Neither a file nor a mention of one."""
    model = tiny(OPEN)
    assert set(make(model, "triton", {}).files) == {"tiny/config.pbtxt", "tiny/1/model.onnx"}
    assert "label_filename" not in config(model)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nin_digits", {"threads": 2, "max_batch": 12}),
        ("nin_imagenet", {"hardware": "gpu", "tensorrt": "float16", "instances": 2, "delay": 500, "preferred": "8,16"}),
    ],
)
def test_it_reads_as_a_person_would_write_it(name: str, options: dict[str, Any]) -> None:
    """The whole configuration, to be reviewed."""
    assert_golden(config(nin_spec.compile(name).initialise(), **options), GOLDENS / f"{name}.config.pbtxt")


def test_an_open_size_stays_open() -> None:
    """-1 for each open axis; warmed at the size that the spec names, and without profiles of one size."""
    text = config(tiny(OPEN), hardware="gpu", tensorrt="float32")
    assert "  dims: [ 3, -1, -1 ]\n" in text
    assert "dims: [ 3, 12, 10 ] zero_data: true" in text
    assert '"precision_mode" value: "FP32"' in text
    assert "trt_profile" not in text


@pytest.mark.parametrize(
    ("max_batch", "expected"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])]
)
def test_buckets_are_powers_of_two_and_the_largest(max_batch: int, expected: list[int]) -> None:
    """Each is warmed once."""
    assert buckets(max_batch) == expected
    assert config(tiny(), max_batch=max_batch).count("model_warmup") == len(expected)


def test_every_known_release_loads_the_default() -> None:
    """Nothing has to be asked for; the file's opset and IR version are within what the release takes."""
    for release in TRITON:
        target = find_target(f"triton=={release}")
        files = make(tiny(), "triton", {"target": target.name}).files
        assert f"# Made for {target} and later." in files["tiny/config.pbtxt"].decode()
        proto = onnx.load_from_string(files["tiny/1/model.onnx"])
        assert proto.opset_import[0].version <= target.runtime.opset
        assert proto.ir_version <= target.runtime.ir


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "triton==24.10", "opset": 22}, "onnxruntime==1.19) supports opsets up to 21, not 22"),
        ({"target": "triton==25.12", "opset": 25}, "onnxruntime==1.23) supports opsets up to 23, not 25"),
        ({"target": "triton==19.03"}, "19.03"),
        ({"target": "triton"}, "'triton' is not a target"),
        ({"target": "onnxruntime==1.20"}, "onnxruntime==1.20 is not a release of Triton"),
        ({"batch": 4}, "batch can't be 4"),
        ({"max_batch": 0}, "max_batch can't be 0"),
        ({"queue": 0}, "queue can't be 0"),
        ({"timeout": 0}, "timeout can't be 0"),
        ({"delay": -1}, "delay can't be -1"),
        ({"hardware": "tpu"}, "hardware can't be 'tpu'"),
        ({"preferred": "8;16"}, "preferred can't be '8;16'"),
        ({"preferred": 0}, "preferred can't be 0"),
        ({"preferred": 64}, "a preferred batch is larger than the maximum, 32"),
        ({"tensorrt": "float16"}, "--tensorrt needs --hardware gpu"),
        ({"tensorrt": "float16", "hardware": "gpu", "target": "triton==23.05"}, "need Triton 24.04 or later"),
        ({"threads": 2, "hardware": "gpu"}, "threads apply to instances on the CPU only"),
        ({"max_batches": 2}, "did you mean 'max_batch'"),
    ],
)
def test_what_is_not_available_is_reported(options: dict[str, Any], message: str) -> None:
    """Before anything is written."""
    with pytest.raises(ExportError) as caught:
        config(tiny(), **options)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-a", "ä", 'a"b', "a\nb"])
def test_a_name_that_no_folder_should_have_is_refused(name: str) -> None:
    """A spec can't give one; a graph made by hand can."""
    model = tiny()
    with pytest.raises(ExportError, match="can't serve a model of the name"):
        config(replace(model, graph=replace(model.graph, name=name)))


def test_labels_keep_their_lines() -> None:
    """Whatever a label holds, the label of class n is line n; what had to change is said."""
    labels = ['a "quoted" one', "back\\slash", "two\nlines", "carriage\rreturn", "ünïcode ☃", "co:lon", "  "]
    model = tiny(TINY.replace("classes: [cat, dog]", f"classes: {len(labels)}"))
    made = make(replace(model, card=replace(model.card, labels=tuple(labels))), "triton", {})
    lines = made.files["tiny/labels.txt"].decode().split("\n")
    assert lines == [*labels[:2], "two lines", "carriage return", *labels[4:], ""]
    assert any("line breaks inside labels became spaces" in remark for remark in made.remarks)


@given(st.text())
def test_any_text_can_be_quoted(text: str) -> None:
    """The text format reads back what was written, and nothing after it."""
    assert text_format.Parse(f"value: {quoted(text)}", StringValue()).value == text


def test_the_file_inside_is_proved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong graph is not written, wherever in the repository it stands."""
    assert len(nin_spec.export(tiny(), "triton", tmp_path / "good")) == 3

    def count_everything(w: Writer, node: Node, _: ops.AvgPool2d) -> None:
        w.add("AveragePool", node, kernel_shape=(3, 3), strides=(2, 2), pads=[0, 0, 1, 1], count_include_pad=1)

    monkeypatch.setitem(onnx_rules.RULES, ops.AvgPool2d, count_everything)
    with pytest.raises(ParityError, match=r"first at blocks\.0\.pool"):
        nin_spec.export(tiny(), "triton", tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


def test_the_bytes_are_the_same_each_time() -> None:
    """No date, no path."""
    assert make(tiny(), "triton", {}).files == make(tiny(), "triton", {}).files


READ = """
import sys
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
print(json_format.MessageToJson(text_format.Parse(open(sys.argv[1]).read(), model_config_pb2.ModelConfig())))
"""


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threads": 3, "max_batch": 6, "preferred": "2,4", "delay": 250, "queue": 9, "timeout": 20, "instances": 2},
        {"hardware": "gpu", "tensorrt": "float16"},
    ],
)
@pytest.mark.parametrize("text", [TINY, OPEN])
def test_tritons_own_schema_reads_it(text: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Every key is one that Triton has, and holds what was chosen."""
    import json

    path = tmp_path / "config.pbtxt"
    path.write_text(config(tiny(text), **options))
    read = json.loads(run_client(READ, str(path)))
    policy = read["dynamicBatching"]["defaultQueuePolicy"]
    assert read["backend"] == "onnxruntime"
    assert read["maxBatchSize"] == options.get("max_batch", 32)
    assert policy["maxQueueSize"] == options.get("queue", 256)
    assert policy["defaultTimeoutMicroseconds"] == str(1000 * options.get("timeout", 1000))
    assert policy.get("timeoutAction", "REJECT") == "REJECT"
    assert read["instanceGroup"][0]["kind"] == f"KIND_{options.get('hardware', 'cpu').upper()}"
    assert [w["batchSize"] for w in read["modelWarmup"]] == buckets(options.get("max_batch", 32))
    assert ("optimization" in read) == ("tensorrt" in options)


def test_the_default_release_is_known() -> None:
    """And its file is read by the onnx that is installed."""
    assert DEFAULT_TARGET.removeprefix("triton==") in TRITON
    onnx.checker.check_model(onnx.load_from_string(make(tiny(), "triton", {}).files["tiny/1/model.onnx"]))
