"""The device webgpu on a real driver, often a software one: told as what it is, and right op by op and spec by spec."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from every_word import spec_with
from server_process import ask_json, running
from webgpu_machine import ask, variables

from nin_spec.children import environment
from nin_spec.conformance.grammar import KEYS, spellings
from nin_spec.named import shipped_names
from nin_spec.runtime.plugins import SOFTWARE_ADAPTER

SMALL = ("nin_digits", "nin_cifar_bn")
"""Shipped specs for every run of the suite; all are `long`."""

CONVOLUTIONS: list[dict[str, Any]] = [
    {"kernel": [3, 2], "stride": [2, 1]},
    {"kernel": 3, "padding": {"top": 1, "left": 2}},
    {"kernel": [1, 3], "dilation": [1, 2], "padding": "same"},
    {"kernel": 1, "stride": 2},
    {"kernel": 5, "padding": 2, "bias": False},
    {"kernel": [11, 12], "padding": {"bottom": 2, "right": 1}},
    {"kernel": 1, "padding": {"bottom": 1}},
]


def block(**more: Any) -> dict[str, Any]:
    """A small spec with a block of these keys."""
    return spec_with("activation", "none") | {"blocks": [{"channels": [4], "kernel": 3, "activation": "none", **more}]}


def others() -> list[dict[str, Any]]:
    """What is not a norm, an activation or a pool: convolutions, groups, shuffles, maxout, dense layers, outputs."""
    classes = {"channels": ["classes"], "kernel": 1, "activation": "none"}
    specs = [block(**conv) for conv in CONVOLUTIONS]
    for spec in specs:
        spec["blocks"].append(classes)
    grouped = [{"channels": 6, "kernel": 3}, {"channels": 4, "groups": 2}, {"channels": 4, "groups": 4}]
    chains: list[list[dict[str, Any]]] = [
        [{"convs": [*grouped, {"channels": 4, "shuffle": 2, "dropout": 0.3}], "activation": "tanh"}],
        [{"convs": [{"channels": 6, "kernel": 1, "activation": {"kind": "maxout", "pieces": 3}}]}],
        [{"channels": [4], "kernel": 1, "activation": "relu"}, {"activation": "sigmoid"}],
        [{"channels": [4], "kernel": 1}, {"activation": "relu", "shuffle": 2}],
    ]
    heads: list[dict[str, Any]] = [
        {"dense": [5, {"units": "classes", "norm": "batch"}], "output": "log_softmax"},
        {"pool": "global_max", "dense": ["classes"], "output": "softmax"},
        {"pool": "none", "dense": [{"units": 3, "activation": "elu"}, "classes"], "activation": "tanh"},
    ]
    specs += [block() | {"blocks": [*chain, classes]} for chain in chains]
    return [*specs, *(block() | {"head": head} for head in heads)]


WORDS = [spec_with(key, value) for key in KEYS for value in spellings(key)]


def extremes(key: str) -> list[Any]:
    """Each kind under a key in as few keys as it needs, and with all of them set to something unusual."""
    every = [(str(value["kind"] if isinstance(value, dict) else value), value) for value in spellings(key)]
    least, fullest = dict(reversed(every)), dict(every)
    return [*least.values(), *(value for kind, value in fullest.items() if value != least[kind])]


EXTREMES = [spec_with(key, value) for key in KEYS for value in extremes(key)]


@pytest.mark.parametrize("words", [EXTREMES, pytest.param(WORDS, marks=pytest.mark.long)], ids=["extremes", "all"])
def test_every_op_and_every_attribute(words: list[dict[str, Any]]) -> None:
    """A batch of 2 of each, every node on the device: none is refused, none is wrong."""
    specs = [*words, *others()]
    answers = ask([{"spec": spec, "batch": 2} for spec in specs])
    wrong = [(s["blocks"], told) for s, told in zip(specs, answers, strict=True) if told.get("difference", 1) > 1e-5]
    assert wrong == []


def test_ways_to_export() -> None:
    """Other opsets, every output, and pixels in a fixed batch."""
    ways = [{"opset": 13}, {"opset": 21}, {"outputs": "scores,probabilities,top3"}, {"takes": "pixels", "batch": 2}]
    answers = ask([{"spec": yaml.safe_load(SPEC), "options": way} for way in ways])
    assert [told.get("provider", told) for told in answers] == ["WebGpuExecutionProvider"] * len(ways)


def test_shipped_specs() -> None:
    """One picture each: its last bits are those of float32."""
    for name, told in zip(SMALL, ask([{"spec": name, "batch": 1} for name in SMALL]), strict=True):
        assert told.get("difference", told) < 1e-5, name
        assert told["changes"] == [], name


@pytest.mark.long
@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_spec(name: str) -> None:
    """At the batches of every export."""
    (told,) = ask([{"spec": name}])
    assert told.get("difference", told) < 1e-4


def test_float16_is_computed_or_refused() -> None:
    """Where shaders have it, as the adapter says; else the file is refused, and not computed in another precision."""
    has = "float16" in status()["computes"]
    answers = ask([{"spec": spec, "batch": 2, "half": True} for spec in ["nin_digits", *islice(WORDS, 8)]])
    if has:
        assert [told for told in answers if told.get("difference", 1) > 1e-2] == []
        return
    assert {told["message"] for told in answers} == {"webgpu can't compute in float16 here; it has float32"}


# ------------------------------------------------------------------ the commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec with an LRN, its weights, its file for the device, and its file for none."""
    variables()
    made = tmp_path_factory.mktemp("webgpu")
    (made / "small.yaml").write_text(SPEC)
    for name, more in (("generic", "--no-parity"), ("small", "--device webgpu --explain")):
        done = nin_spec(made, *f"export small.yaml --onnx {name}.onnx".split(), *more.split())
        assert done.returncode == 0, done.stderr
    (made / "exported.txt").write_text(done.stdout)
    return made


