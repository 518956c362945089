"""The page at /, in a real browser where there is one (pip install playwright; a Chromium on the path)."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from server_process import ask, running, small_models_served

import nin_spec
from nin_spec.serving.http.page import html

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


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
    api = pytest.importorskip("playwright.sync_api", reason="the page is tested where playwright is installed")
    if CHROMIUM is None:
        pytest.skip("the page is tested where a Chromium is installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


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


@pytest.mark.parametrize("options", [{}, {"viewport": {"width": 360, "height": 640}, "color_scheme": "dark"}])
def test_a_person_chooses_a_picture_and_sees_the_answer(
    browser: Any, digits: int, picture: Path, options: dict[str, Any]
) -> None:
    """Five classes with their probabilities, the layers, no error; also dark, on a phone."""
    context = browser.new_context(**options)
    tab = context.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.goto(f"http://127.0.0.1:{digits}/")
    tab.wait_for_selector("#layers tbody tr")
    tab.set_input_files("#file", str(picture))
    tab.wait_for_selector("#answer tbody tr")
    assert tab.locator("#answer tbody tr").count() == 5
    assert tab.locator("#answer tbody tr td").nth(1).inner_text().endswith(" %")
    assert tab.locator("#layers tbody tr").count() == len(nin_spec.compile("nin_digits").table.rows)
    assert "digits, version 1" in tab.locator("#says").inner_text()
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
    background = tab.evaluate("getComputedStyle(document.documentElement).colorScheme")
    assert background == "light dark"
    assert errors == []
    context.close()


def test_a_picture_is_dropped(browser: Any, digits: int, picture: Path) -> None:
    """As a person drags a file onto the page; anything but a picture is refused with a message."""
    tab = browser.new_page()
    tab.goto(f"http://127.0.0.1:{digits}/")
    tab.wait_for_selector("#layers tbody tr")
    drop = """([bytes, type]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "file", {type}));
        document.getElementById("drop").dispatchEvent(
            new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
    }"""
    tab.evaluate(drop, [list(picture.read_bytes()), "image/png"])
    tab.wait_for_selector("#answer tbody tr")
    tab.evaluate(drop, [list(b"no picture"), "text/plain"])
    tab.wait_for_selector("#says.error")
    assert "not a picture" in tab.locator("#says").inner_text()
    assert tab.locator("#answer tbody tr").count() == 0
    tab.close()


def test_a_person_sees_where_a_class_fires(browser: Any, digits: int, picture: Path) -> None:
    """The map of the best class on the picture, that of another under the pointer, and the score of a cell."""
    tab = browser.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.goto(f"http://127.0.0.1:{digits}/")
    tab.wait_for_selector("#layers tbody tr")
    tab.set_input_files("#file", str(picture))
    tab.wait_for_selector("#answer tbody tr")
    assert tab.locator("#maps").is_hidden()
    tab.select_option("#model", "maps:1")  # which is asked about the same picture
    tab.wait_for_selector("#maps:not([hidden])")
    answer = ask(digits, "POST", "/v2/models/maps/explain?class=all", picture.read_bytes())[2]
    classes = json.loads(answer)["classes"]
    told = tab.locator("#cell")
    assert told.inner_text() == (
        f"{classes[0]['label']}, score {_four(tab, classes[0]['score'])}: the map's mean is the score, of 4×4 cells"
    )
    tab.locator("#answer tbody tr").nth(1).hover()
    assert told.inner_text().startswith(f"{classes[1]['label']}, score ")
    assert tab.locator("#answer tr.chosen").count() == 1
    tab.locator("#map").scroll_into_view_if_needed()
    box = tab.locator("#map").bounding_box()
    # A cell stands around the middle of its field: the first one half a pixel to the right of the picture's corner.
    for row, column in ((0, 0), (3, 1)):
        x, y = ((2 * k + 1) / 8 for k in (column, row))
        tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        value = _four(tab, classes[1]["map"][row][column])
        assert told.inner_text().startswith(f"{classes[1]['label']}, row {row}, column {column}: {value}; score ")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"
    assert errors == []
    tab.close()


def _four(tab: Any, number: float) -> str:
    """Four digits, as the browser writes them."""
    return str(tab.evaluate("number => number.toPrecision(4)", number))


def test_the_page_asks_for_the_token(browser: Any, tmp_path: Path, picture: Path) -> None:
    """Where the server has one, the page has a field for it."""
    path = tmp_path / "digits.onnx"
    nin_spec.export(nin_spec.compile("nin_digits").initialise(0), "onnx", path, parity=False)
    with running(f"digits={path}", environment={"NIN_SPEC_TOKEN": "s3cret"}) as server:
        tab = browser.new_page()
        tab.goto(f"http://127.0.0.1:{server.port}/")
        tab.wait_for_selector("#token")
        tab.fill("#token", "s3cret")
        tab.press("#token", "Tab")
        tab.wait_for_selector("#layers tbody tr")
        tab.set_input_files("#file", str(picture))
        tab.wait_for_selector("#answer tbody tr")
        tab.close()
