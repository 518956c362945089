"""The processes that the serving benchmark sets side by side: our server, a bare session, and servers of others."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NIN_SPEC = [sys.executable, "-c", "import sys; from nin_spec.cli import main; main(sys.argv[1:])"]

BARE = """
import json, statistics, sys, time, numpy as np
from nin_spec.runtime.session import open_session
path, device, threads, options = json.loads(sys.argv[1])
session = open_session(path, device, threads, options=dict(o.split("=", 1) for o in options))
for line in sys.stdin:
    size, seconds = json.loads(line)
    x = np.random.default_rng(0).normal(size=(size, *session.input_shape[1:])).astype(np.float32)
    session.run(x)
    times, start = [], time.perf_counter()
    while (begun := time.perf_counter()) - start < seconds:
        session.run(x)
        times.append(time.perf_counter() - begun)
    print(json.dumps([size * len(times) / (time.perf_counter() - start), 1e3 * statistics.median(times)]), flush=True)
"""

LITSERVE = """
import sys, numpy as np, litserve
path, port, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
class Api(litserve.LitAPI):
    def setup(self, device):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    def decode_request(self, request): return np.array(request["input"], np.float32)
    def batch(self, inputs): return np.stack(inputs)
    def unbatch(self, output): return list(output)
    def predict(self, x): return self.session.run(None, {"input": x})[0]
    def encode_response(self, output): return {"scores": output.tolist()}
if __name__ == "__main__":
    server = litserve.LitServer(Api(max_batch_size=16, batch_timeout=0.001), accelerator="cpu")
    server.run(port=port, host="127.0.0.1", generate_client_file=False, log_level="error")
"""

KSERVE = """
import sys, onnxruntime, numpy as np
path, port, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
from kserve import InferOutput, InferResponse, Model, ModelServer
class Served(Model):
    def __init__(self):
        super().__init__("model")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.ready = True
    def predict(self, request, headers=None, response_headers=None):
        scores = self.session.run(None, {"input": request.inputs[0].as_numpy()})[0]
        output = InferOutput("scores", list(scores.shape), "FP32")
        output.set_data_from_numpy(scores, binary_data=True)
        return InferResponse(request.id or "1", "model", [output])
if __name__ == "__main__":
    ModelServer(http_port=port, enable_grpc=False, workers=1, access_log_format=None).start([Served()])
"""


@contextmanager
def served(arguments: argparse.Namespace, model: Path, *more: str) -> Iterator[tuple[int, int]]:
    """Our server: its port and process."""
    command = [*NIN_SPEC, "serve", f"model={model}", "--port", "0", "--device", arguments.device, *more]
    command += [f"--device-option={option}" for option in arguments.device_option]
    process = subprocess.Popen([*command, "--threads", str(arguments.threads)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"on http://\S+:(\d+)", line):
            break
        if "rows/s" in line:
            print("  " + json.loads(line)["message"])
    else:
        raise SystemExit("the server did not start")
    drain = threading.Thread(target=process.stderr.read, daemon=True)
    drain.start()
    try:
        yield int(found[1]), process.pid
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def contender(script: str, folder: str, model: Path, threads: int, health: str) -> Iterator[int]:
    """Another server, from packages in a folder of their own."""
    with tempfile.TemporaryDirectory() as place:
        path, port = Path(place) / "contender.py", _free_port()
        path.write_text(script)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])}
        command = [sys.executable, str(path), str(model), str(port), str(threads)]
        log = (Path(place) / "log").open("w+")
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(port, health, process, log)
            yield port
        finally:
            os.killpg(process.pid, 15)
            process.wait(60)
            log.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _wait_for(port: int, health: str, process: subprocess.Popen[bytes], log: Any) -> None:
    import urllib.error
    import urllib.request

    until = time.monotonic() + 90
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{health}", timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    log.seek(0)
    raise SystemExit(f"the contender did not start:\n{log.read()[-2000:]}")


Bare = Callable[[int, float], tuple[float, float]]


@contextmanager
def bare(arguments: argparse.Namespace, model: Path) -> Iterator[Bare]:
    """A session that does nothing else: images a second and the median ms of a run, for a batch and some seconds."""
    asked = [str(model), arguments.device, arguments.threads, arguments.device_option]
    command = [sys.executable, "-c", BARE, json.dumps(asked)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        given, taken = process.stdin, process.stdout
        assert given is not None
        assert taken is not None

        def run(size: int, seconds: float) -> tuple[float, float]:
            given.write(f"[{size}, {seconds}]\n")
            given.flush()
            rate, median = json.loads(taken.readline())
            return rate, median

        try:
            yield run
        finally:
            given.close()
