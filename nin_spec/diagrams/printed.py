"""A diagram as PDF and PNG: the SVG, in its light colours, drawn by CairoSVG (the extra `paper`)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from nin_spec.diagnostics import Code, InputError
from nin_spec.diagrams.as_svg import svg
from nin_spec.extras import need

if TYPE_CHECKING:
    from nin_spec.diagrams.columns import Drawable

SHARPNESS = 2
"""Pixels of a PNG per pixel of the SVG."""
_DATE = "2000-01-01T00:00:00Z"  # the same network has the same bytes


def pdf(network: Drawable) -> bytes:
    """One page of the size of the SVG, its fonts embedded. Raises InputError (EXTRA_MISSING)."""
    surface = _cairosvg("surface", "pdf")
    output = io.BytesIO()
    page = surface.PDFSurface(_cairosvg("parser", "pdf").Tree(bytestring=svg(network).encode()), output, 96)
    metadata = need("cairocffi", "--diagram pdf", "paper")
    page.cairo.set_metadata(metadata.PDF_METADATA_CREATE_DATE, _DATE)
    page.cairo.set_metadata(metadata.PDF_METADATA_TITLE, network.graph.name)
    page.finish()
    return output.getvalue()


def png(network: Drawable) -> bytes:
    """A picture of SHARPNESS pixels per pixel of the SVG. Raises InputError (EXTRA_MISSING)."""
    surface = _cairosvg("surface", "png")
    data: bytes = surface.PNGSurface.convert(svg(network).encode(), scale=SHARPNESS)
    return data


def _cairosvg(module: str, form: str) -> Any:
    purpose = f"--diagram {form}"
    try:
        return need(f"cairosvg.{module}", purpose, "paper")
    except OSError as error:  # CairoSVG is a Python package, and cairo is not
        message = f"{purpose} needs the library cairo, which CairoSVG did not find"
        hint = "install cairo: on Debian `apt-get install libcairo2`, on macOS `brew install cairo`"
        raise InputError(Code.EXTRA_MISSING, message, hint=hint) from error
