"""The studio as people use it, in a real browser (pip install playwright; a Chromium on the path)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from axe import violations
from browsers import LOOKS, WIDTHS
from studio_process import VIEW, Studio, Tab, chromium, running

from nin_spec.diagnostics import Code
from nin_spec.lint.fixing import fix
from nin_spec.named import SHIPPED
from nin_spec.network import compile as compile_network

CORPUS = Path(__file__).parent.parent / "bad_specs"
BAD = sorted(CORPUS.glob("*.yaml"))
Open = Callable[..., tuple[Studio, Tab]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens the studio in a folder of its own; nothing may be said on the console of either side."""
    with ExitStack() as stack:

        def open_(*arguments: str, **options: Any) -> tuple[Studio, Tab]:
            studio = stack.enter_context(running(tmp_path, *arguments))
            return studio, stack.enter_context(Tab(browser, studio, **options))

        yield open_


def put_cursor(tab: Tab, after: str) -> None:
    """The cursor behind the first place of a text."""
    script = f"""(text) => {{ const v = {VIEW}; const at = v.state.doc.toString().indexOf(text) + text.length;
        v.dispatch({{selection: {{anchor: at}}, scrollIntoView: true}}); v.focus(); }}"""
    tab.page.evaluate(script, after)


def test_typing_updates_the_table(opened: Open) -> None:
    """The digits typed are in the table, the totals and the hash, as `build` computes them."""
    _, tab = opened("nin_imagenet")
    put_cursor(tab, "channels: 384")
    tab.page.keyboard.press("Backspace")
    tab.page.keyboard.type("8")
    tab.says(".nin-layers td", "388x13x13")
    text = (SHIPPED / "nin_imagenet.yaml").read_text().replace("channels: 384", "channels: 388")
    assert tab.text() == text
    table = compile_network(_spec(text)).table
    tab.says(".nin-title code", table.hash)
    tab.says(".nin-tiles", f"{table.parameters:,}")
    tab.holds(".nin-layers tbody td:first-child", [r.name for r in table.rows])
    tab.page.get_by_role("button", name="blocks", exact=True).click()
    tab.says(".nin-layers td", "block 388-384-384")


def _spec(text: str) -> Any:
    from nin_spec.language.load import loads

    return loads(text)


def test_an_error_keeps_the_last_good_table(opened: Open) -> None:
    """Greyed; the error is listed and underlined, leads to its line, and goes with its cause."""
    _, tab = opened("nin_cifar")
    put_cursor(tab, "    kernel")
    tab.page.keyboard.type("x")
    tab.says(".nin-findings li.error", "kernelx")
    tab.page.wait_for_selector(".nin-right.nin-old .nin-layers")
    tab.says(".nin-stale", "from before")
    tab.holds(".cm-content .nin-error", ["kernelx"])
    put_cursor(tab, "classes")
    tab.page.locator(".nin-findings li.error", has_text="kernelx").first.click()
    line = f"{VIEW}.state.doc.lineAt({VIEW}.state.selection.main.head).text"
    tab.page.wait_for_function(f"{line}.includes('kernelx')")
    put_cursor(tab, "    kernelx")
    tab.page.keyboard.press("Backspace")
    tab.page.wait_for_selector(".nin-right:not(.nin-old)")
    tab.holds(".cm-content .nin-error", [])


def test_a_row_leads_to_its_line(opened: Open) -> None:
    """A click on a layer puts the cursor on the line that asked for it."""
    _, tab = opened("nin_cifar")
    tab.page.locator(".nin-layers tr", has_text="blocks.1.pool").click()
    (line,) = [r.line for r in compile_network("nin_cifar").table.rows if r.name == "blocks.1.pool"]
    tab.page.wait_for_function(f"{VIEW}.state.doc.lineAt({VIEW}.state.selection.main.head).number === {line}")


def test_a_button_applies_a_fix(opened: Open, tmp_path: Path) -> None:
    """The text is that of `check --fix --unsafe-fixes`, the finding is gone, and Ctrl-Z takes it back."""
    text = "".join(f"{line.partition('# nin:')[0]}\n" for line in (SHIPPED / "nin_cifar.yaml").read_text().splitlines())
    (tmp_path / "mine.yaml").write_text(text)
    _, tab = opened("mine.yaml")
    fixed = fix(compile_network(_spec(text)), lambda finding: finding.code is Code.SCORE_ACTIVATION)
    assert fixed.done
    tab.page.get_by_role("button", name="Fix NIN901").click()
    tab.says(".q-notification", "fixed NIN901")
    tab.page.wait_for_function(f"{VIEW}.state.doc.toString().includes('activation: none')")
    assert tab.text() == fixed.text
    tab.page.locator(".nin-findings", has_text="NIN901").wait_for(state="detached")
    tab.says(".nin-title code", fixed.network.hash)
    put_cursor(tab, "name: nin_cifar")
    tab.page.keyboard.press("Control+z")
    tab.says(".nin-findings b", "NIN901")
    assert tab.text() == text
    assert (tmp_path / "mine.yaml").read_text() == text


