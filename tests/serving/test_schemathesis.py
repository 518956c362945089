"""Schemathesis, which makes requests of the OpenAPI document by itself, right ones and wrong ones.

pip install --target FOLDER schemathesis
NIN_SPEC_SCHEMATHESIS=FOLDER pytest -m long tests/serving/test_schemathesis.py
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from server_process import CARD, ask, binary_request, binary_scores, running
from small_models import content

pytestmark = pytest.mark.long
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "300")
X = np.random.default_rng(5).normal(size=(2, 3, 8, 8)).astype(np.float32)


def test_schemathesis_finds_no_fault(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No 5xx, no status, type or body but those that the document names; the next good request is exact."""
    folder = os.environ.get("NIN_SPEC_SCHEMATHESIS")
    if not folder:
        pytest.skip("NIN_SPEC_SCHEMATHESIS names no folder with schemathesis")
    path = tmp_path_factory.mktemp("schemathesis") / "small.onnx"
    path.write_bytes(content(metadata=CARD))
    body, extra = binary_request(X)
    with running(f"small={path}") as server:
        before = binary_scores(*ask(server.port, "POST", "/v2/models/small/infer", body, extra)[1:])
        url = f"http://127.0.0.1:{server.port}/openapi.json"
        command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", url]
        options = ["--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", "1", "--no-color"]
        environment = {**os.environ, "PYTHONPATH": folder}
        done = subprocess.run(
            [*command, *options], cwd=path.parent, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        after = binary_scores(*ask(server.port, "POST", "/v2/models/small/infer", body, extra)[1:])
        assert after.tobytes() == before.tobytes()
