"""NIN912: entries that training ignores. NIN913: pictures of two scales. NIN914: settings at cross purposes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lint_specs import network_of, spec_of, told
from spec_strategies import specs, to_text

from nin_spec.diagnostics import Code, Severity
from nin_spec.lint import findings, lint
from nin_spec.lint.finding import Finding
from nin_spec.network import Network
from nin_spec.network import compile as compile_network
from nin_spec.recipe_names import trainable
from nin_spec.training.optimizer import decays, multiplier

STEM = "{name: stem, channels: [64], kernel: 8, stride: 4}"
SCORES = "{name: scores, convs: [64, {channels: classes, activation: none}], kernel: 7, padding: 3}"


def spec_with(recipe: str) -> str:
    """A spec of two named blocks that trains so."""
    return spec_of(STEM, SCORES, top=f"train: {{dataset: cifar10, epochs: 30, {recipe}}}\n")


def finding_of(recipe: str) -> Finding:
    """The one finding of the rule."""
    (found,) = (f for f in findings(network_of(spec_with(recipe))) if f.code is Code.IDLE_ENTRY)
    return found


MISSPELT = [
    ("scroes.*", "scores.*"),
    ("scores9.*", "scores.*"),
    ("stem.conv.*", "stem.convs.*"),
    ("*.wieght", "*.weight"),
    ("score.convs.*.weight", "scores.convs.*.weight"),
    ("scoers.convs.1.*", "scores.convs.1.*"),
    ("strem*", "stem*"),
    ("[stem].*", "stem.*"),
]


@pytest.mark.parametrize("key", ["lr_multipliers: {{{}: 0}}", "no_decay: [{}]"])
@pytest.mark.parametrize(("pattern", "meant"), MISSPELT)
def test_a_misspelt_pattern(key: str, pattern: str, meant: str) -> None:
    """Told at the pattern, with the one that was probably meant."""
    recipe = "optimizer: {kind: sgd, lr: 0.1, weight_decay: 0.1}, " + key.format(f'"{pattern}"')
    ((_, _, shown, message),) = told(spec_with(recipe), "NIN912")
    assert shown == f'"{pattern}"'
    assert f"{pattern!r} matches none of the network's parameters" in message
    found = finding_of(recipe)
    assert (found.severity, found.hint) == (Severity.WARNING, f"did you mean {meant!r}?")


@pytest.mark.parametrize("pattern", ["*.norms.*", "*.norms.*.bias", "head.dense.*"])
def test_a_general_pattern_is_a_note(pattern: str) -> None:
    """What speaks of any network's norms or dense layers may find none: it is not a slip of the pen."""
    found = finding_of(f'optimizer: adam, lr_multipliers: {{"{pattern}": 2}}')
    assert found.severity is Severity.NOTE


OTHERS = [
    ('optimizer: adam, lr_multipliers: {"stem.*": 2, "*": 1}', "'stem.*' has no effect: later entries match"),
    ("optimizer: adam, no_decay: [stem.convs.0.bias]", "the optimizer has no weight decay"),
    ('optimizer: adam, freeze: ["stern.*"]', "train.freeze: 'stern.*' matches none of the network's parameters"),
    ('optimizer: adam, freeze: [stem], lr_multipliers: {"stem.*.bias": 2}', "freeze holds all its parameters"),
    ("optimizer: adam, schedule: {kind: step, milestones: [10, 30]}", "milestones: 30 has no effect"),
    ("optimizer: adam, schedule: {kind: step, milestones: [30.5]}", "training ends after 30 epochs"),
    ("optimizer: adam, augment: {crop: true}", "train.augment.crop has no effect"),
    ("optimizer: adam, resize: 32, augment: {crop: true}", "resized to the input's 32x32"),
]


@pytest.mark.parametrize(("recipe", "message"), OTHERS)
def test_what_else_changes_nothing(recipe: str, message: str) -> None:
    """Entries that are overruled, exceptions from a decay of 0, drops of the rate after the end."""
    assert message in finding_of(recipe).message


