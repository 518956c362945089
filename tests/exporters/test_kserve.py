"""An InferenceService over Triton's layout: valid by KServe's schema, and never with a place left open."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from goldens import assert_golden
from jsonschema import Draft202012Validator

import nin_spec
from nin_spec.diagnostics import ExportError
from nin_spec.exporter import make

HERE = Path(__file__).parent
SCHEMA = Draft202012Validator(json.loads((HERE / "inference_service.schema.json").read_text()))
PLACE = {"storage_uri": "s3://models/repository"}


def manifest(name: str = "nin_digits", **options: Any) -> str:
    """The InferenceService of a shipped spec."""
    (data,) = make(nin_spec.compile(name).initialise(), "kserve", {**PLACE, **options}).files.values()
    return data.decode()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nin_digits", {}),
        ("nin_imagenet", {"hardware": "gpu", "gpus": 2, "cpus": "500m", "memory": "8Gi", "max_replicas": 4}),
    ],
)
def test_it_reads_as_a_person_would_write_it(name: str, options: dict[str, Any]) -> None:
    """The whole manifest, to be reviewed; and KServe's schema takes it."""
    text = manifest(name, **options)
    assert_golden(text, HERE / "goldens" / f"{name}.inference_service.yaml")
    SCHEMA.validate(yaml.safe_load(text))


def test_the_schema_refuses_what_kserve_does() -> None:
    """A key misspelt, a value of another type: so that passing it says something."""
    for change in ({"runtimeVersions": "1"}, {"runtimeVersion": 26.07}, {"resources": {"limits": {"cpu": "two"}}}):
        broken = yaml.safe_load(manifest())
        broken["spec"]["predictor"]["model"] |= change
        assert not SCHEMA.is_valid(broken)


def test_the_file_is_not_called_as_its_spec_is() -> None:
    """Written without a path, it would ask to replace the spec beside it."""
    made = make(nin_spec.compile("nin_digits").initialise(), "kserve", PLACE)
    assert list(made.files) == ["nin-digits.kserve.yaml"]


def test_the_version_is_the_release_named() -> None:
    """KServe's own default is years old."""
    model = yaml.safe_load(manifest(target="triton==25.12"))["spec"]["predictor"]["model"]
    assert model["runtime"] == "kserve-tritonserver"
    assert model["runtimeVersion"] == "25.12-py3"
    assert model["protocolVersion"] == "v2"


@pytest.mark.parametrize("uri", ["s3://b/x: y", 's3://b/"', "s3://b/#a", "gs://b/{{x}}", "pvc://a/b'c&d<e>"])
def test_a_location_stays_one_text(uri: str) -> None:
    """Nothing in it is YAML."""
    if " " in uri:
        with pytest.raises(ExportError, match="KServe can't fetch from"):
            manifest(storage_uri=uri)
        return
    assert yaml.safe_load(manifest(storage_uri=uri))["spec"]["predictor"]["model"]["storageUri"] == uri


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"storage_uri": None}, "upload the --triton folder, and pass its URI: --storage-uri"),
        ({"storage_uri": "models"}, "KServe can't fetch from 'models'"),
        ({"storage_uri": "file:///models"}, "KServe can't fetch from 'file:///models'"),
        ({"storage_uri": "s3://"}, "KServe can't fetch from 's3://'"),
        ({"service": "Nin"}, "'Nin' can't be the name of a service"),
        ({"service": "9nin"}, "'9nin' can't be the name"),
        ({"service": "n" * 64}, "can't be the name"),
        ({"service": "nin-"}, "'nin-' can't be the name"),
        ({"cpus": "many"}, "cpus can't be 'many'"),
        ({"cpus": 0}, "cpus can't be 0"),
        ({"memory": "2 GB"}, "memory can't be '2 GB'"),
        ({"gpus": 2}, "--gpus needs --hardware gpu"),
        ({"replicas": 3, "max_replicas": 2}, "--max-replicas 2 is less than --replicas 3"),
        ({"target": "triton==1.0"}, "onnxruntime version of Triton 1.0 is unknown"),
        ({"target": "onnxruntime==1.20"}, "is not a release of Triton"),
        ({"replica": 3}, "did you mean 'replicas'"),
    ],
)
def test_what_is_not_available_is_reported(options: dict[str, Any], message: str) -> None:
    """Each with what to do."""
    with pytest.raises(ExportError) as caught:
        manifest(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize(("name", "service"), [("nin_cifar_bn", "nin-cifar-bn"), ("nin_digits", "nin-digits")])
def test_a_service_is_named_as_the_cluster_allows(name: str, service: str) -> None:
    """Lower case and dashes; the model keeps its own name, which the remark at the top says."""
    text = manifest(name)
    assert yaml.safe_load(text)["metadata"]["name"] == service
    assert f"/v2/models/{name}." in text


@pytest.mark.parametrize("service", ["true", "null", "on", "n", "e5"])
def test_a_name_stays_a_text(service: str) -> None:
    """Kubernetes reads YAML 1.1, in which some words are no texts."""
    assert f'  name: "{service}"\n' in manifest(service=service)


def test_a_name_that_no_server_has_is_refused() -> None:
    """A spec can't give one; a graph made by hand can, and would write lines of its own into the manifest."""
    model = nin_spec.compile("nin_digits").initialise()
    broken = replace(model, graph=replace(model.graph, name="a\nkind: Secret"))
    with pytest.raises(ExportError, match="can't serve a model of the name"):
        make(broken, "kserve", {**PLACE, "service": "a"})
