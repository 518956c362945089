"""The report: one page that fetches nothing, whose numbers are those of `build`, and whose texts do no harm."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe import violations
from browsers import LOOKS, WIDTHS, chromium
from PIL import Image

from nin_spec.cli import execute
from nin_spec.language.load import loads
from nin_spec.lint import lint
from nin_spec.named import shipped_names
from nin_spec.network import Network
from nin_spec.network import compile as compile_network
from nin_spec.report import html
from nin_spec.report.about import costs, fields, short
from nin_spec.report.pieces import confusion_svg, curves_svg, steps
from nin_spec.training.evaluated import Evaluated, Whose

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"
VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """What a page holds: its texts, its tags, and whether each is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.places: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.places += [v or "" for k, v in attrs if k in ("src", "href", "action", "data") or k.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nin_digits, trained for two epochs."""
    folder = tmp_path_factory.mktemp("report") / "run"
    assert execute(["train", "nin_digits", "--output", str(folder), "--set", "train.epochs=2"]) == 0
    return folder


def of_run(folder: Path) -> str:
    """The page of a run."""
    from nin_spec.training.folder import open_run

    opened = open_run(folder)
    return html(opened.network, opened).decode()


@pytest.mark.parametrize("name", shipped_names())
def test_a_page_stands_alone(name: str) -> None:
    """It parses, has no scripts, and names nothing to fetch."""
    text = html(compile_network(name)).decode()
    page = Page(text)
    assert not {"script", "img", "iframe", "object", "form"} & set(page.tags)
    assert page.places == ["data:,"]
    assert set(re.findall(r"https?://[^\"]*", text)) <= {"http://www.w3.org/2000/svg", *_links_of(name)}
    assert "@import" not in text
    assert "url(" not in text


def _links_of(name: str) -> list[str]:
    """What the spec itself names, shown as text."""
    from html import escape

    return re.findall(r"https?://[^\"]*", escape(compile_network(name).spec.text))


@pytest.mark.parametrize("name", shipped_names())
def test_the_numbers_are_those_of_build(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Totals and every layer's, as `build --format json` prints them."""
    assert execute(["build", name, "--format", "json"]) == 0
    table = json.loads(capsys.readouterr().out)
    texts = Page(html(compile_network(name)).decode()).texts
    assert table["hash"] in texts
    for key in ("parameters", "macs"):
        assert f"{table['totals'][key]:,}" in texts
        for layer in table["layers"]:
            assert not layer[key] or f"{layer[key]:,}" in texts
    assert all(layer["name"] in texts for layer in table["layers"])


@pytest.mark.parametrize("name", shipped_names())
def test_nothing_is_lost_between_the_bars(name: str) -> None:
    """The bars of a column add up to the network's total, and the longest is full."""
    network = compile_network(name)
    found = costs(network)
    for k, total in ((0, network.table.parameters), (1, network.table.macs)):
        assert sum(int(c.bars[k].text.replace(",", "") or 0) for c in found) == total
    assert [max(c.bars[k].share for c in found) for k in range(3)] == [1, 1, 1]


def test_fields_larger_than_the_input_are_named() -> None:
    """nin_imagenet's head looks at 355 of 224 pixels; its blocks stay inside."""
    found = fields(compile_network("nin_imagenet"))
    assert [(f.name, f.size, f.step, f.beyond) for f in found][-2:] == [
        ("mlpconv4", "195×195", "32", False),
        ("head", "355×355", "32", True),
    ]


def hostile(block: str = "") -> Network:
    """A network whose every free text is an attack; `block` is more of its block."""
    text = json.dumps(HOSTILE)
    spec = f"spec: 1\nname: tiny\nsummary: {text}\ninput: {{channels: 1, size: 8}}\nclasses: [{text}, b]\n"
    return compile_network(loads(f"{spec}blocks: [{{channels: [4, classes], kernel: 3{block}}}] # {HOSTILE}\n"))


def test_texts_do_no_harm() -> None:
    """Markup in a summary, a label or a comment is shown and not obeyed."""
    page = Page(html(hostile()).decode())
    assert not {"script", "img"} & set(page.tags)
    assert HOSTILE in page.texts


def test_lint_is_shown() -> None:
    """Every finding, with its place."""
    network = hostile(", stride: 4")
    found = lint(network)
    texts = " ".join(Page(html(network).decode()).texts)
    assert found
    assert all(f.code.code in texts and f.message in texts for f in found)


# ------------------------------------------------------------------ runs


def test_a_run_is_shown(run: Path) -> None:
    """Its accuracy, curves, data and versions; and how its confusion is had."""
    text = of_run(run)
    record = json.loads((run / "run.json").read_text())
    assert f"{record['final']['test_accuracy']:.2%}" in text
    assert text.count("<polyline") == 5
    assert record["versions"]["torch"] in text
    assert f"<code>nin-spec evaluate {run}</code>" in text


@pytest.fixture
def evaluated(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, dict[str, Any]]:
    """A copy of the run after `evaluate`, and what that printed."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert execute(["evaluate", str(copy), "--format", "json"]) == 0
    return copy, json.loads(capsys.readouterr().out)


def test_an_evaluation_is_shown(evaluated: tuple[Path, dict[str, Any]]) -> None:
    """After `evaluate`, with no other command: every count that is not zero, and a bar for every bin with pictures."""
    run, answer = evaluated
    text = of_run(run)
    counts = [n for row in answer["confusion"] for n in row if n]
    assert sorted(map(int, re.findall(r'class="count[^>]*>(\d+)<', text))) == sorted(counts)
    assert f"{answer['ece']:.4f}" in text
    filled = [b for b in answer["confidence"]["bins"] if b["images"]]
    assert text.count('class="bin"') == text.count('class="count-bar"') == len(filled)
    assert f"{filled[-1]['images']:,} pictures: confidence {filled[-1]['confidence']:.1%}" in text
    Page(text)


def test_the_accuracy_comes_first_and_the_versions_last(evaluated: tuple[Path, dict[str, Any]]) -> None:
    """That of the evaluation on the first tile, or else of the epoch; the versions under the last heading."""
    run, answer = evaluated
    text = of_run(run)
    first = re.search(r'<dl class="figures">\s*<div[^>]*><dt>accuracy</dt><dd>([\d.]+%)<small>(.*?)</small>', text)
    assert first is not None
    assert first.groups() == (f"{answer['accuracy']:.2%}", f"test, {answer['images']} pictures")
    last = text[text.rindex("<h2>") :]
    assert last.startswith("<h2>Data and versions</h2>")
    assert "<dt>torch</dt>" in last
    (run / "evaluation.test.json").unlink()
    assert ">accuracy</dt><dd>" in of_run(run)


# ------------------------------------------------------------------ class maps


def maps_section(text: str) -> str:
    """The section of class maps; empty without one."""
    return text.partition("<h2>What it looks at</h2>")[2].partition("</section>")[0]


def image_of(uri: str) -> Any:
    """The pixels of a data URI."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


def test_class_maps_are_those_of_explain(run: Path, tmp_path: Path) -> None:
    """Each picture is one of the split's, right or wrong as its heading says, with the cells that `explain` finds."""
    from nin_spec.data import open_split
    from nin_spec.explanation import explain
    from nin_spec.pictures import Frame

    split = open_split("digits", "test")
    text = maps_section(of_run(run))
    right, _, wrong = text.partition("<h3>Wrong</h3>")
    for part, is_right in ((right, True), (wrong, False)):
        figures = re.findall(r"<figure.*?</figure>", part, re.DOTALL)
        assert len(figures) == 3
        for figure in figures:
            (index,) = {int(k) for k in re.findall(r"<small>test\[(\d+)\]</small>", figure)}
            picture, *maps = re.findall(r'src="([^"]*)"', figure)
            pixels = split.pictures(np.array([index]), Frame(1, 8, 8))[0, ..., 0]
            assert np.array_equal(image_of(picture), pixels)
            file = tmp_path / f"{index}.png"
            Image.fromarray(pixels).save(file)
            true = split.classes[split.labels[index]]
            (found,) = explain(run, file, ["top", true])
            assert (found.classes[0].label == true) is is_right
            assert re.findall(r'alt="class map of (\d)"', figure) == [one.label for one in found.classes]
            largest = max(abs(one.cells).max() for one in found.classes)
            for one, drawn in zip(found.classes, maps[1::2], strict=True):
                ink = image_of(drawn).astype(float)
                sign = np.where(ink[..., 0] > ink[..., 2], 1, -1)
                assert np.allclose(sign * ink[..., 3] / (255 * 0.75), one.cells / largest, atol=0.01)
    assert len(re.findall("left:-?[0-9.]+%", text)) == 9


def test_no_class_maps_where_there_are_none(tmp_path: Path) -> None:
    """A network whose scores are maxima has no such section; the page is there."""
    folder = tmp_path / "run"
    options = ["--set", "train.epochs=1", "--set", "head.pool=global_max"]
    assert execute(["train", "nin_digits", "--output", str(folder), *options]) == 0
    text = of_run(folder)
    assert "<img" not in text
    assert "What it looks at" not in text


def test_missing_pictures_are_a_sentence(run: Path, tmp_path: Path) -> None:
    """Where the run's data is gone: the reason, and no map."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    record = json.loads((copy / "run.json").read_text())
    record["data"]["location"] = str(tmp_path / "gone")
    (copy / "run.json").write_text(json.dumps(record))
    section = maps_section(of_run(copy))
    assert "No class maps are drawn: " in section
    assert "gone" in section
    assert "<img" not in section


def test_a_run_s_page_stands_alone(run: Path) -> None:
    """Its pictures are in it."""
    page = Page(of_run(run))
    assert not {"script", "iframe", "object", "form"} & set(page.tags)
    assert {place.partition(",")[0] for place in page.places} == {"data:", "data:image/png;base64"}


def test_an_evaluation_of_other_weights_is_not_shown(evaluated: tuple[Path, dict[str, Any]]) -> None:
    """The page says so, and how to have one of these weights."""
    run, answer = evaluated
    assert answer["model"]["weights_sha256"] == hashlib.sha256((run / "last.safetensors").read_bytes()).hexdigest()
    data = bytearray((run / "last.safetensors").read_bytes())
    data[-1] ^= 1
    (run / "last.safetensors").write_bytes(data)
    text = of_run(run)
    assert 'class="bin"' not in text
    assert "evaluation.test.json is an evaluation of other weights, and is not used." in text
    assert f"<code>nin-spec evaluate {run}</code>" in text


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda _: "{", "is damaged"),
        (lambda d: json.dumps(d | {"confusion": [[1, 2]]}), "not a square"),
        (lambda d: json.dumps(d | {"confusion": [[-1]]}), "is damaged"),
        (lambda d: json.dumps(d | {"model": {"hash": "nin1:0"}}), "is damaged"),
    ],
)
def test_a_damaged_evaluation_is_refused(
    run: Path, change: Callable[[dict[str, Any]], str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what is wrong, and exit code 2; nothing is written."""
    whole = {"dataset": "d", "split": "test", "accuracy": 1, "images": 1, "classes": ["a"], "confusion": [[1]]}
    target, stored = run.parent / "page.html", run / "evaluation.test.json"
    stored.write_text(change(whole | {"model": {"hash": "x", "weights_sha256": "y"}}))
    try:
        assert execute(["export", str(run), "--report", str(target)]) == 2
    finally:
        stored.unlink()
    assert why in capsys.readouterr().err
    assert not target.exists()


def test_curves_leave_out_what_is_not_finite() -> None:
    """A diverged run has a curve up to where it diverged, and none where there is nothing to draw."""
    rows = [{"epoch": float(k), "train_loss": v} for k, v in enumerate((2.0, 1.0, float("nan"), float("inf")), 1)]
    (points,) = re.findall(r'<polyline[^>]*points="([^"]*)"', curves_svg(rows, "loss", 2))
    assert len(points.split()) == 2
    assert curves_svg(rows[2:], "loss", None) == ""
    assert "<circle" in curves_svg(rows[:1], "loss", 1)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.3, 0.31), (0, 8e-7), (5, 5), (0, 0), (-3, 40000)])
