"""What a real Triton answers to good and bad requests, recorded once for our servers to be compared with.

    python tests/serving/triton_cases.py HOST:HTTP_PORT HOST:GRPC_PORT > tests/serving/triton_answers.json

Needs tritonclient[grpc] on the path, and a Triton that serves the repository of `probe_repository.py`. A request
is recorded as it went over the wire: HTTP bodies in base64, gRPC messages in protobuf's JSON.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

PICTURE = [i / 16 for i in range(16)]
NAN = float("nan")


@dataclass(frozen=True)
class Http:
    """One HTTP request."""

    name: str
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def tensor(**changed: Any) -> dict[str, Any]:
    """A good input, but for what is changed; None takes a key away."""
    whole = {"name": "input", "shape": [1, 1, 4, 4], "datatype": "FP32", "data": PICTURE, **changed}
    return {key: value for key, value in whole.items() if value is not None}


def infer(name: str, *inputs: Any, model: str = "probe", headers: dict[str, str] | None = None, **more: Any) -> Http:
    """An inference in JSON."""
    body = json.dumps({"inputs": list(inputs or [tensor()]), **more}).encode()
    return Http(name, "POST", f"/v2/models/{model}/infer", body, headers or {})


def raw(name: str, body: bytes, path: str = "/v2/models/probe/infer", **headers: str) -> Http:
    """An inference of these bytes."""
    return Http(name, "POST", path, body, {key.replace("_", "-"): value for key, value in headers.items()})


def binary(name: str, size: object, data: bytes, header_length: object = None, **more: Any) -> Http:
    """An inference by the binary tensor extension, that claims `size` bytes of data."""
    described = tensor(data=None, parameters={"binary_data_size": size})
    head = json.dumps({"inputs": [described], **more}).encode()
    length = len(head) if header_length is None else header_length
    return raw(name, head + data, Inference_Header_Content_Length=str(length))


PIXELS = struct.pack("<16f", *PICTURE)


def http_cases() -> Iterator[Http]:
    """Every HTTP request, in order."""
    yield from (Http(path, "GET", path) for path in PATHS)
    yield Http("infer by GET", "GET", "/v2/models/probe/infer")
    yield Http("infer by DELETE", "DELETE", "/v2/models/probe/infer")
    yield infer("good")
    yield infer("good, with its version", model="probe/versions/1")
    yield infer("id", id="mine")
    yield infer("two rows", tensor(shape=[2, 1, 4, 4], data=PICTURE * 2))
    yield infer("nested data", tensor(data=[[[PICTURE[i : i + 4] for i in range(0, 16, 4)]]]))
    yield infer("whole numbers", tensor(data=list(range(16))))
    yield infer("output by name", outputs=[{"name": "scores"}])
    yield infer("no outputs asked for", outputs=[])
    yield infer("unknown key", extra=1)
    yield infer("unknown parameter", parameters={"colour": "red"})
    yield infer("two best", outputs=[{"name": "scores", "parameters": {"classification": 2}}])
    yield infer("more than all", outputs=[{"name": "scores", "parameters": {"classification": 9}}])
    yield infer("none best", outputs=[{"name": "scores", "parameters": {"classification": 0}}])
    yield infer("minus one best", outputs=[{"name": "scores", "parameters": {"classification": -1}}])
    yield infer("unknown model", model="nobody")
    yield infer("unknown version", model="probe/versions/9")
    yield infer("version no number", model="probe/versions/x")
    yield infer("unknown output", outputs=[{"name": "other"}])
    yield infer("output twice", outputs=[{"name": "scores"}, {"name": "scores"}])
    yield from bad_inputs()
    yield from bad_bodies()
    yield from binary_cases()


def bad_inputs() -> Iterator[Http]:
    """Inputs that do not fit the model, or themselves."""
    yield infer("wrong name", tensor(name="image"))
    yield infer("input twice", tensor(), tensor())
    yield infer("one input too many", tensor(), tensor(name="other"))
    yield infer("wrong type", tensor(datatype="INT32", data=list(range(16))))
    yield infer("other float", tensor(datatype="FP64"))
    yield infer("unknown type", tensor(datatype="FP99"))
    yield infer("type in small letters", tensor(datatype="fp32"))
    yield infer("wrong size", tensor(shape=[1, 1, 2, 8]))
    yield infer("wrong rank", tensor(shape=[1, 16]))
    yield infer("no batch axis", tensor(shape=[1, 4, 4]))
    yield infer("too few numbers", tensor(data=PICTURE[:-1]))
    yield infer("too many numbers", tensor(data=[*PICTURE, 1.0]))
    yield infer("negative size", tensor(shape=[-1, 1, 4, 4]))
    yield infer("no rows", tensor(shape=[0, 1, 4, 4], data=[]))
    yield infer("too many rows", tensor(shape=[9, 1, 4, 4], data=PICTURE * 9))
    yield infer("shape no list", tensor(shape=16))
    yield infer("fraction in shape", tensor(shape=[1, 1, 4, 4.5]))
    yield infer("text in data", tensor(data=["a"] * 16))
    yield infer("null in data", tensor(data=[None] * 16))
    yield infer("true in data", tensor(data=[True] * 16))
    yield infer("numbers beyond float32", tensor(data=[1e39] * 16))
    for key in ("name", "shape", "datatype", "data"):
        yield infer(f"without {key}", tensor(**{key: None}))
    yield infer("NaN, bare", tensor(data=[NAN] * 16))


def bad_bodies() -> Iterator[Http]:
    """What is not a request at all, and what is one in an unusual form."""
    yield Http("no inputs", "POST", "/v2/models/probe/infer", b'{"inputs": []}')
    yield Http("inputs missing", "POST", "/v2/models/probe/infer", b"{}")
    yield Http("inputs no list", "POST", "/v2/models/probe/infer", b'{"inputs": {}}')
    yield raw("empty body", b"")
    yield raw("malformed JSON", b'{"inputs": [')
    yield raw("not JSON", b"\xff\xd8\xff\xe0 a picture")
    yield raw("a list", b"[]")
    yield raw("a number", b"1")
    yield raw("not UTF-8", b'{"id": "\xff", "inputs": []}')
    yield raw("zipped", gzip.compress(infer("").body, mtime=0), Content_Encoding="gzip")
    yield raw("zipped, broken", b"not gzip", Content_Encoding="gzip")
    yield raw("unknown encoding", infer("").body, Content_Encoding="br")


PATHS = [
    "/v2/health/live",
    "/v2/health/ready",
    "/v2",
    "/v2/models/probe",
    "/v2/models/probe/versions/1",
    "/v2/models/probe/ready",
    "/v2/models/probe/versions/1/ready",
    "/v2/models/nobody",
    "/v2/models/nobody/ready",
    "/v2/models/probe/versions/9",
    "/v2/models/probe/versions/9/ready",
    "/v2/nothing",
    "/",
]


def binary_cases() -> Iterator[Http]:
    """By the binary tensor extension."""
    yield binary("binary in", 64, PIXELS)
    yield binary("binary in and out", 64, PIXELS, parameters={"binary_data_output": True})
    yield binary("binary out by name", 64, PIXELS, outputs=[{"name": "scores", "parameters": {"binary_data": True}}])
    yield infer("JSON in, binary out", parameters={"binary_data_output": True})
    yield binary("binary of NaN", 64, struct.pack("<16f", *[NAN] * 16))
    yield binary("binary of NaN, in and out", 64, struct.pack("<16f", *[NAN] * 16), parameters=BINARY_OUT)
    yield binary("binary too short", 64, PIXELS[:-1])
    yield binary("binary too long", 64, PIXELS + b"\0")
    yield binary("binary of another size", 60, PIXELS[:-4])
    yield binary("binary size negative", -1, PIXELS)
    yield binary("binary size a text", "64", PIXELS)
    yield binary("header longer than the body", 64, PIXELS, 100_000)
    yield binary("header length negative", 64, PIXELS, -1)
    yield binary("header length no number", 64, PIXELS, "x")
    yield raw("raw body", PIXELS, Inference_Header_Content_Length="0")
    yield raw("raw body too short", PIXELS[:-4], Inference_Header_Content_Length="0")
    described = tensor(parameters={"binary_data_size": 64})
    head = json.dumps({"inputs": [described]}).encode()
    yield raw("data twice", head + PIXELS, Inference_Header_Content_Length=str(len(head)))


BINARY_OUT = {"binary_data_output": True}


def ask(host: str, case: Http) -> dict[str, Any]:
    """The answer: its status, the headers that matter, and the body."""
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request(case.method, case.path, case.body or None, case.headers)
    answer = connection.getresponse()
    body = answer.read()
    kept = ("Content-Type", "Inference-Header-Content-Length", "Content-Encoding")
    return {
        "status": answer.status,
        "headers": {key.lower(): value for key in kept if (value := answer.getheader(key))},
        "body": base64.b64encode(body).decode(),
        "text": body.decode("ascii", "replace"),
    }


def record_http(host: str) -> list[dict[str, Any]]:
    """Every HTTP request with its answer."""
    return [
        {
            "name": case.name,
            "method": case.method,
            "path": case.path,
            "headers": case.headers,
            "body": base64.b64encode(case.body).decode(),
            "answer": ask(host, case),
        }
        for case in http_cases()
    ]


def grpc_cases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every call: what it is about, the method, and the request in protobuf's JSON."""
    yield "live", "ServerLive", {}
    yield "ready", "ServerReady", {}
    yield "server", "ServerMetadata", {}
    for about, name, version in (("", "probe", ""), (", version 1", "probe", "1")):
        yield f"model ready{about}", "ModelReady", {"name": name, "version": version}
        yield f"model{about}", "ModelMetadata", {"name": name, "version": version}
    for about, name, version in ((", unknown", "nobody", ""), (", unknown version", "probe", "9")):
        yield f"model ready{about}", "ModelReady", {"name": name, "version": version}
        yield f"model{about}", "ModelMetadata", {"name": name, "version": version}
    yield from ((name, "ModelInfer", request) for name, request in infer_calls())