def test_a_finding_is_reached_by_keyboard(opened: Open) -> None:
    """Its position is a button; the table is a tab stop, and its rows are not."""
    _, tab = opened("nin_cifar")
    put_cursor(tab, "    kernel")
    tab.page.keyboard.type("x")
    tab.says(".nin-findings li.error", "kernelx")
    put_cursor(tab, "classes")
    tab.page.locator("li.error .nin-place").first.focus()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_function(f"{VIEW}.state.doc.lineAt({VIEW}.state.selection.main.head).text.includes('kernelx')")
    assert tab.page.locator(".nin-right [tabindex='0']:not(button)").all_inner_texts() == [
        tab.page.locator(".nin-table").inner_text()
    ]


@pytest.mark.parametrize(("scheme", "window"), LOOKS)
def test_nothing_hinders_people(opened: Open, tmp_path: Path, scheme: str, window: str) -> None:
    """No violation of axe's rules: with errors, with findings, with a message, and with the dialog of a conflict."""
    path = tmp_path / "mine.yaml"
    text = (SHIPPED / "nin_cifar.yaml").read_text()
    path.write_text(text)
    _, tab = opened("mine.yaml", color_scheme=scheme, viewport=WIDTHS[window])
    tab.page.wait_for_function(f"document.body.classList.contains('body--{scheme}')")
    tab.replace(text.replace("kernel:", "kernal:", 1))
    tab.says(".nin-findings li.error", "kernal")
    tab.settle()
    assert violations(tab.page) == []
    assert tab.page.evaluate("document.documentElement.scrollWidth") == WIDTHS[window]["width"]
    tab.replace(text.replace("# nin", "#"))
    tab.says(".nin-findings li.warning", "NIN901")
    tab.page.get_by_role("button", name="Save").click()
    tab.says(".q-notification", "saved mine.yaml")
    tab.settle()
    assert violations(tab.page) == []
    path.write_text(text)
    tab.page.get_by_role("button", name="Save").click()
    tab.says(".nin-difference", "nin: ignore")
    tab.settle()
    assert violations(tab.page) == []


def test_keys_are_completed_and_explained(opened: Open) -> None:
    """Ctrl-Space proposes what fits; the mouse over a key says what it means."""
    _, tab = opened("new.yaml")
    put_cursor(tab, "ceil_mode: true")
    tab.page.keyboard.type(", pad", delay=30)
    tab.page.keyboard.press("Control+Space")
    tab.accept("padding")
    tab.page.keyboard.type("1")
    assert "ceil_mode: true, padding: 1}" in tab.text()
    tab.page.locator(".cm-line", has_text="ceil_mode").locator("span", has_text="ceil_mode").first.hover()
    tab.says(".nin-explain", "partial window")


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.long)])
def test_bad_specs_are_borne(opened: Open, tmp_path: Path, every: int) -> None:
    """Each of the corpus pasted over the other: its code is listed, and neither side says a word more."""
    shutil.copytree(CORPUS, tmp_path, dirs_exist_ok=True)
    _, tab = opened("nin_digits")
    for path in BAD[::every]:
        tab.replace(path.read_bytes().decode("latin-1"))
        code = path.stem.partition("_")[0]
        tab.says(".nin-findings li.error b", "NIN" if code == "NIN004" else code)
    tab.replace((SHIPPED / "nin_digits.yaml").read_text())
    tab.says(".nin-title", compile_network("nin_digits").hash)
    tab.page.wait_for_selector(".nin-right:not(.nin-old)")


def test_ctrl_s_saves(opened: Open, tmp_path: Path) -> None:
    """The file has what the editor has; the mark of unsaved changes comes and goes; leaving asks while it is there."""
    path = tmp_path / "mine.yaml"
    path.write_text((SHIPPED / "nin_digits.yaml").read_text())
    _, tab = opened("mine.yaml")
    unsaved = tab.page.locator(".nin-unsaved")
    assert not unsaved.is_visible()
    put_cursor(tab, "name: nin_digits")
    tab.page.keyboard.type("_2")
    unsaved.wait_for()
    tab.page.wait_for_function("window.onbeforeunload !== null")
    tab.page.keyboard.press("Control+s")
    unsaved.wait_for(state="hidden")
    assert path.read_text() == tab.text()
    assert "name: nin_digits_2" in path.read_text()
    tab.page.wait_for_function("window.onbeforeunload === null")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_file_changed_meanwhile_is_reported_and_not_overwritten(opened: Open, tmp_path: Path) -> None:
    """The dialog shows the difference; taking the file's text and replacing it by mine do what they say."""
    path = tmp_path / "mine.yaml"
    text = (SHIPPED / "nin_digits.yaml").read_text()
    path.write_text(text)
    _, tab = opened("mine.yaml")
    theirs = text.replace("name: nin_digits", "name: theirs")
    path.write_text(theirs)
    tab.page.get_by_role("button", name="changed on disk").wait_for()
    put_cursor(tab, "name: nin_digits")
    tab.page.keyboard.type("_mine")
    tab.page.keyboard.press("Control+s")
    tab.says(".nin-difference", "+name: nin_digits_mine")
    assert path.read_text() == theirs
    tab.page.get_by_role("button", name="Use the file's").click()
    tab.says(".nin-title h2", "theirs")
    assert tab.text() == theirs

    newer = text.replace("name: nin_digits", "name: newer")
    path.write_text(newer)
    put_cursor(tab, "name: theirs")
    tab.page.keyboard.type("_mine")
    tab.page.keyboard.press("Control+s")
    tab.says(".nin-difference", "-name: newer")
    tab.page.get_by_role("button", name="Replace it with mine").click()
    tab.says(".q-notification", "saved mine.yaml")
    assert path.read_text() == tab.text() == text.replace("name: nin_digits", "name: theirs_mine")


