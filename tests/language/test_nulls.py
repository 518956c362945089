"""A key set to null is an error or the same as a key left out, and every command says which alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nin_spec.cli import execute
from nin_spec.diagnostics import NinSpecError
from nin_spec.exporter import make
from nin_spec.language.emit import emit
from nin_spec.language.load import loads
from nin_spec.language.schema import Spec
from nin_spec.language.validate import models_in
from nin_spec.network import Network
from nin_spec.network import compile as compile_network

Steps = tuple[str | int, ...]

WHOLE: dict[str, Any] = {
    "spec": 1,
    "name": "n",
    "input": {"channels": 4, "size": 8, "preprocess": {"scale": 1, "mean": 0.5}},
    "classes": 2,
    "defaults": {"bias": True, "norm": {"kind": "batch"}},
    "blocks": [
        {"name": "a", "channels": [4], "kernel": 3, "padding": 1, "norm": {"kind": "lrn"}},
        {
            "convs": [{"channels": 8, "kernel": 3, "dropout": {"p": 0.5}, "shuffle": 2}],
            "pool": {"kind": "max", "kernel": 2},
        },
        {
            "channels": [4],
            "kernel": 1,
            "activation": {"kind": "maxout", "pieces": 2},
            "init": {"kind": "gaussian", "std": 1},
        },
        {"shuffle": 2, "activation": "relu"},
        {"pool": {"kind": "avg", "kernel": 2, "padding": 1, "count_include_pad": True}},
        {"norm": "batch", "activation": {"kind": "leaky_relu"}},
        {"dropout": {"p": 0.5}},
        {"channels": ["classes"], "kernel": 1},
    ],
    "head": {"pool": "global_avg", "dense": [{"units": 8, "norm": "batch"}, "classes"]},
    "train": {
        "dataset": "digits",
        "epochs": 1,
        "batch_size": 4,
        "optimizer": {"kind": "sgd", "lr": 0.1, "momentum": 0.9},
        "schedule": {"kind": "step", "milestones": [1], "gamma": 0.1},
        "augment": {"flip": True},
    },
}
"""Every kind of block: with convolutions of both spellings, and each bare step alone."""


def places(models: list[Any], data: Any, path: Steps = ()) -> Iterator[Steps]:
    """Every key that the grammar has at a mapping of the data, written there or not."""
    if isinstance(data, list):
        for k, item in enumerate(data):
            yield from places(models, item, (*path, k))
    if not isinstance(data, dict):
        return
    kind = data.get("kind")
    tagged = [m for m in models if "kind" in m.model_fields and kind in m.model_fields["kind"].annotation.__args__]
    for model in tagged or models:
        for key, field in model.model_fields.items():
            yield (*path, key)
            yield from places(models_in(field.annotation), data.get(key), (*path, key))


PLACES = list(dict.fromkeys(places([Spec], WHOLE)))


def changed(path: Steps, *, null: bool) -> str:
    """The spec with one key null, or left out."""
    data = json.loads(json.dumps(WHOLE))
    *above, key = path
    place = data
    for step in above:
        place = place[step]
    if null:
        place[key] = None
    else:
        place.pop(key, None)
    return json.dumps(data)


def shown(network: Network) -> object:
    """What `show` prints reads back as the same network."""
    again = compile_network(loads(emit(network.spec.data)))
    assert again.spec.data == network.spec.data
    return again.hash


COMMANDS: list[Callable[[Network], object]] = [
    lambda network: network.hash,
    shown,
    lambda network: network.table,
    lambda network: make(network.initialise(), "onnx", {}),
]
"""What check, show, build and export do with a compiled spec."""


def verdicts(text: str) -> list[object]:
    """Of each command: the codes of its errors, or its function's hash."""
    found: list[object] = []
    for command in COMMANDS:
        try:
            network = compile_network(loads(text))
            command(network)
        except NinSpecError as error:
            found.append([d.code for d in error.diagnostics])
        else:
            found.append(network.hash)
    return found


def test_the_whole_spec_is_one() -> None:
    """And the places are those of every part of the grammar."""
    assert verdicts(json.dumps(WHOLE)) == [compile_network(loads(json.dumps(WHOLE))).hash] * 4
    assert {("blocks", 3, "shuffle"), ("blocks", 4, "pool", "count_include_pad"), ("train", "optimizer", "lr")} <= {
        *PLACES
    }


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_null_has_one_verdict(path: Steps) -> None:
    """Of every command; and where it is allowed, it means what leaving the key out means."""
    found = verdicts(changed(path, null=True))
    assert found.count(found[0]) == len(COMMANDS), found
    if isinstance(found[0], str):
        assert verdicts(changed(path, null=False)) == found


def test_a_bare_block_s_null_shuffle_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By every command, and what is shown is a spec."""
    monkeypatch.chdir(tmp_path)
    text = changed(("blocks", 3, "shuffle"), null=True)
    Path("n.yaml").write_text(text)
    for command in (["check"], ["show"], ["build"], ["export", "--source"]):
        assert execute([command[0], "n.yaml", *command[1:]]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert execute(["show", "n.yaml"]) == 0
    assert loads(capsys.readouterr().out).data == loads(text).data
