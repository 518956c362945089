"""What the REST interface takes and gives, as an OpenAPI document: /openapi.json."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

from nin_spec.serving.tensors import DTYPES

_TEXT, _COUNT, _TRUTH = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
_PARAMETERS = {"type": "object"}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _list(items: dict[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_DATA = _list({"anyOf": [_ref("data"), {"type": "number"}, _TRUTH, {"type": "string"}, {"nullable": True}]})
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


def _answers(schema: str, *refusals: int) -> dict[str, Any]:
    def json(name: str) -> dict[str, Any]:
        return {"application/json": {"schema": _ref(name)}}

    found: dict[str, Any] = {"200": {"description": "Done", "content": json(schema)}}
    for status in (401, *refusals):
        found[str(status)] = {"description": "Refused", "content": json("error")}
    return found


def _get(summary: str, schema: str, *refusals: int) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": _answers(schema, *refusals)}}


def _post(summary: str, body: dict[str, Any], schema: str) -> dict[str, Any]:
    answers = _answers(schema, 400, 404, 408, 413, 500, 503)
    return {"post": {"summary": summary, "requestBody": {"required": True, "content": body}, "responses": answers}}


def _of_a_model() -> dict[str, Any]:
    pictures = {f"image/{kind}": {"schema": {**_TEXT, "format": "binary"}} for kind in ("png", "jpeg", "webp")}
    tensors = {"application/json": {"schema": _ref("infer_request")}}
    return {
        "": _get("What the model takes and gives", "model", 404),
        "/ready": _get("Whether the model takes requests", "model_ready", 404, 503),
        "/infer": _post("Run the model on tensors", tensors, "infer_response"),
        "/classify": _post("The best classes of one picture", pictures, "classified"),
        "/table": _get("The shape table of the model's spec", "table", 400, 404),
    }


@cache
def document() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, Any] = {
        "/v2": _get("The server", "server"),
        "/v2/health/live": _get("Whether the process answers", "live"),
        "/v2/health/ready": _get("Whether it takes requests", "ready", 503),
        "/v2/models": _get("The models and versions that are served", "models"),
    }
    for prefix, names in (
        ("/v2/models/{model}", ("model",)),
        ("/v2/models/{model}/versions/{version}", ("model", "version")),
    ):
        given = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]
        paths |= {prefix + end: {"parameters": given, **operation} for end, operation in _of_a_model().items()}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "nin-spec serve",
            "version": version("nin-spec"),
            "description": "The Open Inference Protocol v2 with the binary tensor and classification extensions, and "
            "pictures classified.",
        },
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }
