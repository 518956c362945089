"""Compare `nin-spec serve` with a bare onnxruntime session on the same cores, in one run: make bench-serving.

Everything is a process of its own, the load generator too, and its cost counts. Contenders take turns, so
that a busy moment hits all alike, in rounds of new processes; medians of the turns' ratios are judged by the bars.
Exits 1 when one is missed. The bare session is `nin_spec.runtime`'s, called in a loop: `make bench-graphs` shows that
it costs what onnxruntime's own does.

    python tests/bench_serving.py [throughput|idle|overload|all] [--model nin_cifar] [--device cpu]
        [--device-option precision=bfloat16] [--threads 2] [--seconds 5] [--rounds 3] [--turns 5]
        [--litserve DIR] [--kserve DIR]

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
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bars import Bar, verdicts
from bench_servers import KSERVE, LITSERVE, NIN_SPEC, bare, contender, served
from load_generator import binary_message, http_message

from nin_spec.bench.figures import spread_of

TESTS = Path(__file__).resolve().parent


def load(port: int, message: Path, clients: int, seconds: float, rate: float = 0.0) -> dict[str, Any]:
    """What a load generator saw."""
    asked = {"port": port, "message": str(message), "clients": clients, "seconds": seconds, "rate": rate, "warm": 0.5}
    command = [sys.executable, str(TESTS / "load_generator.py"), json.dumps(asked)]
    result: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    if set(result["statuses"]) - {"200", "503"} or (not rate and result["broken"]):
        print(f"  unexpected: {result['statuses']}, {result['broken']} broken")
    return result


Servers = dict[str, tuple[Callable[[], Any], Path]]
OURS, CLIENTS, SIZES = ("serve", "serve, unbatched"), (16, 64), (1, 8, 16, 32)
SHARES = {"cpu": 0.90}
"""Of a bare session's images, those that must be served, by device; where the model is faster, the protocol costs."""
OTHERS = 0.35


def servers(arguments: argparse.Namespace, model: Path, folder: Path, x: np.ndarray[Any, Any]) -> Servers:
    """How each is started, and what it is asked."""
    ours, lit = folder / "ours", folder / "lit"
    ours.write_bytes(binary_message("model", list(x.shape), x.tobytes()))
    asked = json.dumps({"input": x[0].tolist()}).encode()
    lit.write_bytes(http_message("/predict", asked, {"Content-Type": "application/json"}))
    found: Servers = {
        "serve": (lambda: served(arguments, model), ours),
        "serve, unbatched": (lambda: served(arguments, model, "--max-batch", "1"), ours),
    }
    others = ("LitServe, JSON", LITSERVE, arguments.litserve, "/health", lit), (
        "kserve, binary", KSERVE, arguments.kserve, "/v2/health/ready", ours,
    )  # fmt: skip
    for name, script, packages, health, message in others:
        if packages:
            found[name] = partial(contender, script, packages, model, arguments.threads, health), message
    return found


def throughput(arguments: argparse.Namespace, model: Path, folder: Path, x: np.ndarray[Any, Any]) -> list[Bar]:
    """Images a second, one image a request, at 16 and 64 clients, beside a bare session.

    Our servers and the bare session are up at once and take turns of a second or so, as none of them spins while
    it is idle; the others' sessions do, and have the machine to themselves. Ratios are of one turn of a round, and
    medians of those are printed.
    """
    seen: dict[tuple[str, int], list[dict[str, Any]]] = {}
    bares: dict[int, list[float]] = {size: [] for size in SIZES}
    every = servers(arguments, model, folder, x)
    slices = arguments.seconds / arguments.turns

    def take_turns(ports: dict[str, int]) -> None:
        for clients in CLIENTS:
            for name, port in ports.items():
                seen.setdefault((name, clients), []).append(load(port, every[name][1], clients, slices))

    for _ in range(arguments.rounds):
        with ExitStack() as stack:
            alone = stack.enter_context(bare(arguments, model))
            ports = {name: stack.enter_context(every[name][0]())[0] for name in OURS}
            for _ in range(arguments.turns):
                for size in SIZES:
                    bares[size].append(alone(size, slices)[0])
                take_turns(ports)
        for name in [name for name in every if name not in OURS]:
            with every[name][0]() as port:
                for _ in range(arguments.turns):
                    take_turns({name: port})
    return report(seen, bares, SHARES.get(arguments.device, OTHERS))


