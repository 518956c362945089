"""nin-spec export: proved before it is written, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from goldens import assert_golden

import nin_spec
from nin_spec.cli import execute
from nin_spec.exporters import onnx_rules
from nin_spec.exporters.onnx_writer import Writer
from nin_spec.ir import ops
from nin_spec.ir.graph import Node
from nin_spec.seals import Kind, sealed

NIN_SPEC = [sys.executable, "-c", "import sys; from nin_spec.cli import main; main(sys.argv[1:])"]

TINY = """\
spec: 1
name: tiny
input: {channels: 3, size: 12}
classes: [cat, dog]
blocks:
  - channels: [6, 5]
    kernel: 3
    padding: 1
    pool: {kind: avg, kernel: 3, stride: 2, ceil_mode: true}
  - channels: [5, classes]
    kernel: 3
    padding: 1
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, with a small spec."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "notes.py").write_text("mine")
    return tmp_path


def test_it_proves_and_writes(capsys: pytest.CaptureFixture[str]) -> None:
    """Both forms at once, under the spec's name, the differences printed."""
    assert execute(["export", "tiny.yaml", "--onnx", "--source"]) == 0
    out = capsys.readouterr()
    assert "parity on CPUExecutionProvider (float32, batches of 1, 2, 7)" in out.out
    assert "top-1 agrees on 10 of 10" in out.out
    assert "weights: fresh, seed 0" in out.err
    onnx.checker.check_model(onnx.load("tiny.onnx"), full_check=True)
    compile(Path("tiny.py").read_text(), "tiny.py", "exec")


def test_a_source_of_ours_is_replaced() -> None:
    """What nin-spec wrote it may write again; what a person wrote, only by force."""
    assert execute(["export", "tiny.yaml", "--source"]) == 0
    assert execute(["export", "tiny.yaml", "--source"]) == 0
    assert execute(["export", "tiny.yaml", "--source", "notes.py", "--force"]) == 0


def test_a_repository_and_its_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    """In one command, proved, and written again over their own: a list of labels can't say whose it is."""
    command = ["export", "tiny.yaml", "--triton", "models", "--max-batch", "4"]
    assert execute([*command, "--kserve", "tiny-service.yaml", "--storage-uri", "s3://bucket/models"]) == 0
    assert "parity on CPUExecutionProvider" in capsys.readouterr().out
    assert Path("models/tiny/labels.txt").read_text() == "cat\ndog\n"
    assert 'storageUri: "s3://bucket/models"' in Path("tiny-service.yaml").read_text()
    Path("tiny.yaml").write_text(TINY.replace("[cat, dog]", "[owl, fox]"))
    assert execute(command) == 0
    assert Path("models/tiny/labels.txt").read_text() == "owl\nfox\n"


