"""The measurement itself: how results become a row, and what counts as wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import measure_targets
import numpy as np
import pytest
import target_child
from onnx import TensorProto, helper

from nin_spec.exporters.targets import read_table

FORMS = ("ReLU", "average floor unpadded open", "max ceil uneven open")


def probes() -> list[dict[str, Any]]:
    """Three forms at opsets 13 to 20, and the envelopes."""
    rows: list[dict[str, Any]] = []
    for form, opsets in (*((form, range(13, 21)) for form in FORMS), ("opset", range(7, 31))):
        rows += [{"file": f"{form} {opset}", "form": form, "opset": opset} for opset in opsets]
    return rows + [{"file": f"ir {ir}", "form": f"ir {ir}", "opset": 7} for ir in range(4, 17)]


def result(version: str, *wrong: str) -> dict[str, Any]:
    """What a release came to."""
    late = [f"opset {opset}" for opset in range(21, 31)] + [f"ir {ir}" for ir in range(10, 17)]
    return {"version": version, "count": 99, "wrong": dict.fromkeys([*wrong, *late], "off by 1")}


def test_a_row_has_what_is_wrong_in_any_of_its_releases() -> None:
    """The highest opset at which every op and the plain pools work; faults up to there, of each patch release."""
    wrong = ("max ceil uneven open 13", "max ceil uneven open 20", "ReLU 20")
    table = measure_targets.table_of(
        [result("1.16.3"), result("1.16.0", *wrong), result("1.15.1", "average floor unpadded open 19")], probes()
    )
    read = read_table(table)
    assert list(read.runtimes) == [*measure_targets.DOCUMENTED, "1.15", "1.16"]
    late = read.runtimes["1.16"]
    assert (late.versions, late.opset, late.ir) == (("1.16.0", "1.16.3"), 19, 9)
    assert not late.computes("max ceil uneven open", 13)
    assert late.computes("max ceil uneven open", 14)
    assert not late.computes("max ceil uneven open", 20)
    assert read.runtimes["1.15"].opset == 20
    assert not read.runtimes["1.15"].computes("average floor unpadded open", 19)


def test_a_row_from_documentation_has_the_faults_of_the_earliest_that_was_measured() -> None:
    """The row was not measured, and the target says so."""
    table = read_table(measure_targets.table_of([result("1.15.0", "max ceil uneven open 13")], probes()))
    assert not table.runtimes["1.8"].versions
    assert not table.runtimes["1.8"].computes("max ceil uneven open", 13)
    assert [row.name for row in table.measured] == ["1.15"]


def test_the_first_and_the_last_release_of_each_minor_version_are_measured() -> None:
    """In the order of their numbers, which is not that of their letters."""
    releases = ["1.9.0", "1.15.0", "1.15.1", "1.15.2", "1.26.0"]
    assert measure_targets.chosen(releases) == ["1.9.0", "1.15.0", "1.15.2", "1.26.0"]
    assert measure_targets.last_of(["1.15.2", "1.15.10", "1.26.0"]) == ["1.15.10", "1.26.0"]


def file(folder: Path, *, opset: int = 17) -> Path:
    """A file that holds one ReLU."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("input", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["input"], ["y"])], "g", value[:1], value[1:])
    path = folder / "relu.onnx"
    imports = [helper.make_opsetid("", opset)]
    path.write_bytes(helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString())
    return path


@pytest.mark.parametrize(
    ("wanted", "wrong"),
    [
        ([[0.0, 2.0, 0.0]], ""),
        ([[0.0, 2.001, 0.0]], "off by"),
        ([[0.0, np.nan, 0.0]], "off by"),
        ([[0.0, 2.0]], r"shape [1, 3] for [1, 2]"),
    ],
)
def test_a_release_is_right_where_every_output_is(wanted: list[list[float]], wrong: str, tmp_path: Path) -> None:
    """In shape, and in values within the tolerance; what is not a number is never right."""
    arrays = {"x": np.array([[-1, 2, -3]], np.float32), "wanted": np.array(wanted, np.float32)}
    found = target_child.run(file(tmp_path), [{"input": "x", "outputs": {"y": "wanted"}}], arrays, 1e-5)
    assert wrong in found
    assert bool(found) == bool(wrong)


def test_what_does_not_load_is_wrong(tmp_path: Path) -> None:
    """With what the release says."""
    assert target_child.run(file(tmp_path, opset=99), [], {}, 1e-5).startswith("Fail: ")