def test_axes_have_round_numbers_around_the_data(low: float, high: float) -> None:
    """From below the least to above the most, in few steps."""
    found = steps(low, high)
    assert found[0] <= low + 1e-12
    assert found[-1] >= high - 1e-12
    assert 2 <= len(found) <= 8


@pytest.mark.parametrize(("count", "texts"), [(3, 3), (50, 0), (1000, 0)])
def test_many_classes(count: int, texts: int) -> None:
    """Counts are written up to twenty classes, and cells are drawn up to two hundred."""
    table = [[int(i == j) for j in range(count)] for i in range(count)]
    names = [f"<{k}>" for k in range(count)]
    found = Evaluated(
        model=Whose(hash="", weights_sha256=""),
        dataset="",
        split="",
        accuracy=1,
        images=count,
        classes=names,
        confusion=table,
    )
    drawing = confusion_svg(found)
    assert drawing.count('class="count') == texts
    assert drawing.count('class="cell"') == (count if count <= 200 else 0)
    assert "<0>" not in drawing


@pytest.mark.parametrize(
    ("number", "text"), [(7, "7"), (966_986, "967 k"), (1_241_088, "1.24 M"), (1_100_188_800, "1.10 G")]
)
def test_numbers_in_short(number: int, text: str) -> None:
    """Three digits and a unit."""
    assert short(number) == text


