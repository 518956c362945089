"""What a real Triton answered, and what we answer: the same, but for the differences that are listed with a reason.

The table, triton_answers.json, was made by triton_cases.py; test_real_triton.py says what that Triton was.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from foreign_clients import run_client
from google.protobuf import json_format
from probe_repository import repository

from nin_spec.exporter import write
from nin_spec.serving.grpc.rpc import kinds

TABLE = json.loads((Path(__file__).parent / "triton_answers.json").read_text())
HTTP: dict[str, Any] = {case["name"]: case for case in TABLE["http"]}
GRPC: dict[str, Any] = {case["name"]: case for case in TABLE["grpc"]}

FAULT = "the fault is the client's, and 5xx would make proxies try again and operators look for it in the server"
NO_NAN = "NaN is not JSON: a body that holds it is malformed, and ours never does; binary tensors carry it"
GONE = "a model that is not there is not found, on every path alike"
TWICE = "a name given twice is a slip, as it is for inputs"

STATUS: dict[str, tuple[int, str]] = {
    **dict.fromkeys(
        (
            *("minus one best", "too few numbers", "too many numbers", "negative size", "shape no list"),
            *("fraction in shape", "text in data", "null in data", "true in data", "without name", "without shape"),
            *("without datatype", "inputs missing", "inputs no list", "malformed JSON", "not JSON", "a list"),
            *("a number", "binary size negative", "binary size a text"),
        ),
        (400, FAULT),
    ),
    "/v2/models/nobody/ready": (404, GONE),
    "/v2/models/probe/versions/9/ready": (404, GONE),
    "/": (200, "the page where a person drops a picture"),
    "NaN, bare": (400, NO_NAN),
    "numbers beyond float32": (400, "a number that the type can't hold would become an infinity in silence"),
    "output twice": (400, TWICE),
    "unknown encoding": (415, "the status that RFC 9110 (15.5.16) has for it"),
}
"""Our HTTP status where it is another, and why."""

CODES = {"version no number": ("NOT_FOUND", "a version is a name here, and there is none of that name")}
"""Our gRPC code where it is another, and why."""

BODIES = {
    "/v2/health/live": "KServe's client reads JSON from it, Triton's nothing",
    "/v2/health/ready": "KServe's client reads JSON from it, Triton's nothing",
    "/v2/models/probe/ready": "KServe's client reads JSON from it, Triton's nothing",
    "/v2/models/probe/versions/1/ready": "KServe's client reads JSON from it, Triton's nothing",
    "/v2": "another server, with other extensions",
    "binary of NaN": NO_NAN,
}
"""Bodies of 200 that say something else, and why."""


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """A server of ours with the model of the table: its ports for HTTP and gRPC."""
    folder = tmp_path_factory.mktemp("served")
    write(repository(), folder)
    command = ["serve", f"probe={folder}/probe/1/model.onnx", "--port", "0", "--grpc-port", "0"]
    server = subprocess.Popen(
        [sys.executable, "-m", "nin_spec", *command, "--max-batch", "8", "--device", "cpu"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    lines: list[str] = []
    for line in server.stderr:
        lines.append(line)
        if match := re.search(r"on http://127.0.0.1:(\d+) and grpc://127.0.0.1:(\d+)", line):
            break
    else:
        pytest.fail("".join(lines))
    try:
        yield int(match[1]), int(match[2])
    finally:
        server.terminate()
        server.communicate(timeout=60)


@pytest.mark.parametrize("name", HTTP)
def test_over_http(name: str, ports: tuple[int, int]) -> None:
    """The status, and what a good answer says; an error is always JSON."""
    case, theirs = HTTP[name], HTTP[name]["answer"]
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", ports[0], timeout=60)) as connection:
        connection.request(case["method"], case["path"], base64.b64decode(case["body"]) or None, case["headers"])
        answer = connection.getresponse()
        body = answer.read()
    expected = STATUS.get(name, (theirs["status"], ""))[0]
    assert answer.status == expected, body
    assert name not in STATUS or expected != theirs["status"], "no difference any more: strike it off the list"
    if answer.status != 200:
        assert list(json.loads(body)) == ["error"]
    elif name not in {*BODIES, *STATUS}:
        length = answer.getheader("Inference-Header-Content-Length")
        own = theirs["headers"].get("inference-header-content-length")
        assert (length is None) == (own is None)
        agree(parts(body, length), parts(base64.b64decode(theirs["body"]), own))


def parts(body: bytes, length: str | None) -> tuple[Any, bytes]:
    """A body's JSON, and the bytes behind it."""
    end = len(body) if length is None else int(length)
    return json.loads(body[:end]), body[end:]


