"""What Python users call to export, and the command line too: made, proved, then written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_spec.diagnostics import Code, Diagnostic, ExportError
from nin_spec.exporter import Artifact, find, write
from nin_spec.model import Model

if TYPE_CHECKING:
    from nin_spec.runtime.parity import ParityReport
    from nin_spec.runtime.providers import Device


def export(model: Model, to: str, path: str | Path | None = None, *, parity: bool = True, **options: Any) -> list[Path]:
    """Export a model and write the files: `export(model, "onnx", "nin.onnx", opset=19)`.

    `to` names an exporter, `options` are its own. An ONNX file is proved first, in onnxruntime on the
    CPU, unless `parity` is false.

    Raises:
        ExportError: an option that can't be had, or a path that can't be written.
        ParityError: the file computes something else than the spec declares; nothing is written.
    """
    artifact = make(model, to, options)
    if parity:
        prove(model, artifact)
    return write(artifact, Path(path) if path is not None else None)


def make(model: Model, to: str, options: dict[str, Any]) -> Artifact:
    """The artifact of an exporter, from options not yet checked."""
    from pydantic import ValidationError

    exporter = find(to)
    try:
        chosen = exporter.Options.model_validate(options)
    except ValidationError as error:
        found = error.errors(include_url=False)
        wrong = [f"{to}: {'.'.join(map(str, e['loc'][:1]))}: {e['msg']}, found {e['input']!r}" for e in found]
        raise ExportError([Diagnostic(Code.EXPORT_OPTION, message) for message in wrong]) from None
    return exporter.export(model, chosen)


def prove(model: Model, artifact: Artifact, device: Device = "cpu") -> list[ParityReport]:
    """The parity report of each ONNX file of an artifact. Raises ParityError."""
    from nin_spec.runtime.parity import check_parity

    return [check_parity(model, data, device=device) for name, data in artifact.files.items() if name.endswith(".onnx")]
