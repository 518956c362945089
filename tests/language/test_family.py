"""Families: what extends, overrides by block and `--set` do to a spec, and where each value comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nin_spec.diagnostics import Code, SpecError
from nin_spec.language.canonical import Canonical
from nin_spec.language.load import load, loads
from nin_spec.named import SHIPPED

BASE = """\
spec: 1
name: base
input: {channels: 3, size: 32}
classes: 10
defaults: {norm: batch}
blocks:
  - name: first
    channels: [8, 8]
    kernel: 5
    padding: 2
    pool: {kind: max, kernel: 3, stride: 2, ceil_mode: true}
    dropout: 0.5
  - channels: [8, classes]
    kernel: 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `base.yaml`."""
    (tmp_path / "base.yaml").write_text(BASE)
    return tmp_path


def child(folder: Path, text: str, name: str = "child.yaml") -> Canonical:
    """A spec that extends the base."""
    (folder / name).write_text(f"spec: 1\nextends: base.yaml\nname: child\n{text}\n")
    return load(folder / name)


def at(data: Any, path: str) -> Any:
    """The value at a dotted path of the canonical form, or None."""
    for step in path.split("."):
        data = data[int(step)] if isinstance(data, list) else data.get(step)
    return data


CHANGES: list[tuple[str, str, Any]] = [
    ("classes: 7", "classes", 7),
    ("input: {size: 64}", "input.channels", 3),
    ("blocks: {first: {kernel: 7, padding: 3}}", "blocks.0.convs.0.kernel", 7),
    ("blocks: {first: {kernel: 7, padding: 3}}", "blocks.0.convs.1.kernel", 1),
    ("blocks: {first: {dropout: null}}", "blocks.0.dropout", None),
    (
        "blocks: {first: {dropout: {by: channel}}}",
        "blocks.0.dropout",
        {"p": 0.5, "by": "channel", "before_pool": False},
    ),
    ("blocks: {first: {pool: {ceil_mode: false}}}", "blocks.0.pool.kernel", 3),
    ("blocks: {first: {pool: {kind: max, stride: 1}}}", "blocks.0.pool.kernel", 3),
    ("blocks: {first: {pool: {kind: avg, kernel: 2}}}", "blocks.0.pool.stride", 2),
    ("blocks: {first: {pool: {kind: avg, kernel: 2, stride: null}}}", "blocks.0.pool.stride", 2),
    ("blocks: {first: {pool: global_max}}", "blocks.0.pool", {"kind": "global_max"}),
    ("blocks: {first: {channels: [4]}}", "blocks.0.convs.0.channels", 4),
    ("blocks: {first: {convs: [{channels: 4, groups: 1}]}}", "blocks.0.convs.0.channels", 4),
    ("blocks: {first: null, '1': {kernel: 1}}", "blocks.0.convs.0.kernel", 1),
    ("blocks: {1: {kernel: 1}}", "blocks.1.convs.0.kernel", 1),
    ("blocks: [{channels: [classes], kernel: 1}]", "blocks.0.convs.0.kernel", 1),
    ("defaults: {norm: {eps: 0.001}}", "blocks.0.convs.0.norm.eps", 0.001),
    ("defaults: {norm: null}", "blocks.0.convs.0.norm.kind", "none"),
    ("defaults: null", "blocks.0.convs.0.norm.kind", "none"),
    ("train: {dataset: x, epochs: 1, optimizer: adam, no_decay: null}", "train.no_decay", []),
]


@pytest.mark.parametrize(("text", "path", "value"), CHANGES, ids=[c[0] for c in CHANGES])
def test_extends_changes_what_it_names(text: str, path: str, value: Any, folder: Path) -> None:
    """Mappings merge, null takes away, lists and mappings of another kind replace."""
    assert at(child(folder, text).data, path) == value


OVERRIDES = [
    ("blocks.0.kernel=3", "blocks.0.convs.0.kernel", 3),
    ("blocks.first.kernel=[3, 1]", "blocks.0.convs.0.kernel", [3, 1]),
    ("blocks.first.channels.1=4", "blocks.0.convs.1.channels", 4),
    ("blocks.first.pool.kernel=2", "blocks.0.pool.kernel", 2),
    ("blocks.first.pool=none", "blocks.0.pool", {"kind": "none"}),
    ("blocks.first.pool={kernel: 2}", "blocks.0.pool.kind", "max"),
    ("blocks.first.dropout.by=channel", "blocks.0.dropout.p", 0.5),
    ("blocks.first.dropout=", "blocks.0.dropout", None),
    ("blocks.first.dropout=null", "blocks.0.dropout", None),
    ("blocks.first=null", "blocks.0.convs.0.kernel", 3),
    ("blocks={first: {kernel: 1}}", "blocks.0.convs.0.kernel", 1),
    ("defaults.norm.eps=0.5", "blocks.1.convs.0.norm.eps", 0.5),
    ("head.pool=global_max", "head.pool", {"kind": "global_max"}),
    ("input.size=[48, 64]", "input.size", [48, 64]),
    ("input.preprocess.scale=1/2", "input.preprocess.scale", 0.5),
    ("train={dataset: x, epochs: 1, optimizer: adam}", "train.optimizer.kind", "adam"),
    ('classes=["yes", "no"]', "classes", ["yes", "no"]),
]


@pytest.mark.parametrize(("argument", "path", "value"), OVERRIDES, ids=[o[0] for o in OVERRIDES])
def test_an_override_changes_what_it_names(argument: str, path: str, value: Any) -> None:
    """A dotted path reaches into mappings, lists, blocks by name, and values in their short spelling."""
    assert at(loads(BASE, overrides=[argument]).data, path) == value


def test_later_overrides_win() -> None:
    """Overrides apply in the order given."""
    spec = loads(BASE, overrides=["blocks.0.kernel=3", "blocks.first.kernel=7", "blocks.0.padding=3"])
    assert at(spec.data, "blocks.0.convs.0.kernel") == 7


BAD_OVERRIDES = [
    ("kernel", Code.BAD_OVERRIDE, "'kernel' is not an override", 1),
    ("=3", Code.BAD_OVERRIDE, "'=3' is not an override", 1),
    ("blocks..kernel=3", Code.BAD_OVERRIDE, "'blocks..kernel=3' is not an override", 1),
    ("blocks .0=3", Code.BAD_OVERRIDE, "'blocks .0=3' is not an override", 1),
    ("extends=nin_cifar", Code.BAD_OVERRIDE, "extends is read before any override", 1),
    ("blocks.2.kernel=3", Code.UNKNOWN_BLOCK, "unknown block '2'", 1),
    ("blocks.frist.kernel=3", Code.UNKNOWN_BLOCK, "unknown block 'frist'", 1),
    ("blocks.0.channels.5=3", Code.BAD_OVERRIDE, "blocks.0.channels has 2 items; '5' is not one of them", 1),
    ("classes.first=3", Code.WRONG_TYPE, "classes: expected a whole number, found a mapping", 1),
    ("blocks.0.kernal=3", Code.UNKNOWN_KEY, "blocks.0: unknown key 'kernal'", 1),
    ('blocks.0.kernel="3"', Code.WRONG_TYPE, "blocks.0.kernel: expected a whole number, found the string '3'", 17),
    ("blocks.0.kernel=[3", Code.YAML_SYNTAX, "not YAML: ", 19),
    ("blocks.0.kernel=!t 3", Code.YAML_TAG, "the tag '!t' is not allowed: specs are plain data", 17),
    ("blocks.0.pool={kind: max, kernel: 99}", Code.SHAPE, "", 35),
    ("blocks={second: {kernel: 3}}", Code.UNKNOWN_BLOCK, "unknown block 'second'", 9),
]


@pytest.mark.parametrize(("argument", "code", "message", "column"), BAD_OVERRIDES, ids=[b[0] for b in BAD_OVERRIDES])
def test_a_bad_override_is_shown_in_the_argument(argument: str, code: Code, message: str, column: int) -> None:
    """The diagnostic points into the argument as it was typed."""
    from nin_spec.lower import lower

    with pytest.raises(SpecError) as caught:
        lower(loads(BASE, overrides=[argument]))
    found = caught.value.diagnostics[0]
    assert found.code is code
    assert found.message.startswith(message)
    assert found.span is not None
    assert (found.span.source.name, found.span.source.text) == ("--set", argument)
    assert (found.span.line, found.span.column) == (1, column)


def test_origins_through_a_family(folder: Path) -> None:
    """A value comes from the file that set it last, from an override, or from the language."""
    (folder / "child.yaml").write_text(
        "spec: 1\nextends: base.yaml\nname: child\nblocks: {first: {kernel: 7, padding: 3}}\n"
    )
    spec = load(folder / "child.yaml", ["blocks.first.pool.kernel=4"])

    def place(*path: str | int) -> str | None:
        span = spec.origins[path]
        return f"{Path(span.source.name).name}:{span.line}" if span else None

    assert place("name") == "child.yaml:3"
    assert place("classes") == "base.yaml:4"
    assert place("blocks", 0, "convs", 0, "kernel") == "child.yaml:4"
    assert place("blocks", 0, "convs", 0, "channels") == "base.yaml:8"
    assert place("blocks", 0, "convs", 0, "norm", "kind") == "base.yaml:5"
    assert place("blocks", 0, "convs", 0, "norm", "eps") is None
    assert place("blocks", 0, "convs", 1, "kernel") is None
    assert place("blocks", 0, "dropout", "p") == "base.yaml:12"
    assert place("blocks", 0, "pool", "stride") == "base.yaml:11"
    assert place("blocks", 0, "pool", "kernel") == "--set:1"
    assert place("head", "pool") is None


def test_an_override_moves_nothing_but_what_it_sets() -> None:
    """The spec, and each mapping on the way to the value, stay where the text has them; the value is the argument's."""
    spec, changed = loads(BASE), loads(BASE, overrides=["blocks.first.pool.kernel=4", "input.size=48"])
    assert changed.root == spec.root
    for path in (("blocks", 0), ("blocks", 0, "pool"), ("blocks", 0, "pool", "kind")):
        assert changed.where(*path) == spec.where(*path)
    assert changed.where("blocks", 0, "pool", "kernel").source.name == "--set"


