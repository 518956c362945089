"""nin-spec bench, end to end with real workers. No time is asserted: only that each is there, and what it is of."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image

import nin_spec as library
from nin_spec import children
from nin_spec.bench.contenders import PEERS
from nin_spec.cli import bench as command
from nin_spec.cli import execute
from nin_spec.cli.bench_table import number
from nin_spec.seals import Kind, kind_of

Run = Callable[..., Any]

SPEC = """\
spec: 1
name: small
input: {channels: 1, size: 8}
classes: 4
defaults: {init: kaiming_normal}
blocks: [{channels: [8, classes], kernel: 3, padding: 1}]
"""
SMALL_PEAK = Path(__file__).parent.parent / "bench" / "small_peak.py"
QUICK = ("--device", "cpu", "--batch", "1,3", "--seconds", "0.02", "--turns", "2", "--threads", "1", "--no-peak")

NUMBER, TEXT = {"type": "number"}, {"type": "string"}


def record(**properties: Any) -> dict[str, Any]:
    """An object of exactly these keys."""
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def maybe(schema: dict[str, Any]) -> dict[str, Any]:
    """Or null."""
    return {"anyOf": [schema, {"type": "null"}]}


SPREAD = record(median=NUMBER, low=NUMBER, high=NUMBER, least=NUMBER, most=NUMBER, count={"type": "integer"})
LINE = record(
    contender=TEXT,
    batch={"type": "integer"},
    latency_ms=SPREAD,
    images_per_second=NUMBER,
    first_run_seconds=NUMBER,
    gflops=maybe(NUMBER),
    share_of_peak=maybe(SPREAD),
    ratio=maybe(SPREAD),
)
KNOWN = {
    "type": "object",
    "required": ["name", "title", "start_seconds", "torch", "device", "precision"],
}
SCHEMA = record(
    generator={"type": "string", "pattern": "^Written by nin-spec"},
    format={"const": 1},
    name=TEXT,
    hash=TEXT,
    input={"type": "array", "items": {"type": "integer"}},
    macs=maybe({"type": "integer"}),
    macs_convention=TEXT,
    machine=record(
        cpu=TEXT,
        features=maybe({"type": "array", "items": TEXT}),
        cores={"type": "integer"},
        load_before=maybe(NUMBER),
        versions={"type": "object", "additionalProperties": maybe(TEXT)},
    ),
    settings=record(
        batches={"type": "array", "items": {"type": "integer"}},
        threads={"type": "integer"},
        seconds=NUMBER,
        turns={"type": "integer"},
        patience=NUMBER,
        peaks={"type": "boolean"},
    ),
    contenders={"type": "array", "items": KNOWN},
    peaks={
        "type": "array",
        "items": KNOWN | {"required": [*KNOWN["required"], "engine", "shape", "operations", "gflops"]},
    },
    results={"type": "array", "items": LINE},
    failures={
        "type": "array",
        "items": record(label=TEXT, batch=maybe({"type": "integer"}), reason=TEXT, stderr=TEXT),
    },
    remarks={"type": "array", "items": TEXT},
    complete={"type": "boolean"},
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the spec, and its network as an ONNX file with the same weights and with others."""
    (tmp_path / "small.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    for name, seed in (("small.onnx", 0), ("other.onnx", 5)):
        library.export(library.compile("small.yaml").initialise(seed), "onnx", name, parity=False)
    return tmp_path


def checked(text: str) -> Any:
    """JSON of the documented form; a file has a seal besides."""
    found = json.loads(text)
    found.pop("seal", None)
    jsonschema.validate(found, SCHEMA)
    return found


@pytest.mark.usefixtures("here")
def test_a_table_for_people_and_everything_for_programs(nin_spec: Run) -> None:
    """A line a contender and batch in at most 100 columns, a picture, and the same numbers as JSON."""
    done = nin_spec("bench", "small.yaml", *QUICK, "--against", "bare", "--json", "b.json", "--plot", "b.png")
    assert done.code == 0, done.err
    head, *rest = done.out.splitlines()
    assert head.startswith("small  1x8x8, ")
    table = [line for line in rest if line.split()[1:2] in (["batch"], ["1"], ["3"])]
    assert [line.split()[:2] for line in table[1:]] == [[n, b] for b in "13" for n in ("nin-spec", "bare")]
    assert all(len(line) <= 100 for line in table)
    found = checked(Path("b.json").read_text())
    assert kind_of(Path("b.json")) is Kind.BENCH
    assert found["complete"] is True
    assert [(r["contender"], r["batch"]) for r in found["results"]] == [
        (name, batch) for batch in (1, 3) for name in ("nin-spec", "bare")
    ]
    with Image.open("b.png") as picture:
        assert picture.format == "PNG"
    assert "opening nin-spec" in done.err
    assert " left" in done.err


@pytest.mark.usefixtures("here")
def test_json_on_the_output_is_json_alone(nin_spec: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is going on goes to standard error. The facts say on what each ran, with the peak beside it."""
    monkeypatch.setattr("nin_spec.bench.process.COMMAND", children.python(str(SMALL_PEAK)))
    peak = [word for word in QUICK if word != "--no-peak"]
    found = checked(nin_spec("bench", "small.onnx", *peak, "--batch", "2", "--format", "json").out)
    assert found["settings"]["batches"] == [2]
    assert [c["device"] for c in found["contenders"]] == ["cpu"]
    assert [p["precision"] for p in found["peaks"]] == ["float32"]
    assert found["results"][0]["share_of_peak"]["count"] == 2
    assert found["results"][0]["ratio"] is None


@pytest.mark.usefixtures("here")
def test_a_contender_that_computes_something_else_fails_the_command(nin_spec: Run) -> None:
    """It is reported, the others are measured, and the command exits 1."""
    done = nin_spec("bench", "small.onnx", *QUICK, "--against", "other.onnx,bare")
    assert done.code == 1
    assert "FAILED other.onnx at batch 1: its scores differ from those of nin-spec" in done.out
    assert any(line.startswith("bare") for line in done.out.splitlines())


@pytest.mark.usefixtures("here")
def test_a_device_is_measured_with_its_options(nin_spec: Run) -> None:
    """Ours and the peers in our settings have them, a bare session none; the answer says so."""
    asked = ("--device-option", "spinning=never", "--against", "small.onnx,bare")
    done = nin_spec("bench", "small.yaml", *QUICK, *asked, "--json", "b.json")
    assert done.code == 0, done.err
    found = checked(Path("b.json").read_text())
    assert kind_of(Path("b.json")) is Kind.BENCH
    assert [c.get("options") for c in found["contenders"]] == [{"spinning": "never"}] * 2 + [None]
    assert done.out.count("spinning=never") == 2


@pytest.mark.usefixtures("here")
def test_a_files_peers_compute_what_the_file_does(nin_spec: Run) -> None:
    """Its weights are those of the graph that its passes made, and it may give probabilities.

    tests/bench/test_runners.py has other files.
    """
    model = library.compile("small.yaml", ["defaults.norm=batch"]).initialise(1)
    given: dict[str, Any] = {"outputs": "probabilities", "without": "fold_batch_norm"}
    library.export(model, "onnx", "file with a blank.onnx", parity=False, **given)
    against = ("--against", "torch, file with a blank.onnx")
    done = nin_spec("bench", "file with a blank.onnx", *QUICK, *against, "--format", "json")
    assert done.code == 0, done.out + done.err
    assert {r["contender"] for r in checked(done.out)["results"]} == {"nin-spec", "torch", "file with a blank.onnx"}


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.usefixtures("here")
def test_a_file_that_takes_pixels_is_not_measured(nin_spec: Run, dtype: str) -> None:
    """In any dtype: the bench makes tensors."""
    model = library.compile("small.yaml", [f"input.preprocess.dtype={dtype}"]).initialise()
    library.export(model, "onnx", "pixels.onnx", parity=False, takes="pixels")
    done = nin_spec("bench", "pixels.onnx", *QUICK)
    assert (done.code, done.out) == (2, "")
    assert "export it without --takes pixels" in done.err


@pytest.mark.usefixtures("here")
def test_several_devices_are_a_contender_each(nin_spec: Run) -> None:
    """Named by device; each once."""
    found = checked(nin_spec("bench", "small.yaml", *QUICK, "--device", "auto", "--format", "json").out)
    assert [c["name"] for c in found["contenders"]] == ["nin-spec cpu", "nin-spec auto"]


def test_a_peer_is_measured_in_each_precision_that_it_has() -> None:
    """Asked for one it needs no further name; what has only its own runs once."""
    entries = command.choose_entries(("auto",), {}, ["float32", "bfloat16"], ["openvino", "mnn"])
    assert [(e.label, e.precision, e.spare) for e in entries] == [
        ("nin-spec auto float32", "float32", False),
        ("nin-spec auto bfloat16", "bfloat16", False),
        ("openvino float32", "float32", True),
        ("openvino bfloat16", "bfloat16", True),
        ("mnn", None, False),
    ]
    *_, peer = command.choose_entries(("cpu",), {}, ["bfloat16"], ["openvino"])
    assert (peer.label, peer.precision) == ("openvino", "bfloat16")
    *_, peer = command.choose_entries(("cpu",), {}, [], ["openvino"])
    assert (peer.label, peer.precision) == ("openvino", None)


@pytest.mark.usefixtures("here")
def test_a_device_without_one_of_several_precisions_is_left_out_of_it(nin_spec: Run) -> None:
    """Of several devices in several precisions what there is is compared; alone it is an error."""
    asked = ("--device", "auto", "--precision", "float32,float16")
    done = nin_spec("bench", "small.yaml", *QUICK, *asked, "--format", "json")
    assert done.code == 0, done.err
    found = checked(done.out)
    names = [c["name"] for c in found["contenders"]]
    assert names[:1] == ["nin-spec cpu float32"]
    assert "nin-spec cpu float16" not in names
    assert any(remark.startswith("nin-spec cpu float16 is left out: cpu can't") for remark in found["remarks"])
    alone = nin_spec("bench", "small.yaml", *QUICK, "--precision", "float16")
    assert alone.code == 2
    assert "cpu can't compute in float16 here" in alone.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("small.yaml", "--against", "torch-exprot"), "did you mean 'torch-export'?"),
        (("small.yaml", "--batch", "1,many"), "'many' is not a batch size"),
        (("small.yaml", "--precision", "bfloat61"), "did you mean 'bfloat16'?"),
        (("small.yaml", "--batch", "0"), "'0' is not a batch size"),
        (("small.onnx", "--set", "blocks.0.kernel=3"), "--set requires SPEC"),
        (("small.yaml", "--device", "abacus"), "abacus"),
        (
            ("small.yaml", "--device", "cuda", "--against", "bare"),
            "bare runs on the CPU, and can't be",
        ),
        (("small.yaml", "--device-option", "spining=never"), "did you mean 'spinning'?"),
        (("small.yaml", "--device", "auto", "--device-option", "spinning=never"), "exactly one --device"),
        (("small.yaml", "--device-option", "spinning"), "not of the form KEY=VALUE"),
        (("small.yaml", "--against", "nothing.onnx"), "nothing.onnx can't be used"),
        (("nothing.onnx",), "nothing.onnx can't be used"),
        (("nothing.yaml",), "NIN001"),
        (("small.yaml", "--json", "nowhere/b.json"), "does not exist"),
        (("small.yaml", "--json", "small.yaml"), "is an input of this command"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_cannot_be_measured_is_reported_without_a_traceback(
    nin_spec: Run, arguments: tuple[str, ...], expected: str
) -> None:
    """With exit code 2."""
    done = nin_spec("bench", *arguments, *([] if "--device" in arguments else ["--device", "cpu"]), "--no-peak")
    assert done.code == 2
    assert expected in done.err
    assert done.out == ""


def test_ctrl_c_prints_what_has_been_measured(here: Path) -> None:
    """It exits 130, says that it was stopped, and leaves no process behind."""
    # A shell starts what runs in its background deaf to SIGINT, and so would be what that starts.
    hearing = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{hearing}; import sys; from nin_spec.cli import main; main(sys.argv[1:])"
    arguments = ["bench", "small.yaml", *QUICK, "--turns", "1000", "--against", "bare", "--format", "json"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    assert any(re.search(r"turn ([3-9]|\d\d+) of", line) for line in process.stderr), "it measures"
    children = children_of(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.strip().endswith("interrupted")
    assert "Traceback" not in err
    found = checked(out)
    assert found["complete"] is False
    assert {r["contender"] for r in found["results"]} == {"nin-spec", "bare"}
    assert not [pid for pid in children if alive(pid)]


def children_of(pid: int) -> list[int]:
    """The processes that a process has started, as Linux lists them; two workers here."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if not listed.is_file():
        return []
    found = [int(child) for child in listed.read_text().split()]
    assert len(found) == 2
    return found


def alive(pid: int) -> bool:
    """Whether a process is still there after a moment."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)
    return True


def test_help_names_every_peer_and_loads_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """It is there at once."""
    assert execute(["bench", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in PEERS)
    code = (
        "import sys; from nin_spec.cli import execute; execute(['bench', '--help']);"
        "print({'torch', 'onnx', 'onnxruntime', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize(("ms", "text"), [(0.05234, "0.052"), (1.2345, "1.234"), (12.345, "12.35"), (123.45, "123.5")])
def test_milliseconds_have_the_digits_that_mean_something(ms: float, text: str) -> None:
    """Three to four."""
    assert number(ms) in {text, text[:-1] + str(int(text[-1]) - 1)}
