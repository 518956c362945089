"""The editor: NiceGUI's CodeMirror, with the diagnostics of the last reading.

The browser owns the text. It sends the whole text with a version, and a response has the version that it responds to:
editor.js drops a response to an older text.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from nicegui import ui

from nin_spec.diagnostics import Severity
from nin_spec.studio.panes import tooltips
from nin_spec.studio.reading import Reading, offsets

SCRIPT = "/studio/editor.js"
_LINES = {Severity.ERROR: "nin-line-error", Severity.WARNING: "nin-line-warning", Severity.NOTE: "nin-line-note"}
_MARKS = {Severity.ERROR: "nin-error", Severity.WARNING: "nin-warning", Severity.NOTE: "nin-note"}
_PATIENCE = 60.0
"""Timeout in seconds for the browser to replace its text."""


class _CodeMirror(ui.codemirror):
    """CodeMirror that is sent to the browser once: an update by NiceGUI would include an old text."""

    def update(self) -> None:
        """No-op: later changes go through editor.js or a method of the component."""


class Editor:
    """The text as it is typed. `changed` is called with each text; `actions` are callable by the browser."""

    known: ClassVar[WeakValueDictionary[str, Editor]] = WeakValueDictionary()
    """Every open editor, by its key."""

    def __init__(self, text: str, changed: Callable[[], None], actions: Mapping[str, Callable[[], Any]]) -> None:
        self.text, self.version = text, 0
        self._changed, self._actions = changed, actions
        self.key = secrets.token_urlsafe(12)
        self.known[self.key] = self
        self.element = _CodeMirror(text, language="YAML", indent="  ", theme="githubLight").classes("nin-editor")

    def typed(self, version: int, text: str, then: str = "") -> None:
        """Accept a text from the browser, unless a newer one came first; then run the action `then`."""
        with self.element.client:
            if version > self.version:
                self.text, self.version = text, version
                self._changed()
            if then in self._actions:
                self._actions[then]()

    def asking(self, then: str) -> str:
        """A handler in JavaScript: sends the current text, and requests an action."""
        return f"() => {self._script('act', then)}"

    async def replace(self, text: str) -> bool:
        """Replace the last accepted text.

        Returns False if the browser has a newer text, which then stays, or does not respond.
        """
        script = f"return await {self._script('replace', self.version, text)}"
        try:
            return bool(await ui.run_javascript(script, timeout=_PATIENCE))
        except TimeoutError:
            return False

    def attach(self) -> None:
        """Attach completion and explanations, once the browser is connected."""
        self._call("attach", self.key)

    def jump(self, line: int, column: int = 1) -> None:
        """Move the cursor to a 1-based position."""
        self._call("jump", line, column)

    def guard(self, *, unsaved: bool) -> None:
        """Set whether the browser warns before leaving unsaved text."""
        self._call("guard", self.version, unsaved)

    def dark(self, *, on: bool) -> None:
        """Switch between dark and light colours."""
        self.element.run_method("setTheme", "githubDark" if on else "githubLight")

    def mark(self, reading: Reading, version: int) -> None:
        """Mark the diagnostics in the text of that version: underlined, with tooltips."""
        marks: list[dict[str, Any]] = []
        for diagnostic in reading.diagnostics:
            span = reading.own(diagnostic)
            if span is None:
                continue
            first, last = offsets(reading.text, span)
            marks.append({"kind": "line", "line": span.line, "class": _LINES[diagnostic.severity]})
            if last > first:
                marks.append({"kind": "mark", "from": first, "to": last, "class": _MARKS[diagnostic.severity]})
        self._call("mark", version, marks, tooltips(reading.diagnostics, reading))

    def _call(self, function: str, *arguments: object) -> None:
        ui.run_javascript(self._script(function, *arguments))

    def _script(self, function: str, *arguments: object) -> str:
        given = ", ".join((f"getElement({self.element.id})", *map(json.dumps, arguments)))
        return f"import({SCRIPT!r}).then((studio) => studio.{function}({given}))"
