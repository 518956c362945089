"""What to cite: the paper, the sources that specs state, and nin-spec."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nin_spec.citing import references, sources
from nin_spec.language.load import load, loads
from nin_spec.named import SHIPPED, shipped_names

ENTRY = re.compile(r"@(\w+)\{([\w-]+),\n((?:  \w+ += \{.*\},?\n)+)\}\n")
TINY = """\
# Mine.
# Source: A & B, github.com/a/b_c, 50% of it.
spec: 1
name: tiny
input: {channels: 1, size: 8}
classes: 2
blocks: [{channels: [classes], kernel: 3, activation: none}]
head: {pool: global_avg}
"""


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_network_has_its_source(name: str) -> None:
    """As the spec states it, between the paper and nin-spec; entries are of BibTeX's form, under keys of their own."""
    found = references(load(name))
    (stated,) = re.findall(r"^# Source: (.+)\.$", (SHIPPED / f"{name}.yaml").read_text(), re.MULTILINE)
    own = next(r for r in found if r.key == name)
    assert own.fields["howpublished"].replace("\\", "") == stated
    assert (found[0].key, found[-1].key) == ("lin2013network", "nin-spec")
    assert len({r.key for r in found}) == len(found) >= 3
    for reference in found:
        text = str(reference)
        assert ENTRY.fullmatch(text)
        assert text.count("{") == text.count("}")


def test_addresses_are_found() -> None:
    """Of gists and repositories."""
    assert sources(load("nin_cifar"))[0].fields["url"] == "https://gist.github.com/mavenlin/e56253735ef32c3c296d"
    assert sources(load("nin_mnist"))[0].fields["url"] == "https://github.com/mavenlin/cuda-convnet"
    assert "url" not in sources(load("nin_cifar_bn"))[0].fields


def test_a_spec_has_the_sources_of_those_that_it_was_made_from(tmp_path: Path) -> None:
    """What it extends, and what a source names, the nearest first."""
    assert [r.key for r in sources(load("nin_digits"))] == ["nin_digits", "nin_cifar"]
    path = tmp_path / "mine.yaml"
    path.write_text("extends: nin_cifar\nname: mine\n")
    assert [r.key for r in sources(load(str(path)))] == ["nin_cifar"]
    path.write_text("# Source: me.\nextends: nin_cifar\nname: mine\n")
    assert [r.key for r in sources(load(str(path)))] == ["mine", "nin_cifar"]


def test_a_source_is_text() -> None:
    """Nothing in it is LaTeX; overrides state no source."""
    (own,) = sources(loads(TINY, overrides=["name=other"]))
    assert own.fields["howpublished"] == r"A \& B, github.com/a/b\_c, 50\% of it"
    assert own.fields["url"] == "https://github.com/a/b_c"


def test_a_spec_without_a_source() -> None:
    """The paper and nin-spec alone."""
    found = loads(TINY.replace("# Source: A & B, github.com/a/b_c, 50% of it.\n", ""))
    assert sources(found) == []
    assert [r.key for r in references(found)] == ["lin2013network", "nin-spec"]
