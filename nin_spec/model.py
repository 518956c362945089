"""A model is a graph with its weights and its card: what a spec declares beyond the layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from nin_spec.ir.graph import Graph

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Weights = Mapping[str, NDArray[np.floating[Any]]]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes the network's input: resize, then (pixel * scale - mean) / std by channel.

    `mean` and `std` are in units of the scaled pixel, one number a channel. `layout` and `dtype` are
    those of the raw picture that a client holds (HWC bytes as a rule); the network always takes
    channels first. `resize` is what happens to a picture of another size: `stretch` it to the input
    size, or scale its shorter side and `crop` the centre.
    """

    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Literal["HWC", "CHW"] = "HWC"
    dtype: Literal["uint8", "float32"] = "uint8"
    color: Literal["rgb", "bgr", "gray"] = "rgb"
    resize: Literal["stretch", "crop"] = "stretch"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as the exported file carries it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocessing:
        """The contract that `as_dict` wrote; TypeError when a key is unknown."""
        lists = {k: tuple(v) for k, v in data.items() if isinstance(v, list)}
        return cls(**{**data, **lists})


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What travels in the exported file beside the graph.

    `spec` is the canonical YAML, `hash` the semantic hash of the function; `labels` is empty when the
    spec only counts its classes. `weights` says where they come from, where that matters: `fresh, seed 0`.
    `dataset` is the data set that the recipe names, empty without a recipe.
    """

    name: str
    summary: str
    spec: str
    hash: str
    classes: int
    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    weights: str = ""
    dataset: str = ""


@dataclass(frozen=True)
class Model:
    """A graph and the array of each of its parameters, by name and in layer order."""

    graph: Graph
    weights: Weights
    card: ModelCard

    def __post_init__(self) -> None:
        declared = {name: p.shape for name, p in self.graph.parameters().items()}
        given = {name: tuple(a.shape) for name, a in self.weights.items()}
        if declared != given:
            wrong = sorted(set(declared.items()) ^ set(given.items()))
            raise ValueError(f"the weights are not those of the graph: {wrong[:4]}")
