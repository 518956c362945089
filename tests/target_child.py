"""Run probes in one installed release of onnxruntime: the one on PYTHONPATH, which needs nothing but numpy.

python -S tests/target_child.py PROBES    PROBES is what target_probes.py wrote; the result is JSON on standard output

Each probe is a file of ONNX, inputs, and for each output what it must be. Of those that are not right it says why.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "1"  # what a release merely tries to load is not what it supports
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort


def main(folder: Path, tolerance: float) -> None:
    """Run every probe of the folder, and print which are wrong and why."""
    ort.set_default_logger_severity(4)
    index = json.loads((folder / "index.json").read_text())
    block = np.load(folder / "arrays.npy")
    arrays = {
        name: block[start : start + int(np.prod(shape))].reshape(shape)
        for name, (start, shape) in index["arrays"].items()
    }
    wrong: dict[str, str] = {}
    for probe in index["probes"]:
        if found := run(folder / probe["file"], probe["cases"], arrays, tolerance):
            wrong[probe["file"]] = found
    print(json.dumps({"version": ort.__version__, "count": len(index["probes"]), "wrong": wrong}))


def run(file: Path, cases: list[dict[str, Any]], arrays: dict[str, Any], tolerance: float) -> str:
    """What is wrong with a file in this release, empty where nothing is."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
        names = [node.name for node in session.get_outputs()]
        for case in cases:
            got = session.run(names, {"input": arrays[case["input"]]})
            for name, value in zip(names, got, strict=True):
                if found := differs(value, arrays[case["outputs"][name]], tolerance):
                    return f"{name} of {list(arrays[case['input']].shape)}: {found}"
    except Exception as error:  # noqa: BLE001 each release raises its own, and every one is an answer here
        return f"{type(error).__name__}: {str(error)[:300]}"
    return ""


def differs(got: Any, wanted: Any, tolerance: float) -> str:
    """How an output differs from what it must be, relative to the largest value."""
    if got.shape != wanted.shape:
        return f"shape {list(got.shape)} for {list(wanted.shape)}"
    difference, largest = np.abs(got - wanted).max(initial=0.0), np.abs(wanted).max(initial=0.0)
    # Written so that NaN differs.
    return "" if difference <= tolerance * largest else f"off by {difference:.1e}, the largest being {largest:.1e}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
