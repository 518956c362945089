"""The document at /openapi.json says what the server does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import numpy as np
import pytest
from server_process import ask, ask_json, json_request, small_models_served

import nin_spec
from nin_spec.serving.http.app import App
from nin_spec.serving.http.labelling import MOST_CLASSES
from nin_spec.serving.http.openapi import document
from nin_spec.serving.tensors import DTYPES


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The small models, served."""
    with small_models_served(tmp_path_factory.mktemp("serving")) as port:
        yield port


PATHS = document([("small", "1")])["paths"]
OPERATIONS = [(path, method) for path, item in PATHS.items() for method in item if method != "parameters"]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.parametrize("model", ["small", "plain", "other"])
def test_each_answer_is_one_that_the_document_names(port: int, path: str, method: str, model: str) -> None:
    """Its status is listed, and its body fits the schema that is listed for it."""
    found = ask_json(port, "GET", "/openapi.json")[1]
    responses = found["paths"][path][method]["responses"]
    where = path.replace("{model}", model).replace("{version}", "1")
    body = json.dumps(json_request(np.zeros((1, 3, 8, 8), np.float32))).encode() if path.endswith("infer") else b""
    status, headers, answer = ask(port, method.upper(), where, body)
    assert str(status) in responses
    assert headers["content-type"] == "application/json"
    schema: dict[str, Any] = {
        **responses[str(status)]["content"]["application/json"]["schema"],
        "components": found["components"],
    }
    jsonschema.Draft202012Validator(schema).validate(json.loads(answer))


def test_every_route_of_the_protocol_is_described() -> None:
    """With its methods; the page, the metrics and the document itself are none of the protocol's."""
    routes = App._routes(object.__new__(App))
    found = {(r.path, m.lower()) for r in routes for m in r.methods or () if m != "HEAD" and r.path.startswith("/v2")}
    assert set(OPERATIONS) == found


def test_limits_and_types_are_those_of_the_server() -> None:
    """The file repeats them; and every schema is used, by a path or another schema."""
    found = document([("small", "1")])
    schemas = found["components"]["schemas"]
    assert schemas["infer_input"]["properties"]["datatype"]["enum"] == [*DTYPES]
    top = found["paths"]["/v2/models/{model}/classify"]["post"]["parameters"][0]["schema"]
    assert top["maximum"] == MOST_CLASSES
    used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(found)))
    assert used == set(schemas)
    assert [key for key in found if key.startswith("x-")] == []


def test_a_document_takes_nothing_from_another() -> None:
    """Each server's own models are named, and the version."""
    first, second = document([("a", "1"), ("b", "2")]), document([("c", "1")])
    named = [d["paths"]["/v2/models/{model}"]["parameters"][0]["schema"]["enum"] for d in (first, second)]
    assert named == [["a", "b"], ["c"]]
    assert first["info"]["version"] == nin_spec.__version__


def test_the_models_are_named(port: int) -> None:
    """A path's model is one of those that are served."""
    item = ask_json(port, "GET", "/openapi.json")[1]["paths"]["/v2/models/{model}/versions/{version}/infer"]
    assert [parameter["schema"]["enum"] for parameter in item["parameters"]] == [["plain", "small"], ["1"]]
