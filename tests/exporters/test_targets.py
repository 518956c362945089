"""Targets: each names what a server loads, and the table holds together."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import target_child
from target_probes import OPS as EVERY_OP
from target_probes import Probes, add_pools

import nin_spec
from nin_spec.conformance.pools import pools
from nin_spec.diagnostics import ExportError
from nin_spec.exporter import make
from nin_spec.exporters import onnx_opset
from nin_spec.exporters.onnx_opset import OPSETS, choose_opset, ir_version, where_wrong
from nin_spec.exporters.onnx_pools import choose, ways
from nin_spec.exporters.targets import TABLE, TRITON, Runtime, Table, Target, find_target, form_of, table
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.pixels import Affine, ChannelOrder
from nin_spec.ir.types import Padding, TensorType


@pytest.mark.parametrize(
    ("text", "version", "name"),
    [
        ("onnxruntime==1.15", "1.15", "onnxruntime==1.15"),
        ("onnxruntime==1.15.1", "1.15", "onnxruntime==1.15.1"),
        (" triton == 24.10 ", "1.19", "triton==24.10 (onnxruntime==1.19)"),
        ("triton==23.05", "1.15", "triton==23.05 (onnxruntime==1.15)"),
    ],
)
def test_a_target_is_found(text: str, version: str, name: str) -> None:
    """By the minor release of its onnxruntime, for any patch release."""
    found = find_target(text)
    assert (found.version, str(found)) == (version, name)
    assert found.runtime is table().runtimes[version]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("onnxruntime", "'onnxruntime' is not a target"),
        ("onnxruntime=1.15", "is not a target"),
        ("tensorrt==10", "hint: write onnxruntime==1.15 or triton==24.10"),
        ("onnxruntime==2.0", "known: 1.8, 1.9"),
        ("onnxruntime==1.15.x", "known: 1.8"),
        ("onnxruntime==1.7", "onnxruntime 1.7 is unknown"),
        ("triton==24.13", "known: 23.05, 23.12, 24.04"),
    ],
)
def test_an_unknown_target_is_refused(text: str, message: str) -> None:
    """With what is known, and nothing guessed."""
    with pytest.raises(ExportError, match=message.replace("(", r"\(")):
        find_target(text)


def test_a_later_release_loads_no_less() -> None:
    """Rows rise, and each loads the IR version that comes with its opset and those before."""
    rows = list(table().runtimes.values())
    for earlier, later in itertools.pairwise(rows):
        assert earlier.opset <= later.opset
        assert earlier.ir <= later.ir
    for row in rows[[row.name for row in rows].index("1.10") :]:
        assert ir_version(min(row.opset, OPSETS[1])) <= row.ir
    assert set(TRITON.values()) <= set(table().runtimes)


def test_the_table_says_what_was_measured() -> None:
    """Every minor release from 1.15 on, with a date and the exact versions; the others say that nobody did."""
    facts = json.loads(TABLE.read_text())
    assert dt.date.fromisoformat(facts["date"]) >= dt.date(2026, 12, 1)
    for name, row in facts["onnxruntime"].items():
        if int(name.split(".")[1]) >= 15:
            assert row["versions"], name
            assert all(version.startswith(f"{name}.") for version in row["versions"])
        else:
            assert (row["versions"], row["source"]) == ([], "documentation")
    assert [row.name for row in table().measured] == [f"1.{minor}" for minor in range(15, 33)]


@pytest.mark.parametrize("name", ["1.8", "1.14", "1.15"])
def test_a_row_that_was_not_measured_is_reported_to_the_user(name: str) -> None:
    """In the remarks of the export, beside the opset."""
    model = nin_spec.compile("nin_digits").initialise()
    told = [r for r in make(model, "onnx", {"target": f"onnxruntime=={name}"}).remarks if "was not measured" in r]
    assert len(told) == (name != "1.15")


def test_every_op_is_measured() -> None:
    """`make targets` has an op of each kind: those with windows apart, as pools."""
    measured = {type(op) for op in (*EVERY_OP, *pools())}
    assert measured == {*ops.all_ops(), Affine, ChannelOrder}


def test_every_form_that_is_written_was_measured() -> None:
    """A form that the table lacks would count as right everywhere."""
    for op in pools():
        for open_size in (False, True):
            graph = Graph("pool", TensorType((1, 9, 9)), open_size=open_size).then("pool", op)
            assert {way.form for way in ways(graph.nodes[0], open_size=open_size)} <= table().forms
    assert {form_of(op, open_size=False) for op in EVERY_OP if not isinstance(op, ops.Pool2d)} <= table().forms


def test_the_table_holds_for_the_release_that_is_installed(tmp_path: Path) -> None:
    """What it says is right at an opset is right here, of a sample of the pools that `make targets` measures."""
    installed = ".".join(onnxruntime.__version__.split(".")[:2])
    probes = Probes(tmp_path)
    add_pools(probes, [18], every=11)
    probes.write()
    index = json.loads((tmp_path / "index.json").read_text())["probes"]
    assert len({probe["form"] for probe in index}) > 20
    for probe in index:
        if table().runtimes[installed].computes(probe["form"], 18):
            found = target_child.run(tmp_path / probe["file"], probe["cases"], probes.kept, 1e-5)
            assert not found, probe["form"]


@pytest.mark.parametrize("name", table().runtimes)
def test_the_default_opset_suits_every_target(name: str) -> None:
    """17, or the highest that an older one has, and an IR version that it loads."""
    target = find_target(f"onnxruntime=={name}")
    opset = choose_opset(nin_spec.compile("nin_cifar").graph, None, target)
    assert opset == min(17, target.runtime.opset)


def row(faults: dict[str, tuple[int, ...]]) -> Runtime:
    """A made-up release: the forms that it gets wrong, and at which opsets."""
    return Runtime("9.9", 22, 10, ("9.9.0",), {form: frozenset(opsets) for form, opsets in faults.items()})


def average(*, open_size: bool = True, **attributes: Any) -> Graph:
    """A ceil-mode average that counts uneven padding."""
    given = {"padding": Padding(0, 1, 0, 1), "ceil_mode": True, "count_include_pad": True, **attributes}
    graph = Graph("net", TensorType((1, 8, 8)), open_size=open_size)
    return graph.then("pool", ops.AvgPool2d((3, 3), (2, 2), **given))


DIRECT, BEHIND = "average ceil uneven counted open", "average ceil behind zeros open"
EVERY = tuple(range(13, 23))


@pytest.mark.parametrize(
    ("wrong", "form"),
    [
        ({}, DIRECT),
        ({DIRECT: EVERY}, BEHIND),
        ({BEHIND: EVERY}, DIRECT),
    ],
)
def test_a_pool_is_written_in_a_way_that_the_target_computes(wrong: dict[str, tuple[int, ...]], form: str) -> None:
    """The plainest of those."""
    runtime = row(wrong)
    opset = choose_opset(average(), None, Target("onnxruntime==9.9", "9.9", runtime))
    assert choose(average().nodes[0], opset, [runtime], open_size=True).form == form


def test_another_opset_is_chosen_where_the_default_is_wrong() -> None:
    """Above first, then below."""
    for wrong, opset in ((range(13, 21), 21), (range(19, 23), 18), ((19,), 20)):
        target = Target("onnxruntime==9.9", "9.9", row({DIRECT: tuple(wrong), BEHIND: tuple(wrong)}))
        assert choose_opset(average(), None, target) == opset


def test_what_a_target_computes_wrongly_is_refused_with_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never written: another opset, a fixed size or a later release is named, as far as each helps."""
    wrong, late = row({DIRECT: EVERY, BEHIND: EVERY}), Runtime("9.10", 22, 10, ("9.10.0",))
    monkeypatch.setattr(onnx_opset, "table", lambda: Table("2026-12-01", frozenset(), {"9.9": wrong, "9.10": late}))
    with pytest.raises(ExportError, match="can't compute pool, a ceil-mode average of an open size") as caught:
        choose_opset(average(), None, Target("onnxruntime==9.9", "9.9", wrong))
    assert caught.value.diagnostics[0].hint == (
        "fix the size (input: {open: false}), or pass a later target: onnxruntime==9.10"
    )
    assert choose_opset(average(open_size=False), None, Target("onnxruntime==9.9", "9.9", wrong)) == 17
    some = row({DIRECT: (20,), BEHIND: (20,)})
    monkeypatch.setattr(onnx_opset, "table", lambda: Table("2026-12-01", frozenset(), {"9.9": some}))
    with pytest.raises(ExportError, match="can't compute pool at opset 20") as caught:
        choose_opset(average(), 20, Target("onnxruntime==9.9", "9.9", some))
    assert str(caught.value.diagnostics[0].hint).startswith("remove --opset")


