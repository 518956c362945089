"""Export, for Python and the command line: make, prove, then write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_spec.diagnostics import Code, ExportError
from nin_spec.exporter import Artifact, make, write
from nin_spec.files import refuse_url
from nin_spec.model import Model

if TYPE_CHECKING:
    from nin_spec.precision import Precision, PrecisionSettings
    from nin_spec.runtime.parity import ParityReport
    from nin_spec.runtime.parity_inputs import Batch
    from nin_spec.runtime.providers import Device


def export(
    model: Model,
    to: str,
    path: str | Path | None = None,
    *,
    parity: bool = True,
    precision: PrecisionSettings | Precision = "float32",
    **options: Any,
) -> list[Path]:
    """Export a model and write the files: `export(model, "onnx", "nin.onnx", opset=19)`.

    `to` names an exporter, `options` are its options. An ONNX file is first proved in onnxruntime on the CPU, unless
    `parity` is false. In another `precision` its loss of accuracy is measured, and must stay below half a percentage
    point; `precision=nin_spec.PrecisionSettings("int8", max_drop=1, data=Path("pictures"))` sets the details.

    Raises:
        ExportError: an option that is not available, or a path that is not writable.
        ParityError: the file does not compute what the spec declares; nothing is written.
        BudgetError: it loses more accuracy than allowed; nothing is written.
        DataError: pictures for the measurement are missing or don't fit.
    """
    from nin_spec.precision import PrecisionSettings

    if not isinstance(model, Model):
        raise TypeError("export takes a model: network.with_weights(file), run.model(), or network.initialise()")
    if path is not None:
        refuse_url(str(path))
    settings = precision if isinstance(precision, PrecisionSettings) else PrecisionSettings(precision)
    artifact = make(model, to, options)
    if settings.precision != "float32" and not artifact.models:
        message = f"{to} has no ONNX file of its own, which could be of precision {settings.precision}"
        raise ExportError(Code.EXPORT_OPTION, message, hint='export(model, "onnx", precision=...)')
    if parity:
        prove(model, artifact)
    if settings.precision != "float32":
        artifact = make_smaller(model, artifact, settings, parity=parity)
    return write(artifact, Path(path) if path is not None else None)


def make_smaller(model: Model, artifact: Artifact, settings: PrecisionSettings, *, parity: bool = True) -> Artifact:
    """The artifact of an ONNX export in another precision, measured and proved on its device."""
    from nin_spec.precision.fitness import DEFAULT_DEVICE
    from nin_spec.precision.reduction import reduce
    from nin_spec.precision.settings import renamed

    device = DEFAULT_DEVICE[settings.precision]
    reduced = reduce(model, renamed(artifact, settings.precision), settings, device)
    if parity:
        prove(model, reduced.artifact, device, reduced.pictures)
    return reduced.artifact


def explain_passes(model: Model, to: str = "onnx", **options: Any) -> dict[str, Any]:
    """What each pass did to the graph of an export, and its savings, as plain data; nothing is written."""
    from nin_spec.passes.changes import explanation_as_dict

    return explanation_as_dict(make(model, to, options).passes)


def prove(
    model: Model,
    artifact: Artifact,
    device: Device = "cpu",
    pictures: Batch | None = None,
    *,
    options: Mapping[str, object] | None = None,
) -> list[ParityReport]:
    """The parity report of each model of an artifact, on a device with its options.

    `pictures` are compared instead of noise. Raises ParityError.
    """
    from nin_spec.runtime.parity import check_parity

    return [check_parity(model, data, device, pictures=pictures, options=options) for data in artifact.graphs]