def test_labels_that_a_person_wrote_are_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing beside them says that they are ours."""
    Path("models/tiny").mkdir(parents=True)
    Path("models/tiny/labels.txt").write_text("mine")
    assert execute(["export", "tiny.yaml", "--triton", "models"]) == 2
    assert "labels.txt exists, and nin-spec did not write it" in capsys.readouterr().err
    assert [p.name for p in Path("models").rglob("*") if p.is_file()] == ["labels.txt"]


def test_options_reach_the_exporter() -> None:
    """A path, an opset and a batch."""
    assert execute(["export", "tiny.yaml", "--onnx", "other.onnx", "--opset", "20", "--batch", "4"]) == 0
    proto = onnx.load("other.onnx")
    assert proto.opset_import[0].version == 20
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny.yaml"], "nothing to write: pass --kserve, --onnx, --page, --source, --triton"),
        (["tiny.yaml", "--kserve"], "pass its URI: --storage-uri s3://bucket/models"),
        (
            ["tiny.yaml", "--triton", "m", "--target", "triton==24.10", "--opset", "22"],
            "supports opsets up to 21",
        ),
        (["tiny.yaml", "--onnx", "--max-batch", "4"], "--max-batch requires --triton"),
        (["tiny.yaml", "--onnx", "--opset", "12"], "onnx: opset can't be 12\n  hint: ONNX opset, 13 to 26"),
        (["tiny.yaml", "--onnx", "--opset", "99"], "onnx: opset can't be 99"),
        (["tiny.yaml", "--onnx", "--opset", "x"], "onnx: opset can't be 'x'"),
        (["tiny.yaml", "--onnx", "--batch", "0"], "batch can't be 0"),
        (["tiny.yaml", "--onnx", "nowhere/x.onnx"], "error NIN603"),
        (["tiny.yaml", "--onnx", "--weights", "missing.pt"], "error NIN501"),
        (["missing.yaml", "--onnx"], "error NIN001"),
        (["--onnx", "tiny.yaml"], "'tiny.yaml' was read as the path to write to: put SPEC first"),
        (["tiny.yaml", "--source", "--opset", "17"], "--opset requires --onnx"),
        (["tiny.yaml", "--source", "--device", "cpu"], "--device requires the proof of an ONNX file"),
        (["tiny.yaml", "--kserve", "--device", "cpu"], "--device requires the proof of an ONNX file"),
        (["tiny.yaml", "--kserve", "--source", "--device", "cpu"], "--device requires the proof of an ONNX file"),
        (["tiny.yaml", "--onnx", "--no-parity", "--device", "abacus"], "--device requires the proof"),
        (
            ["tiny.yaml", "--onnx", "--no-parity", "--device-option", "a=b"],
            "--device-option requires exactly one --device",
        ),
        (["tiny.yaml", "--onnx", "--device", "abacus"], "unknown device 'abacus'"),
        (["tiny.yaml", "--onnx", "tiny.yaml"], "tiny.yaml is an input of this command"),
        (["tiny.yaml", "--source", "notes.py"], "notes.py exists, and nin-spec did not write it"),
    ],
)
def test_what_is_not_available_is_reported(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, nothing written."""
    assert execute(["export", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(Path().glob("*.onnx")) == []
    assert Path("tiny.yaml").read_text() == TINY
    assert Path("notes.py").read_text() == "mine"


def test_a_wrong_graph_is_not_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1; the first node that differs is named, with its line; the old file stays."""
    old = sealed(b"old", Kind.ONNX)
    Path("tiny.onnx").write_bytes(old)

    def count_everything(w: Writer, node: Node, _: ops.AvgPool2d) -> None:
        w.add("AveragePool", node, kernel_shape=(3, 3), strides=(2, 2), pads=[0, 0, 1, 1], count_include_pad=1)

    monkeypatch.setitem(onnx_rules.RULES, ops.AvgPool2d, count_everything)
    assert execute(["export", "tiny.yaml", "--onnx"]) == 1
    error = capsys.readouterr().err
    assert "tiny.yaml:9:11: error NIN604" in error
    assert "first at blocks.0.pool" in error
    assert Path("tiny.onnx").read_bytes() == old
    assert execute(["export", "tiny.yaml", "--onnx", "--no-parity"]) == 0


def test_foreign_weights_are_adopted_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The mapping is printed, tensor by tensor."""
    layers = [torch.nn.Conv2d(3, 6, 3), torch.nn.Conv2d(6, 5, 1), torch.nn.Conv2d(5, 5, 3), torch.nn.Conv2d(5, 2, 1)]
    torch.save(torch.nn.Sequential(*layers).state_dict(), "net.pt")
    assert execute(["export", "tiny.yaml", "--onnx", "--weights", "net.pt"]) == 0
    assert "  1.weight -> blocks.0.convs.1.weight" in capsys.readouterr().err
    held = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load("tiny.onnx").graph.initializer}
    assert np.array_equal(held["blocks.1.convs.1.weight"], layers[3].weight.detach().numpy())


def test_parity_on_a_missing_gpu_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A proof on a device that can't run is not a proof."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert execute(["export", "tiny.yaml", "--onnx", "--device", "cuda"]) == 2
    assert "CUDAExecutionProvider" in capsys.readouterr().err
    assert not Path("tiny.onnx").exists()


def test_without_parity_no_torch_is_loaded() -> None:
    """Export from a weights file costs neither torch nor onnxruntime."""
    assert execute(["build", "tiny.yaml", "-o", "w.safetensors"]) == 0
    code = (
        "import sys; from nin_spec.cli import execute;"
        "assert execute(['export', 'tiny.yaml', '--onnx', '--weights', 'w.safetensors', '--no-parity']) == 0;"
        "print(sorted({'torch', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_killed_at_any_moment_a_whole_file_is_there() -> None:
    """The old file or the new one, never a part; and no litter that matters."""
    path = Path("net.onnx")
    command = [*NIN_SPEC, "export", "nin_cifar", "--onnx", str(path), "--no-parity"]
    subprocess.run(command, check=True, capture_output=True)
    new = path.read_bytes()
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    whole = time.perf_counter() - start
    for i in range(12):
        path.write_bytes(b"old")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            # Most kills fall into the end, where the file is written.
            time.sleep(whole * (0.4 + 0.055 * i))
            os.kill(process.pid, signal.SIGKILL)
        assert path.read_bytes() in {b"old", new}


def test_the_api_exports_too() -> None:
    """The same from Python, options by name."""
    model = nin_spec.compile("tiny.yaml").initialise()
    assert nin_spec.export(model, "onnx", "a.onnx", opset=18) == [Path("a.onnx")]
    with pytest.raises(nin_spec.NinSpecError, match="unknown exporter 'onxn'"):
        nin_spec.export(model, "onxn")
    with pytest.raises(nin_spec.NinSpecError, match="onnx has no option 'opsett'"):
        nin_spec.export(model, "onnx", opsett=18)


def test_explain_lists_what_each_pass_did(capsys: pytest.CaptureFixture[str]) -> None:
    """With the lines of the spec and what is saved; every pass is named, also those that found nothing."""
    assert execute(["export", "tiny.yaml", "--onnx", "--no-parity", "--explain", "--takes", "pixels"]) == 0
    text = "".join(f"{line}\n" for line in capsys.readouterr().out.splitlines() if not line.startswith("wrote"))
    assert_golden(text, Path(__file__).parent / "goldens" / "export_explain.txt")


def test_a_pass_is_left_out_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """`--without` takes several; a wrong name is refused with the right one, and nothing is written."""
    assert (
        execute(["export", "tiny.yaml", "--onnx", "--no-parity", "--explain", "--without", "pool_first,global_pools"])
        == 0
    )
    assert "pool_first" not in capsys.readouterr().out
    assert execute(["export", "tiny.yaml", "--onnx", "none.onnx", "--without", "poolfirst"]) == 2
    assert "hint: did you mean 'pool_first'?" in capsys.readouterr().err
    assert not Path("none.onnx").exists()


def test_a_source_has_no_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """That is said too."""
    assert execute(["export", "tiny.yaml", "--source", "--explain"]) == 0
    assert "no passes: the graph is exported as in the spec" in capsys.readouterr().out


def test_pixels_and_several_outputs_are_proved_and_run(capsys: pytest.CaptureFixture[str]) -> None:
    """From export to `run`, for a server's target."""
    asked = ["--takes", "pixels", "--outputs", "probabilities,top2", "--target", "triton==23.05"]
    assert execute(["export", "tiny.yaml", "--onnx", *asked]) == 0
    out = capsys.readouterr()
    assert "compared: probabilities, top_probabilities, top_classes" in out.out
    assert "opset 17 and IR version 8, for triton==23.05 (onnxruntime==1.15)" in out.err
    np.save("picture.npy", np.zeros((12, 12, 3), np.uint8))
    assert execute(["run", "tiny.onnx", "picture.npy"]) == 0
    assert "probability" in capsys.readouterr().out


def test_what_a_target_can_not_run_is_refused_before_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written."""
    for asked in (["--target", "onnxruntime==1.15", "--opset", "22"], ["--target", "triton==9"]):
        assert execute(["export", "tiny.yaml", "--onnx", *asked]) == 2
        assert "error NIN601" in capsys.readouterr().err
    assert not Path("tiny.onnx").exists()
