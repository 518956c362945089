"""ONNX files with functions and subgraphs: endless, nested, growing, or not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from hostile_graphs import CONV, FLOAT, HUGE, Change, changed, file_of
from onnx import GraphProto, ModelProto, NodeProto, helper


def functions() -> Iterator[tuple[str, bytes]]:
    """Functions that do not end, that grow, or that are not there."""

    def calling(*bodies: Sequence[tuple[str, str]], domain: str = "my") -> Change:
        """Functions F0, F1 and so on, each of (operator, domain) in a row; the graph calls the last."""

        def change(model: ModelProto) -> None:
            opsets = [helper.make_opsetid("", 15), *([helper.make_opsetid(domain, 1)] if domain else [])]
            for k, body in enumerate(bodies):
                nodes = [
                    helper.make_node(op, [f"v{j}"], [f"v{j + 1}"], domain=where) for j, (op, where) in enumerate(body)
                ]
                model.functions.append(helper.make_function(domain, f"F{k}", ["v0"], [f"v{len(body)}"], nodes, opsets))
            model.opset_import.extend(opsets[1:])
            model.graph.node[1].op_type, model.graph.node[1].domain = f"F{len(bodies) - 1}", domain

        return change

    relu = ("Relu", "")
    cases: dict[str, Change] = {
        "that calls itself": calling([("F0", "my")]),
        "two that call each other": calling([("F1", "my")], [("F0", "my")]),
        "three in a ring": calling([("F2", "my")], [("F0", "my")], [("F1", "my")]),
        "a bomb": calling([relu] * 2, *([(f"F{k}", "my")] * 2 for k in range(30))),
        "300 deep": calling([relu], *([(f"F{k}", "my")] for k in range(300))),
        "without a body": calling([]),
        "that calls what is not there": calling([("Nothing", "my")]),
        "in ONNX's own domain": calling([relu], domain=""),
        "with an unknown operator": calling([("NoSuchOperator", "")]),
        "of another domain": calling([("Gelu", "com.microsoft")]),
        "twice": lambda m: (calling([relu])(m), m.functions.add().CopyFrom(m.functions[0])),
        "without an opset": lambda m: (calling([relu])(m), m.functions[0].ClearField("opset_import")),
        "of opset 1": lambda m: (
            calling([relu])(m),
            m.functions[0].opset_import[0].MergeFrom(helper.make_opsetid("", 1)),
        ),
        "with two inputs more": lambda m: (calling([relu])(m), m.functions[0].input.extend(["p", "q"])),
        "with an output of nothing": lambda m: (calling([relu])(m), m.functions[0].output.append("nothing")),
        "that hides a name": lambda m: (
            calling([relu])(m),
            m.functions[0].node.add(op_type="Relu", input=["v0"], output=["v0"]),
        ),
    }
    for name, change in cases.items():
        yield f"function {name}", changed(change, [CONV, ("Relu", ["c"], ["d"], {})], last="d")


def _body(operator: str, depth: int = 0) -> GraphProto:
    nodes = [helper.make_node("Identity", ["c"], ["b"])] if not depth else [_conditional(depth - 1)]
    body = helper.make_graph(nodes, "body", [], [helper.make_tensor_value_info("b", FLOAT, None)])
    if operator in {"Loop", "Scan"}:
        body.input.extend(helper.make_tensor_value_info(n, FLOAT, None) for n in ("i", "cond"))
    return body


def _conditional(depth: int, output: str = "b") -> NodeProto:
    return helper.make_node("If", ["yes"], [output], then_branch=_body("If", depth), else_branch=_body("If", depth))


def subgraphs() -> Iterator[tuple[str, bytes]]:
    """If, Loop and Scan, on the path, on constants, deep."""
    held = {"yes": np.array(True), "many": np.array(HUGE), "no": np.array(False)}
    for depth in (0, 1, 5, 8):
        yield f"If, {depth} deep", file_of([CONV, _conditional(depth, "d")], held, last="d")
    loop = helper.make_node("Loop", ["many", "yes", "c"], ["d"], body=_body("Loop"))
    yield "an endless Loop", file_of([CONV, loop], held, last="d")
    constant = helper.make_node("Loop", ["many", "yes", "w"], ["v"], body=_body("Loop"))
    yield "an endless Loop of constants", file_of([constant, ("Conv", ["x", "v"], ["c"], {})], held)
    yield (
        "a Scan",
        file_of([CONV, helper.make_node("Scan", ["c"], ["d"], body=_body("Scan"), num_scan_inputs=1)], held, last="d"),
    )
    yield (
        "a SequenceMap",
        file_of([CONV, helper.make_node("SequenceMap", ["c"], ["d"], body=_body("If"))], held, last="d", opset=17),
    )
    empty = helper.make_node("If", ["yes"], ["d"])
    yield "an If without branches", file_of([CONV, empty], held, last="d")
    odd = helper.make_node("Relu", ["c"], ["d"])
    odd.attribute.append(helper.make_attribute("body", _body("If")))
    yield "a Relu with a graph", file_of([CONV, odd], held, last="d")
