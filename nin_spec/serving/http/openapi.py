"""The OpenAPI document of a server, /openapi.json: openapi.yaml, with what the server knows filled in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from nin_spec import __version__


@cache
def _template() -> dict[str, Any]:
    found = yaml.safe_load(files(__package__).joinpath("openapi.yaml").read_text("utf-8"))
    return {key: value for key, value in found.items() if not key.startswith("x-")}


def document(models: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The whole document, for a server of some models: names and versions."""
    names, versions = zip(*models, strict=True)
    known = {"model": sorted(set(names)), "version": sorted(set(versions))}
    found = _template()
    paths = {path: _with_known(item, known) for path, item in found["paths"].items()}
    return {**found, "info": {**found["info"], "version": __version__}, "paths": paths}


def _with_known(item: Mapping[str, Any], known: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """A path item, whose parameters list what is served."""
    if "parameters" not in item:
        return dict(item)
    given = [{**p, "schema": {**p["schema"], "enum": known[p["name"]]}} for p in item["parameters"]]
    return {**item, "parameters": given}
