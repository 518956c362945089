"""The exporter `page`: one HTML file that classifies pictures in the browser, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from nin_spec.browser.runtime_files import RELEASES, Compute, read_runtime
from nin_spec.diagnostics import Code, ExportError
from nin_spec.exporter import Artifact, Proof, find
from nin_spec.model import Model
from nin_spec.seals import Kind


class PageOptions(BaseModel):
    """Options of a page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runtime_files: Path | None = Field(
        None,
        description=f"Archive or folder of the npm package onnxruntime-web, {RELEASES[0].version}; required.",
    )
    compute: Compute = Field(
        "wasm",
        description="What computes in the page: WebAssembly, or WebGPU where the browser has it, which adds 4 MB; "
        "default: wasm.",
    )


class PageExporter:
    """Write one HTML page that classifies pictures in the browser, offline."""

    name: ClassVar[str] = "page"
    Options: ClassVar[type[BaseModel]] = PageOptions
    proof: ClassVar[Proof] = Proof.PARITY

    def export(self, model: Model, options: PageOptions) -> Artifact:
        """Make `<name>.html`. Raises ExportError for a network without pictures, and unknown runtime files."""
        from nin_spec.browser.contents import facts, page

        known = facts(model, options.compute)
        if known["planes"] not in (1, 3):
            message = f"a page classifies pictures of 1 or 3 channels, and {model.card.name} takes {known['channels']}"
            raise ExportError(Code.EXPORT_OPTION, message, hint="export it with --onnx")
        runtime = read_runtime(options.runtime_files, options.compute)
        inner = _onnx(model, maps=known["maps"] is not None, webgpu=options.compute == "webgpu")
        (graph,) = inner.files.values()
        name = f"{model.card.name}.html"
        return Artifact(
            {name: page(model, graph, runtime, options.compute)},
            (*inner.remarks, f"with onnxruntime-web {runtime.version}"),
            inner.passes,
            {".html": Kind.PAGE},
            inside={f"the model in {name}": graph},
        )


def _onnx(model: Model, *, maps: bool, webgpu: bool) -> Artifact:
    """The model's ONNX file: raw pixels in, scores and class maps out."""
    onnx = find("onnx")
    words: dict[str, Any] = {"takes": "pixels", "outputs": "scores,maps" if maps else "scores"}
    return onnx.export(model, onnx.Options(**words, lower_for="webgpu" if webgpu else ()))