def call(*, data: bytes | None = PIXELS, model: str = "probe", **changed: Any) -> dict[str, Any]:
    """A good inference over gRPC, but for what is changed."""
    inputs = {"name": "input", "datatype": "FP32", "shape": ["1", "1", "4", "4"], **changed.pop("input", {})}
    contents = [] if data is None else [base64.b64encode(data).decode()]
    return {"model_name": model, "inputs": [inputs], "raw_input_contents": contents, **changed}


def infer_calls() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every inference over gRPC."""
    yield "good, raw", call()
    yield "good, typed", call(data=None, input={"contents": {"fp32_contents": PICTURE}})
    yield "id", call(id="mine")
    yield "output by name", call(outputs=[{"name": "scores"}])
    two = {"name": "scores", "parameters": {"classification": {"int64_param": "2"}}}
    yield "two best", call(outputs=[two])
    yield "raw and typed", call(input={"contents": {"fp32_contents": PICTURE}})
    yield "no contents", call(data=None)
    yield "NaN", call(data=struct.pack("<16f", *[NAN] * 16))
    yield "unknown model", call(model="nobody")
    yield "unknown version", call(model_version="9")
    yield "version no number", call(model_version="x")
    yield "unknown output", call(outputs=[{"name": "other"}])
    yield "wrong name", call(input={"name": "image"})
    yield "wrong type", call(input={"datatype": "INT32"})
    yield "unknown type", call(input={"datatype": "FP99"})
    yield "typed as another", call(data=None, input={"contents": {"int_contents": list(range(16))}})
    yield "wrong size", call(input={"shape": ["1", "1", "2", "8"]})
    yield "wrong rank", call(input={"shape": ["1", "16"]})
    yield "negative size", call(input={"shape": ["-1", "1", "4", "4"]})
    yield "too short", call(data=PIXELS[:-1])
    yield "too long", call(data=PIXELS + b"\0")
    yield "too few typed", call(data=None, input={"contents": {"fp32_contents": PICTURE[:-1]}})
    yield "too many rows", call(data=PIXELS * 9, input={"shape": ["9", "1", "4", "4"]})
    yield "no inputs", call(inputs=[], raw_input_contents=[])
    yield (
        "input twice",
        {**call(), "inputs": call()["inputs"] * 2, "raw_input_contents": call()["raw_input_contents"] * 2},
    )
    yield "fewer raw than inputs", {**call(data=None), "inputs": call()["inputs"] * 2, **RAW_ONCE}


RAW_ONCE = {"raw_input_contents": [base64.b64encode(PIXELS).decode()]}


def record_grpc(host: str) -> list[dict[str, Any]]:
    """Every call with its answer: a code's name and its details, or the message."""
    import grpc
    from google.protobuf import json_format
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(host))
    found = []
    for name, method, request in grpc_cases():
        message = json_format.ParseDict(request, getattr(service_pb2, f"{method}Request")())
        try:
            got = getattr(stub, method)(message, timeout=60)
            answer = {"code": "OK", "message": json_format.MessageToDict(got, preserving_proto_field_name=True)}
        except grpc.RpcError as error:
            answer = {"code": error.code().name, "details": error.details()}
        found.append({"name": name, "method": method, "request": request, "answer": answer})
    return found


def record_full(host: str) -> dict[str, Any]:
    """What the overloaded model `narrow` answers to those it can't take, or can't take in time: each answer once."""
    patience = {"timeout": 1000}  # microseconds, in Triton's own extension
    body = infer("", tensor(shape=[1, 3, 64, 64], data=[0.5] * 3 * 64 * 64), parameters=patience).body
    case = Http("full", "POST", "/v2/models/narrow/infer", body)
    answers: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(host, case))) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = {json.dumps([a["status"], a["headers"], a["text"]]) for a in answers if a["status"] != 200}
    return {"served": sum(a["status"] == 200 for a in answers) > 0, "refused": [json.loads(a) for a in sorted(refused)]}


def main() -> None:
    """Ask a server everything, and print the table."""
    over_http, over_grpc = sys.argv[1:]
    table = {
        "$comment": "Made by triton_cases.py; the server was Triton with a python backend that runs onnxruntime.",
        "http": record_http(over_http),
        "grpc": record_grpc(over_grpc),
        "full": record_full(over_http),
    }
    json.dump(table, sys.stdout, indent=1, ensure_ascii=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
