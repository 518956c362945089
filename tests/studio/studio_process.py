"""The studio as people run it: a process of its own, and a browser on its page."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import browsers
import pytest

from nin_spec import children

STUDIO = children.python("-m", "nin_spec", "studio")


class Studio:
    """A running studio. `lines` is what it wrote on standard error after its address."""

    def __init__(self, folder: Path, *arguments: str, command: tuple[str, ...] = STUDIO) -> None:
        command = (*command, *arguments, "--no-browser")
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder)
        self.lines: list[str] = []
        assert self.process.stderr is not None
        first = self.process.stderr.readline()
        found = re.search(r"studio on (http://127\.0\.0\.1:(\d+)/\S+)", first)
        assert found, first + self.process.stderr.read()
        self.address, self.port = found[1], int(found[2])
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    def end(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        self._reader.join(60)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@contextmanager
def running(folder: Path, *arguments: str, command: tuple[str, ...] = STUDIO) -> Iterator[Studio]:
    """A studio that ends with the block, without a word more than how to end it."""
    studio = Studio(folder, *arguments, command=command)
    try:
        yield studio
    finally:
        if studio.process.poll() is None:
            studio.end()
    assert studio.lines == ["press Ctrl-C to stop\n"], "".join(studio.lines)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser for tests; skips where none is available, or no studio."""
    pytest.importorskip("nicegui", reason="the studio is tested where its extra is installed")
    with browsers.chromium("the studio") as browser:
        from playwright.sync_api import expect

        expect.set_options(timeout=30_000)
        yield browser


class Tab:
    """The page in a browser. An error on its console fails the test."""

    def __init__(self, browser: Any, studio: Studio, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1500, "height": 940}, **options})
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._console)
        self.page.goto(studio.address)
        self.page.wait_for_selector(".nin-counts:not(:empty)")
        self.page.wait_for_selector(".cm-editor[data-ready]")

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        assert kind or not self.errors, self.errors

    def text(self) -> str:
        """What stands in the editor."""
        found: str = self.page.evaluate(f"{VIEW}.state.doc.toString()")
        return found

    def replace(self, text: str) -> None:
        """Everything, pasted over."""
        change = "{from: 0, to: v.state.doc.length, insert: text}"
        script = f"(text) => {{ const v = {VIEW}; v.dispatch({{changes: {change}}}); }}"
        self.page.evaluate(script, text)

    def says(self, selector: str, text: str) -> None:
        """Wait until an element holds a text."""
        self.page.locator(selector).filter(has_text=text).first.wait_for()

    def holds(self, selector: str, texts: list[str]) -> None:
        """Wait until the elements are as many as the texts, and each holds its own, whole."""
        from playwright.sync_api import expect

        expect(self.page.locator(selector)).to_have_text(texts)

    def settle(self) -> None:
        """Wait until what fades in has its colours; a cursor blinks for ever."""
        ends = "document.getAnimations().filter(a => Number.isFinite(a.effect.getComputedTiming().endTime))"
        self.page.evaluate(f"Promise.allSettled({ends}.map(a => a.finished))")

    def accept(self, proposal: str) -> None:
        """Take the selected proposal by Enter, which CodeMirror heeds once no other list is on its way."""
        self.says(".cm-tooltip-autocomplete:not(.cm-tooltip-autocomplete-disabled) li[aria-selected]", proposal)
        self.page.wait_for_timeout(INTERACTION_DELAY_MS)
        self.page.keyboard.press("Enter")


INTERACTION_DELAY_MS = 100
"""CodeMirror takes no key for a list of proposals in its first 75 ms, so that none is taken unread."""
VIEW = "document.querySelector('.cm-content').cmView.view"
"""CodeMirror's own view of the editor in the page."""
