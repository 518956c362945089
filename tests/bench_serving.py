"""Compare `nin-spec serve` with a bare onnxruntime session on the same cores, in one run: make bench-serving.

Everything is a process of its own, the load generator too, and its cost counts. Rounds go round all
contenders, so that a busy moment hits all alike; medians are printed, and the ratio to the bare session's.
Asserts nothing.

    python tests/bench_serving.py [throughput|idle|overload|all] [--model nin_cifar] [--device cpu]
        [--precision float32] [--threads 2] [--seconds 5] [--rounds 3] [--litserve DIR] [--kserve DIR]

DIR is a folder that `pip install --target DIR litserve` (or kserve) filled.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from load_generator import binary_message, http_message

TESTS = Path(__file__).resolve().parent
NIN_SPEC = [sys.executable, "-c", "import sys; from nin_spec.cli import main; main(sys.argv[1:])"]

BARE = """
import json, sys, time, numpy as np
from nin_spec.runtime.session import open_session
path, device, threads, seconds, sizes = json.loads(sys.argv[1])
session = open_session(path, device, threads)
best = {}
for size in sizes:
    x = np.random.default_rng(0).normal(size=(size, *session.input_shape[1:])).astype(np.float32)
    session.run(x)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds / len(sizes):
        session.run(x)
        count += size
    best[size] = count / (time.perf_counter() - start)
print(json.dumps(best))
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
        path, port = Path(place) / "contender.py", 18_700
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


def load(port: int, message: Path, clients: int, seconds: float, rate: float = 0.0) -> dict[str, Any]:
    """What a load generator saw."""
    told = {"port": port, "message": str(message), "clients": clients, "seconds": seconds, "rate": rate, "warm": 0.5}
    command = [sys.executable, str(TESTS / "load_generator.py"), json.dumps(told)]
    result: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    if set(result["statuses"]) - {"200", "503"} or (not rate and result["broken"]):
        print(f"  unexpected: {result['statuses']}, {result['broken']} broken")
    return result


def bare(arguments: argparse.Namespace, model: Path, sizes: list[int]) -> dict[int, float]:
    """Images a second of a session that does nothing else, by batch size."""
    told = json.dumps([str(model), arguments.device, arguments.threads, arguments.seconds, sizes])
    done = subprocess.run([sys.executable, "-c", BARE, told], capture_output=True, check=True, text=True)
    return {int(size): speed for size, speed in json.loads(done.stdout).items()}


def throughput(arguments: argparse.Namespace, model: Path, folder: Path, x: np.ndarray[Any, Any]) -> None:
    """Images a second, one image a request, at 16 and 64 clients, beside a bare session."""
    ours = folder / "ours"
    ours.write_bytes(binary_message("model", list(x.shape), x.tobytes()))
    lit = folder / "lit"
    lit.write_bytes(
        http_message("/predict", json.dumps({"input": x[0].tolist()}).encode(), {"Content-Type": "application/json"})
    )
    servers: dict[str, tuple[Callable[[], Any], Path]] = {
        "serve": (lambda: served(arguments, model), ours),
        "serve, unbatched": (lambda: served(arguments, model, "--max-batch", "1"), ours),
    }
    if arguments.litserve:
        servers["LitServe, JSON"] = (
            lambda: contender(LITSERVE, arguments.litserve, model, arguments.threads, "/health"),
            lit,
        )
    if arguments.kserve:
        health = "/v2/health/ready"
        servers["kserve, binary"] = lambda: contender(KSERVE, arguments.kserve, model, arguments.threads, health), ours
    rates: dict[tuple[str, int], list[dict[str, Any]]] = {}
    bares: dict[int, list[float]] = {}
    for _ in range(arguments.rounds):
        for size, speed in bare(arguments, model, [1, 8, 16]).items():
            bares.setdefault(size, []).append(speed)
        for name, (start, message) in servers.items():
            with start() as given:
                port = given[0] if isinstance(given, tuple) else given
                for clients in (16, 64):
                    rates.setdefault((name, clients), []).append(load(port, message, clients, arguments.seconds))
    best = max(statistics.median(v) for v in bares.values())
    for size, found in bares.items():
        print(f"bare session, batch {size:<3} {statistics.median(found):8.0f} images/s")
    for (name, clients), results in rates.items():
        rate, p50, p99 = (statistics.median(r[key] for r in results) for key in ("rate", "p50", "p99"))
        print(
            f"{name:<18} {clients:>3} clients {rate:8.0f} images/s {rate / best:5.2f} of the best bare batch, "
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        )


def idle(arguments: argparse.Namespace, model: Path, folder: Path, x: np.ndarray[Any, Any]) -> None:
    """What a request costs beside the model when nothing else is asked."""
    message = folder / "ours"
    message.write_bytes(binary_message("model", list(x.shape), x.tobytes()))
    for _ in range(arguments.rounds):
        alone = 1e3 / bare(arguments, model, [1])[1]
        with served(arguments, model) as (port, _pid):
            seen = load(port, message, 1, arguments.seconds)["p50"]
        print(f"p50 {seen:.2f} ms by REST, {alone:.2f} ms bare: {seen - alone:.2f} ms more")


def overload(arguments: argparse.Namespace, model: Path, folder: Path, x: np.ndarray[Any, Any]) -> None:
    """Twice what it can: goodput, how soon it refuses, health, memory."""
    message = folder / "ours"
    message.write_bytes(binary_message("model", list(x.shape), x.tobytes()))
    with served(arguments, model, "--max-queue", "64") as (port, pid):
        peak = load(port, message, 64, arguments.seconds)["rate"]
        before, seen, stop = _memory(pid), [], threading.Event()

        def watch() -> None:
            while not stop.wait(0.1):
                seen.append(_health(port))

        watcher = threading.Thread(target=watch)
        watcher.start()
        result = load(port, message, 600, 3 * arguments.seconds, rate=2 * peak)
        stop.set()
        watcher.join()
        print(
            f"peak {peak:.0f}/s; at {2 * peak:.0f}/s: goodput {result['rate']:.0f}/s ({result['rate'] / peak:.2f}), "
            f"answers {result['statuses']}, 503 within {result['rejected_p99']:.1f} ms (p99), "
            f"health {sum(seen)}/{len(seen)}, memory {before:.0f} -> {_memory(pid):.0f} MB"
        )


def _health(port: int) -> bool:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _memory(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def main() -> None:
    """As asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"throughput": throughput, "idle": idle, "overload": overload}
    parser.add_argument("part", nargs="?", default="all", choices=[*parts, "all"])
    parser.add_argument("--model", default="nin_cifar", help="an ONNX file, or a shipped spec")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", help="of a shipped spec's export: float32, bfloat16, ...")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--litserve", metavar="DIR")
    parser.add_argument("--kserve", metavar="DIR")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, model = Path(place), Path(arguments.model)
        if not model.is_file():
            model = folder / "model.onnx"
            command = [*NIN_SPEC, "export", arguments.model, "--onnx", str(model), "--no-parity"]
            command += ["--precision", arguments.precision]
            subprocess.run(command, check=True, capture_output=True)
        from nin_spec.runtime.session import open_session

        shape = [n or 32 for n in open_session(model, "cpu").input_shape[1:]]
        x = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
        for name, part in parts.items():
            if arguments.part in (name, "all"):
                print(f"{name}: {arguments.model}, {arguments.device}, {arguments.threads} threads")
                part(arguments, model, folder, x)


if __name__ == "__main__":
    main()