def test_a_multiplier_of_parameters_that_are_partly_frozen_has_an_effect() -> None:
    text = spec_with('optimizer: adam, freeze: [stem], lr_multipliers: {"*.bias": 2}')
    assert not [f for f in findings(network_of(text)) if f.code is Code.IDLE_ENTRY]


BUFFERS = ["blocks.0.norms.0.running_mean", "*.running_var"]


@pytest.mark.parametrize("pattern", BUFFERS)
def test_statistics_are_not_learned(pattern: str) -> None:
    """A batch norm's running mean and variance have a name, and no learning rate."""
    text = spec_of("{channels: [64], kernel: 8, stride: 4, norm: batch, bias: false}", SCORES)
    text += f'train: {{dataset: cifar10, epochs: 30, optimizer: adam, lr_multipliers: {{"{pattern}": 2}}}}\n'
    assert [row[2] for row in told(text, "NIN912")] == [f'"{pattern}"']


def test_a_misspelt_pattern_in_a_family_and_in_an_override() -> None:
    """Told where it stands: in the argument of `--set` as well."""
    network = compile_network("nin_cifar", ['train.lr_multipliers={"mlpconv9.*": 0}'])
    (found,) = lint(network)
    assert found.span is not None
    assert (found.code, found.span.source.name, found.span.column) == (Code.IDLE_ENTRY, "--set", 23)
    assert found.hint == "did you mean 'mlpconv3.*'?"


def test_a_family_may_overrule(tmp_path: Path) -> None:
    """A spec may overrule the one that it extends: only the same text overrules itself by mistake."""
    (tmp_path / "base.yaml").write_text(spec_with('optimizer: adam, lr_multipliers: {"stem.*": 2}'))
    child = "spec: 1\nextends: base.yaml\nname: b\ntrain: {lr_multipliers: {"
    (tmp_path / "child.yaml").write_text(child + '"*": 3}}\n')
    (tmp_path / "twice.yaml").write_text(child + '"scores.*": 3, "*": 3}}\n')
    idle = {
        name: [f.message for f in findings(compile_network(tmp_path / name))] for name in ("child.yaml", "twice.yaml")
    }
    assert idle["child.yaml"] == []
    assert len(idle["twice.yaml"]) == 1


# ------------------------------------------------------------------ two scales

SCALES = [
    ("stretch", None, None),
    ("stretch", 32, None),
    ("{kind: crop, shorter: 40}", None, None),
    ("{kind: crop, shorter: 40}", 40, None),
    ("{kind: stretch, size: 40}", 40, None),
    ("stretch", 40, "{kind: stretch, size: 40}"),
    ("crop", 40, "{kind: crop, shorter: 40}"),
    ("{kind: crop, shorter: 40}", 36, "{kind: crop, shorter: 36}"),
    ("{kind: stretch, size: [40, 32]}", 40, "{kind: stretch, size: 40}"),
]


@pytest.mark.parametrize(("scored", "trained", "cure"), SCALES)
def test_training_at_another_scale(scored: str, trained: int | None, cure: str | None) -> None:
    """Reported where `train.resize` differs from evaluation's; the fix in the hint removes it."""
    text = spec_with("optimizer: adam")
    overrides = [f"input.preprocess.resize={scored}"] + ([f"train.resize={trained}"] if trained else [])
    found = [f for f in findings(network_of(text, *overrides)) if f.code is Code.TWO_SCALES]
    assert len(found) == (cure is not None)
    if cure is not None:
        assert f"input.preprocess.resize: {cure}," in found[0].hint
        cured = network_of(text, f"input.preprocess.resize={cure}", "train.augment.crop=true")
        assert findings(cured) == []


def test_an_open_size_is_reported_until_a_scale_is_set() -> None:
    """Training resizes to the nominal size, and `run` does not, unless the contract names a size for both."""
    found = findings(network_of(spec_with("optimizer: adam"), "input.open=true"))
    assert [(f.code, f.severity) for f in found] == [(Code.TWO_SCALES, Severity.NOTE)]
    assert "input.preprocess.resize: {kind: stretch, size: 32}" in found[0].hint
    text = spec_with("optimizer: adam")
    assert findings(network_of(text, "input.open=true", "input.preprocess.resize={kind: crop, shorter: 32}")) == []


