"""The page: an editor, and beside it the network, updated after each keystroke."""

from __future__ import annotations

import asyncio

from nicegui import background_tasks, run, ui

from nin_spec.diagnostics import Diagnostic, NinSpecError
from nin_spec.studio import panes
from nin_spec.studio.conflict import ask_about_conflict
from nin_spec.studio.downloads import menu
from nin_spec.studio.editor import Editor
from nin_spec.studio.reading import Reading, read_spec
from nin_spec.studio.workspace import ChangedError, Workspace

_WATCH = 2.0
"""Seconds between checks of the file."""
_FOLLOW = """(event) => {
    const fix = event.target.closest('[data-fix]'), found = event.target.closest('[data-line]');
    if (fix) emit('fix', Number(fix.dataset.fix));
    else if (found) emit('jump', Number(found.dataset.line), Number(found.dataset.column || 1));
}"""
"""The number of a diagnostic to fix, or the position of a row or a diagnostic."""


class Page:
    """One tab. All tabs share the file, each has its own text."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._typed = asyncio.Event()
        self.reading: Reading | None = None
        self._dark = ui.dark_mode(None)
        self._build()
        self._typed.set()

    # -------------------------------------------------------------- layout

    def _build(self) -> None:
        with ui.element("header").classes("nin-header"):
            self._header()
        header = self.save_button, self.elsewhere
        with ui.splitter(value=44, limits=(20, 80)).classes("nin-main") as split:
            with split.before, ui.element("section").classes("nin-left").props("aria-label=Spec"):
                actions = {"save": self.save, "conflict": self._conflict}
                self.editor = Editor(self.workspace.text, self._change, actions)
                with ui.element("div").classes("nin-problems"):
                    self.counts = ui.label().classes("nin-counts").props("role=status")
                    self.findings = self._pane("nin-list")
            with split.after, ui.element("section").classes("nin-right").props("aria-label=Network") as self.right:
                self.stale = ui.label().classes("nin-stale").props("role=status")
                self.summary = self._pane("nin-summary")
                self.diagram = self._pane("nin-drawing")
                self.by = ui.toggle(["layers", "blocks"], value="layers", on_change=self._show_table)
                self.by.classes("nin-by").props("flat dense no-caps")
                self.table = self._pane("nin-table").props("tabindex=0 role=region aria-label=Layers")
        for button, action in zip(header, actions, strict=True):
            button.on("click", js_handler=self.editor.asking(action))

    def _header(self) -> None:
        ui.html("nin-spec <b>studio</b>", sanitize=False, tag="h1").classes("nin-brand")
        self.file = ui.label(self.workspace.path.name).classes("nin-file")
        self.file.props["title"] = str(self.workspace.path)
        self.unsaved = ui.label("not saved").classes("nin-unsaved")
        self.unsaved.set_visibility(False)
        self.elsewhere = ui.button("changed on disk").props("flat dense no-caps color=warning")
        self.elsewhere.set_visibility(False)
        ui.space()
        self.save_button = ui.button("Save", icon="save").props("flat dense no-caps title=Ctrl-S")
        self.export = menu(lambda: self.reading, self.workspace)
        ui.button(icon="contrast", on_click=self._turn).props("flat dense round aria-label='light or dark'")

    def _pane(self, name: str) -> ui.html:
        """HTML in which a click on an element with a line jumps to it, and one on a fix applies it."""
        pane = ui.html("", sanitize=False).classes(name)
        pane.on("click", lambda e: self._follow_click(*e.args), js_handler=_FOLLOW)
        return pane

    async def _follow_click(self, what: str, *numbers: float) -> None:
        whole = [int(number) for number in numbers]
        if what == "jump":
            self.editor.jump(*whole)
        elif self.reading is not None and whole[0] < len(self.reading.diagnostics):
            await self._fix(self.reading, self.reading.diagnostics[whole[0]])

    async def _fix(self, reading: Reading, diagnostic: Diagnostic) -> None:
        """Apply the fix of a finding to the text in the editor, where it can be undone."""
        text = await run.io_bound(reading.fixed, diagnostic)
        code = diagnostic.code.code
        if text is None:
            ui.notify(f"the fix of {code} would change more than its finding: edit the text by hand", type="warning")
        elif self.editor.text == reading.text and await self.editor.replace(text):
            ui.notify(f"fixed {code}", type="positive", timeout=1500)
        else:
            ui.notify("the text has changed meanwhile: try again", type="warning")

    # -------------------------------------------------------------- from text to network

    def _change(self) -> None:
        self._typed.set()
        self._tell_unsaved()

    async def live(self) -> None:
        """While the browser is connected: read what is typed, and watch the file."""
        await ui.context.client.connected()
        dark = await ui.run_javascript("matchMedia('(prefers-color-scheme: dark)').matches")
        self._set_dark(on=dark)
        self.editor.attach()
        self._tell_unsaved()
        ui.timer(_WATCH, self._watch)
        background_tasks.create(self._follow(), name="reading")

    async def _follow(self) -> None:
        """Run one reading after another in a worker thread; one that is outdated by a keystroke is dropped."""
        client = self.editor.element.client
        while not client.is_deleted:
            await self._typed.wait()
            self._typed.clear()
            version, text = self.editor.version, self.editor.text
            reading = await run.io_bound(read_spec, text, self.workspace.name, self._typed.is_set)
            if reading and not self._typed.is_set() and not client.is_deleted:
                with client:
                    self._show(reading, version)

    def _show(self, reading: Reading, version: int) -> None:
        self.reading = reading
        self.editor.mark(reading, version)
        self.counts.text = panes.counts(reading)
        self.findings.content = panes.findings(reading)
        self.export.set_enabled(reading.network is not None)
        self.right.classes(**{"remove" if reading.network else "add": "nin-old"})
        if reading.network is None:
            self.stale.text = "from before the errors" if self.table.content else "no network yet"
            return
        self.stale.text = ""
        self.summary.content = panes.summary(reading.network.table)
        self.diagram.content = reading.diagram
        self._show_table()

    def _show_table(self) -> None:
        """A row for every layer, or one for each block's convolutions."""
        if self.reading and self.reading.network:
            table = self.reading.network.table
            self.table.content = panes.layers(
                table if self.by.value == "layers" else table.stages(), self.workspace.name
            )

    # -------------------------------------------------------------- the file

    def save(self) -> None:
        """Write the file, unless another program changed it."""
        try:
            self.workspace.save(self.editor.text)
        except ChangedError:
            self._conflict()
        except NinSpecError as error:
            ui.notify(error.diagnostics[0].message, type="negative")
        else:
            ui.notify(f"saved {self.workspace.path.name}", type="positive", timeout=1500)
        self._tell_unsaved()

    def _conflict(self) -> None:
        try:
            ask_about_conflict(self.workspace, self.editor, self.save, self._settled)
        except NinSpecError as error:
            ui.notify(error.diagnostics[0].message, type="negative")

    def _settled(self) -> None:
        self.elsewhere.set_visibility(False)
        self._tell_unsaved()

    def _watch(self) -> None:
        try:
            self.elsewhere.set_visibility(self.workspace.changed())
        except NinSpecError:
            self.elsewhere.set_visibility(True)

    def _tell_unsaved(self) -> None:
        unsaved = self.workspace.seen is None or self.editor.text != self.workspace.text
        self.unsaved.set_visibility(unsaved)
        self.editor.guard(unsaved=unsaved)

    # -------------------------------------------------------------- light and dark

    def _turn(self) -> None:
        self._set_dark(on=not self._dark.value)

    def _set_dark(self, *, on: bool) -> None:
        self._dark.value = on
        self.editor.dark(on=on)
