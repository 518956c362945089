"""What the REST interface takes and gives, as an OpenAPI document: /openapi.json."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nin_spec import __version__
from nin_spec.serving.http.labelling import MOST_CLASSES
from nin_spec.serving.tensors import DTYPES

_TEXT, _COUNT, _TRUTH = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
_PARAMETERS = {"type": "object"}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _list(items: dict[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_DATA = _list({"anyOf": [_ref("data"), {"type": "number", "nullable": True}, _TRUTH, _TEXT]})
_SCHEMAS: dict[str, Any] = {
    "error": _object({"error": _TEXT}),
    "live": _object({"live": _TRUTH}),
    "ready": _object({"ready": _TRUTH}),
    "model_ready": _object({"name": _TEXT, "ready": _TRUTH}),
    "server": _object({"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}),
    "tensor": _object({"name": _TEXT, "datatype": _TEXT, "shape": _list({"type": "integer"})}),
    "model": _object(
        {
            "name": _TEXT,
            "versions": _list(_TEXT),
            "platform": _TEXT,
            "inputs": _list(_ref("tensor")),
            "outputs": _list(_ref("tensor")),
        }
    ),
    "models": _object({"models": _list(_object({"name": _TEXT, "version": _TEXT}))}),
    "data": _DATA,
    "infer_input": _object(
        {"name": _TEXT, "datatype": {"enum": [*DTYPES]}, "shape": _list(_COUNT, 1)},
        {"data": _ref("data"), "parameters": _PARAMETERS},
    ),
    "infer_output": _object({"name": _TEXT}, {"parameters": _PARAMETERS}),
    "infer_request": _object(
        {"inputs": _list(_ref("infer_input"), 1)},
        {"id": _TEXT, "outputs": _list(_ref("infer_output")), "parameters": _PARAMETERS},
    ),
    "infer_response": _object(
        {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "outputs": _list(
                _object(
                    {"name": _TEXT, "datatype": _TEXT, "shape": _list(_COUNT)},
                    {"data": _ref("data"), "parameters": _PARAMETERS},
                )
            ),
        },
        {"id": _TEXT},
    ),
    "classified": _object(
        {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "predictions": _list(
                _object(
                    {"rank": _COUNT, "index": _COUNT, "label": _TEXT},
                    {
                        "score": {"type": "number", "nullable": True},
                        "probability": {"type": "number", "nullable": True},
                    },
                )
            ),
        }
    ),
    "table": {"type": "object"},
}


_BYTES = {"schema": {**_TEXT, "format": "binary"}}
_HEADER_LENGTH = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "Bytes of JSON before the tensors' own, in a body with binary tensors; 0: it is the one input, raw",
    "schema": _COUNT,
}
_TOP = {
    "name": "top",
    "in": "query",
    "description": "Classes to name",
    "schema": {"type": "integer", "minimum": 1, "maximum": MOST_CLASSES, "default": 5},
}


def _answers(schema: str, *refusals: int) -> dict[str, Any]:
    def json(name: str) -> dict[str, Any]:
        return {"application/json": {"schema": _ref(name)}}

    found: dict[str, Any] = {"200": {"description": "Done", "content": json(schema)}}
    for status in (401, *refusals):
        found[str(status)] = {"description": "Refused", "content": json("error")}
    return found


def _get(summary: str, schema: str, *refusals: int) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": _answers(schema, *refusals)}}


def _post(summary: str, parameter: dict[str, Any], body: dict[str, Any], schema: str) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "parameters": [parameter],
            "requestBody": {"required": True, "content": body},
            "responses": _answers(schema, 400, 404, 408, 413, 415, 500, 503),
        }
    }


def _infer() -> dict[str, Any]:
    json, binary = {"application/json": {"schema": _ref("infer_request")}}, {"application/octet-stream": _BYTES}
    found = _post("Run the model on tensors", _HEADER_LENGTH, {**json, **binary}, "infer_response")
    found["post"]["responses"]["200"]["content"] |= binary
    return found


def _of_a_model() -> dict[str, Any]:
    pictures = {f"image/{kind}": _BYTES for kind in ("png", "jpeg", "webp")}
    return {
        "": _get("What the model takes and gives", "model", 404),
        "/ready": _get("Whether the model takes requests", "model_ready", 404, 503),
        "/infer": _infer(),
        "/classify": _post("The best classes of one picture", _TOP, pictures, "classified"),
        "/table": _get("The shape table of the model's spec", "table", 400, 404),
    }


def _given(name: str, known: Iterable[str]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {**_TEXT, "enum": sorted(set(known))}}


def document(models: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The whole document, for a server of some models: names and versions."""
    names, versions = zip(*models, strict=True)
    paths: dict[str, Any] = {
        "/v2": _get("The server", "server"),
        "/v2/health/live": _get("Whether the process answers", "live"),
        "/v2/health/ready": _get("Whether it takes requests", "ready", 503),
        "/v2/models": _get("The models and versions that are served", "models"),
    }
    model, version = _given("model", names), _given("version", versions)
    for prefix, given in (
        ("/v2/models/{model}", [model]),
        ("/v2/models/{model}/versions/{version}", [model, version]),
    ):
        paths |= {prefix + end: {"parameters": given, **operation} for end, operation in _of_a_model().items()}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "nin-spec serve",
            "version": __version__,
            "description": "The Open Inference Protocol v2 with the binary tensor and classification extensions, and "
            "pictures classified.",
        },
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }
