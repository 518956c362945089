"""Schemathesis, which makes requests of an OpenAPI document by itself, right ones and wrong ones.

pip install --target FOLDER schemathesis
NIN_SPEC_SCHEMATHESIS=FOLDER pytest -m long tests/serving/http/test_schemathesis.py

The document is the server's own, and with NIN_SPEC_OPENAPI=FILE another: the protocol's as it is published
(open_inference_rest.yaml of kserve/open-inference-protocol), or that of another server (dataplane.json in
MLServer's wheel).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from server_process import CARD, ask, ask_json, binary_request, binary_scores, running
from small_models import content

pytestmark = pytest.mark.long
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "300")
X = np.random.default_rng(5).normal(size=(2, 3, 8, 8)).astype(np.float32)
SERVED = {"model": "small", "version": "1"}


def of_this_server(document: dict[str, Any]) -> dict[str, Any]:
    """A document with the model and the version that are served in its paths, and none of other protocols' paths."""
    known = ("/v2", "/v2/", "/infer", "/ready", "/live")
    paths = {}
    for path, item in document["paths"].items():
        for parameter in item.get("parameters", ()):
            kind = parameter["name"].lower().removeprefix("model_")
            parameter["schema"]["enum"] = [SERVED["model" if kind == "name" else kind]]
        if path.endswith((*known, "}")):
            paths[path.replace("${", "{")] = item
    return {**document, "paths": paths, "servers": []}


@pytest.mark.parametrize("whose", ["ours", "published"])
def test_schemathesis_finds_no_fault(tmp_path: Path, whose: str) -> None:
    """No 5xx and no body but those that the document names; the next good request is exact.

    Of our own document the statuses and types are held to, too.
    """
    folder, published = os.environ.get("NIN_SPEC_SCHEMATHESIS"), os.environ.get("NIN_SPEC_OPENAPI")
    if not folder:
        pytest.skip("NIN_SPEC_SCHEMATHESIS names no folder with schemathesis")
    if whose == "published" and not published:
        pytest.skip("NIN_SPEC_OPENAPI names no document")
    model, file = tmp_path / "small.onnx", tmp_path / "document.yaml"
    model.write_bytes(content(metadata=CARD))
    checks = "not_a_server_error,response_schema_conformance"
    body, extra = binary_request(X)
    with running(f"small={model}") as server:
        before = binary_scores(*ask(server.port, "POST", "/v2/models/small/infer", body, extra)[1:])
        if whose == "ours":
            document = ask_json(server.port, "GET", "/openapi.json")[1]
            checks += ",status_code_conformance,content_type_conformance"
        else:
            document = of_this_server(yaml.safe_load(Path(str(published)).read_text()))
        file.write_text(yaml.safe_dump(document))
        command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", str(file)]
        options = ["--url", f"http://127.0.0.1:{server.port}", "--checks", checks, "--max-examples", EXAMPLES]
        environment = {**os.environ, "PYTHONPATH": folder}
        done = subprocess.run(
            [*command, *options, "--seed", "1", "--no-color"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        after = binary_scores(*ask(server.port, "POST", "/v2/models/small/infer", body, extra)[1:])
        assert after.tobytes() == before.tobytes()
