"""The page: in a real browser, offline, it scores pictures as onnxruntime does."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe import violations
from browsers import CHROMIUM
from PIL import Image

import nin_spec
from nin_spec.browser.contents import facts
from nin_spec.browser.exporter import PageExporter, PageOptions
from nin_spec.browser.pass_order import rows_first
from nin_spec.browser.runtime_files import RELEASES
from nin_spec.cli import execute
from nin_spec.exporter import Artifact, find
from nin_spec.model import Model
from nin_spec.pictures import frame_of, preprocess, to_frame
from nin_spec.runtime.session import Session, open_session
from nin_spec.seals import Kind, kind_of

VARIABLE = "ORT_WEB"
"""The environment variable with the path of onnxruntime-web, which else is looked for where `.ci/programs` puts it."""


def found_runtime() -> str | None:
    """The folder or the archive of the npm package onnxruntime-web."""
    beside = [str(Path(folder).parent / "onnxruntime-web") for folder in os.get_exec_path() if folder]
    return next((path for path in [os.environ.get(VARIABLE, ""), *beside] if path and Path(path).exists()), None)


RUNTIME = found_runtime()
SOFTWARE_3D = ("--enable-unsafe-swiftshader",)
SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
SMALL = """\
spec: 1
name: small
input:
  channels: 3
  size: [12, 10]
  preprocess: {mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.4], color: bgr, resize: {kind: crop, shorter: 14}, layout: CHW}
classes: ["<script>alert(1)</script>", dog, cat]
blocks:
  - {channels: [6, 5], kernel: 3, padding: 1, pool: {kind: max, kernel: 2}}
  - {channels: [5, classes], kernel: 3, padding: 1, activation: none}
head: {pool: global_avg, output: softmax}
"""
"""A network with every part of the contract for pictures: another order of colours and axes, a crop, two sides."""

needs_runtime = pytest.mark.skipif(
    RUNTIME is None,
    reason=f"needs onnxruntime-web ({RELEASES[0].version}, of npm) beside a program of the path, or in {VARIABLE}",
)


def model_of(subject: str) -> Model:
    """A model with fresh weights."""
    text = nin_spec.loads(SMALL) if subject == "small" else subject
    return nin_spec.compile(text).initialise(3)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The page of a subject, made once."""
    folder, made = tmp_path_factory.mktemp("pages"), dict[tuple[str, str], Path]()

    def page(subject: str, compute: str = "wasm") -> Path:
        if (subject, compute) not in made:
            options = PageOptions.model_validate({"runtime_files": RUNTIME, "compute": compute})
            (data,) = PageExporter().export(model_of(subject), options).files.values()
            made[subject, compute] = folder / f"{subject}_{compute}.html"
            made[subject, compute].write_bytes(data)
        return made[subject, compute]

    return page


@pytest.fixture(scope="module")
def launch() -> Iterator[Any]:
    """Starts a Chromium with more arguments."""
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as playwright:
        opened = dict[tuple[str, ...], Any]()

        def start(*more: str) -> Any:
            if more not in opened:
                args = ["--no-sandbox", *more]
                opened[more] = playwright.chromium.launch(executable_path=CHROMIUM, args=args)
            return opened[more]

        yield start
        for browser in opened.values():
            browser.close()


class Shown:
    """A page in a browser: what it requested and complained of, and the scores that it shows."""

    def __init__(self, browser: Any, path: Path, **how: Any) -> None:
        self.page = browser.new_page(**how)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("body[data-ready]", timeout=60_000)
        self.pictures = 0

    def scores(self, data: bytes) -> list[float]:
        """The scores of a picture, in the order of the classes."""
        self.page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": data})
        self.pictures += 1
        self.page.wait_for_selector(f'body[data-pictures="{self.pictures}"]', timeout=60_000)
        found = self.page.eval_on_selector_all(
            "#classes button", "all => all.map(b => [Number(b.dataset.class), Number(b.dataset.score)])"
        )
        return [score for _, score in sorted(found)]


