"""The reference page and the JSON Schema say what the language does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from jsonschema import Draft202012Validator
from spec_strategies import Data, specs

import nin_spec.language.reference as reference_module
from nin_spec.diagnostics import Code
from nin_spec.language.document import parse, plain
from nin_spec.language.json_schema import json_schema
from nin_spec.language.load import loads, read
from nin_spec.language.reference import markdown, reachable
from nin_spec.language.schema import Spec
from nin_spec.lint.pages import reference_page
from nin_spec.lower import lower
from nin_spec.named import SHIPPED

REFERENCE = Path(reference_module.__file__).with_name("REFERENCE.md")
TESTS = Path(__file__).parent.parent
SPECS = [*sorted(SHIPPED.glob("*.yaml")), *sorted((TESTS / "oracle_specs").glob("*.yaml"))]
SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


@pytest.mark.floors
def test_the_reference_page_is_current() -> None:
    """REFERENCE.md is what `nin-spec schema --format markdown` prints."""
    assert REFERENCE.read_text() == reference_page(), "run: nin-spec schema --format markdown > REFERENCE.md"


def test_the_example_of_the_reference_page_compiles() -> None:
    """The spec that the page shows first is a spec."""
    lines = re.search(r"(?:^    .*\n)+", markdown(), re.MULTILINE)
    assert lines is not None
    assert lower(loads("".join(line[4:] for line in lines[0].splitlines(keepends=True)))).output.shape == (2,)


def test_the_reference_page_has_every_model_key_and_code() -> None:
    """Each model has a section with a row for each key that says what it means; each code has its line."""
    page = markdown()
    for model in reachable(Spec):
        section = page.partition(f"\n## {model.__name__}\n")[2].partition("\n## ")[0]
        for key in model.model_fields:
            row = next((line for line in section.splitlines() if line.startswith(f"| `{key}` |")), None)
            assert row is not None, (model, key)
    for code in Code:
        assert f"| {code.code} | {code.meaning} |" in page


def test_links_of_the_reference_page_lead_somewhere() -> None:
    """Each link names a section of the page."""
    page = reference_page()
    sections = {line.removeprefix("## ").lower() for line in page.splitlines() if line.startswith("## ")}
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) <= sections


@pytest.mark.floors
def test_the_schema_is_a_schema() -> None:
    """It holds to the meta-schema and is plain JSON."""
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_the_schema_takes_every_spec(path: Path) -> None:
    """An editor finds nothing wrong in the shipped specs and the oracles, as they are written."""
    assert [e.message for e in VALIDATOR.iter_errors(plain(parse(read(path))))] == []


@pytest.mark.parametrize("path", SPECS[:8], ids=lambda p: p.stem)
def test_the_schema_takes_canonical_specs(path: Path) -> None:
    """Nor in the canonical form."""
    from nin_spec.language.load import load

    assert [e.message for e in VALIDATOR.iter_errors(load(path).data)] == []


@given(specs())
def test_the_schema_takes_generated_specs(data: Data) -> None:
    """Nor in any spec within the grammar."""
    assert [e.message for e in VALIDATOR.iter_errors(data)] == []


SOUND: Data = yaml.safe_load((SHIPPED / "nin_cifar.yaml").read_text())

SLIPS: list[tuple[list[Any], Any]] = [
    (["nmae"], "x"),
    (["input", "sise"], 32),
    (["blocks", 0, "kernal"], 3),
    (["blocks", 0, "kernel"], "3"),
    (["blocks", 0, "kernel"], 0),
    (["blocks", 0, "kernel"], [3]),
    (["blocks", 0, "padding"], "full"),
    (["blocks", 0, "padding"], {"topp": 1}),
    (["blocks", 0, "channels", 0], "class"),
    (["blocks", 0, "pool"], "maximum"),
    (["blocks", 0, "pool", "ceil"], True),
    (["blocks", 0, "pool", "ceil_mode"], "yes"),
    (["blocks", 0, "dropout"], 1),
    (["blocks", 0, "convs"], [{"kernel": 3}]),
    (["blocks"], {"mlpconv1": {"kernel": 3}}),
    (["defaults", "activation"], "rellu"),
    (["defaults", "order"], ["convolution"]),
    (["head", "dense"], [{"unit": 3}]),
    (["head", "output"], "logits"),
    (["train", "optimizer", "kind"], "sdg"),
    (["classes"], 0),
    (["spec"], 2),
]


@pytest.mark.parametrize(("path", "value"), SLIPS, ids=[".".join(map(str, p)) + f"={v}" for p, v in SLIPS])
def test_the_schema_refuses_slips(path: list[Any], value: Any) -> None:
    """An editor underlines what `check` would refuse."""
    data = json.loads(json.dumps(SOUND))
    parent = data
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    assert list(VALIDATOR.iter_errors(data))


FAMILY_SLIPS = [
    {"blocks": {"mlpconv1": {"kernal": 3}}},
    {"blocks": {"mlpconv1": {"pool": {"ceil": True}}}},
    {"blocks": {"mlpconv1": {"convs": [{"kernel": 3}]}}},
    {"blocks": [{"pool": {"ceil_mode": True}}]},
    {"defaults": {"norm": {"epsilon": 1}}},
    {"input": {"size": "32"}},
    {"train": {"optimizer": {"momentom": 0.9}}},
    {"trian": None},
]


@pytest.mark.parametrize("slip", FAMILY_SLIPS, ids=str)
def test_the_schema_refuses_slips_in_families(slip: Data) -> None:
    """Nor does it let everything pass in a spec that extends another."""
    assert VALIDATOR.is_valid({"spec": 1, "extends": "nin_cifar", "name": "a"})
    assert not VALIDATOR.is_valid({"spec": 1, "extends": "nin_cifar", "name": "a", **slip})
