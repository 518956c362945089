"""A diagram in each form, as a whole file with its seal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nin_spec.seals import Kind, sealed

if TYPE_CHECKING:
    from nin_spec.diagrams.columns import Drawable


def drawn(network: Drawable, kind: Kind) -> bytes:
    """The file of a form. Raises InputError (EXTRA_MISSING) for a PDF or PNG without CairoSVG."""
    return sealed(_content(network, kind), kind)


def _content(network: Drawable, kind: Kind) -> bytes:
    from nin_spec.diagrams import dot, mermaid, svg, tikz

    match kind:
        case Kind.SVG:
            return svg(network).encode()
        case Kind.TIKZ:
            return tikz(network).encode()
        case Kind.MERMAID:
            return mermaid(network).encode()
        case Kind.DOT:
            return dot(network).encode()
        case Kind.PDF | Kind.PNG:
            from nin_spec.diagrams import printed

            return printed.pdf(network) if kind is Kind.PDF else printed.png(network)
        case _:
            raise ValueError(f"a {kind} is not a form of diagram")
