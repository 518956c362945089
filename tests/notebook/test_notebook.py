"""How a notebook shows a result: escaped, complete in itself, readable on light and dark pages, and never too long."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from goldens import assert_golden

import nin_spec
from nin_spec.diagnostics import Code as Codes
from nin_spec.diagnostics import Diagnostic, Findings, Source
from nin_spec.evaluation import Calibrated
from nin_spec.evaluation.agreement import Agreement, Disagreement
from nin_spec.evaluation.comparison import Comparison
from nin_spec.evaluation.metrics import Evaluation, evaluation_of
from nin_spec.evaluation.mistakes import Mistake
from nin_spec.explanation import Explanations
from nin_spec.explanation.result import Outputs, explanation_of
from nin_spec.exporter import make
from nin_spec.importers.decompiler.decompile import Imported
from nin_spec.notebook import LINES, WIDTH, Code, Drawing, Facts, Picture, Table, cut, view
from nin_spec.passes.class_maps import Place
from nin_spec.runtime.metadata import ModelInfo
from nin_spec.sweeps.folder import Record as SweepRecord
from nin_spec.sweeps.load import load_source
from nin_spec.sweeps.results import SweepResult
from nin_spec.sweeps.rows import SweepTrial
from nin_spec.training.folder import DataRecord, Record, Run
from nin_spec.training.settings import TrainSettings
from nin_spec.weights.temperature import FittedTemperature, Quality

GOLDEN = Path(__file__).parent / "goldens" / "view.html"
CLASSES = tuple(f"class {k}" for k in range(1000))
RNG = np.random.default_rng(0)


def network() -> nin_spec.Network:
    """The largest shipped one."""
    return nin_spec.compile("nin_imagenet")


def evaluated() -> Evaluation:
    """An evaluation of as many classes."""
    return evaluation_of(RNG.standard_normal((2000, 1000)), np.arange(2000) % 1000, CLASSES, "scores")


def comparison() -> Comparison:
    """The same, with mistakes and pictures that are seen differently."""
    found = evaluated()
    apart = tuple(Disagreement(k, f"{k}.png", 0, 1, 2, 1e-7) for k in range(20))
    agreement = Agreement(2000, 1900, 1e-6, apart)
    mistakes = tuple(Mistake(k, f"{k}.png", "a", "b", 0.9, 0.1, (0, 1)) for k in range(300))
    return Comparison(found, found, agreement, mistakes=mistakes)


def explanations() -> Explanations:
    """Every class of two pictures."""
    maps = RNG.standard_normal((1000, 2, 2)).astype(np.float32)
    info = ModelInfo(labels=CLASSES, output="scores", maps=Place((4, 4), (4, 4), (0, 0)))
    found = Outputs(maps.mean((1, 2)), maps, "float32")
    pixels = np.zeros((8, 8, 3), np.uint8)
    return Explanations(explanation_of(name, pixels, found, info, ["all"]) for name in ("a.png", "b.png"))


def run() -> Run:
    """A run that is nowhere."""
    data = DataRecord(
        dataset="imagenet",
        location="/data",
        train_fingerprint="a" * 64,
        train_images=1,
        scored_on="test",
        scored_images=1,
    )
    record = Record(
        name="n", hash="h", status="finished", data=data, seed=0, settings=TrainSettings(), versions={}, warnings=["w"]
    )
    return Run(Path("runs/a"), network(), record)


def calibrated() -> Calibrated:
    """A temperature of large evaluations."""
    quality, found = Quality(ece=0.1, loss=1.0, mean_confidence=0.5), evaluated()
    fitted = FittedTemperature(
        temperature=0.5,
        weights_sha256="a" * 64,
        images=1,
        fingerprint="b" * 64,
        accuracy=0.1,
        before=quality,
        after=quality,
        versions={},
    )
    return Calibrated(Path("runs/a/temperature.json"), fitted, found, found, 2000)


def session() -> object:
    """A small model, open."""
    (data,) = make(nin_spec.compile("nin_digits").initialise(), "onnx", {}).files.values()
    return nin_spec.open_session(data, "cpu", 1)


def findings() -> Findings:
    """More than a screen of them."""
    return Findings(Diagnostic(Codes.FILE_NOT_FOUND, f"message {k} " + "long " * 40) for k in range(80))


def imported() -> Imported:
    """A network as an importer returns it."""
    return Imported(network().spec.text, network(), network().initialise())


def swept() -> SweepResult:
    """The trials of a sweep, without its study."""
    text = f"sweep: 1\nbase: nin_digits\nset: {{train.validation: 0.1}}\nspace: {{train.seed: {list(range(300))}}}\n"
    sweep = load_source(Source("many.yaml", text))
    record = SweepRecord(name="many", token="", file="many.yaml", fingerprint="")
    trials = tuple(
        SweepTrial(
            number=k,
            outcome="trained",
            changes=f"train.seed={k}",
            params={},
            values={sweep.objectives[0].name: k / 300},
            facts={"macs": 10_000 - k, "parameters": k},
            metrics={},
            hash=None,
            identity=None,
            folder=None,
            why=None,
        )
        for k in range(300)
    )
    return SweepResult(Path("sweeps/many"), record, sweep, trials, study=None)  # type: ignore[arg-type]


RESULTS: dict[str, Callable[[], object]] = {
    "Model": lambda: network().initialise(),
    "Network": network,
    "NinSpecError": lambda: nin_spec.NinSpecError(findings()),
    "build_module": lambda: nin_spec.build_module(network().initialise()),
    "calibrate": calibrated,
    "compare": lambda: nin_spec.compare(network(), nin_spec.compile("nin_cifar")),
    "compile": network,
    "evaluate": comparison,
    "explain": explanations,
    "import_caffe": imported,
    "import_module": imported,
    "import_onnx": imported,
    "lint": findings,
    "load": lambda: nin_spec.load("nin_imagenet"),
    "loads": lambda: nin_spec.loads(network().spec.text),
    "open_run": run,
    "open_session": session,
    "sweep": swept,
    "train": run,
}
"""What each public name is, or returns, at its largest."""
OTHERS: dict[str, Callable[[], object]] = {
    "graph": lambda: network().graph,
    "table": lambda: network().table,
    "card": lambda: network().card,
    "evaluation": evaluated,
    "explanation": lambda: explanations()[0],
    "PrecisionSettings": lambda: nin_spec.PrecisionSettings("int8"),
    "TrainSettings": nin_spec.TrainSettings,
    "few classes": lambda: evaluation_of(np.eye(3), np.arange(3), ("a", "b", "c"), "probabilities"),
}
"""What these hold, and what other functions of the library return."""
PLAIN = {
    "export": "paths",
    "build_module": "an nn.Module is shown as PyTorch shows it",
    "PrecisionSettings": "a line of settings",
    "TrainSettings": "a line of settings",
}
"""Public names without a view, and why."""


def html_of(found: object) -> str:
    """What a notebook shows."""
    text = found._repr_html_()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_every_public_name_is_looked_at() -> None:
    """A name that is added has a view, or a reason why not; what it returns is of the declared type."""
    assert RESULTS.keys() | PLAIN.keys() == set(nin_spec.__all__)
    for name, make_result in RESULTS.items():
        value = nin_spec.lint.lint if name == "lint" else getattr(nin_spec, name)
        declared = value.__name__ if isinstance(value, type) else str(value.__annotations__["return"])
        assert type(make_result()).__name__ in declared, name


VIEWS = (RESULTS | OTHERS).keys() - PLAIN.keys()


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_each_has_a_view_that_stands_alone(name: str) -> None:
    """Balanced tags, no script, and nothing that is fetched: pictures are in the text."""
    text = html_of((RESULTS | OTHERS)[name]())
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    assert not {"script", "link", "iframe", "object"} & reader.tags
    assert all(address.startswith("data:image/png;base64,") for address in reader.addresses)
    assert "url(" not in text
    assert "@import" not in text
    assert len(text) < 2_000_000


@pytest.mark.parametrize("name", sorted({*RESULTS, *OTHERS}))
def test_no_repr_is_longer_than_a_screen(name: str) -> None:
    """25 lines of 100 columns, however large the network, its classes and its weights are."""
    lines = repr((RESULTS | OTHERS)[name]()).split("\n")
    assert sum(max(1, -(-len(line) // WIDTH)) for line in lines) <= LINES, lines[0][:WIDTH]


def test_a_network_is_drawn_above_its_table() -> None:
    """The diagram to scale, then the layers, then the totals."""
    text = html_of(nin_spec.compile("nin_cifar"))
    assert text.index("<svg") < text.index("</svg>") < text.index("<table>") < text.rindex("966,986")


class Reader(HTMLParser):
    """The tags of a text, those that are still open, and what it points to."""

    VOID = frozenset({"img", "br", "meta", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at its addresses."""
        self.tags.add(tag)
        self.addresses += [value or "" for key, value in attrs if key in {"src", "href", "xlink:href"}]
        assert not any(key.startswith("on") for key, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It closes the innermost."""
        assert self.open.pop() == tag


EVIL = "<script>alert('&\"')</script>"


def test_everything_is_escaped() -> None:
    """No text of a user's becomes markup, wherever it stands."""
    parts = Table([EVIL], [[EVIL]], caption=EVIL), Facts([(EVIL, EVIL)]), Code(EVIL), Picture(b"", EVIL)
    text = view(EVIL, *parts, about=EVIL)
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(&#39;&amp;&#34;&#39;)&lt;/script&gt;") == 9


def test_a_spec_can_not_put_markup_into_a_page() -> None:
    """In the network, its table, its spec, its graph, its model and its difference: a summary may be any text."""
    text = re.sub(r"^summary: .*$", 'summary: "<script>&"', network().spec.text, count=1, flags=re.MULTILINE)
    found = nin_spec.compile(nin_spec.loads(text, "<script>.yaml"))
    model = found.initialise()
    for shown in (found, found.table, found.spec, found.graph, model, model.card, nin_spec.compare(found, network())):
        assert "<script" not in html_of(shown)
    assert "&lt;script&gt;&amp;" in html_of(found)


def test_colours_are_those_of_the_page() -> None:
    """Text and ground are inherited, and lines are of a gray that is seen on white and on black."""
    style = view("a").partition("<style>")[2].partition("</style>")[0]
    assert {value.strip() for value in re.findall(r"[^-]color:([^;}]*)", style)} == {"inherit"}
    assert {value.strip() for value in re.findall(r"background:([^;}]*)", style)} == {"none"}
    assert set(re.findall(r"rgba?\([^)]*\)|#[0-9a-f]{3,8}", style)) == {"rgba(128, 128, 128, .35)"}
    assert all(rule.startswith(".nin-view") for rule in re.findall(r"^[^\n{]+(?={)", style, re.MULTILINE))


def test_every_part() -> None:
    """The whole view, as it was reviewed."""
    table = Table(["class", "images"], [["cat", "1,000"], ["a < b", "2"]], {1}, "Classes")
    drawing, picture = Drawing('<svg class="nin-diagram"><title>x</title></svg>'), Picture(b"png", "a cat")
    text = view("a title", Facts([("accuracy", "98.00%")]), table, Code("a: 1\nb: 2"), drawing, picture, about="About.")
    assert_golden(text, GOLDEN)


def test_long_tables_are_cut() -> None:
    """With the number of rows that are left out."""
    text = view("a", Table(["k"], [[f"row {k}"] for k in range(1234)]))
    assert text.count("<td>") == 200
    assert "and 1,034 more rows" in text


def test_long_texts_are_cut_to_a_screen() -> None:
    """Text of a screen stays as it is."""
    assert cut(["a"] * LINES, "things") == "\n".join("a" * LINES)
    lines = cut([str(k) for k in range(100)], "things").split("\n")
    assert len(lines) == LINES
    assert lines[-1] == "... and 76 more things"
    assert cut(["a" * 101], "things") == "a" * 97 + "..."
