"""The published networks: each oracle as a spec compiles to the facts that are known about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from oracle_graphs import golden, golden_names, oracle_graph, record

from nin_spec.analysis.shapes import analyse
from nin_spec.analysis.tables import ShapeTable
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Padding
from nin_spec.language.load import load
from nin_spec.lower import lower
from nin_spec.named import shipped_names

ORACLE_SPECS = Path(__file__).parent / "oracle_specs"


def spec_of(name: str) -> str:
    """The spec of an oracle: hand-written beside the tests, or one of the shipped."""
    own = ORACLE_SPECS / f"{name}.yaml"
    return str(own) if own.exists() else name


def graph_of(name: str) -> Graph:
    """The graph of a spec's file or shipped name."""
    return lower(load(name))


def comparable(op: ops.Op) -> ops.Op:
    """The op without what does not change its function: the count of padding where there is none, momentum."""
    match op:
        case ops.AvgPool2d(padding=Padding(0, 0, 0, 0)):
            return replace(op, count_include_pad=False)
        case ops.BatchNorm():
            return replace(op, momentum=0)
        case _:
            return op


@pytest.mark.parametrize("name", golden_names())
def test_oracle_spec_has_the_golden_facts(name: str) -> None:
    """Parameters, MACs and the shape after each layer are those of the published network."""
    graph, facts = graph_of(spec_of(name)), golden(name)
    table = analyse(graph)
    assert table.parameters == facts["params"]
    assert table.buffers == facts["buffers"]
    assert table.macs == facts["macs"]
    assert [list(n.output.shape) for n in graph] == facts["shapes"]


@pytest.mark.parametrize("name", golden_names())
def test_oracle_spec_has_the_recorded_ops(name: str) -> None:
    """The lowered graph is the record, op for op with every attribute."""
    ours, theirs = graph_of(spec_of(name)), oracle_graph(name)
    assert [comparable(n.op) for n in ours] == [comparable(n.op) for n in theirs]
    assert ours.input.shape == theirs.input.shape
    momenta = [layer["momentum"] for layer in record(name)["layers"] if "momentum" in layer]
    assert [n.op.momentum for n in ours if isinstance(n.op, ops.BatchNorm)] == momenta


@pytest.mark.parametrize("path", sorted(ORACLE_SPECS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_oracle_spec_has_its_record(path: Path) -> None:
    """A spec among the oracles is named for the record that it spells."""
    assert path.stem in golden_names()
    assert load(path).spec.name == path.stem


def published(rows: list[list[Any]]) -> list[tuple[str, tuple[int, ...]]]:
    """A published table's rows without the batch axis."""
    return [(op, tuple(shape[1:])) for op, shape in rows]


def printed(table: ShapeTable) -> list[tuple[str, tuple[int, ...]]]:
    """Our table's rows, likewise."""
    return [(row.op, row.output_shape) for row in table.rows]


def test_published_layer_table() -> None:
    """The first rows of the network at 224 x 224 are those that were printed with it."""
    theirs = published(record("seed_cifar10_at_224")["published_layer_table"])
    assert printed(analyse(graph_of("seed_cifar10_at_224")))[: len(theirs)] == theirs


@pytest.mark.parametrize("name", ["seed_fashion_mnist", "seed_fashion_mnist_lazy"])
def test_published_stage_table(name: str) -> None:
    """The table by stage is the one that was printed with the Fashion-MNIST network, row for row."""
    theirs = published(record(name)["published_stage_table"])
    assert printed(analyse(graph_of(name)).stages()) == theirs


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_spec_compiles_under_its_own_name(name: str) -> None:
    """Each shipped spec compiles, ends in its classes, and is called what its file is called."""
    canonical = load(name)
    assert canonical.spec.name == name
    assert canonical.spec.summary
    assert lower(canonical).output.shape == (canonical.spec.class_count,)


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("nin_cifar", 966_986, 222_486_528),
        ("nin_cifar_author", 966_986, 222_486_528),
        ("nin_imagenet", 7_595_176, None),
        ("nin_imagenet_floor", 7_595_176, None),
    ],
)
def test_published_counts(name: str, parameters: int, macs: int | None) -> None:
    """Counts are the published ones, by the stated convention."""
    table = analyse(graph_of(name))
    assert table.parameters == parameters
    assert macs is None or table.macs == macs


def test_pools_that_round_up_and_down_differ() -> None:
    """The two ImageNet networks have the same parameters and other maps: 6x6 and 5x5 at the end."""
    up, down = (graph_of(n).nodes[-3].output.shape for n in ("nin_imagenet", "nin_imagenet_floor"))
    assert (up, down) == ((1000, 6, 6), (1000, 5, 5))
