"""nin-spec export --diagram and --report: without weights, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nin_spec.cli import execute
from nin_spec.diagrams import dot, mermaid, svg, tikz
from nin_spec.network import compile as compile_network
from nin_spec.seals import Kind, kind_of, sealed


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("svg", "nin_mnist.svg"),
        ("tikz", "nin_mnist.tex"),
        ("mermaid", "nin_mnist.mmd"),
        ("dot", "nin_mnist.dot"),
    ],
)
def test_a_diagram(form: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Under the spec's own name or the one given, and written again over its own."""
    command = ["export", "nin_mnist", "--diagram", form]
    text = {"svg": svg, "tikz": tikz, "mermaid": mermaid, "dot": dot}[form](compile_network("nin_mnist"))
    text = sealed(text.encode(), Kind(form)).decode()
    assert execute(command) == 0
    assert capsys.readouterr().out == f"wrote {name} ({len(text.encode()):,} bytes)\n"
    assert execute(command) == 0
    assert execute([*command, "-o", "other"]) == 0
    assert Path(name).read_text() == Path("other").read_text() == text


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.svg", Kind.SVG), ("a.SVG", Kind.SVG), ("a.tex", Kind.TIKZ), ("a.mmd", Kind.MERMAID), ("a.dot", Kind.DOT)],
)
def test_the_suffix_decides(name: str, form: Kind) -> None:
    """Where --diagram is not set, and beside one that agrees."""
    assert execute(["export", "nin_mnist", "-o", name]) == 0
    assert kind_of(Path(name)) is form
    assert execute(["export", "nin_mnist", "-o", name, "--diagram", form.value]) == 0


def test_all_at_once() -> None:
    """A diagram, a page and a model of one network."""
    command = ["export", "nin_digits", "--diagram", "svg", "--report", "page.html", "--source"]
    assert execute(command) == 0
    assert {p.name for p in Path().iterdir()} == {"nin_digits.svg", "page.html", "nin_digits.py"}


def test_overrides_are_drawn() -> None:
    """--set and --input change what is drawn."""
    given = ["--set", "name=mine", "--input", "1x32x32"]
    assert execute(["export", "nin_mnist", *given, "--diagram", "svg", "--report"]) == 0
    assert "1×32×32" in Path("mine.svg").read_text()
    assert "1×32×32" in Path("mine.html").read_text()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--diagram", "jpeg"], "'jpeg' is not one of"),
        (["--diagram", "svg", "-o", "a.png"], "does not write a.png, whose suffix is that of png: pass --diagram png"),
        (["--diagram", "pdf", "-o", "a.svg"], "or -o a.pdf"),
        (["--source", "-o", "x"], "which is missing; for the file of --source, pass --source x"),
        (["--onnx", "-o", "x.onnx"], "pass --onnx x.onnx"),
        (["--report", "-o", "x"], "-o is the file of --diagram, which is missing"),
        (["--report", "--weights", "w.safetensors"], "--weights requires --"),
        (["--diagram", "svg", "--explain"], "--explain requires --"),
        (["--diagram", "svg", "-o", "page", "--report", "page"], "can't both be page"),
        (["--report", "missing/page.html"], "does not exist"),
        (["--diagram", "svg", "-o", "notes.svg"], "nin-spec did not write it"),
        ([], "--diagram or --report"),
    ],
)
def test_what_cannot_be_done_is_refused(options: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason and exit code 2; nothing is written."""
    Path("notes.svg").write_text("mine")
    assert execute(["export", "nin_mnist", *options]) == 2
    assert why in capsys.readouterr().err
    assert [p.name for p in Path().iterdir()] == ["notes.svg"]
    assert Path("notes.svg").read_text() == "mine"


def test_no_heavy_library_is_loaded() -> None:
    """Drawing costs neither torch nor onnx nor numpy."""
    heavy = ("torch", "onnx", "onnxruntime", "numpy", "jinja2")
    drawn = "import sys; from nin_spec import compile; from nin_spec.diagrams import svg; svg(compile('nin_mnist'))"
    code = f"{drawn}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"
