"""The editor: NiceGUI's CodeMirror, with the findings of the last reading in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from nin_spec.diagnostics import Severity
from nin_spec.studio.panes import tooltips
from nin_spec.studio.reading import Reading, offsets

SCRIPT = "/studio/editor.js"
_LINES = {Severity.ERROR: "nin-line-error", Severity.WARNING: "nin-line-warning", Severity.NOTE: "nin-line-note"}
_MARKS = {Severity.ERROR: "nin-error", Severity.WARNING: "nin-warning", Severity.NOTE: "nin-note"}


class Editor:
    """The text as it is typed. `changed` is told of each keystroke, `save` of Ctrl-S."""

    def __init__(self, text: str, changed: Callable[[], None], save: Callable[[], Any]) -> None:
        self.element = ui.codemirror(
            text, language="YAML", indent="  ", on_change=lambda _: changed(), keymap={"Mod-s": lambda _: save()}
        ).classes("nin-editor")
        self.dark(on=False)

    @property
    def text(self) -> str:
        """What stands in the editor."""
        return self.element.value or ""

    def replace(self, text: str) -> None:
        """Another text in its place."""
        self.element.value = text

    def attach(self) -> None:
        """Completion and explanations, once the browser is there."""
        self._call("attach")

    def jump(self, line: int, column: int = 1) -> None:
        """The cursor to a place, both from 1."""
        self._call("jump", line, column)

    def dark(self, *, on: bool) -> None:
        """Colours for a dark page, or a light one."""
        self.element.set_theme("githubDark" if on else "githubLight")

    def mark(self, reading: Reading) -> None:
        """The findings where they stand in the text: underlined, and explained under the mouse."""
        marks: list[dict[str, Any]] = []
        for diagnostic in reading.diagnostics:
            span = reading.own(diagnostic)
            if span is None:
                continue
            first, last = offsets(reading.text, span)
            marks.append({"kind": "line", "line": span.line, "class": _LINES[diagnostic.severity]})
            if last > first:
                marks.append({"kind": "mark", "from": first, "to": last, "class": _MARKS[diagnostic.severity]})
        if marks != self.element.decorations:
            self.element.decorations = marks
        found = tooltips(reading.diagnostics, reading)
        if found != self.element.line_tooltips:
            self.element.line_tooltips = found

    def _call(self, function: str, *arguments: int) -> None:
        given = ", ".join(map(str, (f"getElement({self.element.id})", *arguments)))
        ui.run_javascript(f"import({SCRIPT!r}).then((studio) => studio.{function}({given}))")
