"""The decompiler: from a chain to the shortest spec and its model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from nin_spec import network as networks
from nin_spec.diagnostics import ForeignModelError, SpecError
from nin_spec.diagrams import svg
from nin_spec.importers.chain import Chain, Step, refusal
from nin_spec.importers.decompiler.blocks import find_blocks, kind_of
from nin_spec.importers.decompiler.head import spell_head, split_head
from nin_spec.importers.decompiler.spelling import spell_blocks
from nin_spec.importers.decompiler.tidy import tidy
from nin_spec.importers.proof import Proof
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Padding
from nin_spec.language.emit import emit
from nin_spec.language.load import loads
from nin_spec.model import Model
from nin_spec.network import WIDTH, Network
from nin_spec.notebook import Code, Drawing, view

_MOVABLE = ("shuffle", "norm", "activation", "dropout")


@dataclass(frozen=True)
class Imported:
    """What came of a chain: the YAML, the network that it compiles to, and the model with the chain's arrays.

    `proof` is the comparison with the original; None for a file that onnxruntime can't run.
    """

    text: str = field(repr=False)
    network: Network
    model: Model
    proof: Proof | None = None

    def _repr_html_(self) -> str:
        proof = self.proof
        proved = (
            "not proved: onnxruntime can't run the original"
            if proof is None
            else f"computes what the original computes: largest relative difference {proof.max_relative:.1e}"
        )
        parts = Code(self.text), Drawing(svg(self.network, WIDTH)), *self.network.table.parts
        return view(self.network.card.name, *parts, about=proved)


def decompile(chain: Chain) -> Imported:
    """The shortest spec whose graph is the chain, op by op. Raises ForeignModelError when the language can't say it."""
    chain = tidy(chain)
    if chain.steps and isinstance(chain.steps[0].op, ops.Flatten):
        why = "it flattens the picture itself, but a network of the language begins with a block on maps"
        raise refusal(chain.steps[0].origin, why)
    sizes = {emit(data, compact=True): _words(data) for data in spellings(chain)}
    why = "no spec has the same order"
    for text in sorted(sizes, key=lambda t: (sizes[t], t.count("\n"), len(t))):
        try:
            network = networks.compile(loads(text, f"{chain.name}.yaml"))
        except SpecError as error:
            why = error.diagnostics[0].message
            continue
        if _ops(network.graph) == [_comparable(step.op) for step in _flattened(chain)]:
            return Imported(text, network, _model(chain, network))
    raise refusal(chain.name, why, "the network is outside the language; see `nin-spec guide import`")


def _words(value: Any) -> int:
    """The length of a spec: the number of its keys and values."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_words, inside))


def spellings(chain: Chain) -> Iterator[dict[str, Any]]:
    """The chain as specs, one for each way to assign the steps between its main steps to them."""
    divisions = [split_head(chain.steps, late=late) for late in (True, False)]
    early = [] if len(divisions[0][0]) == len(divisions[1][0]) else divisions[1:]
    refused: list[ForeignModelError] = []
    for maps, pool, features in [divisions[0], *early]:
        try:
            spelled = list(_spelled(chain, maps, pool, features))
        except ForeignModelError as error:
            refused.append(error)
            continue
        yield from spelled
    if len(refused) == 1 + len(early):
        raise refused[-1]


def _spelled(chain: Chain, maps: list[Step], pool: Step | None, features: list[Step]) -> Iterator[dict[str, Any]]:
    """The specs of one division between the blocks and the head. Raises ForeignModelError."""
    head = spell_head(pool, features)
    top, rest = _top(chain), {"head": head} if head else {}
    scores = _scores(maps, features, chain.output.shape[0])
    kinds = {kind_of(step) for step in maps}
    movable = [kind for kind in _MOVABLE if kind in kinds]
    for count in range(len(movable) + 1):
        for before in combinations(movable, count):
            yield {**top, **spell_blocks(find_blocks(maps, before), scores), **rest}


def _scores(maps: list[Step], features: list[Step], classes: int) -> Step | None:
    """The convolution whose channels are the classes, where no dense layer follows."""
    if any(isinstance(step.op, ops.Linear) for step in features):
        return None
    last = next((s for s in reversed(maps) if isinstance(s.op, ops.Conv2d)), None)
    return last if last is not None and last.output.shape[0] == classes else None


def _top(chain: Chain) -> dict[str, Any]:
    """The keys above the blocks."""
    channels, *size = chain.input.maps()
    data: dict[str, Any] = {"spec": 1, "name": name_of(chain.name)}
    if chain.summary:
        data["summary"] = chain.summary
    if chain.input.dtype != "float32":
        data["dtype"] = chain.input.dtype
    data["input"] = {"channels": channels, "size": size[0] if size[0] == size[1] else size}
    if chain.open_size:
        data["input"]["open"] = True
    if chain.preprocessing is not None and (contract := _contract(chain)):
        data["input"]["preprocess"] = contract
    data["classes"] = list(chain.labels) or chain.output.shape[0]
    return data


def _contract(chain: Chain) -> dict[str, Any]:
    """The preprocessing contract, without defaults."""
    assert chain.preprocessing is not None  # noqa: S101 asked for
    channels = chain.input.shape[0]
    usual: dict[str, Any] = {
        "scale": 1 / 255,
        "mean": [0.0] * channels,
        "std": [1.0] * channels,
        "layout": "HWC",
        "dtype": "uint8",
        "color": "gray" if channels == 1 else "rgb",
        "resize": "stretch",
    }
    said = {key: list(v) if isinstance(v, tuple) else v for key, v in chain.preprocessing.as_dict().items()}
    return {key: _one(value) for key, value in said.items() if value != usual[key]}


def _one(value: Any) -> Any:
    """A list of equal numbers as one number; whole numbers as people write them."""
    if isinstance(value, list):
        return _one(value[0]) if len(set(value)) == 1 else [_one(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def name_of(text: str) -> str:
    """A text as the name of a network: letters, digits, _ and -, a letter first."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:64]
    return plain if re.match(r"[A-Za-z]", plain) else f"net_{plain}".rstrip("_")


def _flattened(chain: Chain) -> list[Step]:
    """The steps but for the flattening, whose place the language decides."""
    return [step for step in chain.steps if not isinstance(step.op, ops.Flatten)]


def _ops(graph: Graph) -> list[ops.Op]:
    """The ops of a graph that are compared with a chain's."""
    return [_comparable(node.op) for node in graph if not isinstance(node.op, ops.Flatten)]


def _comparable(op: ops.Op) -> ops.Op:
    """The op without fields that have no effect: a slope's initial value, count_include_pad without padding."""
    if isinstance(op, ops.PReLU):
        return replace(op, init=0.25)
    if isinstance(op, ops.AvgPool2d) and op.padding == Padding():
        return replace(op, count_include_pad=False)
    return op


def _model(chain: Chain, network: Network) -> Model:
    """The chain's arrays under the names of the network."""
    nodes = [node for node in network.graph if not isinstance(node.op, ops.Flatten)]
    pairs = zip(nodes, _flattened(chain), strict=True)
    found = {f"{node.name}.{key}": array for node, step in pairs for key, array in step.arrays.items()}
    weights = {name: found[name] for name in network.graph.parameters()}
    return Model(network.graph, weights, replace(network.card, weights="imported"))
