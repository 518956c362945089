"""A diagram looks the same in every viewer: its SVG drawn by CairoSVG, librsvg and Chromium, and its PDF and PNG."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nin_spec.cli import execute
from nin_spec.diagrams import svg
from nin_spec.diagrams.palette import DARK, LIGHT
from nin_spec.network import compile as compile_network
from nin_spec.seals import Kind, kind_of

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
RSVG = shutil.which("rsvg-convert")
SUBJECT = "nin_digits"
Pixels = NDArray[np.int64]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:cairocffi")


def pixels(data: bytes) -> Pixels:
    """The colours of a PNG."""
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"), np.int64)


def textless(text: str) -> str:
    """The same picture without its texts: each viewer has its own fonts."""
    return re.sub(r"<text.*?</text>", "", text)


@pytest.fixture(scope="module")
def cairo() -> Pixels:
    """The picture without texts, as CairoSVG draws it."""
    cairosvg = pytest.importorskip("cairosvg", exc_type=(ImportError, OSError))  # type: ignore[arg-type]
    return pixels(cairosvg.svg2png(textless(svg(compile_network(SUBJECT))).encode()))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium."""
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


def photograph(browser: Any, path: Path, size: Pixels, **how: str) -> Pixels:
    """What the browser shows of a file, as large as another picture."""
    height, width, _ = size.shape
    page = browser.new_page(viewport={"width": width, "height": height}, **{"color_scheme": "light", **how})
    page.goto(path.as_uri())
    shot: bytes = page.screenshot()
    page.close()
    return pixels(shot)


def require_alike(first: Pixels, second: Pixels) -> None:
    """Of one size, and the same but for the pixels of edges, which viewers smooth each in its own way."""
    assert first.shape == second.shape
    differs = np.abs(first - second).max(axis=2) > 48
    assert differs.mean() < 0.004
    assert not (
        differs[1:-1, 1:-1] & differs[:-2, 1:-1] & differs[2:, 1:-1] & differs[1:-1, :-2] & differs[1:-1, 2:]
    ).any()


def test_the_colours_are_those_of_the_palette(cairo: Pixels) -> None:
    """Not black: the ground, the cards and each family cover what the drawing gives them."""
    for name in ("ground", "card", "input", "conv", "mix", "activation"):
        colour = [int(LIGHT[name][k : k + 2], 16) for k in (1, 3, 5)]
        assert (np.abs(cairo - colour).max(axis=2) <= 2).sum() >= 60, name
    assert not (cairo.max(axis=2) < 40).any()


@pytest.mark.skipif(RSVG is None, reason="rsvg-convert is not installed")
def test_librsvg_draws_it_alike(cairo: Pixels) -> None:
    """What GNOME, ImageMagick and Wikipedia draw with."""
    text = textless(svg(compile_network(SUBJECT))).encode()
    require_alike(cairo, pixels(subprocess.run([str(RSVG)], input=text, capture_output=True, check=True).stdout))


def test_a_browser_draws_it_alike(cairo: Pixels, browser: Any, tmp_path: Path) -> None:
    """In light mode; in dark mode it has the dark colours."""
    path = tmp_path / "a.svg"
    path.write_text(textless(svg(compile_network(SUBJECT))))
    require_alike(cairo, photograph(browser, path, cairo))
    dark = photograph(browser, path, cairo, color_scheme="dark")
    assert [f"#{''.join(f'{c:02x}' for c in dark[at])}" for at in ((2, 2), (12, 40))] == [DARK["ground"], DARK["card"]]


def test_viewers_without_variables_see_no_variable() -> None:
    """Outside @supports, which they pass over, no colour is a variable."""
    text = svg(compile_network(SUBJECT))
    style = re.findall(r"<style>(.*?)</style>", text)
    assert len(style) == 1
    assert style[0].startswith("@supports (fill:var(--ink)){")
    assert style[0].endswith("}")
    assert style[0].count("{") == style[0].count("}")
    assert "var(" not in text.replace(style[0], "")


def test_every_text_is_drawn(cairo: Pixels) -> None:
    """Where a text stands, the whole picture has ink that the one without texts lacks."""
    cairosvg = pytest.importorskip("cairosvg")
    text = svg(compile_network(SUBJECT))
    whole = pixels(cairosvg.svg2png(text.encode()))
    found = re.findall(r'<text [^>]*?x="([-\d.]+)" y="([-\d.]+)"([^>]*)>', text)
    assert len(found) > 30
    for x, y, rest in found:
        left, base = round(float(x)) + 10, round(float(y)) + 10
        start = left - 8 if "middle" in rest else left
        place = (slice(base - 9, base + 1), slice(start, start + 16))
        assert np.abs(whole[place] - cairo[place]).max() > 60


def test_the_pdf_is_the_svg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cairo: Pixels) -> None:
    """One page of its size with the network's name and fonts inside; the same bytes each time."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.pdf", "b.pdf"):
        assert execute(["export", SUBJECT, "-o", name]) == 0
    data = Path("a.pdf").read_bytes()
    assert data == Path("b.pdf").read_bytes()
    assert kind_of(Path("a.pdf")) is Kind.PDF
    assert data.startswith(b"%PDF-1.")
    assert f"/Title ({SUBJECT})".encode() in data
    assert b"/FontFile" in data
    width, height = (float(value) for value in re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", data)[0])
    assert (round(width / 0.75), round(height / 0.75)) == pytest.approx((cairo.shape[1], cairo.shape[0]), abs=1)


def test_the_png_is_the_svg_twice_as_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cairo: Pixels) -> None:
    """A sealed PNG, with the colours of the SVG where nothing is written."""
    pytest.importorskip("cairosvg")
    monkeypatch.chdir(tmp_path)
    assert execute(["export", SUBJECT, "--diagram", "png"]) == 0
    path = Path(f"{SUBJECT}.png")
    assert kind_of(path) is Kind.PNG
    drawn = pixels(path.read_bytes())
    assert np.abs(np.array(drawn.shape[:2]) - 2 * np.array(cairo.shape[:2])).max() <= 1
    assert (drawn[4, 4] == cairo[2, 2]).all()
    assert (drawn[24, 80] == cairo[12, 40]).all()


@pytest.mark.parametrize("missing", ["cairosvg", "libcairo"])
def test_what_is_missing_is_named(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The extra, or the library below it; nothing is written."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "cairosvg"]:
        monkeypatch.delitem(sys.modules, name)
    if missing == "libcairo":
        (tmp_path / "cairosvg").mkdir()
        (tmp_path / "cairosvg" / "__init__.py").write_text("raise OSError('no library called cairo')")
        monkeypatch.syspath_prepend(tmp_path)
    else:
        monkeypatch.setattr(sys, "meta_path", [_Without(), *sys.meta_path])
    assert execute(["export", SUBJECT, "--diagram", "pdf", "-o", "a.pdf"]) == 2
    err = capsys.readouterr().err
    assert "NIN705" in err
    assert {"cairosvg": "nin-spec[paper]", "libcairo": "libcairo2"}[missing] in err
    assert not Path("a.pdf").exists()


class _Without:
    """An import system in which CairoSVG is not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == "cairosvg":
            raise ModuleNotFoundError(f"No module named {name!r}", name="cairosvg")
