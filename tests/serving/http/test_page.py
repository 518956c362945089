"""The page at /, in a real browser where there is one (pip install playwright; a Chromium on the path)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe import violations
from browsers import LOOKS, WIDTHS, chromium
from PIL import Image
from server_process import ask, running, small_models_served

import nin_spec
from nin_spec.serving.http.page import html

DROP = """([bytes, name, type]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name, {type}));
    document.getElementById("drop").dispatchEvent(
        new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The small models, served."""
    with small_models_served(tmp_path_factory.mktemp("serving")) as port:
        yield port


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server of nin_digits, fresh, and of the same with its class maps."""
    path = tmp_path_factory.mktemp("page") / "digits.onnx"
    model = nin_spec.compile("nin_digits").initialise(0)
    nin_spec.export(model, "onnx", path, parity=False)
    maps = path.with_name("maps.onnx")
    nin_spec.export(model, "onnx", maps, parity=False, outputs="scores,maps")
    with running(f"digits={path}", f"maps={maps}") as server:
        yield server.port


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A digit's size and colour, for any digit."""
    path = tmp_path / "digit.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    with chromium("the page") as browser:
        yield browser


def test_the_page_may_load_nothing_from_elsewhere(port: int) -> None:
    """A strict policy, held in the headers; nothing in the text names another place."""
    status, headers, body = ask(port, "GET", "/")
    policy = headers["content-security-policy"]
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert body == html()[0]
    assert not re.search(rb"https?://|//[a-z]|<(?:script|style) ", body.replace(b"// ", b""))


def test_the_table_is_that_of_the_spec(digits: int) -> None:
    """As `nin-spec build --format json` prints it."""
    table = json.loads(ask(digits, "GET", "/v2/models/digits/table")[2])
    assert table == json.loads(
        json.dumps({**nin_spec.compile("nin_digits").table.as_dict(), "layers": table["layers"]})
    )
    assert [row["name"] for row in table["layers"]] == [r.name for r in nin_spec.compile("nin_digits").table.rows]


class Tab:
    """The page in a browser, as a model's network is shown. An error on its console fails the test."""

    def __init__(self, browser: Any, port: int, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.goto(f"http://127.0.0.1:{port}/")
        self.page.wait_for_selector("#diagram svg")

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        assert kind or not self.errors, self.errors


@pytest.mark.parametrize("options", [{}, {"viewport": {"width": 360, "height": 640}, "color_scheme": "dark"}])
def test_a_person_chooses_a_picture_and_sees_the_answer(
    browser: Any, digits: int, picture: Path, options: dict[str, Any]
) -> None:
    """The picture, five classes with their probabilities as bars, the layers, no error; also dark, on a phone."""
    with Tab(browser, digits, **options) as page:
        page.set_input_files("#file", str(picture))
        page.wait_for_selector("#answer li")
        shares = [text.removesuffix(" %") for text in page.locator("#answer .number").all_inner_texts()]
        bars = page.locator("#answer .track i").evaluate_all(
            "all => all.map(e => parseFloat(e.style.width).toFixed(1))"
        )
        assert len(shares) == 5
        assert bars == shares
        assert page.locator("#shown").is_visible()
        assert page.locator("#layers tbody tr").count() == len(nin_spec.compile("nin_digits").table.rows)
        assert "digits, version 1" in page.locator("#says").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light dark"


def test_the_network_is_drawn(browser: Any, digits: int) -> None:
    """The diagram of `export --diagram svg` in its colours, as wide as the window allows, with a name."""
    with Tab(browser, digits, viewport=WIDTHS["desk"]) as page:
        drawn = page.locator("#diagram svg")
        assert drawn.locator("title").first.text_content() == "nin_digits, drawn to scale"
        assert drawn.locator(".f-ground").evaluate("e => getComputedStyle(e).fill") == "rgb(255, 255, 255)"
        assert drawn.bounding_box()["width"] > 800
        page.set_viewport_size(WIDTHS["phone"])
        page.locator("#diagram svg[width='358']").wait_for()  # the policy forbids playwright to wait for a function
        assert page.evaluate("document.documentElement.scrollWidth") == 390


BAD = {
    "letter.txt": (b"a letter", "letter.txt is not a picture: choose a PNG or JPEG file"),
    "empty.png": (b"", "empty.png is empty: choose a PNG or JPEG file"),
    "drawing.svg": (
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "the server can't decode drawing.svg: choose a PNG or JPEG file",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_a_sentence(browser: Any, digits: int, picture: Path, name: str) -> None:
    """After a good one was dropped: no class stays, and no picture that the browser can't draw."""
    (data, sentence), tab = BAD[name], Tab(browser, digits)
    with tab as page:
        page.evaluate(DROP, [list(picture.read_bytes()), "digit.png", "image/png"])
        page.wait_for_selector("#answer li")
        kind = "image/svg+xml" if name.endswith("svg") else ""
        page.evaluate(DROP, [list(data), name, kind])
        page.wait_for_selector("#says.error")
        assert page.locator("#says").inner_text() == sentence
        assert page.locator("#answer").is_hidden()
        broken = "[...document.images].filter(i => i.checkVisibility() && !i.naturalWidth).length"
        assert page.evaluate(broken) == 0
        tab.errors = [text for text in tab.errors if "status of 400" not in text]  # which the browser reports


def test_a_person_sees_where_a_class_fires(browser: Any, digits: int, picture: Path) -> None:
    """The map of the best class on the picture, that of another under the pointer, and the score of a cell."""
    with Tab(browser, digits) as page:
        page.set_input_files("#file", str(picture))
        page.wait_for_selector("#answer li")
        assert page.locator("#maps").is_hidden()
        page.select_option("#model", "maps:1")  # which is asked about the same picture
        page.wait_for_selector("#maps:not([hidden])")
        answer = ask(digits, "POST", "/v2/models/maps/explain?class=all", picture.read_bytes())[2]
        classes = json.loads(answer)["classes"]
        whose, told = page.locator("#whose"), page.locator("#cell")
        assert whose.inner_text() == classes[0]["label"]
        mean = "the map's mean is the score, of 4×4 cells"
        assert told.inner_text() == f"score {_four(page, classes[0]['score'])}: {mean}"
        page.locator("#answer button").nth(1).hover()
        assert whose.inner_text() == classes[1]["label"]
        assert page.locator("#answer [aria-pressed=true]").all_inner_texts() == [
            page.locator("#answer button").nth(1).inner_text()
        ]
        page.locator("#map").scroll_into_view_if_needed()
        box = page.locator("#map").bounding_box()
        # A cell stands around the middle of its field: the first one half a pixel to the right of the picture's corner.
        for row, column in ((0, 0), (3, 1)):
            x, y = ((2 * k + 1) / 8 for k in (column, row))
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            value = _four(page, classes[1]["map"][row][column])
            assert told.inner_text().startswith(f"row {row}, column {column}: {value}; score ")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"


def test_the_page_is_used_by_keyboard(browser: Any, digits: int, picture: Path) -> None:
    """Tab leads from the picture through the classes to the map; arrows move the cell, and stop at the edge."""
    with Tab(browser, digits) as page:
        page.select_option("#model", "maps:1")
        page.set_input_files("#file", str(picture))
        page.wait_for_selector("#maps:not([hidden])")
        page.focus("#file")
        second = page.locator("#answer .label").nth(1).inner_text()
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.locator("#whose").inner_text() == second
        for _ in range(4):
            page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "map"
        for key, cell in (("ArrowRight", (0, 0)), ("ArrowRight", (0, 1)), ("ArrowDown", (1, 1)), ("ArrowLeft", (1, 0))):
            page.keyboard.press(key)
            assert page.locator("#cell").inner_text().startswith(f"row {cell[0]}, column {cell[1]}: ")
        page.keyboard.press("ArrowLeft")
        assert page.locator("#cell").inner_text().startswith("row 1, column 0: ")
        page.keyboard.press("Tab")
        assert page.locator("#cell").inner_text().startswith("score ")


@pytest.mark.parametrize(("scheme", "window"), LOOKS)
def test_nothing_hinders_people(browser: Any, digits: int, picture: Path, scheme: str, window: str) -> None:
    """No violation of axe's rules: before a picture, with its class maps, and with an error and the token's field."""
    with Tab(browser, digits, viewport=WIDTHS[window], color_scheme=scheme) as page:
        assert violations(page) == []
        page.select_option("#model", "maps:1")
        page.set_input_files("#file", str(picture))
        page.wait_for_selector("#maps:not([hidden])")
        assert violations(page) == []
        page.evaluate("say('letter.txt is not a picture', true); document.getElementById('asks').hidden = false")
        assert violations(page) == []


def _four(page: Any, number: float) -> str:
    """Four digits, as the browser writes them."""
    return str(page.evaluate("number => number.toPrecision(4)", number))


def test_the_page_asks_for_the_token(browser: Any, tmp_path: Path, picture: Path) -> None:
    """Where the server has one, the page has a field for it."""
    path = tmp_path / "digits.onnx"
    nin_spec.export(nin_spec.compile("nin_digits").initialise(0), "onnx", path, parity=False)
    with running(f"digits={path}", environment={"NIN_SPEC_TOKEN": "s3cret"}) as server:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/")
        page.wait_for_selector("#token")
        page.fill("#token", "s3cret")
        page.press("#token", "Tab")
        page.wait_for_selector("#layers tbody tr")
        page.set_input_files("#file", str(picture))
        page.wait_for_selector("#answer li")
        page.close()