def test_a_page_never_takes_the_place_of_a_file_of_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even by force."""
    before = (run / "curves.png").read_bytes()
    assert execute(["export", str(run), "--report", str(run / "curves.png"), "--force"]) == 2
    assert "belongs to the run" in capsys.readouterr().err
    assert (run / "curves.png").read_bytes() == before


# ------------------------------------------------------------------ in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    with chromium("the page") as browser:
        yield browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("subject", ["nin_imagenet", "seed_mlpconv_six_blocks", "run"])
def test_in_a_browser(subject: str, scheme: str, run: Path, browser: Any, tmp_path: Path) -> None:
    """No error on the console, no scrolling sideways at 375 and 1200 pixels, dark where dark is asked for."""
    path = tmp_path / "page.html"
    path.write_bytes(of_run(run).encode() if subject == "run" else html(compile_network(subject)))
    for width in (375, 1200):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        told: list[str] = []
        page.on("console", lambda message, told=told: told.append(message.text))
        page.on("pageerror", lambda error, told=told: told.append(str(error)))
        page.goto(path.as_uri())
        assert told == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        drawn = page.evaluate("getComputedStyle(document.querySelector('.nin-diagram .f-ground')).fill")
        assert ground == drawn == ("rgb(17, 22, 29)" if scheme == "dark" else "rgb(255, 255, 255)")
        page.close()


@pytest.mark.parametrize("subject", ["nin_imagenet", "run"])
def test_nothing_hinders_people(
    subject: str, evaluated: tuple[Path, dict[str, Any]], browser: Any, tmp_path: Path
) -> None:
    """No violation of axe's rules, light and dark, on a phone, a desk and paper."""
    path = tmp_path / "page.html"
    path.write_bytes(of_run(evaluated[0]).encode() if subject == "run" else html(compile_network(subject)))
    for scheme, window in LOOKS:
        page = browser.new_page(viewport=WIDTHS[window], color_scheme=scheme)
        page.goto(path.as_uri())
        assert violations(page) == [], (scheme, window)
        page.close()
    page = browser.new_page()
    page.goto(path.as_uri())
    page.emulate_media(media="print")
    assert violations(page) == []
    page.close()


def test_print_splits_no_cell(run: Path, browser: Any, tmp_path: Path) -> None:
    """What has an edge of its own, a tile, a row, a figure, is kept whole by the page breaks of print."""
    path = tmp_path / "page.html"
    path.write_text(of_run(run))
    page = browser.new_page()
    page.goto(path.as_uri())
    page.emulate_media(media="print")
    script = """[...document.querySelectorAll("tr, td, th, dt, dd, figure, svg, img, .figures > div, .two")]
        .filter(e => getComputedStyle(e).breakInside !== "avoid").map(e => e.outerHTML)"""
    assert page.evaluate(script) == []
    page.close()
