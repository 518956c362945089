"""nin-spec cite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nin_spec.citing import references
from nin_spec.language.load import load

pytestmark = pytest.mark.usefixtures("folder")


def test_it_prints_bibtex(nin_spec: Callable[..., Any]) -> None:
    """Entries, one below the other, and nothing else."""
    done = nin_spec("cite", "nin_cifar")
    assert (done.code, done.err) == (0, "")
    assert done.out == "\n".join(map(str, references(load("nin_cifar"))))


def test_a_missing_source_is_reported(nin_spec: Callable[..., Any]) -> None:
    """The rest is printed."""
    done = nin_spec("cite", "tiny.yaml")
    assert done.code == 0
    assert "does not state its source" in done.err
    assert "@misc{lin2013network" in done.out