def test_without_a_target_the_file_suits_most_releases_and_names_the_others() -> None:
    """1.21 to 1.24 are wrong about padding that differs by side, from opset 19 on."""
    graph = Graph("net", TensorType((1, 8, 8)), open_size=True)
    graph = graph.then("pool", ops.AvgPool2d((3, 3), (2, 2), Padding(0, 1, 0, 1), count_include_pad=True))
    assert list(where_wrong(graph, 17, None)) == []
    rows = {name: table().runtimes[name] for name in ("1.21", "1.24", "1.25")}
    form = form_of(graph.nodes[0].op, open_size=True)
    assert {name: row.computes(form, 19) for name, row in rows.items()} == {"1.21": False, "1.24": False, "1.25": True}
    for row in rows.values():
        assert choose_opset(graph, None, Target("", row.name, row)) == 17


def test_the_file_is_made_for_it() -> None:
    """Opset, IR version, and what it says of them."""
    import onnx

    model = nin_spec.compile("nin_digits").initialise()
    artifact = make(model, "onnx", {"target": "onnxruntime==1.11", "takes": "pixels", "outputs": "probabilities,top3"})
    (data,) = artifact.files.values()
    proto = onnx.load_from_string(data)
    assert (proto.opset_import[0].version, proto.ir_version) == (16, 8)
    assert "opset 16 and IR version 8, for onnxruntime==1.11" in artifact.remarks
    with pytest.raises(ExportError, match=r"onnxruntime==1.15 supports opsets up to 18, not 22"):
        make(model, "onnx", {"target": "onnxruntime==1.15", "opset": 22})
