"""What export draws, a diagram and a report: no weights are needed, and neither torch nor onnx."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_spec.cli.outputs import FILE
from nin_spec.seals import Kind, sealed

if TYPE_CHECKING:
    from nin_spec.network import Network
    from nin_spec.training.folder import Run

OWN_NAME = "."
"""The value of a flag given without a path: the artifact's own name, here."""

_SUFFIX = {Kind.SVG: ".svg", Kind.MERMAID: ".mmd", Kind.DOT: ".dot"}


def drawing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--diagram, -o and --report."""
    diagram = click.option(
        "--diagram", type=click.Choice([kind.value for kind in _SUFFIX]), help="Draw the network, an SVG to scale."
    )
    output = click.option(
        "-o", "--output", metavar="FILE", type=FILE, help="Where the diagram goes.  [default: NAME.svg, ...]"
    )
    report = click.option(
        "--report",
        is_flag=False,
        flag_value=OWN_NAME,
        metavar="[FILE]",
        type=FILE,
        help="Write a page on the network or run.",
    )
    return diagram(output(report(function)))


def drawn(subject: str, overrides: tuple[str, ...], size: str | None, given: dict[str, Any]) -> dict[Path, bytes]:
    """The bytes of each file that is drawn; empty where nothing was asked for. Raises SpecError, TrainingError."""
    if given["diagram"] is None and given["report"] is None:
        return {}
    network, run = _network(subject, overrides, size)
    name = network.graph.name
    files: dict[Path, bytes] = {}
    if given["diagram"] is not None:
        kind = Kind(given["diagram"])
        path = Path(given["output"] or f"{name}{_SUFFIX[kind]}")
        files[path] = sealed(_diagram(network, kind).encode(), kind)
    if given["report"] is not None:
        from nin_spec.report import html

        path = Path(f"{name}.html" if given["report"] == OWN_NAME else given["report"])
        if path in files:
            raise click.UsageError(f"the diagram and the report can't both be {path}")
        files[path] = sealed(html(network, run), Kind.REPORT)
    return files


def _network(subject: str, overrides: tuple[str, ...], size: str | None) -> tuple[Network, Run | None]:
    from nin_spec.cli.options import compile_spec
    from nin_spec.named import is_run
    from nin_spec.training.folder import open_run

    if not is_run(subject):
        return compile_spec(subject, overrides, size), None
    if overrides or size:
        raise click.UsageError(f"{subject} is a run folder, whose spec can't be changed: --set and --input need a SPEC")
    run = open_run(subject)
    return run.network, run


def _diagram(network: Network, kind: Kind) -> str:
    from nin_spec.diagrams import dot, mermaid, svg

    drawers: dict[Kind, Callable[[Network], str]] = {Kind.SVG: svg, Kind.MERMAID: mermaid, Kind.DOT: dot}
    return drawers[kind](network)


def _misplaced_output(given: dict[str, Any], exporters: list[str]) -> str:
    """What to say of -o where no diagram is asked for: most who write it mean the export's own file."""
    why = "-o names the diagram's file, and no --diagram is asked for"
    asked = next((name for name in exporters if given.get(f"to_{name}") is not None), None)
    return f"{why}; to name what --{asked} writes, say --{asked} {given['output']}" if asked else why


def check_drawing_usage(given: dict[str, Any], exporters: list[str], *, exporting: bool) -> None:
    """Refuse what would do nothing, in silence: -o without a diagram, and options of exports where none is made."""
    if given["output"] is not None and given["diagram"] is None:
        raise click.UsageError(_misplaced_output(given, exporters))
    idle = {"weights": "--weights", "devices": "--device", "explain": "--explain", "no_parity": "--no-parity"}
    unused = [flag for key, flag in idle.items() if given[key]]
    if unused and not exporting:
        raise click.UsageError(f"{unused[0]} belongs to {', '.join(f'--{name}' for name in exporters)}")
