"""One rule for `--set` and `extends`: `--set a.b=v` is a spec that extends the other and says `a: {b: v}`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, get_args

import pytest
from examples import many
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from spec_strategies import Data, activations, dropouts, inits, names, norms, specs, to_text

import nin_spec
from nin_spec.diagnostics import SpecError
from nin_spec.language import family, kinds
from nin_spec.language.json_schema import json_schema
from nin_spec.language.reference import INTRODUCTION
from nin_spec.language.schema import Spec
from nin_spec.language.shorthand import Kind
from nin_spec.language.validate import models_in

BASE: Data = {
    "spec": 1,
    "name": "base",
    "input": {
        "channels": 3,
        "size": 32,
        "preprocess": {"resize": {"kind": "crop", "shorter": 40}, "mean": [0.1, 0.2, 0.3]},
    },
    "classes": ["cat", "dog"],
    "defaults": {"init": {"kind": "gaussian", "std": 0.05, "bias": 0.1}, "norm": "batch"},
    "blocks": [
        {
            "name": "first",
            "channels": [8, 8],
            "kernel": 5,
            "padding": 2,
            "pool": {"kind": "max", "kernel": 3, "stride": 2, "ceil_mode": True},
            "dropout": {"p": 0.5, "by": "channel"},
        },
        {
            "convs": [{"channels": 8, "padding": [1, 2]}, 8, "classes"],
            "kernel": 3,
            "norm": {"kind": "batch", "eps": 0.01},
        },
    ],
    "train": {
        "dataset": "x",
        "epochs": 9,
        "optimizer": {"kind": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
        "schedule": {"kind": "step", "milestones": [3, 6], "warmup": 1},
        "lr_multipliers": {"*": 2},
        "no_decay": ["*.bias"],
    },
}

Outcome = tuple[Any, ...]


def outcome(spec: Path, *overrides: str) -> Outcome:
    """The resolved spec and its hash, or the errors without their places."""
    try:
        network = nin_spec.compile(spec, overrides)
    except SpecError as error:
        return ("refused", sorted((d.code.code, d.message, d.hint or "") for d in error.diagnostics))
    return (network.spec.data, network.hash)


def nested(path: str, value: Any) -> Data:
    """The mapping that leads to a value by a dotted path."""
    for step in reversed(path.split(".")):
        value = {step: value}
    found: Data = value
    return found


def both(base: Data, path: str, value: Any) -> tuple[Outcome, Outcome]:
    """What `--set path=value` gives, and what a file gives that extends the other."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "base.yaml").write_text(to_text(base))
        Path(folder, "child.yaml").write_text(to_text({"extends": "base.yaml", **nested(path, value)}))
        argument = f"{path}={json.dumps(value, ensure_ascii=False)}"
        return outcome(Path(folder, "base.yaml"), argument), outcome(Path(folder, "child.yaml"))


CHANGES: list[tuple[str, Any, str, Any]] = [
    (
        "blocks.first.pool.kind",
        "avg",
        "blocks.0.pool",
        {"kind": "avg", "kernel": 3, "stride": 2, "padding": 0, "ceil_mode": True, "count_include_pad": False},
    ),
    ("blocks.0.pool", {"kind": "avg", "kernel": 2}, "blocks.0.pool.stride", 2),
    ("blocks.0.pool", "global_max", "blocks.0.pool", {"kind": "global_max"}),
    ("blocks.0.pool.kind", "global_max", "blocks.0.pool", {"kind": "global_max"}),
    ("blocks.0.dropout", 0.3, "blocks.0.dropout.by", "element"),
    ("blocks.0.dropout.p", 0.3, "blocks.0.dropout.by", "channel"),
    ("blocks.1.norm", "batch", "blocks.1.convs.0.norm.eps", 1e-5),
    ("blocks.1.norm.kind", "batch", "blocks.1.convs.0.norm.eps", 0.01),
    ("blocks.1.norm.momentum", 0.2, "blocks.1.convs.0.norm.eps", 0.01),
    ("defaults.norm.eps", 0.5, "blocks.0.convs.0.norm.eps", 0.5),
    ("defaults.init.kind", "kaiming_normal", "blocks.0.convs.0.init.bias", 0.1),
    ("train.optimizer.kind", "adam", "train.optimizer.lr", 0.001),
    ("train.optimizer.kind", "adam", "train.optimizer.weight_decay", 0.0),
    ("train.schedule.kind", "cosine", "train.schedule", {"kind": "cosine", "warmup": 1.0}),
    ("train.lr_multipliers.*", 3, "train.lr_multipliers", {"*": 3.0}),
    ("train.no_decay.0", "*.weight", "train.no_decay", ["*.weight"]),
    ("train.no_decay", None, "train.no_decay", []),
    ("input.preprocess.resize.kind", "stretch", "input.preprocess.resize", "stretch"),
    ("input.preprocess.resize.shorter", None, "input.preprocess.resize", "crop"),
    ("input.preprocess.mean.1", 0.5, "input.preprocess.mean", [0.1, 0.5, 0.3]),
    ("classes.1", "fox", "classes", ["cat", "fox"]),
    ("blocks.0.channels.1", 4, "blocks.0.convs.1.channels", 4),
    ("blocks.0.convs.1.kernel", 1, "blocks.0.convs.1.channels", 8),
    ("blocks.1.convs.1.groups", 2, "blocks.1.convs.1.channels", 8),
    ("blocks.1.convs.1", None, "blocks.1.convs.1.channels", "classes"),
    ("blocks.0.padding.top", 0, "blocks.0.convs.0.padding", {"top": 0, "bottom": 2, "left": 2, "right": 2}),
    ("blocks.1.convs.0.padding.left", 0, "blocks.1.convs.0.padding", {"top": 1, "bottom": 1, "left": 0, "right": 2}),
    ("blocks.first.name", "stem", "blocks.0.name", "stem"),
]


