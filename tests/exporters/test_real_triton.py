"""The exported repository in a real Triton, asked by its own clients, against onnxruntime.

    NIN_SPEC_TRITON='COMMAND' NIN_SPEC_CLIENTS=FOLDER pytest -m long tests/exporters/test_real_triton.py

COMMAND, given a repository and a port, serves it there: HTTP on the port, gRPC on the next. Where that Triton has no
onnxruntime backend and runs the file through the python backend instead, this proves the configuration (names,
shapes, types, batch limit, queue policy, warm-up, labels), and does not prove the onnxruntime backend, its
parameters, TensorRT or GPUs.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from foreign_clients import clients, run_client

import nin_spec
from nin_spec.exporter import make, write

pytestmark = pytest.mark.long

ODD = """\
spec: 1
name: odd-labels_1
input: {channels: 3, size: [12, 10]}
classes: ['a "quoted" one', 'back\\slash', "two\\nlines", ünïcode ☃, co:lon]
blocks:
  - {channels: [6, 5], kernel: 3, padding: 1, pool: {kind: avg, kernel: 3, stride: 2, ceil_mode: true}}
  - {channels: [5, classes], kernel: 3, padding: 1}
"""
OPEN = """\
spec: 1
name: any_size
input: {channels: 1, size: 16, open: true}
classes: 4
blocks:
  - {channels: [4, classes], kernel: 3, padding: 1}
"""
OPTIONS: dict[str, dict[str, Any]] = {
    "nin_cifar": {"preferred": "4,8", "delay": 200},
    "odd-labels_1": {"max_batch": 1},
    "any_size": {"max_batch": 6, "instances": 2},
    "nin_digits": {"takes": "pixels", "outputs": "probabilities,top3"},
}

ASK = """
import json, sys
import numpy as np
import tritonclient.grpc, tritonclient.http
ports, folder = json.loads(sys.argv[1]), sys.argv[2]
for way, port in zip((tritonclient.http, tritonclient.grpc), ports):
    client = way.InferenceServerClient(f"127.0.0.1:{port}")
    for name in json.loads(sys.argv[3]):
        x = np.load(f"{folder}/{name}.npy")
        tensor = way.InferInput("input", list(x.shape), {"float32": "FP32", "uint8": "UINT8"}[x.dtype.name])
        tensor.set_data_from_numpy(x)
        meta = client.get_model_metadata(name, **({} if way is tritonclient.http else {"as_json": True}))
        names = [output["name"] for output in meta["outputs"]]
        result = client.infer(name, [tensor])
        np.savez(f"{folder}/{name}.{way.__name__}.npz", **{output: result.as_numpy(output) for output in names})
        best = client.infer(name, [tensor], outputs=[way.InferRequestedOutput(names[0], class_count=1)])
        shapes = [[int(n) for n in tensor["shape"]] for tensor in (*meta["inputs"], *meta["outputs"])]
        print(json.dumps([name, [b.decode() for b in best.as_numpy(names[0]).reshape(-1)], shapes]))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four models: one a batch at a time, one of an open size, one that takes pixels and gives several outputs."""
    folder = tmp_path_factory.mktemp("repository")
    networks = [
        *map(nin_spec.compile, ("nin_cifar", "nin_digits")),
        *(nin_spec.compile(nin_spec.loads(text)) for text in (ODD, OPEN)),
    ]
    for model in (network.initialise() for network in networks):
        write(make(model, "triton", {"threads": 1, **OPTIONS[model.graph.name]}), folder)
    return folder


@pytest.fixture(scope="module")
def port(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Triton that is ready, every model warmed."""
    command = os.environ.get("NIN_SPEC_TRITON")
    if not command:
        pytest.skip("NIN_SPEC_TRITON names no command that serves a repository with Triton")
    clients()
    number = next(port for port in range(21_000, 32_000, 7) if all(map(_free, (port, port + 1, port + 2))))
    log = tmp_path_factory.mktemp("log") / "triton.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*shlex.split(command), str(repository), str(number)],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait(server, number, log)
        yield number
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def _free(port: int) -> bool:
    """Below those that the system hands out, so that nobody is given it meanwhile."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(240):
        assert server.poll() is None, log.read_text(errors="replace")[-4000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
    pytest.fail(log.read_text(errors="replace")[-4000:])


def inputs() -> dict[str, np.ndarray]:
    """A batch for each model."""
    random = np.random.default_rng(0)
    shapes = {"nin_cifar": (7, 3, 32, 32), "odd-labels_1": (1, 3, 12, 10), "any_size": (6, 1, 20, 9)}
    pixels = random.integers(0, 256, (5, 8, 8, 1), np.uint8)
    return {name: random.standard_normal(s).astype(np.float32) for name, s in shapes.items()} | {"nin_digits": pixels}


def test_triton_answers_as_onnxruntime_does(repository: Path, port: int, tmp_path: Path) -> None:
    """Over HTTP and gRPC: the scores of the file, its shapes, and the label of the best class."""
    given = inputs()
    for name, x in given.items():
        np.save(tmp_path / f"{name}.npy", x)
    out = run_client(ASK, json.dumps([port, port + 1]), str(tmp_path), json.dumps(list(given)))
    told = [json.loads(line) for line in out.splitlines()]
    assert len(told) == 2 * len(given)
    for name, best, shapes in told:
        session = ort.InferenceSession(repository / name / "1" / "model.onnx", providers=["CPUExecutionProvider"])
        outputs = [o.name for o in session.get_outputs()]
        found = session.run(outputs, {"input": given[name]})
        for way in ("http", "grpc"):
            got = np.load(tmp_path / f"{name}.tritonclient.{way}.npz")
            for output, wanted in zip(outputs, found, strict=True):
                np.testing.assert_allclose(got[output], wanted, rtol=1e-5, atol=1e-6)
        wanted = found[0]
        assert [shape[1:] for shape in shapes] == [
            [n if isinstance(n, int) else -1 for n in v.shape[1:]]
            for v in (*session.get_inputs(), *session.get_outputs())
        ]
        assert [int(text.split(":")[1]) for text in best] == wanted.argmax(1).tolist()
        lines = (repository / name / "labels.txt").read_text().split("\n") if name != "any_size" else None
        labels = [text.split(":", 2)[2] for text in best] if lines else []
        assert labels == [lines[i] for i in wanted.argmax(1)] if lines else labels == []


def test_triton_read_what_was_chosen(port: int) -> None:
    """Its own account of each configuration has the batch limit, the queue policy and the warm-ups."""
    for name, chosen in OPTIONS.items():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/{name}/config", timeout=10) as answer:
            config = json.load(answer)
        batching, most = config["dynamic_batching"], chosen.get("max_batch", 32)
        policy = batching["default_queue_policy"]
        assert config["max_batch_size"] == most
        assert [w["batch_size"] for w in config["model_warmup"]][-1] == most
        assert batching["max_queue_delay_microseconds"] == chosen.get("delay", 0)
        assert (policy["timeout_action"], policy["max_queue_size"]) == ("REJECT", 256)
        assert policy["default_timeout_microseconds"] == 1_000_000
        assert config["instance_group"][0]["count"] == chosen.get("instances", 1)
        assert config["parameters"]["intra_op_thread_count"]["string_value"] == "1"
