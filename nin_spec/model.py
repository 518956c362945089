"""A model: a graph with its weights and its card, the spec's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from nin_spec.diagnostics import short
from nin_spec.ir.graph import Graph
from nin_spec.notebook import Code, Facts, Table, view

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Weights = Mapping[str, NDArray[np.floating[Any]]]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From a picture to the network's input: resize, then (pixel * scale - mean) / std per channel.

    `mean` and `std` are in units of the scaled pixel, one number per channel. `layout` and `dtype` are those of the
    client's raw picture (usually HWC uint8); the network always takes channels first. `resize` applies to a picture of
    another size: `stretch` resizes it to `target` (height, width), `crop` scales it, keeping its aspect ratio, until it
    just covers the target; the centre of the input's size is kept. The default target is the input's size.
    """

    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Literal["HWC", "CHW"] = "HWC"
    dtype: Literal["uint8", "float32"] = "uint8"
    color: Literal["rgb", "bgr", "gray"] = "rgb"
    resize: Literal["stretch", "crop"] = "stretch"
    target: tuple[int, int] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the exported file, spelt as in a spec: `resize` without a target is a string."""
        data = asdict(self)
        target = data.pop("target")
        if target is not None and self.resize == "stretch":
            data["resize"] = {"kind": "stretch", "size": target[0] if target[0] == target[1] else list(target)}
        elif target is not None:
            data["resize"] = {"kind": "crop", "shorter": min(target)}
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocessing:
        """From the data of `as_dict` or of a canonical spec; TypeError for an unknown key."""
        lists = {k: tuple(v) for k, v in data.items() if isinstance(v, list)}
        return cls(**{**data, **lists, **_resize_of(data.get("resize", "stretch"))})


def _resize_of(value: object) -> dict[str, Any]:
    """`resize` and `target` from the value of `resize`."""
    match value:
        case {"kind": kind, **rest} if not rest:
            return {"resize": kind}
        case {"kind": "stretch", "size": [height, width], **rest} if not rest:
            return {"resize": "stretch", "target": (height, width)}
        case {"kind": "stretch", "size": side, **rest} if not rest:
            return {"resize": "stretch", "target": (side, side)}
        case {"kind": "crop", "shorter": side, **rest} if not rest:
            return {"resize": "crop", "target": (side, side)}
        case str():
            return {"resize": value}
    raise TypeError(f"{value!r} is not a way to resize")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Metadata of the exported file, beside the graph.

    `spec` is the canonical YAML, `hash` the semantic hash of the function; `labels` is empty if the spec only has the
    number of classes. `weights` is their origin, for example `fresh, seed 0`. `dataset` is that of the recipe, empty
    without a recipe.
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

    def __repr__(self) -> str:
        return f"<card of {self.name!r}, {self.classes} classes, weights: {self.weights or 'not described'}>"

    def facts(self) -> list[tuple[str, str]]:
        """What a person asks first, as labelled values."""
        found = [
            ("classes", f"{self.classes:,}"),
            ("labels", short(", ".join(self.labels), 200)),
            ("weights", self.weights),
            ("data set", self.dataset),
            ("semantic hash", self.hash),
        ]
        return [(name, value) for name, value in found if value]

    def _repr_html_(self) -> str:
        return view(self.name, Facts(self.facts()), Code(self.spec), about=self.summary)


@dataclass(frozen=True)
class Model:
    """A graph and the arrays of its parameters, by name and in layer order."""

    graph: Graph
    weights: Weights
    card: ModelCard

    def __post_init__(self) -> None:
        declared = {name: p.shape for name, p in self.graph.parameters().items()}
        given = {name: tuple(a.shape) for name, a in self.weights.items()}
        if declared != given:
            wrong = sorted(set(declared.items()) ^ set(given.items()))
            raise ValueError(f"the weights are not those of the graph: {wrong[:4]}")

    def __repr__(self) -> str:
        elements = sum(array.size for array in self.weights.values())
        return f"<model {self.card.name!r}: {len(self.weights)} tensors, {elements:,} elements, {self.card.weights}>"

    def _repr_html_(self) -> str:
        rows = [
            (name, "x".join(map(str, array.shape)), f"{array.size:,}", str(array.dtype))
            for name, array in self.weights.items()
        ]
        tensors = Table(("tensor", "shape", "elements", "dtype"), rows, {2})
        parts = Facts(self.card.facts()), tensors, Code(str(self.graph))
        return view(self.card.name, *parts, about=self.card.summary)
