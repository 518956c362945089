"""Clients that people use, each in a process of its own: curl, httpx, tritonclient over HTTP and asyncio.

tritonclient brings modules that can't share an environment with everything; NIN_SPEC_CLIENTS names a folder
that `pip install --target` filled with it, else the tests use what is installed here, or are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from server_process import json_request, small_models_served
from small_models import content

from nin_spec.runtime.session import open_session

PREPARE = """
import sys, numpy as np
url, name, version = f"127.0.0.1:{sys.argv[1]}", "small", "1"
x = np.random.default_rng(3).normal(size=(3, 3, 8, 8)).astype(np.float32)
expected = np.load(sys.argv[2])
"""
TRITON = (
    PREPARE
    + """
import tritonclient.http as http
from tritonclient.utils import InferenceServerException
client = http.InferenceServerClient(url)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(name)
assert client.is_model_ready(name, version) and not client.is_model_ready("other")
assert client.get_server_metadata()["name"] == "nin-spec"
assert client.get_model_metadata(name)["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 3, 8, 8]}]
for binary_in in (True, False):
    given = http.InferInput("input", [3, 3, 8, 8], "FP32")
    given.set_data_from_numpy(x, binary_data=binary_in)
    for outputs in (None, [http.InferRequestedOutput("scores", binary_data=True)],
                    [http.InferRequestedOutput("scores", binary_data=False)]):
        result = client.infer(name, [given], outputs=outputs, request_id="7")
        assert np.array_equal(result.as_numpy("scores"), expected), (binary_in, outputs)
        assert result.get_response()["id"] == "7"
    for coding in ("gzip", "deflate"):
        result = client.infer(name, [given], request_compression_algorithm=coding)
        assert np.array_equal(result.as_numpy("scores"), expected)
    best = client.infer(name, [given], outputs=[http.InferRequestedOutput("scores", class_count=2)])
    texts = best.as_numpy("scores")
    assert texts.shape == (3, 2), texts
    assert [int(t.split(b":")[1]) for t in texts[:, 0]] == expected.argmax(1).tolist()
given = http.InferInput("input", [3, 3, 8, 8], "FP32")
given.set_data_from_numpy(x)
assert np.array_equal(client.async_infer(name, [given]).get_result().as_numpy("scores"), expected)
assert np.array_equal(client.infer(name, [given], timeout=5_000_000).as_numpy("scores"), expected)
for wrong in ("other", "small"):
    bad = http.InferInput("input", [1, 3, 8, 9], "FP32")
    bad.set_data_from_numpy(np.zeros((1, 3, 8, 9), np.float32))
    try:
        client.infer(wrong, [bad])
    except InferenceServerException as error:
        assert error.status() == {"other": "404", "small": "400"}[wrong], error
        assert error.message(), error
    else:
        raise AssertionError("it was not refused")
client.close()
"""
)
TRITON_ASYNC = (
    PREPARE
    + """
import asyncio
import tritonclient.http.aio as http
async def main():
    async with http.InferenceServerClient(url) as client:
        assert await client.is_server_live() and await client.is_model_ready(name)
        given = http.InferInput("input", [3, 3, 8, 8], "FP32")
        given.set_data_from_numpy(x)
        results = await asyncio.gather(*(client.infer(name, [given]) for _ in range(20)))
        assert all(np.allclose(r.as_numpy("scores"), expected, rtol=1e-5, atol=1e-6) for r in results)
asyncio.run(main())
"""
)
HTTPX = (
    PREPARE
    + """
import httpx
data = {"inputs": [{"name": "input", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}]}
with httpx.Client(base_url="http://" + url) as client:
    for _ in range(3):
        answer = client.post("/v2/models/small/infer", json=data)
        found = np.float32(answer.json()["outputs"][0]["data"]).reshape(3, 4)
        assert np.array_equal(found, expected)
    assert client.post("/v2/models/small/infer", content=b"{").json()["error"]
    assert client.get("/nothing").json()["error"]
"""
)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The small models, served."""
    with small_models_served(tmp_path_factory.mktemp("serving")) as port:
        yield port


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """What a bare session computes, as a file."""
    x = np.random.default_rng(3).normal(size=(3, 3, 8, 8)).astype(np.float32)
    np.save(tmp_path / "scores.npy", open_session(content(), "cpu", 1).run(x))
    return tmp_path / "scores.npy"


@pytest.mark.parametrize(
    ("needs", "script"),
    [("httpx", HTTPX), ("tritonclient.http", TRITON), ("tritonclient.http.aio", TRITON_ASYNC)],
    ids=["httpx", "tritonclient", "tritonclient-asyncio"],
)
def test_a_client_works_unchanged(port: int, scores: Path, needs: str, script: str) -> None:
    """It asks for everything that it can, and gets the bytes of a bare session."""
    folder = os.environ.get("NIN_SPEC_CLIENTS", "")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), folder])}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    if run("-c", f"import {needs}").returncode:
        pytest.skip(f"{needs} is not installed (pip install --target DIR 'tritonclient[http]'; NIN_SPEC_CLIENTS=DIR)")
    done = run("-W", "error::ResourceWarning", "-c", script, str(port), str(scores))
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_works_unchanged(port: int, scores: Path, tmp_path: Path) -> None:
    """JSON from a file, also compressed on the way."""
    x = np.random.default_rng(3).normal(size=(3, 3, 8, 8)).astype(np.float32)
    (tmp_path / "request.json").write_text(json.dumps(json_request(x)))
    url = f"http://127.0.0.1:{port}/v2/models/small/infer"
    command = ["curl", "-sS", "--fail", "--data-binary", f"@{tmp_path / 'request.json'}", url]
    done = subprocess.run(command, capture_output=True, check=True)
    found = np.float32(json.loads(done.stdout)["outputs"][0]["data"]).reshape(3, 4)
    assert np.array_equal(found, np.load(scores))
