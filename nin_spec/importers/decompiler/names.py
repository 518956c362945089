"""Names of blocks: those that the original's layers have, where a person gave them.

Tools number what nobody named (`Conv_0`, `node_conv2d_3`, `features.0`): such names say nothing and are not
kept. A name is kept when every block of convolutions has one, and no two the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from nin_spec.importers.decompiler.blocks import Part

_TOOLS = frozenset({
    *("node", "model", "module", "layer", "layers", "features", "classifier", "net", "network", "main"),
    *("body", "backbone", "stem", "sequential", "functional", "conv", "convs", "convolution", "conv2d"),
    *("2d", "biasadd", "weight", "weights", "kernel", "bias", "const", "constant", "onnx", "aten"),
    *("block", "blocks", "readvariableop", "statefulpartitionedcall", "val", "value", "tensor", "param"),
    *("input", "output", "arg", "cast", "transpose", "mul", "div", "add", "sub"),
})  # fmt: skip
"""Names that tools generate, with a number or not; `conv1` is one that people write."""
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{2,63}")


def names_of(parts: Sequence[Part]) -> list[str | None]:
    """A name for each block, or None for all of them; a bare block never has one."""
    named = [part for part in parts if part.units]
    paths = [[words_of(unit.steps["conv"].name) for unit in part.units] for part in named]
    for names in _choices(paths):
        if all(names) and len(set(names)) == len(names):
            given = iter(names)
            return [next(given) if part.units else None for part in parts]
    return [None] * len(parts)


def words_of(path: str) -> list[str]:
    """The parts of a layer's path that a person wrote: `/block1/conv_3/Conv` has `block1` alone."""
    words = [part.removesuffix("_weight").removesuffix("_kernel") for part in re.split(r"[./:\s]+", path)]
    return [word for word in words if _WORD.fullmatch(word) and not _by_a_tool(word)]


def _by_a_tool(word: str) -> bool:
    """Whether a tool wrote the word: `conv2d_3`, not `block1`."""
    pieces = [piece for piece in word.lower().split("_") if piece]
    return all(piece in _TOOLS or piece.isdigit() for piece in pieces)


def _choices(paths: Sequence[Sequence[Sequence[str]]]) -> Iterator[list[str | None]]:
    """Names by what the convolutions of a block share, the deepest first; then by the first one's own."""
    depth = max((len(path) for part in paths for path in part), default=0)
    shared = [_common(part) for part in paths]
    for of in (shared, [part[0] for part in paths]):
        for up in range(1, depth + 1):
            yield [words[-up] if len(words) >= up else None for words in of]


def _common(part: Sequence[Sequence[str]]) -> list[str]:
    """The words that all the paths of a block begin with."""
    columns = zip(*part, strict=False)
    found = []
    for column in columns:
        if len(set(column)) > 1:
            break
        found.append(column[0])
    return found