def pictures(count: int, channels: int = 3) -> Iterator[bytes]:
    """PNG files of many sizes, smaller and larger than the input, gray ones among them; 4 channels are transparent."""
    rng = np.random.default_rng(5)
    for number in range(count):
        height, width = rng.integers(14, 60, 2) if number % 4 else (45, 17)
        coarse = rng.integers(0, 256, (5, 4, 1 if number % 3 == 1 else channels), np.uint8)
        picture = Image.fromarray(coarse[..., 0] if coarse.shape[2] == 1 else coarse)
        data = io.BytesIO()
        picture.resize((int(width), int(height)), Image.Resampling.NEAREST).save(data, "PNG")
        yield data.getvalue()


def expected(model: Model, session: Session, data: bytes) -> Any:
    """What onnxruntime computes of a picture that Pillow brought to the input's size."""
    card, shape = model.card, model.graph.input.shape
    frame = frame_of((shape[0], shape[1], shape[2]), card.preprocessing)
    x = preprocess(to_frame(Image.open(io.BytesIO(data)), frame), card.preprocessing, shape[0], np.float32)
    return session.run(x[None])[0]


def compare(shown: Shown, subject: str, count: int, channels: int = 3) -> None:
    """Each score to 1e-5."""
    model = model_of(subject)
    onnx = find("onnx")
    (graph,) = onnx.export(model, onnx.Options()).files.values()
    session = open_session(graph, device="cpu", threads=1)
    for data in pictures(count, channels):
        assert shown.scores(data) == pytest.approx(expected(model, session, data).tolist(), abs=1e-5)


@needs_runtime
@pytest.mark.parametrize("subject", ["nin_digits", "small"])
def test_the_scores_are_those_of_onnxruntime(subject: str, pages: Any, launch: Any) -> None:
    """On pictures of several sizes, without a request or a complaint."""
    shown = Shown(launch(), pages(subject))
    compare(shown, subject, 2)
    assert shown.requests == [pages(subject).as_uri()]
    assert shown.complaints == []
    shown.page.close()


@needs_runtime
def test_transparency_is_dropped(pages: Any, launch: Any) -> None:
    """With the colours under it kept, as nin_spec.pictures does; where the browser can't, the page says so."""
    shown = Shown(launch(*SOFTWARE_3D), pages("small"))
    compare(shown, "small", 1, channels=4)
    gif = io.BytesIO()
    clear = Image.new("P", (16, 16), 1)
    clear.putpixel((3, 3), 0)
    clear.save(gif, "GIF", transparency=0)
    shown.page.set_input_files("#file", {"name": "a.gif", "mimeType": "image/gif", "buffer": gif.getvalue()})
    shown.page.wait_for_selector('body[data-pictures="2"]')
    assert "a.gif can't be classified: it is transparent" in shown.page.text_content("#status")
    shown.page.close()


@needs_runtime
@pytest.mark.long
@pytest.mark.parametrize("subject", ["nin_digits", "small"])
def test_on_a_hundred_pictures(subject: str, pages: Any, launch: Any) -> None:
    """The same."""
    shown = Shown(launch(), pages(subject))
    compare(shown, subject, 100)
    shown.page.close()


@needs_runtime
@pytest.mark.long
def test_with_webgpu(pages: Any, launch: Any) -> None:
    """On the software adapter of Chromium."""
    shown = Shown(launch(*SOFTWARE_GPU), pages("nin_digits", "webgpu"))
    if shown.page.get_attribute("body", "data-ready") != "WebGPU":
        pytest.skip("this Chromium has no WebGPU adapter")
    compare(shown, "nin_digits", 3)
    shown.page.close()


@needs_runtime
def test_without_webgpu_the_page_uses_webassembly(pages: Any, launch: Any) -> None:
    """Where the browser has no adapter."""
    shown = Shown(launch("--disable-features=WebGPU", "--disable-gpu"), pages("nin_digits", "webgpu"))
    assert shown.page.get_attribute("body", "data-ready") == "WebAssembly"
    compare(shown, "nin_digits", 1)
    shown.page.close()