def test_origins_of_bare_dense_units() -> None:
    """A dense layer given by its units alone comes from the line that gave them."""
    spec = loads(BASE.replace("[8, classes]", "[8]") + "head: {dense: [5, classes]}\n")
    span = spec.origins["head", "dense", 1, "units"]
    assert span is not None
    assert (span.line, span.length) == (15, len("classes"))


def test_chains_of_families(folder: Path) -> None:
    """A spec extends one that extends another, in whichever folder each stands."""
    (folder / "deeper").mkdir()
    (folder / "middle.yaml").write_text("spec: 1\nextends: base.yaml\nname: middle\nclasses: 5\n")
    (folder / "deeper" / "leaf.yaml").write_text("spec: 1\nextends: ../middle.yaml\nname: leaf\nclasses: 3\n")
    spec = load(folder / "deeper" / "leaf.yaml")
    assert (spec.spec.name, spec.spec.class_count) == ("leaf", 3)
    assert at(spec.data, "blocks.0.convs.0.kernel") == 5


def test_extends_names_a_shipped_spec_from_anywhere(folder: Path) -> None:
    """A name without a suffix is a shipped spec, not a file beside this one."""
    (folder / "nin_cifar").write_text("not a spec")
    (folder / "mine.yaml").write_text("spec: 1\nextends: nin_cifar\nname: mine\nclasses: 4\n")
    assert load(folder / "mine.yaml").spec.class_count == 4


