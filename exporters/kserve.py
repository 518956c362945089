"""Models as a KServe InferenceService: the manifest for a cluster's Triton to serve the exported repository.

The repository is `--triton`'s, uploaded to `--storage-uri`; the manifest names it, the runtime and its version.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from nin_spec.diagnostics import Code, ExportError
from nin_spec.exporter import Artifact, Proof
from nin_spec.exporters.targets import known_targets
from nin_spec.exporters.triton import DEFAULT_TARGET, TARGET, find_triton, served_name
from nin_spec.model import Model
from nin_spec.rendering import render
from nin_spec.seals import Kind

SCHEMES = ("s3", "gs", "pvc", "hf", "https", "http", "hdfs", "webhdfs", "oci")
"""Schemes that KServe's storage initialiser supports; https includes Azure and plain archives."""

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_QUANTITY = re.compile(r"(?=.*[1-9])\d{1,12}(\.\d{1,3})?(m|k|[KMGT]i|[MGT])?")


class KServeOptions(BaseModel):
    """Options of an InferenceService."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    storage_uri: str | None = Field(
        None, description="URI of the uploaded --triton folder, for example s3://bucket/models; required."
    )
    service: str | None = Field(None, description="Name of the service; default: the spec's name in lower case.")
    target: str = Field(DEFAULT_TARGET, description=TARGET, examples=known_targets())
    hardware: Literal["cpu", "gpu"] = Field("cpu", description="Hardware; default: cpu.")
    cpus: int | str = Field(2, description="Cores per replica, for example 2 or 500m; default: 2.")
    memory: int | str = Field("2Gi", description="Memory per replica, for example 2Gi; default: 2Gi.")
    gpus: int = Field(1, ge=1, le=16, description="GPUs per replica, with --hardware gpu; default: 1.")
    replicas: int = Field(1, ge=1, le=1000, description="Minimum number of replicas; default: 1.")
    max_replicas: int | None = Field(
        None, ge=1, le=1000, description="Maximum number of replicas; default: the minimum."
    )


class KServeExporter:
    """Write an InferenceService for KServe, over a repository of --triton."""

    name: ClassVar[str] = "kserve"
    Options: ClassVar[type[BaseModel]] = KServeOptions
    proof: ClassVar[Proof] = Proof.NONE

    def export(self, model: Model, options: KServeOptions) -> Artifact:
        """Make `<service>.kserve.yaml`. Raises ExportError for a location or a quantity that KServe would reject."""
        shown = facts(model, options)
        remarks = [f"InferenceService {shown['service']}: upload the folder of --triton to {shown['storage_uri']}"]
        if options.hardware == "cpu":
            remarks.append(
                "a repository exported without --threads uses all cores of its node, regardless of the replica's limit"
            )
        file = f"{shown['service']}.kserve.yaml"  # a spec of that name may be beside it
        files = {file: render("nin_spec.exporters", "inference_service.yaml.jinja", shown)}
        return Artifact(files, tuple(remarks), kinds={".yaml": Kind.KSERVE})


def facts(model: Model, options: KServeOptions) -> dict[str, Any]:
    """The values of the template. Raises ExportError."""
    limits = {"cpu": _quantity("cpus", options.cpus), "memory": _quantity("memory", options.memory)}
    if options.hardware == "gpu":
        limits["nvidia.com/gpu"] = str(options.gpus)
    elif "gpus" in options.model_fields_set:
        raise ExportError(
            Code.EXPORT_OPTION, "--gpus needs --hardware gpu", hint="add --hardware gpu, or remove --gpus"
        )
    most = options.replicas if options.max_replicas is None else options.max_replicas
    if most < options.replicas:
        message = f"--max-replicas {most} is less than --replicas {options.replicas}"
        raise ExportError(Code.EXPORT_OPTION, message, hint="raise --max-replicas, or lower --replicas")
    return {
        "hash": model.card.hash,
        "model": served_name(model),
        "service": service_name(model, options),
        "storage_uri": _location(options.storage_uri),
        "runtime_version": f"{find_triton(options.target).name.removeprefix('triton==')}-py3",
        "limits": limits,
        "replicas": options.replicas,
        "max_replicas": most,
    }


def service_name(model: Model, options: KServeOptions) -> str:
    """The service's name: a DNS label that starts with a letter."""
    asked = options.service
    name = re.sub(r"[^a-z0-9]+", "-", model.graph.name.lower()).strip("-") if asked is None else asked
    if not _NAME.fullmatch(name):
        hint = (
            "pass --service NAME: at most 63 lower-case letters, digits and -, starting with a letter, ending "
            "with a letter or digit"
        )
        raise ExportError(Code.EXPORT_OPTION, f"{name!r} can't be the name of a service", hint=hint)
    return name


def _location(uri: str | None) -> str:
    if uri is None:
        hint = "upload the --triton folder, and pass its URI: --storage-uri s3://bucket/models"
        raise ExportError(
            Code.EXPORT_OPTION,
            "an InferenceService needs the URI of its model repository",
            hint=hint,
        )
    scheme, separator, rest = uri.partition("://")
    if scheme not in SCHEMES or not separator or not re.fullmatch(r"[!-~]+", rest):
        raise ExportError(
            Code.EXPORT_OPTION,
            f"KServe can't fetch from {uri!r}",
            hint=f"pass a folder with one of {', '.join(SCHEMES)}",
        )
    return uri


def _quantity(key: str, value: int | str) -> str:
    if not _QUANTITY.fullmatch(str(value)):
        raise ExportError(
            Code.EXPORT_OPTION, f"{key} can't be {value!r}", hint="pass a number, or for example 500m, 2Gi"
        )
    return str(value)