@pytest.mark.parametrize(("path", "value", "at", "expected"), CHANGES, ids=[f"{c[0]}={c[1]}" for c in CHANGES])
def test_what_a_change_leaves(path: str, value: Any, at: str, expected: Any) -> None:
    """Both ways give this."""
    for resolved, *_ in both(BASE, path, value):
        found: Any = resolved
        for step in at.split("."):
            found = found[int(step)] if isinstance(found, list) else found.get(step)
        assert found == expected


REFUSED = [
    "blocks.2.kernel",
    "blocks.frist.kernel",
    "blocks.0.channels.5",
    "blocks.0.convs.-1",
    "classes.cat",
    "spec.a",
    "train.epochs.0",
]


@pytest.mark.parametrize("path", REFUSED)
def test_what_is_not_there_can_not_be_changed(path: str) -> None:
    """Both ways refuse it, in the same words."""
    by_argument, by_file = both(BASE, path, 3)
    assert by_argument[0] == "refused"
    assert by_argument == by_file


# ------------------------------------------------------------------ over the whole language


def paths_in(data: Any, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of each value that a dotted path can lead to."""
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    steps = [(str(k), v) for k, v in inside if k != "extends" and not set(str(k)) & set(". =\t")]
    return [path for k, v in steps for path in ((*prefix, k), *paths_in(v, (*prefix, k)))]


values: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 9),
    st.sampled_from([0.5, "none", "batch", "relu", "avg", "same", "classes", "adam", [1, 2], [], {}, {"kind": "max"}]),
    st.sampled_from([{"kind": "avg", "kernel": 2}, {"kernel": 2, "stride": None}, {"0": None}, {"1": {"bias": False}}]),
    activations,
    norms,
    inits,
    names,
)
words = st.sampled_from(
    ["kind", "0", "1", "norm", "kernel", "padding", "top", "convs", "channels", "eps", "p", "train", "bias"]
)


FITTING: dict[str, st.SearchStrategy[Any]] = {
    "norm": st.one_of(norms, st.sampled_from([{"eps": 0.25}, {"kind": "batch"}, {"kind": "lrn", "eps": None}])),
    "activation": st.one_of(activations, st.sampled_from([{"slope": 0.5}, {"kind": "relu"}, {"kind": "elu"}])),
    "init": st.one_of(
        inits, st.sampled_from([{"kind": "xavier_normal"}, {"scale": 2}, {"kind": "gaussian", "std": 1}])
    ),
    "dropout": st.one_of(dropouts, st.sampled_from([{"p": 0.25}, {"by": "channel"}, None])),
    "bias": st.booleans(),
    "output": st.sampled_from(["scores", "softmax"]),
    "resize": st.sampled_from(["crop", {"kind": "crop"}, {"kind": "stretch"}, {"shorter": 32}, {"size": [40, 32]}]),
    "mean": st.one_of(st.just(0.5), st.just({"0": 0.5})),
    "schedule": st.sampled_from([{"kind": "cosine"}, "cosine", {"warmup": 2}, {"kind": "step"}, {"milestones": [1]}]),
    "optimizer": st.sampled_from([{"kind": "adam"}, "adam", {"kind": "adamw"}, {"lr": 0.5}, {"kind": "sgd", "lr": 1}]),
    "no_decay": st.sampled_from([["*.bias"], {"0": None}, {"0": "*"}, None]),
    "name": names,
}
"""Keys, and values that a spec mostly remains valid with."""

PLACES = {
    "blocks.{}.": ("norm", "activation", "init", "dropout", "name"),
    "blocks.{}.convs.0.": ("norm", "activation", "init", "dropout", "bias"),
    "blocks.{}.convs.0": ("",),
    "defaults.": ("norm", "activation", "init", "bias"),
    "head.": ("norm", "activation", "dropout", "output"),
    "input.preprocess.": ("resize", "mean"),
    "train.": ("schedule", "optimizer", "no_decay"),
}


def spelt(draw: st.DrawFn, path: str, value: Any) -> tuple[str, Any]:
    """The same change with the path longer or shorter by a step."""
    if isinstance(value, dict) and len(value) == 1 and draw(st.booleans()):
        ((key, inner),) = value.items()
        return f"{path}.{key}", inner
    parent, _, key = path.rpartition(".")
    return (parent, {key: value}) if parent and draw(st.booleans()) else (path, value)


@st.composite
def likely(draw: st.DrawFn) -> tuple[Data, str, Any]:
    """A spec and a change to it that is mostly valid."""
    data = draw(specs())
    place = draw(st.sampled_from([p for p in PLACES if p != "train." or "train" in data]))
    key = draw(st.sampled_from(PLACES[place]))
    index = draw(st.integers(0, len(data["blocks"]) - 1))
    block = draw(st.sampled_from([str(index), data["blocks"][index].get("name", str(index))]))
    value = draw(FITTING[key]) if key else {"bias": draw(st.booleans())}
    return data, *spelt(draw, place.format(block) + key, value)


@st.composite
def wild(draw: st.DrawFn) -> tuple[Data, str, Any]:
    """A spec, a path into it or beside it, and any value; mostly refused."""
    data = draw(specs())
    path = draw(st.sampled_from(paths_in(data)))
    end = draw(st.lists(words, max_size=2))
    cut = draw(st.integers(0, 1)) if end else 0
    return data, ".".join([*path[: len(path) - cut], *end]), draw(values)


VALIDATOR = Draft202012Validator(json_schema())


@pytest.mark.parametrize(("path", "value"), [change[:2] for change in CHANGES], ids=[f"{c[0]}={c[1]}" for c in CHANGES])
def test_an_editor_takes_what_a_family_may_say(path: str, value: Any) -> None:
    """The JSON Schema has the mappings over lists, too."""
    assert [e.message for e in VALIDATOR.iter_errors({"extends": "base.yaml", **nested(path, value)})] == []


@many
@given(st.one_of(likely(), likely(), wild()))
def test_an_override_and_a_family_are_one_rule(change: tuple[Data, str, Any]) -> None:
    """The same resolved spec and the same hash, or the same errors, for any path and value."""
    by_argument, by_file = both(*change)
    assert by_argument == by_file


# ------------------------------------------------------------------ kinds


def keys_with_kinds() -> set[str]:
    """The keys of the grammar under which a bare word stands for a kind."""

    def marked(annotation: Any, metadata: Any = ()) -> bool:
        return any(isinstance(m, Kind) for m in metadata) or any(
            marked(a, getattr(a, "__metadata__", ())) for a in get_args(annotation)
        )

    found, seen = set(), [Spec]
    for model in seen:
        for name, field in model.model_fields.items():
            found |= {name} if marked(field.annotation, field.metadata) and name != "dense" else set()
            seen += [m for m in models_in(field.annotation) if m not in seen]
    return found


def test_every_key_with_kinds_is_known_to_families() -> None:
    """A union that the grammar gains changes its kind by the same rule."""
    assert keys_with_kinds() == set(family.KINDS) == set(kinds.UNIONS)


STAYS: dict[str, dict[tuple[str, str], set[str]]] = {
    "pool": {("max", "avg"): {"kernel", "stride", "padding", "ceil_mode"}},
    "init": {("gaussian", "kaiming_normal"): {"bias", "bias_std", "scale"}, ("framework", "gaussian"): set()},
    "schedule": {("step", "cosine"): {"warmup"}},
    "optimizer": {("sgd", "adam"): set(), ("adam", "adamw"): {"lr", "betas", "eps", "weight_decay"}},
    "norm": {("batch", "lrn"): set()},
    "activation": {("leaky_relu", "elu"): set(), ("prelu", "gelu"): set()},
    "resize": {("crop", "stretch"): set()},
}


@pytest.mark.parametrize("key", STAYS)
def test_what_stays_when_a_kind_changes(key: str) -> None:
    """As the reference says, in either direction."""
    for (one, other), stays in STAYS[key].items():
        assert kinds.shared(key, one, other) == kinds.shared(key, other, one) == stays
    assert "none stays between sgd and adam" in " ".join(INTRODUCTION.split())