Seen = dict[tuple[str, int], list[dict[str, Any]]]


def report(seen: Seen, bares: dict[int, list[float]], share_asked: float) -> list[Bar]:
    """A line for each contender and number of clients, and what batching is worth; and the bars of both."""
    best = max(SIZES, key=lambda size: statistics.median(bares[size]))
    for size, found in bares.items():
        print(f"bare session, batch {size:<3} {statistics.median(found):8.0f} images/s")
    for (name, clients), results in seen.items():
        rate, p50, p99 = (statistics.median(r[key] for r in results) for key in ("rate", "p50", "p99"))
        share = told(ratios([r["rate"] for r in results], bares[best]))
        print(
            f"{name:<18} {clients:>3} clients {rate:8.0f} images/s, {share} of bare batches of {best}, "
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        )
    judged: list[Bar] = []
    for clients in CLIENTS:
        ours = [r["rate"] for r in seen[OURS[0], clients]]
        single = ratios(ours, [r["rate"] for r in seen[OURS[1], clients]])
        print(f"batched over unbatched, {clients} clients: {told(single)}")
        at, of = f"{clients} clients", len(ours)
        whole = statistics.median(ratios(ours, bares[best]))
        judged += [
            Bar(f"{at}: served / bare batches of {best}", ">=", share_asked, whole, of),
            Bar(f"{at}: batched / unbatched", ">=", 0.95, statistics.median(single), of),
            *(
                bar
                for name in dict.fromkeys(name for name, _ in seen if name not in OURS)
                for bar in ahead(seen, name, clients)
            ),
        ]
    return judged


def ahead(seen: Seen, name: str, clients: int) -> list[Bar]:
    """More answers than another server, and the slowest of them sooner."""
    pairs = list(zip(seen[OURS[0], clients], seen[name, clients], strict=True))
    rate, late = (statistics.median(ours[key] / theirs[key] for ours, theirs in pairs) for key in ("rate", "p99"))
    at, of = f"{clients} clients: nin-spec / {name}", len(pairs)
    return [Bar(f"{at}, images/s", ">", 1, rate, of), Bar(f"{at}, p99", "<", 1, late, of)]


