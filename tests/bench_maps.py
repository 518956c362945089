"""What class maps cost: `python tests/bench_maps.py` measures nin_cifar at batch 1 on one thread, and judges.

CPU seconds of this process, not wall-clock: other processes don't disturb them. The contenders take turns.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bars import Bar, verdicts
from PIL import Image

import nin_spec
from nin_spec.explanation import open_model
from nin_spec.exporter import make
from nin_spec.runtime.classify import classify
from nin_spec.runtime.images import load_inputs
from nin_spec.runtime.session import open_session

NAME, TURNS = "nin_cifar", 400


def medians(contenders: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The median milliseconds of each."""
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(TURNS):
        for name, run in contenders.items():
            begun = time.process_time()
            run()
            spent[name].append(time.process_time() - begun)
    return {name: float(np.median(found)) * 1e3 for name, found in spent.items()}


def main() -> None:
    """Print the medians and the verdicts; exit 1 where a bar is missed."""
    model = nin_spec.compile(NAME).initialise(0)
    x = np.random.default_rng(0).standard_normal((1, *model.graph.input.shape)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        files = {words: Path(folder, f"{len(words)}.onnx") for words in ("scores", "scores,maps")}
        for words, path in files.items():
            path.write_bytes(next(iter(make(model, "onnx", {"outputs": words}).files.values())))
        picture = Path(folder, "picture.png")
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(picture)
        plain, maps = open_session(files["scores"], "cpu", 1), open_model(files["scores,maps"], "cpu", 1)
        found = medians(
            {
                "scores": lambda: plain.run(x),
                "scores and maps": lambda: maps.outputs(x, ("scores", "maps")),
                "run a picture": lambda: classify(plain, load_inputs([picture], plain)),
                "explain a picture": lambda: nin_spec.explain(maps, picture),
            }
        )
    for name, took in found.items():
        print(f"{name:<20}{took:8.3f} ms")
    bars = [
        Bar("the output maps / scores alone", "<=", 1.10, found["scores and maps"] / found["scores"]),
        Bar("explain / run, of one picture", "<", 1.30, found["explain a picture"] / found["run a picture"]),
    ]
    print("\n".join(verdicts(bars)))
    sys.exit(any(bar.missed for bar in bars))


if __name__ == "__main__":
    main()
