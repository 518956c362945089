"""The published networks: what the rules find in each, reviewed by hand and counted again from the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from goldens import assert_golden
from oracle_graphs import golden_names, record

from nin_spec.lint import lint
from nin_spec.lint.finding import Finding, Subject
from nin_spec.lint.rules import RULES
from nin_spec.named import shipped_names
from nin_spec.network import Network
from nin_spec.network import compile as compile_network

HERE = Path(__file__).parent
ORACLE_SPECS = HERE.parent / "oracle_specs"
SEEDS = [name for name in golden_names() if name.startswith("seed_")]

Layer = dict[str, Any]


def path_of(name: str) -> str:
    """The spec of an oracle: hand-written beside the tests, or one of the shipped."""
    own = ORACLE_SPECS / f"{name}.yaml"
    return str(own) if own.exists() else name


def found(network: Network) -> list[Finding]:
    """Everything that the rules find, comments or not."""
    return [finding for rule in RULES.values() for finding in rule(Subject(network))]


def lines(name: str) -> list[str]:
    """A spec's findings, those marked that a comment silences."""
    network = compile_network(path_of(name))
    told = lint(network)
    rows = []
    for finding in found(network):
        d = finding.diagnostic
        mark = "" if d in told else "(silenced) "
        place = f"{Path(finding.span.source.name).name}:{finding.span.line}:{finding.span.column}"
        rows.append(f"  {mark}{d.severity.value} {d.code.code} {place} {d.message}")
    return [name, *(rows or ["  nothing"])]


def test_findings_in_the_published_networks() -> None:
    """The list that a person has checked: every shipped spec, and every oracle's."""
    names = [*shipped_names(), *sorted(p.stem for p in ORACLE_SPECS.glob("*.yaml"))]
    text = "".join(f"{line}\n" for name in names for line in lines(name))
    assert_golden(text, HERE / "goldens" / "published.txt")


@pytest.mark.parametrize("name", [n for n in shipped_names() if not n.startswith("seed_")])
def test_shipped_networks_are_exemplary(name: str) -> None:
    """What they do on purpose they say, with the reason; no comment of theirs is stale."""
    assert lint(compile_network(name)) == []


# ------------------------------------------------------------------ counted from the records


def pair(value: Any) -> tuple[int, int]:
    """A number for both axes, or one for each."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def sides(value: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """A record's padding, before and after on both axes."""
    if isinstance(value, list) and len(value) == 4:
        left, right, top, bottom = value
        return (top, bottom), (left, right)
    v, h = pair(value)
    return (v, v), (h, h)


def axes(layer: Layer) -> list[tuple[int, int, tuple[int, int]]]:
    """(kernel, stride, padding) of a record's window on both axes; its dilation is 1 throughout."""
    return list(zip(pair(layer["kernel"]), pair(layer["stride"]), sides(layer["padding"]), strict=True))


def walk(name: str) -> list[tuple[Layer, list[int], list[int], list[int]]]:
    """Each layer of a record with the size before it, the field and the jump behind it, counted on both axes."""
    facts = record(name)
    size, field, jump = list(facts["input"][1:]), [1, 1], [1, 1]
    steps = []
    for layer in facts["layers"]:
        before = list(size)
        if layer["op"] in ("conv", "maxpool", "avgpool"):
            for k, (kernel, stride, (start, end)) in enumerate(axes(layer)):
                room = size[k] + start + end - kernel
                up = layer.get("ceil_mode", False)
                size[k] = (-(-room // stride) if up else room // stride) + 1
                size[k] -= up and (size[k] - 1) * stride >= before[k] + start
                field[k] += (kernel - 1) * jump[k]
                jump[k] *= stride
        elif layer["op"] in ("global_avg_pool", "flatten"):
            size = [1, 1]
        steps.append((layer, before, list(field), list(size)))
    return steps


def dropped(layer: Layer, before: list[int], after: list[int]) -> bool:
    """Whether a pool's windows, laid out one by one, miss a cell."""
    for size, count, (kernel, stride, (start, _)) in zip(before, after, axes(layer), strict=True):
        seen = {i * stride - start + t for i in range(count) for t in range(kernel)}
        if set(range(size)) - seen:
            return True
    return False


def expected(name: str) -> dict[str, int]:
    """How often each rule of shapes and order must fire, read off a record."""
    steps = walk(name)
    kinds = [layer["op"] for layer, *_ in steps]
    last = max(k for k, kind in enumerate(kinds) if kind in ("conv", "linear"))
    size = record(name)["input"][1:]
    convs = [(k, layer) for k, (layer, *_) in enumerate(steps) if layer["op"] == "conv"]
    return {
        "NIN901": sum(kind in ("relu", "leaky_relu") for kind in kinds[last:]),
        "NIN902": sum(any(start >= kernel for kernel, _, (start, _) in axes(layer)) for _, layer in convs),
        "NIN903": sum(
            any(stride > kernel for kernel, stride, _ in axes(layer))
            for layer, _, _, after in steps
            if layer["op"] in ("conv", "maxpool", "avgpool") and max(after) > 1
        ),
        "NIN904": sum(
            dropped(layer, before, after) for layer, before, _, after in steps if layer["op"] in ("maxpool", "avgpool")
        ),
        "NIN905": sum(kind.startswith("dropout") for kind in kinds[last:]),
        "NIN907": int(any(f < s for f, s in zip(steps[convs[-1][0]][2], size, strict=True))),
        "NIN908": int(any(layer["bias"] and kinds[k + 1] == "batchnorm" for k, layer in convs)),
    }


@pytest.mark.parametrize("name", golden_names())
def test_findings_are_those_counted_from_the_record(name: str) -> None:
    """No finding is missing and none is false, by a count that shares nothing with the rules."""
    codes = [f.code.code for f in found(compile_network(path_of(name)))]
    assert {code: codes.count(code) for code in expected(name)} == expected(name)


@pytest.mark.parametrize("name", SEEDS)
def test_what_the_seed_specs_have_is_reported(name: str) -> None:
    """Each of the five keeps a ReLU on its class scores, and `check` says so; four lose the edge of three pools."""
    codes = [d.code.code for d in lint(compile_network(name))]
    assert codes.count("NIN901") == 1
    assert codes.count("NIN904") == (0 if name == "seed_mlpconv_six_blocks" else 3)


GOOD = ["nin_digits", "pytorch_rotnet_four_blocks"]


@pytest.mark.parametrize("name", GOOD)
def test_good_networks_have_no_findings_at_all(name: str) -> None:
    """Linear scores, norms without biases, pools that reach the end, a field over everything."""
    assert found(compile_network(path_of(name))) == []
