"""The cases: everything that the language has is in one, and each case shows what it is about."""

from __future__ import annotations

from nin_spec.conformance.suite import suite
from nin_spec.conformance.trial import model_of
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph

CASES = suite()
GRAPHS: list[Graph] = [model_of(case).graph for case in CASES]


def test_every_op_is_in_a_case() -> None:
    """Those of the pixel input, which no spec has, come with the exporter's options."""
    assert {type(node.op) for graph in GRAPHS for node in graph} == set(ops.all_ops())


def test_every_case_has_a_name_of_its_own() -> None:
    """In every precision; and cores are cases of the same kinds."""
    every = [case for precision in ("float32", "float16", "int8") for case in suite(precision)]
    assert len({case.id for case in every}) == len(every)
    assert {case.op for case in suite("int8")} == {case.op for case in CASES}
    assert len({(case.op, case.about) for case in CASES}) == len(CASES)