def agree(ours: tuple[Any, bytes], theirs: tuple[Any, bytes]) -> None:
    """Equal, numbers to the last bits of float32."""
    mine, other = ({**answer[0], "platform": ""} for answer in (ours, theirs))
    for a, b in zip(mine.get("outputs", []), other.get("outputs", []), strict=True):
        if "data" in a and a["datatype"] == "FP32":
            np.testing.assert_allclose(a.pop("data"), b.pop("data"), rtol=1e-5, atol=1e-7)
    assert mine == other
    np.testing.assert_allclose(np.frombuffer(ours[1], "<f4"), np.frombuffer(theirs[1], "<f4"), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", GRPC)
def test_over_grpc(name: str, ports: tuple[int, int]) -> None:
    """The code, and what a good answer says."""
    case, theirs = GRPC[name], GRPC[name]["answer"]
    taken, given = kinds()[case["method"]]
    with grpc.insecure_channel(f"127.0.0.1:{ports[1]}") as channel:
        path = f"/inference.GRPCInferenceService/{case['method']}"
        call = channel.unary_unary(path, taken.SerializeToString, given.FromString)
        try:
            answer = call(json_format.ParseDict(case["request"], taken()), timeout=60)
        except grpc.RpcError as error:
            answer = None
            code = error.code().name
        else:
            code = "OK"
    assert code == CODES.get(name, (theirs["code"], ""))[0]
    assert name not in CODES or code != theirs["code"], "no difference any more: strike it off the list"
    if answer is not None and case["method"] != "ServerMetadata":
        same(json_format.MessageToDict(answer, preserving_proto_field_name=True), dict(theirs["message"]))


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Equal messages, numbers to the last bits of float32."""
    raw = [answer.pop("raw_output_contents", []) for answer in (ours, theirs)]
    assert {**ours, "platform": ""} == {**theirs, "platform": ""}
    for output, mine, other in zip(ours.get("outputs", []), *raw, strict=False):
        arrays = [base64.b64decode(text) for text in (mine, other)]
        if output["datatype"] == "FP32":
            a, b = (np.frombuffer(data, "<f4") for data in arrays)
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
        else:
            assert arrays[0] == arrays[1]


def test_every_difference_has_a_case() -> None:
    """The lists hold nothing that is not asked."""
    assert {*STATUS, *BODIES} <= set(HTTP)
    assert set(CODES) <= set(GRPC)


def test_a_full_queue_and_a_late_turn_are_503() -> None:
    """What Triton says to both; ours are held to it by the batcher's own tests."""
    assert {status for status, _, _ in TABLE["full"]["refused"]} == {503}


CLIENT = """
import sys
import numpy as np
import tritonclient.grpc as way
client = way.InferenceServerClient("127.0.0.1:" + sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("probe")
assert not client.is_model_ready("nobody")
assert client.get_server_metadata().name == "nin-spec"
assert client.get_model_metadata("probe").inputs[0].shape == [-1, 1, 4, 4]
x = np.zeros((3, 1, 4, 4), np.float32)
tensor = way.InferInput("input", list(x.shape), "FP32")
tensor.set_data_from_numpy(x)
result = client.infer("probe", [tensor], request_id="mine", client_timeout=30, timeout=20_000_000)
assert result.as_numpy("scores").shape == (3, 3) and result.get_response().id == "mine"
best = client.infer("probe", [tensor], outputs=[way.InferRequestedOutput("scores", class_count=2)]).as_numpy("scores")
assert best.shape == (3, 2) and best[0, 0].decode().split(":")[2] in {"cat", "dog", "fox"}
try:
    client.infer("nobody", [tensor])
except way.InferenceServerException as error:
    assert error.status() == "StatusCode.NOT_FOUND", error.status()
print("well")
"""


def test_tritons_own_client(ports: tuple[int, int]) -> None:
    """Over gRPC, in a process of its own: every call that it has for the protocol."""
    assert run_client(CLIENT, str(ports[1])) == "well\n"


KSERVE = """
import asyncio, sys
import numpy as np
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceGRPCClient


async def main():
    client = InferenceGRPCClient("127.0.0.1:" + sys.argv[1])
    assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready("probe")
    tensor = InferInput("input", [2, 1, 4, 4], "FP32")
    tensor.set_data_from_numpy(np.zeros((2, 1, 4, 4), np.float32), binary_data=True)
    answer = await client.infer(InferRequest("probe", [tensor], request_id="mine"))
    assert answer.id == "mine" and answer.outputs[0].as_numpy().shape == (2, 3)
    await client.close()


asyncio.run(main())
print("well")
"""


def test_kserves_own_client(ports: tuple[int, int]) -> None:
    """KServe's over gRPC, in a process of its own."""
    assert run_client(KSERVE, str(ports[1])).splitlines()[-1] == "well"