# ------------------------------------------------------------------ against the optimizer


@st.composite
def patterned(draw: st.DrawFn) -> dict[str, Any]:
    """A random network, and a recipe whose patterns are made of pieces of its names, rightly and wrongly."""
    data = draw(specs())
    data["train"] = {"dataset": "x", "epochs": 3, "optimizer": {"kind": "sgd", "lr": 0.1, "weight_decay": 0.1}}
    network = network_of(to_text(data))
    names = sorted({name for names in trainable(network.graph, network.spec.spec).values() for name in names})
    pieces = st.sampled_from(sorted({w for name in names for w in name.split(".")} | {"*", "biass"}))
    patterns = st.lists(pieces, min_size=1, max_size=4).map(".".join).filter(lambda p: "*" in p)
    chosen = draw(st.lists(st.one_of(patterns, st.sampled_from(names)), max_size=5, unique=True))
    data["train"]["lr_multipliers"] = {pattern: float(2 + i) for i, pattern in enumerate(chosen)}
    data["train"]["no_decay"] = draw(st.lists(st.one_of(patterns, st.sampled_from(names)), max_size=2))
    return data


def rates(network: Network) -> list[tuple[float, bool]]:
    """The factor and the decay of each parameter, as the optimizer has them."""
    spec = network.spec.spec
    assert spec.train is not None
    named = trainable(network.graph, spec).values()
    return [(multiplier(spec.train, names), decays(spec.train, names)) for names in named]


@given(patterned())
def test_a_multiplier_is_reported_just_where_taking_it_away_changes_no_rate(data: dict[str, Any]) -> None:
    """The rule and the optimizer agree on every entry of a random recipe."""
    network = network_of(to_text(data))
    idle = [f.message for f in findings(network) if f.code is Code.IDLE_ENTRY and "lr_multipliers" in f.message]
    expected = 0
    for pattern in data["train"]["lr_multipliers"]:
        rest = {k: v for k, v in data["train"]["lr_multipliers"].items() if k != pattern}
        without = network_of(to_text({**data, "train": {**data["train"], "lr_multipliers": rest}}))
        expected += rates(without) == rates(network)
    assert len(idle) == expected


# ------------------------------------------------------------------ cross purposes

CROSSED = [
    ("schedule: cosine, validation: 0.1, patience: 5", Severity.WARNING, "train.patience may end the training"),
    ("schedule: one_cycle, time_limit: 5", Severity.NOTE, "one_cycle lowers it until epoch 30"),
    ("balance: sampling, class_weights: {cat: 2}", Severity.WARNING, "already shows all classes equally often"),
]


@pytest.mark.parametrize(("recipe", "severity", "message"), CROSSED)
def test_settings_at_cross_purposes(recipe: str, severity: Severity, message: str) -> None:
    (found,) = (
        f for f in findings(network_of(spec_with(f"optimizer: adam, {recipe}"))) if f.code is Code.CROSS_PURPOSES
    )
    assert message in found.message
    assert found.severity is severity


@pytest.mark.parametrize(
    "recipe",
    [
        "validation: 0.1, patience: 5",
        "schedule: {kind: step, milestones: [9]}, validation: 0.1, patience: 5, time_limit: 9",
        "balance: loss, class_weights: {cat: 2}",
        "balance: sampling, augment: {mixup: 0.2, cutmix: 1, erase: 0.1}, label_smoothing: 0.1, ema: {}",
    ],
)
def test_settings_that_get_along(recipe: str) -> None:
    """Smoothing, mixing and averaging are used together."""
    assert not told(spec_with(f"optimizer: adam, {recipe}"), "NIN914")


def test_gray_pictures_have_no_saturation() -> None:
    recipe = "optimizer: adam, augment: {jitter: {saturation: 0.3, contrast: 0.1}}"
    assert not told(spec_with(recipe), "NIN912")
    gray = spec_with(recipe).replace("channels: 3, size", "channels: 1, size")
    ((_, _, shown, message),) = told(gray, "NIN912")
    assert shown == "0.3"
    assert message.startswith("train.augment.jitter.saturation has no effect")
