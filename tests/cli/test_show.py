"""nin-spec show, list and schema: what a spec comes to, and where each value comes from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from goldens import assert_golden

from nin_spec.language.load import load, loads
from nin_spec.lower import lower
from nin_spec.named import shipped_names

GOLDENS = Path(__file__).parent / "goldens"
Run = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.floors
@pytest.mark.parametrize("form", ["yaml", "json", "graph"])
def test_show_prints_the_canonical_form(form: str, nin_spec: Run) -> None:
    """The canonical form is the golden one."""
    done = nin_spec("show", "tiny.yaml", "--format", form)
    assert (done.code, done.err) == (0, "")
    assert_golden(done.out, GOLDENS / f"show_{form}.txt")


@pytest.mark.parametrize("name", ["tiny.yaml", *shipped_names()])
@pytest.mark.parametrize("flags", [[], ["--no-origins"], ["--format", "json"]], ids=["origins", "plain", "json"])
def test_what_is_shown_is_a_spec_of_the_same_network(name: str, flags: list[str], nin_spec: Run) -> None:
    """The output reads back as the same spec and the same graph, remarks and all."""
    again = loads(nin_spec("show", name, *flags).out)
    assert again.data == load(name).data
    assert str(lower(again)) == str(lower(load(name)))


def test_origins_are_shown(nin_spec: Run) -> None:
    """Each value says which file and line, which override, or that the language decided it."""
    lines = nin_spec("show", "nin_cifar_bn", "--set", "blocks.mlpconv1.kernel=7", "--set", "blocks.0.padding=3").out
    assert "# --set" not in lines
    remarked = (line.split("  # ") for line in lines.splitlines() if "  # " in line)
    found = {text.strip(" -"): remark for text, remark in remarked}
    assert found["kernel: 7"] == "blocks.mlpconv1.kernel=7"
    assert found["padding: 3"] == "blocks.0.padding=3"
    assert found["name: nin_cifar_bn"].startswith("nin_cifar_bn.yaml:")
    assert found["name: mlpconv1"].startswith("nin_cifar.yaml:")
    assert found["momentum: 0.1"] == "default"


def test_list_shows_every_shipped_network(nin_spec: Run) -> None:
    """A line for each, with its counts and what it is."""
    out = nin_spec("list").out
    rows = json.loads(nin_spec("list", "--format", "json").out)
    assert [r["name"] for r in rows] == shipped_names()
    assert next(r for r in rows if r["name"] == "nin_cifar")["parameters"] == 966_986
    for row in rows:
        assert row["name"] in out
        assert row["summary"] in out


def test_schema_prints_both_forms(nin_spec: Run) -> None:
    """JSON for editors, Markdown for people."""
    assert json.loads(nin_spec("schema").out)["title"] == "nin-spec"
    assert nin_spec("schema", "--format", "markdown").out.startswith("# The spec language\n")


@pytest.mark.parametrize("command", [["show", "nin_cifer"], ["show", "tiny.yaml", "--set", "a=1"]])
def test_errors_go_to_standard_error(command: list[str], nin_spec: Run) -> None:
    """Nothing is shown of a spec that does not compile."""
    done = nin_spec(*command)
    assert (done.code, done.out) == (2, "")
    assert "error NIN" in done.err
