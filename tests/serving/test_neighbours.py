"""What one's batch-mates can do to one's answer: nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from server_process import model_file

import nin_spec
from nin_spec.serving.engine import open_engine, open_lane


@pytest.mark.parametrize("beside", [False, True], ids=["whole", "lane"])
@pytest.mark.parametrize("spec", ["small", "nin_digits", "nin_cifar"])
def test_a_neighbour_changes_no_byte(tmp_path: Path, spec: str, *, beside: bool) -> None:
    """In a batch of one size, a row's scores are the same bytes beside NaN, infinities, zeros or noise.

    Another batch size, or a run on one core, may round otherwise: onnxruntime promises no more, and neither does
    the server.
    """
    path = tmp_path / "model.onnx"
    if spec == "small":
        model_file(tmp_path, path.name)
    else:
        nin_spec.export(nin_spec.compile(spec).initialise(0), "onnx", path, parity=False)
    whole = open_engine(path, "cpu", 2)
    engine = open_lane(whole, path) if beside else whole
    assert engine is not None
    item = engine.inputs[0].shape[1:]
    rng = np.random.default_rng(1)
    mine = rng.normal(size=(2, *item)).astype(np.float32)
    for rows in (3, 4, 8):
        answers = set()
        for mate in (0.0, np.nan, np.inf, -np.inf, 3e38, "noise"):
            batch = np.empty((rows, *item), np.float32)
            batch[:] = rng.normal(size=batch.shape) if mate == "noise" else mate
            batch[[0, rows - 1]] = mine
            scores = engine.run([batch])[0]
            answers.add(scores[[0, rows - 1]].tobytes())
        assert len(answers) == 1
