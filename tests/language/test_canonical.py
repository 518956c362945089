"""The canonical form: every choice written out, and text that reads back."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples import many
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.diagnostics import Source
from nin_spec.language.document import parse, plain
from nin_spec.language.emit import emit
from nin_spec.language.load import load, loads
from nin_spec.named import shipped_names

ORACLE_SPECS = sorted((Path(__file__).parent.parent / "oracle_specs").glob("*.yaml"))


@pytest.mark.parametrize("name", [*shipped_names(), *map(str, ORACLE_SPECS)], ids=lambda n: Path(n).stem)
def test_the_canonical_form_is_its_own(name: str) -> None:
    """Reading it back gives the same data and the same text."""
    spec = load(name)
    again = loads(spec.text)
    assert again.data == spec.data
    assert again.text == spec.text


def test_what_changes_the_function_is_always_written() -> None:
    """Rounding, padding and the divisor of each pool; kernel, stride, padding, bias, order of each convolution."""
    for name in shipped_names():
        for block in load(name).data["blocks"]:
            for conv in block.get("convs", []):
                needed = {"channels", "kernel", "stride", "padding", "dilation", "groups", "bias", "norm", "activation"}
                assert needed | {"order", "init"} <= conv.keys()
            pool = block["pool"]
            if pool["kind"] in ("max", "avg"):
                assert {"kernel", "stride", "padding", "ceil_mode"} <= pool.keys()
            assert ("count_include_pad" in pool) == (pool["kind"] == "avg")


@pytest.mark.parametrize(("channels", "color"), [(1, "gray"), (3, "rgb"), (5, None)])
def test_colors_follow_the_channels(channels: int, color: str | None) -> None:
    """One channel is gray, three are red, green, blue; of five nothing is said."""
    contract = load("nin_cifar", [f"input.channels={channels}"]).data["input"]["preprocess"]
    assert contract.get("color") == color
    assert (len(contract["mean"]), len(contract["std"])) == (channels, channels)


def test_the_canonical_form_of_the_largest_input_reads_back() -> None:
    """Means and deviations of 4096 channels stay within the limits of a spec."""
    spec = load("nin_cifar", ["input.channels=4096"])
    assert loads(spec.text).data == spec.data


texts = st.text(st.characters(codec="utf-8"), max_size=12)
values = st.recursive(
    st.one_of(st.booleans(), st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.one_of(
        st.lists(st.one_of(st.integers(), texts), max_size=3), st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=8,
)


@many
@given(st.dictionaries(texts.filter(lambda k: k != "<<"), values, max_size=4))
def test_emitted_text_reads_back(data: dict[str, object]) -> None:
    """Any text, number or list survives, control characters and words of YAML 1.1 included."""
    text = emit(data)
    if data:
        assert plain(parse(Source("a", text))) == shortened(data)


def shortened(data: object) -> object:
    """What the bare word of a lone `kind` reads back as."""
    if isinstance(data, dict):
        lone = data.keys() == {"kind"} and isinstance(data["kind"], str)
        return data["kind"] if lone else {k: shortened(v) for k, v in data.items()}
    return data


@pytest.mark.parametrize(
    "word", ["yes", "No", "null", "~", "1e5", "0x1", "a: b", "# c", "- d", "\x7f", "\u2028", "\ufeff", "😀", " ", ""]
)
def test_labels_survive(word: str) -> None:
    """A label is text, even if it looks like something else."""
    spec = load("nin_cifar")
    spec.data["classes"] = [word or "empty", "other"]
    assert loads(spec.text).spec.labels == (word or "empty", "other")


def test_yaml_1_1_readers_agree() -> None:
    """What other tools read from the canonical form is the same data: floats are floats, words are words."""
    import yaml

    for name in shipped_names():
        spec = load(name)
        again = yaml.safe_load(spec.text)
        assert again["name"] == spec.data["name"]
        assert again.get("train", {}).get("optimizer") == spec.data.get("train", {}).get("optimizer")
        assert again["input"] == spec.data["input"]