@needs_runtime
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(scheme: str, pages: Any, launch: Any) -> None:
    """As wide as the screen, in its colours; a class that is chosen shows its map; labels are text."""
    shown = Shown(launch(), pages("small"), viewport={"width": 375, "height": 700}, color_scheme=scheme)
    assert shown.scores(next(pictures(1)))
    page = shown.page
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(17, 22, 29)" if scheme == "dark" else "rgb(255, 255, 255)")
    before = page.evaluate("document.querySelector('#picture').toDataURL()")
    assert "<script>alert(1)</script>" in page.text_content("#classes")
    page.click("#classes button")
    assert page.get_attribute("#classes button", "aria-pressed") == "true"
    assert page.evaluate("document.querySelector('#picture').toDataURL()") != before
    assert shown.complaints == []
    page.close()


@needs_runtime
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_hinders_people(scheme: str, pages: Any, launch: Any) -> None:
    """With classes and the diagram shown."""
    shown = Shown(launch(), pages("small"), color_scheme=scheme)
    assert shown.scores(next(pictures(1)))
    shown.page.click("summary")
    assert violations(shown.page) == []
    shown.page.close()


@needs_runtime
def test_what_is_not_a_picture_is_reported(pages: Any, launch: Any) -> None:
    """In the page; the next picture is classified."""
    shown = Shown(launch(), pages("small"))
    shown.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"none"})
    shown.pictures = 1
    shown.page.wait_for_selector('body[data-pictures="1"]')
    assert "a.png can't be classified" in shown.page.text_content("#status")
    assert len(shown.scores(next(pictures(1)))) == 3
    shown.page.close()


@needs_runtime
def test_the_policy_allows_nothing_else(pages: Any) -> None:
    """Its hashes are those of the script and the styles, and no attribute names another file."""
    text = pages("nin_digits").read_text()
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0]
    assert policy.startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "connect-src" not in policy
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy.replace("wasm-unsafe-eval", "")
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*\b(?:src|href)=", text)


@needs_runtime
def test_export_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Proved as an ONNX file is, and sealed."""
    monkeypatch.chdir(tmp_path)
    assert execute(["export", "nin_digits", "--page", "--runtime-files", str(RUNTIME)]) == 0
    assert kind_of(Path("nin_digits.html")) is Kind.PAGE
    out = capsys.readouterr()
    assert "parity on CPUExecutionProvider" in out.out
    assert f"with onnxruntime-web {RELEASES[0].version}" in out.err
    assert Path("nin_digits.html").stat().st_size < 6_000_000


def test_without_the_runtime_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The diagnostic has the command that gets it."""
    monkeypatch.chdir(tmp_path)
    assert execute(["export", "nin_digits", "--page"]) == 2
    err = capsys.readouterr().err
    assert "NIN601" in err
    assert f"npm pack onnxruntime-web@{RELEASES[0].version}" in err
    assert execute(["export", "nin_digits", "--page", "--runtime-files", "x.tgz"]) == 2
    assert "x.tgz does not exist" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_a_network_without_pictures_is_refused() -> None:
    """Two channels are neither gray nor colours."""
    model = nin_spec.compile("nin_digits", ["input.channels=2", "input.preprocess=null"]).initialise(0)
    with pytest.raises(nin_spec.NinSpecError) as caught:
        PageExporter().export(model, PageOptions.model_validate({}))
    assert "takes 2" in str(caught.value)


def test_from_python_another_precision_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never float32 under another name."""
    monkeypatch.setattr("nin_spec.api.make", lambda *_: Artifact({"x.html": b""}, inside={"the model": b""}))
    with pytest.raises(nin_spec.NinSpecError) as caught:
        nin_spec.export(model_of("small"), "page", tmp_path / "x.html", precision="int8")
    assert "page has no ONNX file of its own" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_facts_are_the_contract() -> None:
    """What the script knows of a network."""
    found = facts(model_of("small"), "wasm")
    assert found["target"] == [14, 14]
    assert (found["channels"], found["height"], found["width"]) == (3, 12, 10)
    assert (found["layout"], found["dtype"], found["resize"]) == ("CHW", "uint8", "crop")
    assert found["output"] == "probabilities"
    assert found["rows_first"] == rows_first()
    assert found["labels"][1:] == ["dog", "cat"]
    assert found["maps"]["jump"] == [2, 2]
