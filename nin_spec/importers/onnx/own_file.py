"""A file that `nin-spec export` wrote: it contains its spec, and its tensors have the network's names.

The spec is used only if its export, with the file's weights and options, equals this file, node by node and tensor by
tensor. Otherwise the graph is imported, and the preprocessing and classes of the metadata are kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nin_spec import network as networks
from nin_spec.diagnostics import ExportError, ForeignModelError, InputError, SpecError
from nin_spec.importers.chain import Array, Chain, refusal
from nin_spec.importers.decompiler.decompile import Imported, decompile
from nin_spec.importers.onnx.file import Source
from nin_spec.importers.onnx.same_graph import first_difference
from nin_spec.importers.onnx.unfolding import spec_weights
from nin_spec.importers.proof import exported
from nin_spec.ir.types import DType
from nin_spec.language.emit import emit
from nin_spec.language.load import loads
from nin_spec.model import Model
from nin_spec.network import Network
from nin_spec.passes.class_maps import NoClassMapsError
from nin_spec.passes.pipeline import PASSES, in_dtype, rewrite
from nin_spec.passes.temperature import calibrated, temperature_of
from nin_spec.runtime.metadata import ModelInfo, read_info

if TYPE_CHECKING:
    from onnx import ModelProto

_FLOATS: dict[int, DType] = {1: "float32", 11: "float64"}


@dataclass(frozen=True)
class OwnFile:
    """The metadata of a file: its card, and the network of its spec."""

    info: ModelInfo
    network: Network

    @property
    def pixels(self) -> bool:
        """Whether it takes the raw picture."""
        return self.info.input == "pixels"


@dataclass(frozen=True)
class Restored:
    """The network of a file of our own, with the options that the file was exported with."""

    found: Imported
    options: dict[str, Any]
    precision: str

    @property
    def batch(self) -> int | None:
        """The batch that the file fixes."""
        return None if self.options["batch"] == "dynamic" else int(self.options["batch"])


def own_file(source: Source) -> tuple[OwnFile | None, str]:
    """The spec in a file's metadata, or the reason why it can't be used; neither for a file of another tool."""
    if "nin_spec.spec" not in source.metadata:
        return None, ""
    try:
        info = read_info(source.metadata)
        own = OwnFile(info, networks.compile(loads(info.spec, f"{source.name}.yaml", alone=True)))
    except (InputError, SpecError) as error:
        return None, error.diagnostics[0].message
    contradiction = _contradiction(own)
    return (None, contradiction) if contradiction else (own, "")


def _contradiction(own: OwnFile) -> str:
    """Metadata that contradicts the spec, because of an edit; empty if they agree."""
    card, info = own.network.card, own.info
    for key, said, meant in (
        ("labels", info.labels, card.labels),
        ("preprocessing", info.preprocessing, card.preprocessing),
    ):
        if said and meant and said != meant:
            return f"nin_spec.{key} does not match nin_spec.spec"
    return ""


def restore(own: OwnFile, source: Source) -> Restored:
    """The network of the file's spec with the file's weights, which exports to this very file.

    The weights of a calibrated file have its temperature in them, for a spec has none. Raises ForeignModelError, saying
    what differs first, where it does not.
    """
    options, dtype = _options(own, source.model), _dtype(own, source.model)
    # In the dtype of the file, not that of the spec: folding must round as it did.
    plain = in_dtype(_blank(own.network), dtype)
    blank, maps = calibrated(plain, own.info.temperature), "maps" in options["outputs"]
    try:
        made = rewrite(blank, own.info.passes, pixels=own.pixels, maps=maps)
    except NoClassMapsError as error:
        raise refusal(source.name, f"its network has no class maps: {error}") from error
    if temperature_of(made.model.graph) is not None:
        raise refusal(source.name, "its temperature is a node of its own, and a spec has none")
    weights = spec_weights(blank.graph, made, source.constants)
    again = _export(Model(blank.graph, weights, own.network.card), options, own.info.precision)
    if difference := first_difference(source.model, again):
        raise refusal(source.name, difference)
    if own.info.temperature is not None:
        weights = spec_weights(
            plain.graph, rewrite(plain, own.info.passes, pixels=own.pixels, maps=maps), source.constants
        )
    return Restored(_spelled(own.network, weights), options, own.info.precision or dtype)


def _blank(network: Network) -> Model:
    """A model whose weights say nothing: zeros, and variances of one."""
    arrays = {
        name: np.full(p.shape, float(p.role == "var"), network.graph.input.dtype)
        for name, p in network.graph.parameters().items()
    }
    return Model(network.graph, arrays, network.card)


def _options(own: OwnFile, model: ModelProto) -> dict[str, Any]:
    """The options that the file was exported with, as it shows them."""
    (given,) = model.graph.input
    batch = given.type.tensor_type.shape.dim[0]
    words = {"scores": "scores", "probabilities": "probabilities", "top_probabilities": "top", "maps": "maps"}
    outputs = [
        f"top{o.type.tensor_type.shape.dim[1].dim_value}" if words[o.name] == "top" else words[o.name]
        for o in model.graph.output
        if o.name in words
    ]
    return {
        "opset": next((o.version for o in model.opset_import if not o.domain), 0),
        "target": own.info.target or None,
        "batch": batch.dim_value if batch.HasField("dim_value") else "dynamic",
        "dtype": _dtype(own, model),
        "takes": own.info.input,
        "outputs": tuple(outputs),
        "lower_for": own.info.lowered_for,
        "without": tuple(name for name in PASSES if name not in own.info.passes),
    }


def _dtype(own: OwnFile, model: ModelProto) -> DType:
    """The dtype of the export: that of the file's first tensor; float16 files are made of float32 ones."""
    kinds = [t.data_type for t in model.graph.initializer if t.data_type in _FLOATS]
    return _FLOATS[kinds[0]] if kinds and own.info.precision != "float16" else "float32"


