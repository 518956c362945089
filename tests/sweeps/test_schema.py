"""The JSON Schema of sweep files agrees with what is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from sweep_files import SMALL, problems

from nin_spec.cli import execute
from nin_spec.sweeps.schema import sweep_schema


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    """Of the schema."""
    Draft202012Validator.check_schema(sweep_schema())
    return Draft202012Validator(sweep_schema())


MORE = """\
objectives: {latency: {goal: min, threads: 2}, validation_loss: min}
prune: {kind: median, after: 3}
time_limit: 2.5 h
seeds: 3
sampler: random
"""


def accepted(text: str) -> Any:
    """The data of a sweep file."""
    return yaml.safe_load(text.replace("1.1e6", "1100000"))


@pytest.mark.parametrize("text", [SMALL, SMALL.replace("objectives: {validation_accuracy: max, macs: min}\n", MORE)])
def test_a_right_file_is_accepted(text: str, validator: Draft202012Validator) -> None:
    """By the keys that a person writes: `from`, `to`, `set`."""
    assert [error.message for error in validator.iter_errors(accepted(text))] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("trials: 3", "trails: 3"),
        ("trials: 3", "trials: 0"),
        ("to: 32", "until: 32"),
        ("macs: min", "macs: max"),
        ("{macs: 1.1e6}", "{mac: 3}"),
        ("[0.1, 0.2]", "[]"),
        ("trials: 3", "prune: medium"),
        ("trials: 3", "time_limit: 2 days"),
    ],
)
def test_what_the_loader_refuses_is_refused(
    old: str, new: str, validator: Draft202012Validator, tmp_path: Path
) -> None:
    """Both by the grammar."""
    text = SMALL.replace(old, new)
    assert problems(tmp_path, text)
    assert list(validator.iter_errors(accepted(text)))


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON alone."""
    assert execute(["schema", "--sweep"]) == 0
    assert json.loads(capsys.readouterr().out) == sweep_schema()
    assert execute(["schema", "--sweep", "--format", "markdown"]) == 2
