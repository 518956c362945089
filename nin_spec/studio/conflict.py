"""When another program changed the file: the difference, and three choices. None silently loses a text."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from nin_spec.studio.editor import Editor
from nin_spec.studio.workspace import Workspace


def ask_about_conflict(
    workspace: Workspace, editor: Editor, save: Callable[[], None], settled: Callable[[], None]
) -> None:
    """A dialog with the difference. Raises SpecError if the file is no longer text."""
    difference = workspace.difference(editor.text) or "The file already has this text."
    seen = workspace.on_disk()

    async def load() -> None:
        # Counts as seen only once it is in the editor.
        data = workspace.on_disk()
        if await editor.replace(workspace.decode(data)):
            workspace.accept(data)
            done()
        else:
            dialog.close()
            ui.notify("the text has changed since this was shown: compare again", type="warning")

    def keep() -> None:
        # Only what was shown may be replaced, nothing newer.
        workspace.seen = seen
        done()
        save()

    def done() -> None:
        dialog.close()
        settled()

    with (
        ui.dialog(value=True).props("aria-label='Changed by another program'") as dialog,
        ui.card().classes("nin-conflict"),
    ):
        ui.label(f"{workspace.path.name} was changed by another program").classes("nin-heading")
        shown = ui.code(difference, language="diff").classes("nin-difference")
        shown.markdown.props("tabindex=0 role=region aria-label=Difference")
        shown.copy_button.props("aria-label=Copy")
        with ui.element("div").classes("nin-buttons"):
            ui.button("Use the file's", on_click=load).props("flat no-caps")
            ui.button("Download mine", on_click=lambda: _download(workspace, editor)).props("flat no-caps")
            ui.button("Replace it with mine", on_click=keep).props("flat no-caps color=negative")
            ui.button("Continue editing", on_click=dialog.close).props("unelevated no-caps")


def _download(workspace: Workspace, editor: Editor) -> None:
    ui.download.content(editor.text, workspace.path.name)