def test_a_folder_does_not_hide_a_shipped_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`nin_cifar` is the shipped spec where a folder of that name stands, and the file where a file does."""
    monkeypatch.chdir(tmp_path)
    Path("nin_cifar").mkdir()
    assert load("nin_cifar").spec.name == "nin_cifar"
    Path("nin_cifar").rmdir()
    Path("nin_cifar").write_text(BASE)
    assert load("nin_cifar").spec.name == "base"


def test_both_spellings_in_an_override_contradict_each_other(folder: Path) -> None:
    """Channels and convs given together are refused in a family too."""
    with pytest.raises(SpecError, match="two spellings of one thing"):
        child(folder, "blocks: {first: {channels: [4], convs: [4]}}")


def test_shipped_specs_are_found() -> None:
    """The folder of shipped specs holds the networks by their names."""
    assert (SHIPPED / "nin_cifar.yaml").is_file()


def test_a_spec_that_came_in_a_file_names_no_file_here(tmp_path: Path) -> None:
    """What an ONNX file carries is somebody's text: it is read alone."""
    secret = tmp_path / "secret.yaml"
    secret.write_text("spec: 1\nname: secret\n")
    with pytest.raises(SpecError, match="a spec embedded in another file can't use extends"):
        loads(f"extends: {secret}\n", alone=True)
