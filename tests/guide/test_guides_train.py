"""The guides on data and training: every block runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import Walk, guide_blocks, walk_guides

TOPICS = ("data", "training", "sweep", "evaluation", "clusters")


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Iterator[dict[str, Walk]]:
    """Each guide in a folder of its own."""
    with walk_guides(TOPICS, tmp_path_factory, trained) as found:
        yield found


@pytest.mark.parametrize(("topic", "index"), guide_blocks(TOPICS))
def test_a_block_does_what_it_shows(walks: dict[str, Walk], topic: str, index: int) -> None:
    """After the blocks before it in its guide."""
    walks[topic].through(index)
