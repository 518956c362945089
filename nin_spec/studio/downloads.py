"""Downloads from the page. They go to the browser's downloads: nothing else is written."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nicegui import ui

from nin_spec import children
from nin_spec.analysis.tables import table_csv, table_markdown
from nin_spec.diagrams import dot, mermaid, svg
from nin_spec.network import Network
from nin_spec.seals import Kind, sealed
from nin_spec.studio.reading import Reading
from nin_spec.studio.workspace import Workspace


@dataclass(frozen=True)
class Quick:
    """Created immediately, from the network."""

    label: str
    suffix: str
    make: Callable[[Network], str]
    kind: Kind | None = None
    """The kind of a file that is sealed, like those of `nin-spec export`."""


@dataclass(frozen=True)
class Slow:
    """Created by `nin-spec export` in a separate process."""

    label: str
    suffix: str
    flag: str


def _json(network: Network) -> str:
    return json.dumps(network.table.as_dict(), indent=2) + "\n"


QUICK = (
    Quick("Diagram, SVG", ".svg", svg, Kind.SVG),
    Quick("Diagram, Mermaid", ".mmd", mermaid, Kind.MERMAID),
    Quick("Diagram, Graphviz", ".dot", dot, Kind.DOT),
    Quick("Table, Markdown", ".md", lambda n: table_markdown(n.table)),
    Quick("Table, JSON", ".json", _json),
    Quick("Table, CSV", ".csv", lambda n: table_csv(n.table)),
)
SLOW = (
    Slow("ONNX, with parity proof", ".onnx", "--onnx"),
    Slow("PyTorch source", ".py", "--source"),
)


def menu(reading: Callable[[], Reading | None], workspace: Workspace) -> ui.dropdown_button:
    """The button with its menu; it uses the text that was read last."""

    def quick(item: Quick) -> None:
        found = reading()
        if found and found.network:
            data = item.make(found.network).encode()
            data = data if item.kind is None else sealed(data, item.kind)
            ui.download.content(data, f"{found.network.spec.spec.name}{item.suffix}")

    async def slow(item: Slow) -> None:
        found = reading()
        if found and found.network:
            await Export(item, found.text, found.network.spec.spec.name, workspace.path.parent).run()

    with ui.dropdown_button("Export", icon="download", auto_close=True).props("flat dense no-caps") as button:
        for item in SLOW:
            ui.item(item.label, on_click=lambda i=item: slow(i))
        ui.separator()
        for drawn in QUICK:
            ui.item(drawn.label, on_click=lambda i=drawn: quick(i))
    return button


class Export:
    """A running export, in a dialog that shows the command's output and can stop it."""

    def __init__(self, item: Slow, text: str, name: str, folder: Path) -> None:
        self.item, self.text, self.name, self.folder = item, text, name, folder

    async def run(self) -> None:
        """Create the file and offer it; on failure the command's output stays visible."""
        with tempfile.TemporaryDirectory(prefix="nin-spec-") as place:
            path = Path(place) / f"{self.name}{self.item.suffix}"
            # `extends` of a text from standard input is relative to the current folder.
            process = await asyncio.create_subprocess_exec(
                *children.python("-m", "nin_spec", "export", "-", self.item.flag, str(path)),
                env=children.environment(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=self.folder,
            )
            self._open(process)
            try:
                code = await self._watch(process)
            finally:
                if process.returncode is None:
                    process.kill()
            self.spinner.set_visibility(False)
            if code == 0:
                ui.download.content(path.read_bytes(), path.name)
                self.title.text = f"{path.name}: done"
            else:
                self.title.text = f"{path.name}: stopped" if code < 0 else f"{path.name} could not be created"
            self.stop.text = "Close"

    def _open(self, process: asyncio.subprocess.Process) -> None:
        def end() -> None:
            if process.returncode is None:
                process.kill()
            dialog.close()

        with ui.dialog(value=True).props("persistent aria-label=Export") as dialog, ui.card().classes("nin-export"):
            with ui.row().classes("items-center"):
                self.spinner = ui.spinner(size="sm")
                self.title = ui.label(f"{self.name}{self.item.suffix}").classes("nin-heading")
            self.log = ui.log(max_lines=500).classes("nin-log")
            self.stop = ui.button("Stop", on_click=end).props("flat no-caps")

    async def _watch(self, process: asyncio.subprocess.Process) -> int:
        """The exit code, after all output of the command."""
        assert process.stdin is not None  # noqa: S101 a pipe was asked for
        assert process.stdout is not None  # noqa: S101 a pipe was asked for
        process.stdin.write(self.text.encode())
        process.stdin.close()
        async for line in process.stdout:
            self.log.push(line.decode(errors="replace").rstrip())
        return await process.wait()