def _export(model: Model, options: dict[str, Any], precision: str) -> ModelProto:
    """The file that the model exports to. Raises ForeignModelError where it can't be one of these options."""
    import onnx

    from nin_spec.precision.float16 import to_float16

    try:
        data = exported(model, **options)
        if precision == "float16":
            data, _ = to_float16(data)
    except ExportError as error:
        raise refusal(model.graph.name, error.diagnostics[0].message) from error
    return onnx.load_model_from_string(data)


# ------------------------------------------------------------------ the spec in short words


def _spelled(network: Network, weights: dict[str, Array]) -> Imported:
    """The spec as a person would have written it; in full where the short form would lose information."""
    graph, card = network.graph, network.card
    chain = Chain(card.name, graph.input, (), graph.open_size, card.labels, card.preprocessing, card.summary)
    for node in graph:
        arrays = {
            p.name: np.asarray(weights[f"{node.name}.{p.name}"], graph.input.dtype)
            for p in node.op.parameters(node.input)
        }
        chain = chain.then(node.op, node.name, **arrays).called(_block_of(node.name, network))
    try:
        short = decompile(chain)
    except ForeignModelError:
        return _in_full(network, weights)
    return short if _same(short.network, network) else _in_full(network, weights)


def _block_of(name: str, network: Network) -> str:
    """The name that the spec gives the node's block, or none."""
    place = re.match(r"blocks\.(\d+)\.", name)
    return (network.spec.spec.blocks[int(place[1])].name or "") if place else ""


def _same(a: Network, b: Network) -> bool:
    """Whether two specs are one but for their spelling and the recipe."""
    told = [
        (n.hash, n.card.labels, n.card.preprocessing, n.card.name, n.card.summary, _names(n), _kinds(n)) for n in (a, b)
    ]
    return told[0] == told[1]


def _names(network: Network) -> list[str]:
    """The names that a spec gives its blocks."""
    return [block.name for block in network.spec.spec.blocks if block.name]


def _kinds(network: Network) -> list[tuple[str, Any]]:
    """The layers with parameters in order: the weights of one belong to the other."""
    return [
        (node.kind, tuple(p.shape for p in node.parameters().values())) for node in network.graph if node.parameters()
    ]


def _in_full(network: Network, weights: dict[str, Array]) -> Imported:
    """The spec with every default written out."""
    data = {key: value for key, value in network.spec.data.items() if key != "train"}
    text = emit(data, compact=True)
    again = networks.compile(loads(text, f"{network.card.name}.yaml"))
    held = {name: np.asarray(array, again.graph.input.dtype) for name, array in weights.items()}
    return Imported(text, again, Model(again.graph, held, replace(again.card, weights="imported")))
