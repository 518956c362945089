"""The cases of a conformance run: small specs that together hold every word and attribute of the language.

They are derived from the grammar and from the ops, so that what is added to the language is proved without a change
here. Each is as small as what it shows allows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

from nin_spec.ir import ops
from nin_spec.ir.types import Pair
from nin_spec.language.emit import emit, flow
from nin_spec.language.load import loads
from nin_spec.network import compile as compile_network

Data = dict[str, Any]
SIZES: tuple[Pair, ...] = ((6, 6), (7, 8), (11, 5))
"""Fixed sizes: a window that fits one leaves a part of another over."""
STEM: Data = {"channels": [8], "kernel": 3, "padding": 1}
"""What stands before an op that is behind a convolution. Eight channels fill the vectors and blocks of most kernels."""
CLOSING: Data = {"channels": [4], "kernel": 1, "activation": "none"}
OPEN: Pair = (7, 8)
"""The nominal one of an open size."""


@dataclass(frozen=True)
class Case:
    """One spec, exported with `options` of the ONNX exporter and proved in a precision.

    `op` is the row of the table that it belongs to; `about` is what is particular about it. `weighted` is true for a
    spec with a convolution or a dense layer.
    """

    op: str
    about: str
    spec: str = field(repr=False)
    precision: str = "float32"
    options: Mapping[str, str] = field(default_factory=dict)
    weighted: bool = True

    @cached_property
    def id(self) -> str:
        """The case's short name: that of its content."""
        content = json.dumps([self.spec, self.precision, dict(self.options)])
        return sha256(content.encode()).hexdigest()[:10]


def words(part: Data) -> str:
    """Keys of a spec on one line, as people write them."""
    return ", ".join(f"{key}: {flow(value)}" for key, value in part.items())


def case(  # noqa: PLR0913 keywords
    op: str,
    about: Data | str,
    blocks: list[Data],
    *,
    channels: int = 3,
    size: Pair | None = (5, 4),
    head: Data | None = None,
    preprocess: Data | None = None,
    options: Mapping[str, str] | None = None,
) -> Case:
    """A case of these blocks, of an open size for None. Raises SpecError if it is not in the language.

    Unless the head pools, every cell of the last maps is a score, so that no error hides in an average.
    """
    given: Data = {"channels": channels, "size": list(size or OPEN), **({} if size else {"open": True})}
    given |= {"preprocess": preprocess} if preprocess else {}
    head = {**({"pool": "none"} if size else {}), **(head or {})}
    data: Data = {"spec": 1, "name": "case", "input": given, "classes": 1, "blocks": blocks}
    classes = 4 if "dense" in head else _features(data | {"head": {**head, "dense": [1]}})
    data |= {"classes": classes, **({"head": head} if head else {})}
    text = about if isinstance(about, str) else words(about)
    sizes = "x".join(map(str, size)) if size else "open size"
    weighted = "dense" in head or any("channels" in block or "convs" in block for block in blocks)
    return Case(op, f"{text}; {sizes}", emit(data, compact=True), options=options or {}, weighted=weighted)


def _features(data: Data) -> int:
    """How many features the head of a spec has before its dense layers."""
    graph = compile_network(loads(json.dumps(data))).graph
    return next(node.output.size for node in graph if isinstance(node.op, ops.Flatten))
