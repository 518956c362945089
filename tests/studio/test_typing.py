"""The text is the person's: no answer of the server touches what is newer than what it answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import slow_studio
from studio_process import VIEW, Tab, chromium, running

from nin_spec import children

SLOW = children.python(slow_studio.__file__, "0.05")
LINES = [f"padding{n}: kernel {n * 37 % 101}" for n in range(15)]
ELEMENT = "getElement(document.querySelector('.nin-editor'))"
REPLACE = f"import('/studio/editor.js').then((studio) => studio.replace({ELEMENT}, %d, 'gone'))"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    with chromium() as browser:
        yield browser


def test_fast_typing_on_a_slow_server_keeps_its_order(browser: Any, tmp_path: Path) -> None:
    """15 lines at 10 ms a key while every message stops the server for 50 ms: none differs, nor when saved."""
    path = tmp_path / "mine.yaml"
    path.write_text("# first\n")
    with running(tmp_path, "mine.yaml", command=SLOW) as studio, Tab(browser, studio) as tab:
        tab.page.evaluate(f"{VIEW}.dispatch({{selection: {{anchor: {VIEW}.state.doc.length}}}})")
        for line in LINES:
            tab.page.keyboard.type(line, delay=10)
            tab.page.keyboard.press("Enter", delay=10)
        expected = "# first\n" + "".join(f"{line}\n" for line in LINES)
        assert tab.text().split("\n") == expected.split("\n")
        tab.says(".nin-findings li.error", "padding14")
        tab.page.keyboard.press("Control+s")
        tab.says(".q-notification", "saved mine.yaml")
        assert tab.text() == path.read_text() == expected


def test_an_answer_to_an_older_text_is_dropped(browser: Any, tmp_path: Path) -> None:
    """A replacement, marks and the permission to leave: each names a version, and only the newest is touched."""
    (tmp_path / "mine.yaml").write_text("spec: 1\n")
    with running(tmp_path, "mine.yaml") as studio, Tab(browser, studio) as tab:
        tab.page.evaluate(f"{VIEW}.dispatch({{changes: {{from: 0, insert: '# typed'}}}})")
        text = tab.text()
        assert tab.page.evaluate(REPLACE % 1) is False
        guard = f"import('/studio/editor.js').then((studio) => studio.guard({ELEMENT}, 1, false))"
        tab.page.evaluate(guard)
        assert tab.page.evaluate("window.onbeforeunload !== null")
        assert tab.text() == text
        assert tab.page.evaluate(REPLACE % 2) is True
        assert tab.text() == "gone"
