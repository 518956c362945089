"""What export draws, a diagram and a report: no weights are needed, and neither torch nor onnx."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_spec.cli.exporter_flags import OWN_NAME
from nin_spec.cli.outputs import FILE
from nin_spec.seals import Kind, sealed

if TYPE_CHECKING:
    from nin_spec.network import Network
    from nin_spec.training.folder import Run

_SUFFIX = {Kind.SVG: ".svg", Kind.MERMAID: ".mmd", Kind.DOT: ".dot"}


@dataclass(frozen=True, slots=True)
class Drawings:
    """The request: a kind of diagram, its path, and the path of the report, OWN_NAME for its own name."""

    diagram: str | None
    output: str | None
    report: str | None

    @property
    def asked(self) -> bool:
        """Whether anything is drawn."""
        return self.diagram is not None or self.report is not None

    def check(self, paths: Mapping[str, str]) -> None:
        """Refuse -o where no diagram is asked for: most who write it mean an export's own file. Raises UsageError."""
        if self.output is None or self.diagram is not None:
            return
        why = "-o is the file of --diagram, which is missing"
        more = f"; for the file of --{next(iter(paths))}, pass --{next(iter(paths))} {self.output}" if paths else ""
        raise click.UsageError(f"{why}{more}")


def drawing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--diagram, -o and --report."""
    diagram = click.option(
        "--diagram", type=click.Choice([kind.value for kind in _SUFFIX]), help="Draw the network; an SVG is to scale."
    )
    output = click.option(
        "-o", "--output", metavar="FILE", type=FILE, help="File for the diagram.  [default: NAME.svg, ...]"
    )
    report = click.option(
        "--report",
        is_flag=False,
        flag_value=OWN_NAME,
        metavar="[FILE]",
        type=FILE,
        help="Write an HTML page about the network or run.",
    )
    return diagram(output(report(function)))


def drawn(subject: Network | Run, drawings: Drawings) -> dict[Path, bytes]:
    """The bytes of each file that is drawn; empty if none was requested. Raises TrainingError."""
    if not drawings.asked:
        return {}
    from nin_spec.opened import network_of, run_of

    network = network_of(subject)
    name = network.graph.name
    files: dict[Path, bytes] = {}
    if drawings.diagram is not None:
        kind = Kind(drawings.diagram)
        path = Path(drawings.output or f"{name}{_SUFFIX[kind]}")
        files[path] = sealed(_diagram(network, kind).encode(), kind)
    if drawings.report is not None:
        from nin_spec.report import html

        path = Path(f"{name}.html" if drawings.report == OWN_NAME else drawings.report)
        if path in files:
            raise click.UsageError(f"the diagram and the report can't both be {path}")
        files[path] = sealed(html(network, run_of(subject)), Kind.REPORT)
    return files


def _diagram(network: Network, kind: Kind) -> str:
    from nin_spec.diagrams import dot, mermaid, svg

    drawers: dict[Kind, Callable[[Network], str]] = {Kind.SVG: svg, Kind.MERMAID: mermaid, Kind.DOT: dot}
    return drawers[kind](network)
