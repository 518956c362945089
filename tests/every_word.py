"""A spec around a word of the grammar."""

from __future__ import annotations

from typing import Any

from nin_spec.conformance.grammar import Data


def spec_with(key: str, value: Any) -> Data:
    """A spec in which a value stands in the middle of a block, on 4 channels of 9 x 10 cells."""
    block: Data = {"channels": [4], "kernel": 3, "activation": "none"}
    return {
        "spec": 1,
        "name": "word",
        "input": {"channels": 3, "size": [11, 12]},
        "classes": 2,
        "blocks": [{**block, key: value}, {"channels": ["classes"], "kernel": 1, "activation": "none"}],
    }
