"""Diagrams: to scale, well formed, safe, and the same bytes each time."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest
from goldens import assert_golden
from hypothesis import given
from hypothesis import strategies as st

import nin_spec
from nin_spec.diagrams import dot, mermaid, svg, tikz
from nin_spec.diagrams.as_svg import escaped
from nin_spec.diagrams.columns import THIN, groups_of, times
from nin_spec.diagrams.layout import rows_of, scale_of
from nin_spec.language.load import load, loads
from nin_spec.named import shipped_names
from nin_spec.network import Network
from nin_spec.network import compile as compile_network

HERE = Path(__file__).parent
DOT = shutil.which("dot")
SVG = "{http://www.w3.org/2000/svg}"
ORACLES = sorted((HERE.parent / "oracle_specs").glob("*.yaml"))
SUBJECTS = [*shipped_names(), *map(str, ORACLES)]

TINY = """\
spec: 1
name: tiny
input: {channels: 3, size: [12, 8]}
classes: [cat, dog]
blocks:
  - name: first
    channels: [6, 5]
    kernel: 3
    stride: 2
    padding: 1
    norm: batch
    pool: {kind: max, kernel: 2, stride: 2, ceil_mode: true}
    dropout: 0.5
  - channels: [5, classes]
    kernel: 3
    padding: 1
head: {pool: global_avg, output: softmax}
"""


def tiny() -> Network:
    return compile_network(loads(TINY))


@pytest.mark.parametrize("form", ["svg", "tikz", "mermaid", "dot"])
def test_a_small_network_drawn(form: str) -> None:
    """Each form of a network with every family, to be reviewed."""
    text = {"svg": svg, "tikz": tikz, "mermaid": mermaid, "dot": dot}[form](tiny())
    assert_golden(text, HERE / "goldens" / f"tiny.{form}")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_network_can_be_drawn(subject: str) -> None:
    """Well formed XML with a title and a description, a block for each layer and the input, no scripts."""
    network = compile_network(subject)
    for width in (330, 1120):
        root = ET.fromstring(svg(network, width))  # noqa: S314 our own text
        assert root.get("role") == "img"
        assert root.find(f"{SVG}title") is not None
        assert network.table.name in (root.findtext(f"{SVG}title") or "")
        assert root.findtext(f"{SVG}desc")
        assert len(_blocks(root)) == len(network.graph) + 1
        assert not list(root.iter(f"{SVG}script"))


def _blocks(root: ET.Element) -> list[ET.Element]:
    return [r for r in root.iter(f"{SVG}rect") if r.find(f"{SVG}title") is not None]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_scale_holds(subject: str) -> None:
    """Heights are to each other as the rows of the maps, widths as the roots of the channels."""
    network = compile_network(subject)
    slabs = [s for g in groups_of(network) for c in g.columns for s in c.slabs]
    blocks = _blocks(ET.fromstring(svg(network)))  # noqa: S314 our own text
    first = blocks[0]
    shape = network.graph.input.shape
    for slab, block, node in zip(slabs[1:], blocks[1:], network.graph, strict=True):
        rows = node.output.shape[1] if node.output.is_map else 1
        assert float(block.get("height", 0)) / float(first.get("height", 0)) == pytest.approx(rows / shape[1], 1e-4)
        if slab.family not in THIN:
            ratio = (node.output.shape[0] / shape[0]) ** 0.5
            assert float(block.get("width", 0)) / float(first.get("width", 0)) == pytest.approx(ratio, 1e-4)


@pytest.mark.parametrize("width", [330, 700, 1120])
@pytest.mark.parametrize("subject", SUBJECTS)
def test_nothing_overlaps(subject: str, width: int) -> None:
    """Columns stand side by side in cards, cards side by side in rows, and rows keep to the width."""
    groups = groups_of(compile_network(subject))
    scale = scale_of(groups, width)
    rows = rows_of(groups, width - 20, scale)
    assert sum(len(card.places) for row in rows for card in row.cards) == sum(len(g.columns) for g in groups)
    for above, below in pairwise(rows):
        assert above.bottom <= below.top
    for row in rows:
        places = [p for card in row.cards for p in card.places]
        assert all(a.x + a.width <= b.x + 1e-9 for a, b in pairwise(places))
        assert row.cards[-1].x + row.cards[-1].width <= width - 20 + 1e-6
        assert all(h <= row.text - row.top for p in places for _, _, _, h in p.drawn)


@given(st.text())
def test_any_text_is_safe(text: str) -> None:
    """What a person may write comes back as they wrote it, but for what XML can't hold."""
    root = ET.fromstring(f'<a b="{escaped(text)}">{escaped(text)}</a>')  # noqa: S314 our own text
    legal = re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
    assert (root.text or "") == re.sub("\r\n?", "\n", legal)


def test_the_same_bytes_each_time() -> None:
    """A second process, with another hash seed, draws the same."""
    code = "from nin_spec import compile; from nin_spec.diagrams import svg; print(svg(compile('nin_cifar')), end='')"
    texts = {_run(code, seed) for seed in ("1", "2")}
    assert texts == {svg(compile_network("nin_cifar")).encode()}


def _run(code: str, seed: str) -> bytes:
    """What a new process with this hash seed prints."""
    root = str(Path(nin_spec.__file__).parent.parent)
    env = {"PYTHONHASHSEED": seed, "PYTHONPATH": root}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True).stdout


@pytest.mark.skipif(DOT is None, reason="Graphviz is not installed")
@pytest.mark.parametrize("subject", SUBJECTS)
def test_graphviz_reads_dot(subject: str) -> None:
    """`dot -Tsvg` draws it."""
    text = dot(compile_network(subject))
    subprocess.run([str(DOT), "-Tsvg"], input=text.encode(), capture_output=True, check=True)


def test_a_size_as_people_write_it() -> None:
    """The multiplication sign stands between numbers, and nowhere else."""
    assert times((3, 32, 32)) == "3×32×32"
    assert times("5x5 pad 2 explicit") == "5×5 pad 2 explicit"


def test_overrides_are_drawn() -> None:
    """What is drawn is what was compiled."""
    assert "7×7" in svg(compile_network(load("nin_cifar", ["blocks.0.convs.0.kernel=7"])))
