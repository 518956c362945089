"""The schema of an InferenceService, from the models of the packages `kserve` and `kubernetes`, as JSON.

    python tests/exporters/kserve_schema.py > tests/exporters/inference_service.schema.json

Both packages (Apache-2.0) generate their models from the API's own OpenAPI description. What a manifest of ours
never uses is left out, and every key that is not listed is refused, as the API server's strict validation does.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from importlib.metadata import version
from typing import Any

SCALARS = {"str": "string", "int": "integer", "bool": "boolean", "float": "number"}
KEPT = {
    "V1beta1InferenceService",
    "V1ObjectMeta",
    "V1beta1InferenceServiceSpec",
    "V1beta1PredictorSpec",
    "V1beta1ModelSpec",
    "V1beta1ModelFormat",
    "V1ResourceRequirements",
}
QUANTITY = {"type": ["integer", "string"], "pattern": r"^\d+(\.\d+)?(m|k|[KMGTPE]i|[MGTPE])?$"}


def found(name: str) -> Any:
    """A model's class, of whichever package has it."""
    for package in ("kserve", "kubernetes.client"):
        if hasattr(module := importlib.import_module(package), name):
            return getattr(module, name)
    raise LookupError(name)


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of a type as the models write it: str, list[X], dict(str, X), or another model."""
    if kind in SCALARS:
        return {"type": SCALARS[kind]}
    if match := re.fullmatch(r"list\[(.+)\]", kind):
        return {"type": "array", "items": schema_of(match[1])}
    if match := re.fullmatch(r"dict\(str, (.+)\)|dict\[str, (.+)\]", kind):
        return {"type": "object", "additionalProperties": schema_of(match[1] or match[2])}
    return {"$ref": f"#/$defs/{kind}"} if kind in KEPT else {"type": "object"}


def definition(name: str) -> dict[str, Any]:
    """The schema of a model: its keys, and those that it can't be made without."""
    model = found(name)
    keys = {model.attribute_map[key]: schema_of(kind) for key, kind in model.openapi_types.items()}
    if name == "V1ResourceRequirements":
        keys |= {key: {"type": "object", "additionalProperties": QUANTITY} for key in ("limits", "requests")}
    source = open(sys.modules[model.__module__].__file__ or "").read()  # noqa: PTH123, SIM115
    needed = re.findall(r"Invalid value for `(\w+)`, must not be `None`", source)
    required = sorted({model.attribute_map[key] for key in needed})
    return {"type": "object", "properties": keys, "required": required, "additionalProperties": False}


def main() -> None:
    """Print the schema."""
    versions = ", ".join(f"{package} {version(package)}" for package in ("kserve", "kubernetes"))
    schema = {
        "$comment": f"Made by kserve_schema.py from the models of {versions} (Apache-2.0), trimmed.",
        "$ref": "#/$defs/V1beta1InferenceService",
        "$defs": {name: definition(name) for name in sorted(KEPT)},
    }
    json.dump(schema, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
