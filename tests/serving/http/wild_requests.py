"""Strategies for what may come over the wire: bodies near to good, damaged, or noise; and whole requests likewise."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import numpy as np
from hypothesis import strategies as st
from server_process import binary_request

X = np.random.default_rng(5).normal(size=(2, 3, 8, 8)).astype(np.float32)
BODY, EXTRA = binary_request(X)
SQUEEZED = {"gzip": gzip.compress(BODY, mtime=0), "deflate": zlib.compress(BODY)}
INFER = "/v2/models/small/infer"

odd: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers(-2, 2**65) | st.floats() | st.text(max_size=5)
odd = odd | st.lists(odd, max_size=3) | st.dictionaries(st.text(max_size=4), odd, max_size=2)
shapes = st.just([2, 3, 8, 8]) | st.lists(st.integers(-1, 9) | st.just(2**40), max_size=5) | odd
parameters = odd | st.fixed_dictionaries(
    {},
    optional={
        "binary_data_size": st.sampled_from([1536, 0, 1535, 2**40]) | odd,
        "binary_data": st.booleans() | odd,
        "binary_data_output": st.booleans() | odd,
        "classification": st.integers(-1, 9) | odd,
        "timeout": st.integers(-1, 10**7) | odd,
        "shared_memory_region": odd,
    },
)
inputs = odd | st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("input") | odd,
        "datatype": st.sampled_from(["FP32", "FP16", "INT64", "BYTES", "BOOL"]) | odd,
        "shape": shapes,
        "data": st.lists(st.integers(0, 2) | odd, max_size=9) | st.just([0.5] * 384) | odd,
        "parameters": parameters,
    },
)
requests = odd | st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=8) | odd,
        "inputs": st.lists(inputs, max_size=3) | odd,
        "outputs": st.lists(
            odd | st.fixed_dictionaries({}, optional={"name": st.just("scores") | odd, "parameters": parameters}),
            max_size=2,
        )
        | odd,
        "parameters": parameters,
    },
)


@st.composite
def framings(draw: st.DrawFn) -> tuple[bytes, dict[str, str]]:
    """A body and its headers: near to good, damaged, or noise."""
    kind = draw(st.sampled_from(["generated", "damaged", "compressed", "noise"]))
    if kind == "noise":
        return draw(st.binary(max_size=300)), draw(st.sampled_from([{}, {"Inference-Header-Content-Length": "5"}]))
    if kind == "damaged":
        at, byte = draw(st.integers(0, 250)), draw(st.integers(0, 255))
        cut = draw(st.integers(0, len(BODY)))
        return (BODY[:at] + bytes([byte]) + BODY[at + 1 :])[: cut or None], EXTRA
    if kind == "compressed":
        name = draw(st.sampled_from(["gzip", "deflate"]))
        whole = SQUEEZED[name]
        return whole[: draw(st.just(len(whole)) | st.integers(0, len(whole)))], {**EXTRA, "Content-Encoding": name}
    text = json.dumps(draw(requests)).encode()
    tail = draw(st.sampled_from([b"", X.tobytes(), b"x"]))
    length = draw(st.sampled_from([None, "0", str(len(text)), "-1", "1e3", "99999999999999999999"]))
    coding = draw(st.sampled_from([{}, {}, {}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}]))
    return text + tail, coding if length is None else {**coding, "Inference-Header-Content-Length": length}


METHODS = ["POST", "POST", "GET", "HEAD", "OPTIONS", "PUT", "CONNECT", "PRI", "", "P\xd6ST"]
PATHS = [INFER, INFER, "/v2", "/v2/models/small/classify", "/v2/models/%73mall/infer", "/v2/models/%ff/infer", "*", ""]
PATHS += ["/v2/models/small/infer?x=%", "http://x/v2/health/live", "//", "/v2/models/\xe9", "/" + "a" * 7_000, "x:80"]
VERSIONS = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "", "HTTP/1.1 "]
LINES = [
    "Host: localhost",
    "Host: evil.example",
    "Origin: null",
    "Connection: close",
    "Connection: upgrade",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "X: " + "a" * 999,
]
LINES += ["Expect: 100-continue", "Content-Encoding: gzip", "Inference-Header-Content-Length: 0", ": x", "X", " folded"]
LINES += ["Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Content-Length: 0", "Content-Length: -1"]
LINES += [f"Content-Length: {n}" for n in (len(BODY), len(BODY) + 9, 2**40, 2**70)] + ["X-Request-Id: \x01", "\x00: y"]


@st.composite
def wires(draw: st.DrawFn) -> bytes:
    """The bytes of a connection: a request of well or ill chosen parts, perhaps two, perhaps damaged."""
    data = b"".join(draw(st.lists(messages(), min_size=1, max_size=2)))
    if draw(st.integers(0, 3)):
        return data
    at, byte = draw(st.integers(0, len(data))), draw(st.binary(max_size=3))
    return data[:at] + byte + data[at + len(byte) :]


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """One request. A third of them is well framed, with any body."""
    if not draw(st.integers(0, 2)):
        body, extra = draw(framings())
        return wired(body, extra)
    start = " ".join([draw(st.sampled_from(METHODS)), draw(st.sampled_from(PATHS)), draw(st.sampled_from(VERSIONS))])
    lines = draw(st.lists(st.sampled_from(LINES), max_size=4))
    lines += [f"{k}: {v}" for k, v in EXTRA.items()] if draw(st.booleans()) else []
    sizes = draw(st.sampled_from([(1, 1), (300, 0), (0, 0), (99, -1), (7, 2**66)]))
    chunks = b"%x\r\n%s\r\n" % (sizes[0], BODY[: sizes[0]]) + b"%x\r\n\r\n" % (sizes[1] & 2**66 - 1)
    body = draw(st.sampled_from([b"", BODY, BODY[:500], chunks, b"0\r\n\r\n"]))
    return "\r\n".join([start, *lines, "", ""]).encode("latin-1") + body


def wired(body: bytes, extra: dict[str, str], path: str = INFER) -> bytes:
    """A POST, well framed."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(body)}",
        *(f"{k}: {v}" for k, v in extra.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
