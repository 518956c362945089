"""nin-spec import: a spec and weights out of a file of another tool, and out again."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome

from nin_spec import guide
from nin_spec.exporter import make
from nin_spec.importers import budget, proof, regions
from nin_spec.network import compile as compile_network
from nin_spec.runtime.tolerances import ANY, TOLERANCES

Run = Callable[..., Outcome]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An exported network in the folder where the commands run."""
    monkeypatch.chdir(tmp_path)
    (data,) = make(compile_network("nin_digits").initialise(), "onnx", {}).files.values()
    Path("net.onnx").write_bytes(data)
    return Path("net.onnx")


@pytest.mark.usefixtures("model")
def test_import_then_export_is_a_round_trip(nin_spec: Run) -> None:
    outcome = nin_spec("import", "net.onnx", "-o", "mine.yaml", "--weights", "mine.safetensors")
    assert outcome.code == 0
    assert "wrote mine.yaml (" in outcome.out
    assert "computes the same as net.onnx" in outcome.err
    assert Path("mine.yaml").read_text().startswith("# Written by nin-spec import, from net.onnx.\nspec: 1\n")
    assert nin_spec("export", "mine.yaml", "--onnx", "again.onnx", "--weights", "mine.safetensors").code == 0
    x = np.random.default_rng(0).standard_normal((4, *compile_network("nin_digits").graph.input.shape))
    np.save("x.npy", x.astype(np.float32))
    first, second = (nin_spec("run", name, "x.npy", "--format", "json").out for name in ("net.onnx", "again.onnx"))
    assert first.count('"class"') == second.count('"class"') == 20


def test_a_line_break_in_a_name_begins_no_line_of_the_remarks(nin_spec: Run, model: Path) -> None:
    """A file could put words of its own into what import says, otherwise."""
    odd = model.rename("a\nerror: fake.onnx")
    assert "computes the same as a\\u000aerror: fake.onnx" in nin_spec("import", str(odd)).err


@pytest.mark.usefixtures("model")
def test_without_a_target_the_spec_is_printed(nin_spec: Run) -> None:
    outcome = nin_spec("import", "net.onnx")
    assert outcome.code == 0
    assert "name: nin_digits" in outcome.out
    assert sorted(path.name for path in Path().iterdir()) == ["net.onnx"]


@pytest.mark.usefixtures("model")
def test_nothing_is_written_over(nin_spec: Run) -> None:
    Path("mine.yaml").write_text("spec: 1\n")
    outcome = nin_spec("import", "net.onnx", "-o", "mine.yaml")
    assert outcome.code == 2
    assert Path("mine.yaml").read_text() == "spec: 1\n"
    assert nin_spec("import", "net.onnx", "-o", "net.onnx", "--force").code == 2


@pytest.mark.parametrize("size", ["0", "3x", "ax4", "1x2x3x4"])
def test_a_wrong_size_is_refused(size: str, nin_spec: Run, model: Path) -> None:
    outcome = nin_spec("import", str(model), "--size", size)
    assert outcome.code == 2
    assert "is not a size; write 32, 32x48 or 3x32x48" in outcome.err


def test_what_is_not_a_model_is_refused(nin_spec: Run, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"nonsense")
    outcome = nin_spec("import", str(tmp_path / "x.onnx"), "-o", str(tmp_path / "out.yaml"))
    assert outcome.code == 2
    assert "NIN651" in outcome.err
    assert not (tmp_path / "out.yaml").exists()


CAFFE = """name: "tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { pool: AVE global_pooling: true } }
"""


def test_a_caffe_net_is_brought_in_alone_and_with_its_weights(
    nin_spec: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files in the order in which Caffe's own tools take them; the weights are those of the file."""
    from google.protobuf import text_format

    from nin_spec.importers.caffe.proto import messages

    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(CAFFE)
    alone = nin_spec("import", "net.prototxt", "-o", "alone.yaml")
    assert alone.code == 0
    assert "computes the same as Caffe's definitions for net.prototxt with random weights" in alone.err
    net = text_format.Parse(CAFFE, messages.NetParameter())
    for shape in ([4, 3, 3, 3], [4]):
        numbers = np.arange(np.prod(shape), dtype="<f4")
        net.layer[1].blobs.add(shape={"dim": shape}, data=numbers.tobytes())
    Path("net.caffemodel").write_bytes(net.SerializeToString())
    files = ["net.prototxt", "net.caffemodel"]
    assert nin_spec("import", *files, "-o", "mine.yaml", "--weights", "mine.safetensors").code == 0
    assert Path("mine.yaml").read_text() == Path("alone.yaml").read_text()
    assert nin_spec("export", "mine.yaml", "--onnx", "net.onnx", "--weights", "mine.safetensors").code == 0
    assert nin_spec("import", "net.caffemodel").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net.prototxt", "--weights", "w.safetensors"], "net.prototxt holds no weights to write"),
        (["net.prototxt", "w.safetensors"], "w.safetensors is not a .caffemodel"),
        (["net.onnx", "net.caffemodel"], "net.onnx is not a .prototxt"),
        (["net.prototxt", "--size", "9"], "error NIN651: data (Input): its height is 8, but 9 was requested"),
        (["none.prototxt"], "none.prototxt: it does not exist"),
    ],
)
def test_caffe_files_that_do_not_go_together_are_refused(
    arguments: list[str], message: str, nin_spec: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(CAFFE)
    outcome = nin_spec("import", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert [path.name for path in Path().iterdir()] == ["net.prototxt"]


def test_the_guide_says_what_proven_means(nin_spec: Run) -> None:
    """Guide and help give the figures that the code keeps, and what is not proven."""
    page = " ".join(guide.markdown("import").split())
    shown = " ".join(nin_spec("import", "--help").out.split())
    tried = f"from {_power(regions.SMALLEST)} to {_power(regions.LARGEST)}"
    for text in (page, shown):
        assert tried in text
        for word in ("training", "dtype", "preprocessing that the file does not state", "--size", "open batch"):
            assert word in text
    assert proof.LARGE == 1000
    for figure in (
        "a thousand times as large",
        f"within {_power(proof.TOLERANCE)} of its largest score",
        f"({_power(TOLERANCES['float16', ANY].allowed)} for float16)",
        f"2^{math.log2(budget.COMPILED.macs):g} multiplications",
        f"2^{math.log2(budget.COMPILED.largest):g} values in one layer's maps",
        f"more than {budget.MAX_SECONDS:g} s of CPU time",
    ):
        assert figure in page


def _power(number: float) -> str:
    return f"1e{math.log10(number):g}"
