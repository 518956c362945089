"""nin-spec build: the shape table in every form, of every input."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from goldens import assert_golden

from nin_spec.diagnostics import Code

GOLDENS = Path(__file__).parent / "goldens"
Run = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.floors
@pytest.mark.parametrize("by", ["layer", "stage"])
@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown", "latex"])
def test_build_prints_the_table(form: str, by: str, nin_spec: Run) -> None:
    """The table is the golden one."""
    done = nin_spec("build", "tiny.yaml", "--format", form, "--by", by)
    assert (done.code, done.err) == (0, "")
    assert_golden(done.out, GOLDENS / f"build_{by}_{form}.txt")


def test_the_forms_agree(nin_spec: Run) -> None:
    """JSON, CSV and Markdown tell of the same layers."""
    layers = json.loads(nin_spec("build", "tiny.yaml", "--format", "json").out)["layers"]
    rows = list(csv.DictReader(io.StringIO(nin_spec("build", "tiny.yaml", "--format", "csv").out)))
    markdown = nin_spec("build", "tiny.yaml", "--format", "markdown").out.splitlines()
    assert [layer["name"] for layer in layers] == [row["name"] for row in rows]
    assert [str(layer["macs"]) for layer in layers] == [row["macs"] for row in rows]
    assert [line.split(" | ")[0].strip("| ") for line in markdown[2 : 2 + len(rows)]] == [row["name"] for row in rows]


def test_latex_has_the_numbers_of_json(nin_spec: Run) -> None:
    """A row for each layer, as many cells in each, and the totals."""
    table = json.loads(nin_spec("build", "nin_cifar", "--format", "json").out)
    lines = nin_spec("build", "nin_cifar", "--format", "latex").out.splitlines()
    rows = [[cell.strip() for cell in line.removesuffix(r"\\").split(" &")] for line in lines if line.endswith(r"\\")]
    assert {len(row) for row in rows} == {7}
    layers, total = rows[1:-1], rows[-1]
    assert [row[0] for row in layers] == [layer["name"].replace("_", r"\_") for layer in table["layers"]]
    assert [row[3].replace(r"$\times$", "x") for row in layers] == [
        "x".join(map(str, layer["output_shape"])) for layer in table["layers"]
    ]
    for column, key in ((4, "parameters"), (5, "macs")):
        counts = [int(row[column].replace(",", "") or 0) for row in layers]
        assert counts == [layer[key] for layer in table["layers"]]
        assert int(total[column].replace(",", "")) == table["totals"][key]


def test_set_changes_the_network(nin_spec: Run) -> None:
    """Overrides apply in their order, and one may add to another."""
    done = nin_spec(
        "build", "tiny.yaml", "--format", "json", "--set", "blocks.stem.channels=[16, 4]", "--set", "name=other"
    )
    table = json.loads(done.out)
    assert table["name"] == "other"
    assert table["layers"][0]["output_shape"][0] == 16


@pytest.mark.parametrize(
    ("size", "shape"),
    [("3x32x32", [3, 32, 32]), ("3x20x24", [3, 20, 24]), ("1,20,24", [1, 20, 24]), (" 8 ", [3, 8, 8])],
)
def test_input_changes_the_size(size: str, shape: list[int], nin_spec: Run) -> None:
    """CxHxW, or the side of a square for the same channels."""
    assert json.loads(nin_spec("build", "tiny.yaml", "--format", "json", "--input", size).out)["input"] == shape


@pytest.mark.parametrize(
    "size", ["20x24", "x32x32", "3x32x32x1", "3 32 32", "-3x32x32", "axb", "3x32x", "99999999999x1x1"]
)
def test_a_malformed_input_is_a_usage_error(size: str, nin_spec: Run) -> None:
    """Exit 2, naming the option and the form expected."""
    done = nin_spec("build", "tiny.yaml", f"--input={size}")
    assert (done.code, done.out) == (2, "")
    assert "--input" in done.err
    assert "CxHxW" in done.err


def test_an_input_out_of_range_is_shown_as_an_override(nin_spec: Run) -> None:
    """The language's own limits hold for --input too."""
    done = nin_spec("build", "tiny.yaml", "--input", "3x0x99999")
    assert done.code == 2
    assert done.err.count(Code.OUT_OF_RANGE.code) >= 1


def test_a_bad_spec_is_an_error(nin_spec: Run) -> None:
    """Exit 2, the diagnostics on standard error and nothing on standard output."""
    done = nin_spec("build", "tiny.yaml", "--set", "blocks.0.kernal=3", "--set", "head.pol=max")
    assert (done.code, done.out) == (2, "")
    assert "unknown key 'kernal'" in done.err
    assert "unknown key 'pol'" in done.err
    assert done.err.endswith("2 errors\n")


def test_a_shipped_spec_is_built_by_name(nin_spec: Run) -> None:
    """The first walk of the help text works."""
    table = json.loads(nin_spec("build", "nin_cifar", "--format", "json").out)
    assert (table["totals"]["parameters"], table["totals"]["macs"]) == (966_986, 222_486_528)
    assert table["totals"]["receptive_field"] == 55


def test_a_narrow_terminal_leaves_columns_out_and_says_so(nin_spec: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is named below the table; name, op, output and counts stay."""
    monkeypatch.setattr("nin_spec.cli.build.terminal_width", lambda: 80)
    done = nin_spec("build", "tiny.yaml")
    assert "columns hidden (terminal too narrow): jump" in done.out
    assert "parameters" in done.out.splitlines()[2]


COLD = """
import sys
import nin_spec
from nin_spec.cli import execute
for arguments in (["check", "tiny.yaml"], ["build", "tiny.yaml"], ["build", "nin_cifar", "--by", "stage"],
                  ["show", "tiny.yaml"], ["list"], ["schema"], ["--help"]):
    assert execute(arguments) == 0, arguments
heavy = {"torch", "onnx", "onnxruntime", "numpy", "PIL", "jinja2", "safetensors"} & set(sys.modules)
assert not heavy, heavy
"""


def test_cold_commands_load_nothing_heavy() -> None:
    """`import nin_spec`, check, build, show, list and schema do without torch, onnx, onnxruntime and numpy."""
    done = subprocess.run([sys.executable, "-c", COLD], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_leaves_early_is_not_an_error() -> None:
    """`nin-spec schema | head -1` ends without a traceback."""
    script = "import sys; from nin_spec.cli import main; main(['schema'])"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
