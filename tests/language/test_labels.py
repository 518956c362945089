"""Labels that a data set brings leave every value of a spec where a person wrote it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_strategies import Data, specs, to_text

from nin_spec.diagnostics import Code, Source, Span, SpecError
from nin_spec.language.load import load, loads, with_labels
from nin_spec.named import shipped_names
from nin_spec.network import Network
from nin_spec.network import compile as compile_network


def spans_of(network: Network) -> list[Span]:
    """Every place that a message about the network can name."""
    found = [span for span in network.spec.origins.values() if span is not None]
    return [*found, network.spec.root, *(node.span for node in network.graph if node.span is not None)]


def labels_for(network: Network) -> list[str]:
    """As many names as it has classes."""
    return [f"label {k}" for k in range(network.card.classes)]


def assert_same_places(before: Network, texts: set[Source]) -> None:
    """With labels it is the same network, and every place is one of the texts that a person wrote."""
    after = compile_network(with_labels(before.spec, labels_for(before)))
    assert after.hash == before.hash
    assert after.card.labels == tuple(labels_for(before))
    assert {k: v for k, v in after.spec.data.items() if k != "classes"} == {
        k: v for k, v in before.spec.data.items() if k != "classes"
    }
    assert [node.span for node in after.graph] == [node.span for node in before.graph]
    for span in spans_of(after):
        assert span.source in texts, span
        assert 1 <= span.line <= len(span.source.text.splitlines()), span
        assert 1 <= span.column <= len(span.source.line(span.line)) + 1, span


def counted(data: Data) -> Data:
    """The spec, its classes only counted."""
    return {**data, "classes": data["classes"] if isinstance(data["classes"], int) else len(data["classes"])}


@given(specs())
def test_every_place_is_in_the_text_that_was_written(data: Data) -> None:
    """Of a spec of any spelling."""
    text = to_text(counted(data))
    assert_same_places(compile_network(loads(text, "mine.yaml")), {Source("mine.yaml", text)})


@given(specs(), st.sampled_from(["name=other", "dtype=float64", "input.preprocess.std=0.5"]))
def test_every_place_is_in_a_file_of_the_family_or_in_an_override(
    tmp_path_factory: pytest.TempPathFactory, data: Data, override: str
) -> None:
    """Where the spec extends another, and values come from the command line."""
    folder = tmp_path_factory.mktemp("family")
    (folder / "base.yaml").write_text(to_text(counted(data)))
    (folder / "mine.yaml").write_text("extends: base.yaml\nsummary: |\n  two\n  lines\n")
    network = compile_network(load(folder / "mine.yaml", [override]))
    files = {Source(str(path), path.read_text()) for path in folder.iterdir()}
    assert_same_places(network, {*files, Source("--set", override)})


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_spec_keeps_its_places(name: str) -> None:
    """In its own file."""
    network = compile_network(name)
    if network.card.labels:
        data = json.dumps({**network.spec.data, "classes": network.card.classes})
        network = compile_network(loads(data, "counted.yaml"))
    assert_same_places(network, {span.source for span in spans_of(network)})


def test_names_that_can_t_be_labels_are_refused_at_the_number() -> None:
    """Which a person wrote."""
    spec = compile_network("nin_digits").spec
    with pytest.raises(SpecError) as caught:
        with_labels(spec, ["same"] * 10)
    found = caught.value.diagnostics[0]
    assert found.code is Code.CONFLICT
    assert found.span == spec.where("classes")
