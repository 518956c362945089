"""TikZ: the shapes of the SVG, in a picture that LaTeX compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_diagrams import SUBJECTS, tiny

from nin_spec.diagrams import svg, tikz
from nin_spec.diagrams.drawing import drawing_of
from nin_spec.diagrams.shapes import Band, Box, Label, Rule
from nin_spec.language.load import loads
from nin_spec.network import compile as compile_network

PDFLATEX = shutil.which("pdflatex")
SPECIAL = """\
spec: 1
name: with_an_underscore
input: {channels: 1, size: 8}
classes: 2
blocks: [{name: a_very_long-name_that_no_card_can_hold, channels: [classes], kernel: 3, activation: none}]
head: {pool: global_avg}
"""
"""Names with what TeX would take as a subscript, one of them shortened with an ellipsis."""


def statements(text: str) -> list[str]:
    """What a picture draws, one statement a line."""
    return re.findall(r"^  (\\(?:fill|filldraw|draw|node)\[.*);$", text, re.MULTILINE)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_shape_is_drawn(subject: str) -> None:
    """One statement for each shape and one for the ground, in defined colours and balanced braces."""
    network = compile_network(subject)
    text = tikz(network)
    drawing = drawing_of(network, 640)
    found = statements(text)
    assert len(found) == len(drawing.shapes) + 1
    counts = [sum(line.startswith(f"\\{word}[") for line in found) for word in ("filldraw", "fill", "draw", "node")]
    boxes = [shape for shape in drawing.shapes if isinstance(shape, Box)]
    edged = sum(box.edge > 0 for box in boxes)
    bands, rules, labels = (sum(isinstance(s, kind) for s in drawing.shapes) for kind in (Band, Rule, Label))
    assert counts == [edged, len(boxes) - edged + bands + 1, rules, labels]
    assert set(re.findall(r"nin-(\w+)[,\]]", text)) == set(re.findall(r"\\definecolor\{nin-(\w+)\}", text))
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_the_points_are_those_of_the_svg() -> None:
    """A layer's corners, to two decimals."""
    box = next(s for s in drawing_of(tiny(), 640).shapes if isinstance(s, Box) and s.colour == "conv")
    corners = f"({box.x:.2f}, {box.y:.2f}) rectangle ({box.x + box.width:.2f}, {box.y + box.height:.2f})"
    assert sum(corners in line for line in statements(tikz(tiny()))) == 1
    assert f'x="{box.x:.6g}" y="{box.y:.6g}" width="{box.width:.6g}"' in svg(tiny(), 640)


@pytest.mark.long
@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("subject", ["nin_imagenet", "nin_digits", "special"])
def test_latex_compiles_it(subject: str, tmp_path: Path) -> None:
    """One page, without an error."""
    network = compile_network(loads(SPECIAL) if subject == "special" else subject)
    (tmp_path / "diagram.tex").write_text(tikz(network))
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{tikz}\begin{document}"
        r"\noindent\resizebox{\textwidth}{!}{\input{diagram}}\end{document}"
    )
    call = [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Output written on paper.pdf (1 page" in done.stdout
