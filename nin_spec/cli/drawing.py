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


SUFFIXES = {
    Kind.SVG: ".svg",
    Kind.PDF: ".pdf",
    Kind.PNG: ".png",
    Kind.TIKZ: ".tex",
    Kind.MERMAID: ".mmd",
    Kind.DOT: ".dot",
}
"""The forms of a diagram, by their kind of file, with the suffix of each one's file."""


@dataclass(frozen=True, slots=True)
class Drawings:
    """The request: a kind of diagram, its path, and the path of the report, OWN_NAME for its own name."""

    diagram: str | None
    output: str | None
    report: str | None

    @property
    def asked(self) -> bool:
        """Whether anything is drawn."""
        return self.form is not None or self.report is not None

    @property
    def form(self) -> Kind | None:
        """The form of the diagram: --diagram, or the suffix of -o. None if no diagram is drawn."""
        if self.diagram is not None:
            return Kind(self.diagram)
        return self._by_suffix()

    def _by_suffix(self) -> Kind | None:
        """The form whose files have the suffix of -o, in capitals or not; None if there is none."""
        suffix = None if self.output is None else Path(self.output).suffix.lower()
        return next((kind for kind, known in SUFFIXES.items() if known == suffix), None)

    def check(self, paths: Mapping[str, str]) -> None:
        """Refuse -o where it names no form of diagram, or another than --diagram. Raises UsageError."""
        if self.output is None:
            return
        if self.form is None:  # most who write it mean an export's own file
            why = "-o is the file of --diagram, which is missing"
            more = f"; for the file of --{next(iter(paths))}, pass --{next(iter(paths))} {self.output}" if paths else ""
            raise click.UsageError(f"{why}{more}")
        suffix = self._by_suffix()
        if suffix not in {None, self.form}:
            right = Path(self.output).with_suffix(SUFFIXES[self.form])
            why = f"--diagram {self.form} does not write {self.output}, whose suffix is that of {suffix}"
            raise click.UsageError(f"{why}: pass --diagram {suffix}, or -o {right}")


def drawing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--diagram, -o and --report."""
    diagram = click.option(
        "--diagram",
        type=click.Choice([kind.value for kind in SUFFIXES]),
        help="Draw the network: to scale, or for mermaid and dot as a chain.  [default: by the suffix of -o]",
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
    from nin_spec.diagrams.forms import drawn as diagram
    from nin_spec.opened import network_of, run_of

    network = network_of(subject)
    name = network.graph.name
    files: dict[Path, bytes] = {}
    if (form := drawings.form) is not None:
        files[Path(drawings.output or f"{name}{SUFFIXES[form]}")] = diagram(network, form)
    if drawings.report is not None:
        from nin_spec.report import html

        path = Path(f"{name}.html" if drawings.report == OWN_NAME else drawings.report)
        if path in files:
            raise click.UsageError(f"the diagram and the report can't both be {path}")
        files[path] = sealed(html(network, run_of(subject)), Kind.REPORT)
    return files