def ratios(ours: list[float], theirs: list[float]) -> list[float]:
    """Turn by turn."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def told(numbers: list[float]) -> str:
    """The median, with the quartiles."""
    spread = spread_of(numbers)
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"


def idle(arguments: argparse.Namespace, model: Path, folder: Path, x: np.ndarray[Any, Any]) -> list[Bar]:
    """What a request costs beside the model when nothing else is asked."""
    message = folder / "ours"
    message.write_bytes(binary_message("model", list(x.shape), x.tobytes()))
    extra: list[float] = []
    for _ in range(arguments.rounds):
        with bare(arguments, model) as alone, served(arguments, model) as (port, _pid):
            slices = arguments.seconds / arguments.turns
            pairs = [(load(port, message, 1, slices)["p50"], alone(1, slices)[1]) for _ in range(arguments.turns)]
        seen, own, more = (
            statistics.median(v) for v in (*zip(*pairs, strict=True), [asked - run for asked, run in pairs])
        )
        print(f"p50 {seen:.2f} ms by REST, {own:.2f} ms bare: {more:.2f} ms more (median of the turns)")
        extra.append(more)
    return [Bar("idle: p50 by REST beyond a bare run, ms", "<", 1.0, statistics.median(extra), len(extra))]


TWICE = 1.8, 2.2
"""Times the peak, measured before and after, at which a load counts as twice of it."""


def overload(arguments: argparse.Namespace, model: Path, folder: Path, x: np.ndarray[Any, Any]) -> list[Bar]:
    """Twice what it can: goodput, how soon it refuses, health, memory. Beside the peak before and after.

    A turn in which the machine changed its speed was not at twice what it could, and doesn't count.
    """
    message = folder / "ours"
    message.write_bytes(binary_message("model", list(x.shape), x.tobytes()))
    shares, refused, healthy, grown = [], [], [], []
    for _ in range(arguments.rounds):
        with served(arguments, model, "--max-queue", "64") as (port, pid):
            peaks = [load(port, message, 64, arguments.seconds)["rate"]]
            held = [_memory(pid)]
            for _ in range(arguments.turns):
                rate, (result, health) = 2 * peaks[-1], _watched(port, message, arguments.seconds, 2 * peaks[-1])
                peaks.append(load(port, message, 64, arguments.seconds)["rate"])
                peak = (peaks[-2] + peaks[-1]) / 2
                counts = TWICE[0] <= rate / peak <= TWICE[1]
                if counts:
                    shares.append(result["rate"] / peak)
                refused.append(result["rejected_p99"])
                healthy.append(sum(health) / len(health))
                held.append(_memory(pid))
                print(
                    f"peak {peak:.0f}/s; at {rate:.0f}/s: goodput {result['rate']:.0f}/s ({result['rate'] / peak:.2f}"
                    f"{'' if counts else ', not counted: the machine changed its speed'}), "
                    f"answers {result['statuses']}, 503 within {result['rejected_p99']:.1f} ms (p99), "
                    f"health {sum(health)}/{len(health)}, memory {held[0]:.0f} -> {held[-1]:.0f} MB",
                    flush=True,
                )
            # What it takes for so many connections it keeps: that it takes no more and more is the question.
            grown.append(held[-1] / held[len(held) // 2])
    good = statistics.median(shares) if shares else None
    return [
        Bar("overload: goodput / peak", ">=", 0.90, good, len(shares)),
        Bar("overload: 503 within, ms (p99)", "<=", 50, statistics.median(refused), len(refused)),
        Bar("overload: healthy answers", ">=", 1, min(healthy), len(healthy)),
        Bar("overload: memory at the end / half-way", "<=", 1.05, max(grown), len(grown)),
    ]


def _watched(port: int, message: Path, seconds: float, rate: float) -> tuple[dict[str, Any], list[bool]]:
    """A load on a clock, and whether the server was healthy, ten times a second."""
    seen: list[bool] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            seen.append(_health(port))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return load(port, message, 600, seconds, rate), seen
    finally:
        stop.set()
        watcher.join()


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


def main() -> int:
    """As asked on the command line; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"throughput": throughput, "idle": idle, "overload": overload}
    parser.add_argument("part", nargs="?", default="all", choices=[*parts, "all"])
    parser.add_argument("--model", default="nin_cifar", help="an ONNX file, or a shipped spec")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--device-option", metavar="KEY=VALUE", action="append", default=[], help="as of serve")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="of new processes")
    parser.add_argument("--turns", type=int, default=5, help="of each in a round")
    parser.add_argument("--litserve", metavar="DIR")
    parser.add_argument("--kserve", metavar="DIR")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, model = Path(place), Path(arguments.model)
        if not model.is_file():
            model = folder / "model.onnx"
            command = [*NIN_SPEC, "export", arguments.model, "--onnx", str(model), "--no-parity"]
            subprocess.run(command, check=True, capture_output=True)
        from nin_spec.runtime.session import open_session

        shape = [n or 32 for n in open_session(model, "cpu").input_shape[1:]]
        x = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
        judged: list[Bar] = []
        for name, part in parts.items():
            if arguments.part in (name, "all"):
                print(f"{name}: {arguments.model}, {arguments.device}, {arguments.threads} threads", flush=True)
                judged += part(arguments, model, folder, x)
    print("\n".join(["", *verdicts(judged)]))
    return int(any(bar.missed for bar in judged))


if __name__ == "__main__":
    sys.exit(main())
