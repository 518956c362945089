"""The page: renders facts and drawings by the template, which escapes every text that is not a drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nin_spec.diagrams import svg
from nin_spec.rendering import render
from nin_spec.report import about
from nin_spec.report.maps import maps_of
from nin_spec.report.pieces import confusion_svg, curves_svg, fields_svg
from nin_spec.report.reliability import reliability_svg, risk_svg
from nin_spec.report.results import result_of

if TYPE_CHECKING:
    from nin_spec.network import Network
    from nin_spec.report.results import Result
    from nin_spec.training.folder import Run

WIDE, NARROW = 1140, 342


def html(network: Network, run: Run | None = None) -> bytes:
    """The report on a network and its run: one UTF-8 page, deterministic.

    Raises TrainingError if a file of the run is damaged.
    """
    result = result_of(run) if run is not None else None
    maps = maps_of(run, result.split) if run is not None and result is not None else None
    return render("nin_spec.report", "report.html.jinja", _facts(network, result) | {"maps": maps})


def _facts(network: Network, result: Result | None) -> dict[str, Any]:
    headers, rows = about.shapes(network)
    fields = about.fields(network)
    shape = network.table.input
    return {
        "name": network.graph.name,
        "summary": network.spec.spec.summary,
        "hash": network.hash,
        "accuracy": result.accuracy if result else None,
        "figures": about.figures(network),
        "wide": _safe(svg(network, WIDE)),
        "narrow": _safe(svg(network, NARROW)),
        "costs": about.costs(network),
        "cost_totals": about.cost_totals(network),
        "headers": headers,
        "rows": rows,
        "shape": shape,
        "fields": fields,
        "fields_svg": _safe(fields_svg((shape[1], shape[2]), fields)),
        "recipe": about.recipe(network),
        "remarks": about.remarks(network),
        "text": network.spec.text,
        "run": result,
        "curves": _curves(result),
        "confusion": _safe(confusion_svg(result.evaluated)) if result and result.evaluated else "",
        "confidence": _confidence(result),
    }


def _confidence(result: Result | None) -> list[tuple[str, Any]]:
    """The drawings of an evaluation's confidence, by name."""
    found = result.evaluated.confidence if result and result.evaluated else None
    if found is None:
        return []
    drawn = [("accuracy by confidence", reliability_svg(found)), ("errors by coverage", risk_svg(found.risk_coverage))]
    return [(name, _safe(text)) for name, text in drawn]


def _curves(result: Result | None) -> list[tuple[str, Any]]:
    """The drawings from the rows of metrics.csv, by name."""
    named = {"loss": "loss", "accuracy": "accuracy", "lr": "learning rate"}
    drawn = [(name, curves_svg(result.rows, key, result.chosen)) for key, name in named.items()] if result else []
    return [(name, _safe(text)) for name, text in drawn if text]


def _safe(drawing: str) -> Any:
    """A drawing, whose texts are already escaped."""
    from markupsafe import Markup

    return Markup(drawing)  # noqa: S704 see above
