"""The document at /openapi.json says what the server does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import numpy as np
import pytest
from server_process import ask, ask_json, json_request, small_models_served

from nin_spec.serving.http.openapi import document


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


def test_the_models_are_named(port: int) -> None:
    """A path's model is one of those that are served."""
    item = ask_json(port, "GET", "/openapi.json")[1]["paths"]["/v2/models/{model}/versions/{version}/infer"]
    assert [parameter["schema"]["enum"] for parameter in item["parameters"]] == [["plain", "small"], ["1"]]
