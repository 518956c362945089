"""The protocol over REST, asked of a real server by plain clients."""

from __future__ import annotations

import gzip
import http.client
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from exposition import check_exposition
from numpy.typing import NDArray
from server_process import ask, ask_json, bare_scores, binary_request, binary_scores, json_request, small_models_served

Pictures = NDArray[np.float32]
INFER = "/v2/models/small/infer"
PICTURES: Pictures = np.random.default_rng(3).normal(size=(3, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The small models, served."""
    with small_models_served(tmp_path_factory.mktemp("serving")) as port:
        yield port


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/small/ready", {"name": "small", "ready": True}),
        ("/v2/models/small/versions/1/ready", {"name": "small", "ready": True}),
        ("/v2/models", {"models": [{"name": "small", "version": "1"}, {"name": "plain", "version": "1"}]}),
        (
            "/v2/models/small",
            {
                "name": "small",
                "versions": ["1"],
                "platform": "onnxruntime_onnx",
                "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 3, 8, 8]}],
                "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 4]}],
            },
        ),
    ],
)
def test_the_server_describes_itself(port: int, path: str, answer: Any) -> None:
    """Health and metadata are JSON, as the protocol has them."""
    assert ask_json(port, "GET", path) == (200, answer)


def test_the_server_names_its_extensions(port: int) -> None:
    """The root tells name, version and extensions, with and without the slash that the protocol's document writes."""
    status, answer = ask_json(port, "GET", "/v2")
    assert status == 200
    assert answer["name"] == "nin-spec"
    assert set(answer["extensions"]) == {"binary_tensor_data", "classification"}
    assert ask_json(port, "GET", "/v2/") == (status, answer)


@pytest.mark.floors
@pytest.mark.parametrize("path", [INFER, "/v2/models/small/versions/1/infer"])
def test_json_tensors_are_answered(port: int, path: str) -> None:
    """JSON in gives JSON out: the scores of a bare session, the id echoed."""
    status, answer = ask_json(port, "POST", path, json_request(PICTURES, id="seven"))
    assert status == 200
    assert {k: answer[k] for k in ("id", "model_name", "model_version")} == {
        "id": "seven",
        "model_name": "small",
        "model_version": "1",
    }
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("scores", "FP32", [3, 4])
    assert np.array_equal(np.float32(output["data"]).reshape(3, 4), bare_scores(PICTURES))


def test_nested_data_is_the_same_as_flat(port: int) -> None:
    """JSON data may be nested as the shape is."""
    nested = json_request(PICTURES)
    nested["inputs"][0]["data"] = PICTURES.tolist()
    assert ask_json(port, "POST", INFER, nested) == ask_json(port, "POST", INFER, json_request(PICTURES))


def test_binary_tensors_go_both_ways(port: int) -> None:
    """Raw bytes in, raw bytes out: bit for bit what a bare session computes."""
    body, extra = binary_request(PICTURES, id="b")
    status, headers, answer = ask(port, "POST", INFER, body, extra)
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    assert np.array_equal(binary_scores(headers, answer), bare_scores(PICTURES))
    assert json.loads(answer[: int(headers["inference-header-content-length"])])["id"] == "b"


def test_binary_in_and_json_out(port: int) -> None:
    """The answer is JSON where the client doesn't ask for binary."""
    body, extra = binary_request(PICTURES, binary=False)
    status, headers, answer = ask(port, "POST", INFER, body, extra)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert np.array_equal(np.float32(json.loads(answer)["outputs"][0]["data"]).reshape(3, 4), bare_scores(PICTURES))


def test_an_output_may_say_otherwise_than_the_request(port: int) -> None:
    """binary_data of an output goes before binary_data_output."""
    outputs = [{"name": "scores", "parameters": {"binary_data": False}}]
    body, extra = binary_request(PICTURES, outputs=outputs)
    assert ask(port, "POST", INFER, body, extra)[1]["content-type"] == "application/json"


def test_a_raw_body_is_the_one_input(port: int) -> None:
    """Inference-Header-Content-Length 0: nothing but the bytes."""
    status, headers, answer = ask(port, "POST", INFER, PICTURES.tobytes(), {"Inference-Header-Content-Length": "0"})
    assert status == 200
    assert np.array_equal(binary_scores(headers, answer), bare_scores(PICTURES))


def test_classification_names_the_best(port: int) -> None:
    """The classification extension answers `value:index:label`, best first."""
    outputs = [{"name": "scores", "parameters": {"classification": 2}}]
    status, answer = ask_json(port, "POST", INFER, json_request(PICTURES, outputs=outputs))
    (output,) = answer["outputs"]
    assert (status, output["datatype"], output["shape"]) == (200, "BYTES", [3, 2])
    scores = bare_scores(PICTURES)[0]
    best = int(scores.argmax())
    assert output["data"][0] == f"{scores[best]:f}:{best}:{['cat', 'dog', 'owl', 'fox'][best]}"


def test_classification_goes_binary_too(port: int) -> None:
    """Texts are sent with their length before each."""
    outputs = [{"name": "scores", "parameters": {"classification": 1, "binary_data": True}}]
    body, extra = binary_request(PICTURES[:1], outputs=outputs)
    _, headers, answer = ask(port, "POST", "/v2/models/plain/infer", body, extra)
    text = answer[int(headers["inference-header-content-length"]) :]
    assert int.from_bytes(text[:4], "little") == len(text) - 4
    assert text[4:].count(b":") == 1  # no labels here


@pytest.mark.parametrize(
    ("coding", "squeeze"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", lambda b: zlib.compress(b, wbits=-15))],
)
def test_bodies_may_be_compressed(port: int, coding: str, squeeze: Callable[[bytes], bytes]) -> None:
    """gzip, and both things that are called deflate."""
    body, extra = binary_request(PICTURES)
    status, headers, answer = ask(port, "POST", INFER, squeeze(body), {**extra, "Content-Encoding": coding})
    assert status == 200
    assert np.array_equal(binary_scores(headers, answer), bare_scores(PICTURES))


def test_a_chunked_body_is_read(port: int) -> None:
    """Without Content-Length, in pieces."""
    body, extra = binary_request(PICTURES)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    pieces = (body[k : k + 7] for k in range(0, len(body), 7))
    connection.request("POST", INFER, pieces, extra, encode_chunked=True)
    answer = connection.getresponse()
    headers = {k.lower(): v for k, v in answer.getheaders()}
    assert np.array_equal(binary_scores(headers, answer.read()), bare_scores(PICTURES))
    connection.close()


def test_a_request_id_comes_back(port: int) -> None:
    """X-Request-Id is the client's where it is a plain word, else the server's."""
    assert ask(port, "GET", "/v2", headers={"X-Request-Id": "abc"})[1]["x-request-id"] == "abc"
    assert ask(port, "POST", INFER, b"", {"X-Request-Id": "abc"})[1]["x-request-id"] == "abc"
    ours = {ask(port, "POST", INFER, b"", {"X-Request-Id": "a b"})[1]["x-request-id"] for _ in range(2)}
    assert len(ours) == 2


def bad(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A good request, spoiled."""
    data = json_request(np.zeros((1, 3, 8, 8), np.float32))
    change(data)
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "inputs"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"a":' * 200_000, "nested too deep"),
        (b'{"inputs": [{"name": "input", "datatype": "FP32", "shape": [1], "data": [NaN]}]}', "NaN is not valid JSON"),
        (b'{"inputs": [{"name": "input", "datatype": "FP32", "shape": [1], "data": [-Infinity]}]}', "-Infinity is not"),
        (b"\xff\xfe", "not JSON"),
        (b'{"inputs": ' + b"9" * 5000 + b"}", "not JSON"),
        (bad(lambda d: d["inputs"][0].update(shape=[2**40, 3, 32, 32])), "3377699720527872 values"),
        (bad(lambda d: d["inputs"][0].update(shape=[-1, 3, 8, 8])), "not a valid size"),
        (bad(lambda d: d["inputs"][0].update(shape=[True, 3, 8, 8])), "not a valid size"),
        (bad(lambda d: d["inputs"][0].update(shape=[10**30, 3, 8, 8])), "not a valid size"),
        (bad(lambda d: d["inputs"][0].update(shape=[1] * 500)), "shape"),
        (bad(lambda d: d["inputs"][0].update(shape=[1, 3, 64])), "has shape [-1, 3, 8, 8]"),
        (bad(lambda d: d["inputs"][0].update(shape=[0, 3, 8, 8], data=[])), "has shape"),
        (bad(lambda d: d["inputs"][0].update(shape=[64, 3, 8, 8], data=[0] * 12288)), "64 rows"),
        (bad(lambda d: d["inputs"][0].update(datatype="FP64")), "is FP32, but FP64 was sent"),
        (bad(lambda d: d["inputs"][0].update(datatype="BYTES")), "datatype"),
        (bad(lambda d: d["inputs"][0].update(data=["1"] * 192)), "texts"),
        (bad(lambda d: d["inputs"][0].update(data=[None] * 192)), "null"),
        (bad(lambda d: d["inputs"][0].update(data=[1e39] * 192)), "out of the range of FP32"),
        (bad(lambda d: d["inputs"][0].update(data=[10**400] * 192)), "number is infinity"),
        (bad(lambda d: d["inputs"][0].update(data=[10**40] * 192)), "out of the range of FP32"),
        (bad(lambda d: d["inputs"][0].update(data=[[0] * 96, [0] * 95])), "nested data"),
        (bad(lambda d: d["inputs"][0].update(name="imput")), "the inputs of 'small' are 'input', not 'imput'"),
        (bad(lambda d: d["inputs"][0].update(parameters={"binary_data_size": 768})), "either data or"),
        (bad(lambda d: d["inputs"][0].update(parameters={"shared_memory_region": "a"})), "shared memory"),
        (bad(lambda d: d["inputs"].append(d["inputs"][0])), "named twice"),
        (bad(lambda d: d.update(outputs=[{"name": "logits"}])), "no output 'logits'"),
        (
            bad(lambda d: d.update(outputs=[{"name": "scores", "parameters": {"classification": -1}}])),
            "not a number of classes",
        ),
        (bad(lambda d: d.update(parameters={"timeout": "soon"})), "timeout"),
        (bad(lambda d: d.update(id=7)), "id"),
    ],
)
def test_a_bad_request_is_answered_with_what_is_wrong(port: int, body: bytes, told: str) -> None:
    """400 and JSON, for any input."""
    status, headers, answer = ask(port, "POST", INFER, body)
    assert (status, headers["content-type"]) == (400, "application/json")
    assert told in json.loads(answer)["error"]


@pytest.mark.parametrize(
    ("extra", "body", "status", "told"),
    [
        ({"Inference-Header-Content-Length": "x"}, b"{}", 400, "not a count"),
        ({"Inference-Header-Content-Length": "-1"}, b"{}", 400, "not a count"),
        ({"Inference-Header-Content-Length": "99"}, b"{}", 400, "declares 99 bytes"),
        ({"Inference-Header-Content-Length": "0"}, b"abc", 400, "3 bytes don't match a FP32 tensor"),
        ({"Content-Encoding": "br"}, b"{}", 415, "content encoding"),
        ({"Content-Encoding": "gzip"}, b"{}", 400, "decompressed"),
        ({"Content-Encoding": "gzip"}, gzip.compress(b"{}" * 99, mtime=0)[:-9], 400, "it is truncated"),
        ({"Content-Encoding": "gzip"}, gzip.compress(bytes(1 << 27), mtime=0), 413, "larger than"),
        ({}, bytes((1 << 20) + 1), 413, "larger than"),
    ],
)
def test_bad_framing_is_refused(port: int, extra: dict[str, str], body: bytes, status: int, told: str) -> None:
    """Lengths that lie, unknown encodings, bodies that are or become too large."""
    found, headers, answer = ask(port, "POST", INFER, body, extra)
    assert (found, headers["content-type"]) == (status, "application/json")
    assert told in json.loads(answer)["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v2/models/small/versions/2/infer", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/other/ready", 404),
        ("GET", "/nothing", 404),
        ("GET", "/v2/models/..%2f..%2fetc/ready", 404),
        ("GET", INFER, 405),
        ("PUT", "/v2/health/live", 405),
        ("POST", "/v2", 405),
        ("POST", "/v2/models/small/classify", 400),
        ("POST", "/v2/repository/index", 404),
        ("POST", "/v2/repository/models/small/load", 404),
        ("POST", "/v2/repository/models/small/unload", 404),
    ],
)
def test_every_error_is_json(port: int, method: str, path: str, status: int) -> None:
    """Also those of the router."""
    found, answer = ask_json(port, method, path)
    assert found == status
    assert isinstance(answer["error"], str)


def test_numbers_that_json_lacks_come_as_null(port: int) -> None:
    """An answer in JSON is JSON: NaN scores are null there, and NaN in binary."""
    x = np.full((1, 3, 8, 8), np.nan, np.float32)
    body, extra = binary_request(x, binary=False)
    _, _, answer = ask(port, "POST", INFER, body, extra)
    assert json.loads(answer)["outputs"][0]["data"] == [None] * 4
    body, extra = binary_request(x)
    _, headers, answer = ask(port, "POST", INFER, body, extra)
    assert np.isnan(binary_scores(headers, answer)).all()


def metrics(port: int) -> dict[str, float]:
    """The numbers of the model `small`."""
    _, headers, answer = ask(port, "GET", "/metrics")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.decode()
    check_exposition(text)
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines if 'model="small"' in name}


REFUSED = 'nv_inference_request_failure{model="small",version="1",reason="REJECTED"}'


@pytest.mark.parametrize(
    ("path", "body", "extra"),
    [
        (INFER, b"{}", {}),
        (INFER, bytes((1 << 20) + 1), {}),
        (INFER, b"{}", {"Content-Encoding": "br"}),
        (INFER, b"no gzip", {"Content-Encoding": "gzip"}),
        (INFER, b"{}", {"Inference-Header-Content-Length": "many"}),
        ("/v2/models/small/classify", b"no picture", {}),
        ("/v2/models/small/classify?top=0", b"no picture", {}),
    ],
)
def test_every_refusal_is_counted(port: int, path: str, body: bytes, extra: dict[str, str]) -> None:
    """Once, wherever it is found out."""
    before = metrics(port)[REFUSED]
    assert ask(port, "POST", path, body, extra)[0] in {400, 413, 415}
    assert metrics(port)[REFUSED] == before + 1


def test_metrics_count_under_the_names_of_triton(port: int) -> None:
    """A request of three rows is one success and three inferences."""
    before = metrics(port)
    body, extra = binary_request(PICTURES)
    ask(port, "POST", INFER, body, extra)
    ask(port, "POST", INFER, b"{}")
    after = metrics(port)
    assert after[REFUSED] - before[REFUSED] == 1
    labels = 'model="small",version="1"'
    assert after[f"nv_inference_request_success{{{labels}}}"] - before[f"nv_inference_request_success{{{labels}}}"] == 1
    assert after[f"nv_inference_count{{{labels}}}"] - before[f"nv_inference_count{{{labels}}}"] == 3
    assert after[f"nv_inference_exec_count{{{labels}}}"] - before[f"nv_inference_exec_count{{{labels}}}"] == 1
    assert after[f"nv_inference_compute_infer_duration_us{{{labels}}}"] > 0
    assert after[f"nv_inference_pending_request_count{{{labels}}}"] == 0


def test_an_answer_keeps_nothing_of_its_id() -> None:
    """An id may be megabytes, and each is new: the header that is kept is the one without."""
    from nin_spec.serving.http import framing
    from nin_spec.serving.protocol import InferRequest, InferResponse, Tensor

    outputs = (Tensor("scores", np.ones((1, 4), np.float32)),)
    asked = InferRequest((), binary=True)
    framing._binary_header.cache_clear()
    for identity in ("", "a", 'quo"ted', "b" * 100_000):
        body, length = framing.write_response(InferResponse("m", "1", identity, outputs), asked)
        assert json.loads(body[:length]).get("id", "") == identity
        assert body[length:] == outputs[0].array.tobytes()
    assert framing._binary_header.cache_info().currsize == 1


def test_many_values_are_read_piece_by_piece() -> None:
    """As they are read at once; a wrong one is found wherever it stands."""
    from nin_spec.serving import tensors
    from nin_spec.serving.errors import BadRequestError

    values = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    found = tensors.from_values("x", "FP32", (2, 100_000), values.tolist())
    assert found.tobytes() == values.tobytes()
    for wrong, told in (("a", "the data has texts"), (1e39, "out of the range of FP32"), (None, "the data has null")):
        with pytest.raises(BadRequestError, match=told):
            tensors.from_values("x", "FP32", (200_000,), [*values.tolist()[:-1], wrong])
    with pytest.raises(BadRequestError, match="out of the range of UINT8"):
        tensors.from_values("x", "UINT8", (200_000,), [0] * 199_999 + [256])


@pytest.mark.parametrize("part", [b"[]", b"{}", b'""'])
def test_parts_without_number_are_not_read(part: bytes) -> None:
    """Three bytes of text would become sixty of memory each; nested pictures stay far below."""
    from nin_spec.serving.errors import BadRequestError
    from nin_spec.serving.http.framing import MAX_PARTS, read_json

    assert len(read_json(b"[" + b",".join([part] * 1000) + b"]")) == 1000
    with pytest.raises(BadRequestError, match="more than 1048576 lists, objects and strings"):
        read_json(b"[" + b",".join([part] * MAX_PARTS) + b"]")


def test_what_a_client_sent_is_quoted_to_it_in_short(port: int) -> None:
    """A name of megabytes comes back as a few hundred letters."""
    body = bad(lambda d: d["inputs"][0].update(name="n" * 500_000, datatype="?"))
    status, _, answer = ask(port, "POST", INFER, body)
    assert (status, len(json.loads(answer)["error"])) == (400, 500)


@pytest.mark.parametrize("path", ["?top=000000001" + "9" * 4500, "?top=1_0", "?top=%C2%B2"])
def test_a_strange_count_is_refused(port: int, path: str) -> None:
    """Python reads more as a number than a client may send."""
    status, _, answer = ask(port, "POST", f"/v2/models/small/classify{path}", b"")
    assert (status, json.loads(answer)["error"]) == (400, "top is not a number of classes")


def test_sizes_that_add_up_to_no_number_are_refused(port: int) -> None:
    """Two of thousands of digits each."""
    nines = b"9" * 4300
    one = b'{"name": "%s", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": ' + nines + b"}}"
    body = b'{"inputs": [' + one.replace(b"%s", b"a") + b"," + one.replace(b"%s", b"b") + b"]}"
    status, _, answer = ask(port, "POST", INFER, body, {"Inference-Header-Content-Length": str(len(body))})
    assert status == 400
    assert isinstance(json.loads(answer)["error"], str)
