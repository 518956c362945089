"""The page: the model, the runtime, what the script needs to know, and the diagram, in one file.

Its Content Security Policy allows the page's own script and styles, by their hashes, and no request to anywhere.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nin_spec.analysis.shapes import output_kind
from nin_spec.browser.pass_order import rows_first
from nin_spec.browser.runtime_files import Compute, Runtime
from nin_spec.rendering import render

if TYPE_CHECKING:
    from nin_spec.model import Model

_HERE = "nin_spec.browser"
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def page(model: Model, graph: bytes, runtime: Runtime, compute: Compute) -> bytes:
    """The HTML of a model whose ONNX file is `graph`: raw pixels in, scores and, if it has them, class maps out."""
    diagram = _diagram(model)
    script = runtime.script + _template("page.js")
    style = _template("page.css")
    styles = [style, *_STYLE.findall(diagram)]
    return render(
        _HERE,
        "page.html.jinja",
        {
            "name": model.card.name,
            "summary": model.card.summary,
            "weights": model.card.weights,
            "hash": model.card.hash,
            "version": runtime.version,
            "policy": policy(script, styles),
            "style": style,
            "script": script,
            "diagram": diagram,
            "facts": _json(facts(model, compute)),
            "model": _packed(graph),
            "wasm": _packed(runtime.wasm),
        },
    )


def facts(model: Model, compute: Compute) -> dict[str, Any]:
    """What the script needs: the contract for pictures, the classes, and where a map's cells lie in the input.

    Raises ExportError if the installed Pillow scales in an order that the script can't follow.
    """
    from nin_spec.passes.class_maps import NoClassMapsError, class_maps

    channels, height, width = model.graph.input.shape
    contract = model.card.preprocessing
    try:
        maps = class_maps(model.graph).place.as_dict()
    except NoClassMapsError:
        maps = None
    labels = list(model.card.labels) or [str(k) for k in range(model.graph.output.shape[0])]
    return {
        "labels": labels,
        "channels": channels,
        "planes": 1 if contract.color == "gray" else channels,
        "height": height,
        "width": width,
        "target": list(contract.target or (height, width)),
        "resize": contract.resize,
        "rows_first": rows_first(),
        "layout": contract.layout,
        "dtype": contract.dtype,
        "output": output_kind(model.graph),
        "maps": maps,
        "compute": compute,
    }


def policy(script: str, styles: list[str]) -> str:
    """The Content Security Policy: this script, these styles, WebAssembly, and pictures made in the page."""
    quoted = " ".join(f"'{_hash(style)}'" for style in styles)
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_hash(script)}' 'wasm-unsafe-eval'",
            f"style-src {quoted}",
            "img-src blob: data:",
            "media-src blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"


def _diagram(model: Model) -> str:
    """The SVG of the model's network."""
    from nin_spec.diagrams import svg
    from nin_spec.language.load import loads
    from nin_spec.network import compile as compile_network

    return svg(compile_network(loads(model.card.spec, model.card.name, alone=True)))


def _json(data: Any) -> str:
    """JSON that can't end its script element."""
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def _template(name: str) -> str:
    return (files(_HERE) / "templates" / name).read_text(encoding="utf-8")
