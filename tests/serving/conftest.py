"""What the tests of the server share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from server_process import model_file, running
from small_models import content

from nin_spec.runtime.session import open_session

LABELS = ["cat", "dog", "owl", "fox"]
CARD = {
    "name": "small",
    "labels": LABELS,
    "output": "scores",
    "preprocessing": {
        "scale": 1 / 255,
        "mean": [0.5],
        "std": [0.25],
        "layout": "HWC",
        "dtype": "uint8",
        "color": "rgb",
        "resize": "stretch",
    },
}


@pytest.fixture(scope="session")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server of two models: `small` with labels, `plain` without, each (N, 3, 8, 8) to (N, 4)."""
    folder = tmp_path_factory.mktemp("serving")
    small, plain = model_file(folder, metadata=CARD), model_file(folder, "plain.onnx")
    with running(str(small), str(plain), "--max-body", "1") as server:
        yield server.port


@pytest.fixture
def pictures() -> NDArray[np.float32]:
    """Three inputs of the small models."""
    return np.random.default_rng(3).normal(size=(3, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="session")
def expected() -> Callable[[NDArray[np.float32]], NDArray[Any]]:
    """What a bare session computes."""
    session = open_session(content(metadata=CARD), "cpu", 1)
    return lambda x: session.run(x)