SPEC = """\
spec: 1
name: small
input: {channels: 1, size: 8, preprocess: {mean: 0.3, std: 0.4}}
classes: 10
blocks:
  - {channels: [8], kernel: 1, norm: {kind: lrn, size: 3}, pool: {kind: max, kernel: 2, stride: 2}}
  - {channels: [classes], kernel: 1}
train: {dataset: digits, epochs: 1, optimizer: {kind: adam, lr: 0.01}}
"""


def nin_spec(where: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, in that folder; `more` are variables."""
    command = [sys.executable, "-c", "import sys; from nin_spec.cli import main; main(sys.argv[1:])", *arguments]
    given = environment(**{**variables(), **more})
    return subprocess.run(command, cwd=where, env=given, capture_output=True, text=True, check=False)


@cache
def status() -> dict[str, Any]:
    """What doctor says of the device."""
    code = "import json, dataclasses; from nin_spec.runtime.providers import explain; "
    code += "print(json.dumps(dataclasses.asdict(explain('webgpu'))))"
    done = subprocess.run([sys.executable, "-c", code], env=environment(**variables()), capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_doctor_names_the_adapter() -> None:
    """And says whether it is software."""
    found = status()
    assert found["usable"]
    assert found["adapter"]
    assert found["software"] == ("SwiftShader" in found["adapter"] or "llvmpipe" in found["adapter"])


def test_export_writes_for_the_device_and_says_so(folder: Path) -> None:
    """The proof is on the device, whose lowerings are explained with their line."""
    told = (folder / "exported.txt").read_text()
    assert "parity on WebGpuExecutionProvider (float32, batches of 1, 2, 7)" in told
    assert "for webgpu: 1 change\n  small.yaml:6  blocks.0.norms.0  LocalResponseNorm(" in told


@pytest.mark.parametrize(
    "line",
    [
        "run small.onnx digit.png --format json",
        "evaluate small.onnx --limit 20 --format json",
        "bench small.yaml --batch 1 --seconds 0.2",
    ],
)
def test_commands_compute_on_it(folder: Path, line: str) -> None:
    """A file that was written for it, and a spec, which is exported for it; all say that the adapter is software."""
    from PIL import Image

    Image.linear_gradient("L").save(folder / "digit.png")
    done = nin_spec(folder, *line.split(), "--device", "webgpu")
    assert done.returncode == 0, done.stderr
    assert "CPUExecutionProvider" not in done.stdout
    if status()["software"]:
        assert "webgpu computes on the CPU: " in done.stdout + done.stderr


def test_a_file_for_no_device_is_refused_with_a_fix(folder: Path) -> None:
    """It would leave nodes to the CPU."""
    done = nin_spec(folder, "run", "generic.onnx", "digit.png", "--device", "webgpu")
    assert done.returncode == 2
    assert "elsewhere: blocks.0.norms.0 on CPUExecutionProvider" in done.stderr
    assert "export the spec with --device webgpu, which writes them in other operators" in done.stderr


def test_serve_computes_on_it(folder: Path) -> None:
    """An answer of the server is that of the CPU."""
    where = str(folder / "small.onnx")
    x = {"name": "input", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [k / 64 for k in range(64)]}
    scores = []
    for device in ("webgpu", "cpu"):
        with running(where, "--device", device, environment=variables()) as server:
            code, answer = ask_json(server.port, "POST", "/v2/models/small/infer", {"inputs": [x]})
            assert code == 200, answer
            scores.append(answer["outputs"][0]["data"])
    assert scores[0] == pytest.approx(scores[1], rel=1e-4, abs=1e-5)


# ------------------------------------------------------------------ a software adapter


def test_a_software_adapter_has_to_be_asked_for(folder: Path) -> None:
    """By an option or by onnxruntime's variable; without, it is named and refused, and auto never takes it."""
    if not status()["software"]:
        pytest.skip("there is a GPU here")
    run = ("run", "small.onnx", "digit.png", "--format", "json")
    unasked = {SOFTWARE_ADAPTER: "0"}
    refused = nin_spec(folder, *run, "--device", "webgpu", **unasked)
    assert refused.returncode == 2
    assert "a software adapter, which computes on the CPU" in refused.stderr
    assert "--device-option software_adapter=true" in refused.stderr
    asked = nin_spec(folder, *run, "--device", "webgpu", "--device-option", "software_adapter=true", **unasked)
    assert asked.returncode == 0, asked.stderr
    auto = nin_spec(folder, *run)
    assert auto.returncode == 0
    assert json.loads(auto.stdout)["provider"] == "CPUExecutionProvider"


def test_activations_are_not_fused_in_a_file_for_no_device() -> None:
    """The optimiser would drop the first; a session does without it, and the file is computed as it stands."""
    specs = [spec_with("activation", "relu") for _ in range(2)]
    for spec, more in zip(specs, ("tanh", "sigmoid"), strict=True):
        spec["blocks"] = [{"channels": [4], "kernel": 1, "activation": "relu"}, {"activation": more}, spec["blocks"][1]]
    answers = ask([{"spec": spec, "batch": 2, "options": {"lower_for": ()}} for spec in specs])
    assert [told for told in answers if told.get("difference", 1) > 1e-5] == []


def test_a_convolution_that_would_ignore_padding_is_refused_in_a_file_for_no_device() -> None:
    """The scores would be off without a word."""
    classes = {"channels": ["classes"], "kernel": 1, "activation": "none"}
    specs = [block(kernel=[11, 12], padding={"bottom": 2}), block(kernel=1, padding={"right": 1})]
    for spec in specs:
        spec["blocks"].append(classes)
    for told in ask([{"spec": spec, "batch": 2, "options": {"lower_for": ()}} for spec in specs]):
        assert "wrongly: a convolution that is padded only at the bottom and right" in told["message"]