def test_a_shipped_spec_becomes_a_copy(opened: Open, tmp_path: Path) -> None:
    """Saved in the folder where the command runs."""
    before = (SHIPPED / "nin_digits.yaml").read_bytes()
    _, tab = opened("nin_digits")
    tab.page.get_by_role("button", name="Save").click()
    tab.says(".q-notification", "saved nin_digits.yaml")
    assert (tmp_path / "nin_digits.yaml").read_bytes() == before


def test_tables_and_files_are_taken_away(opened: Open, tmp_path: Path) -> None:
    """A table at once, the proved ONNX file when it is made; the folder stays as it was, and no file of it runs."""
    import json

    traps = [tmp_path / f"{name}.py" for name in ("click", "json", "torch")]
    for trap in traps:
        trap.write_text("from pathlib import Path; Path('sprung').touch(); raise ImportError")
    _, tab = opened("nin_digits")
    page = tab.page
    for item, name in (("Table, JSON", "nin_digits.json"), ("ONNX, with parity proof", "nin_digits.onnx")):
        page.get_by_role("button", name="Export").click()
        with page.expect_download(timeout=60_000) as download:
            page.get_by_text(item).click()
        assert download.value.suggested_filename == name
        data = Path(download.value.path()).read_bytes()
        if name.endswith(".json"):
            assert json.loads(data)["hash"] == compile_network("nin_digits").hash
        else:
            assert b"nin_spec.hash" in data
            tab.says(".nin-log", "parity")
            put_cursor(tab, "name: ")
    page.get_by_role("button", name="Close").click()
    assert sorted(tmp_path.iterdir()) == traps


def test_others_are_refused(opened: Open) -> None:
    """Another name of this machine, another site's page, and who has no key, at the page and at its socket."""
    import http.client

    studio, _ = opened("nin_digits")
    key = studio.address.partition("key=")[2]
    own = f"127.0.0.1:{studio.port}"
    for path in ("/", "/studio/editor.js", "/_nicegui_ws/socket.io/?EIO=4&transport=polling"):
        with_key = f"{path}{'&' if '?' in path else '?'}key={key}"
        asked: list[tuple[str, dict[str, str], bool]] = [
            (path, {"Host": own}, False),
            (with_key, {"Host": f"evil.example:{studio.port}"}, False),
            (with_key, {"Host": own, "Origin": "http://evil.example"}, False),
            (with_key, {"Host": own, "Origin": f"http://{own}"}, True),
        ]
        for target, headers, welcome in asked:
            connection = http.client.HTTPConnection("127.0.0.1", studio.port, timeout=10)
            connection.request("GET", target, headers=headers)
            assert (connection.getresponse().status != 403) is welcome, (target, headers)
            connection.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_light_and_dark(opened: Open, scheme: str) -> None:
    """As the system says, until the button says otherwise; nothing comes from elsewhere."""
    _, tab = opened("nin_digits", color_scheme=scheme)
    dark = "document.body.classList.contains('body--dark')"
    tab.page.wait_for_function(f"{dark} === {str(scheme == 'dark').lower()}")
    tab.page.get_by_role("button", name="light or dark").click()
    tab.page.wait_for_function(f"{dark} === {str(scheme != 'dark').lower()}")


def test_nothing_is_loaded_from_elsewhere(browser: Any, tmp_path: Path) -> None:
    """Every request of the page goes to the studio itself."""
    with running(tmp_path, "nin_digits") as studio:
        page = browser.new_page()
        hosts: set[str] = set()
        page.on("request", lambda r: hosts.add(r.url.split("/")[2]) if r.url.startswith("http") else None)
        page.goto(studio.address)
        page.wait_for_selector(".nin-layers tr")
        page.close()
        assert hosts == {f"127.0.0.1:{studio.port}"}


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    """At once, with exit code 0 and no word."""
    pytest.importorskip("nicegui", reason="the studio is tested where its extra is installed")
    studio = Studio(tmp_path, "nin_digits")
    assert studio.end() == 0
    assert studio.lines == ["press Ctrl-C to stop\n"]
