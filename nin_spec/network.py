"""A compiled spec: its graph, table and hash, and models with weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nin_spec.analysis.shapes import analyse
from nin_spec.analysis.tables import ShapeTable
from nin_spec.ir.graph import Graph
from nin_spec.language.canonical import Canonical
from nin_spec.language.load import load
from nin_spec.lower import lower
from nin_spec.model import Model, ModelCard, Preprocessing
from nin_spec.named import Named
from nin_spec.notebook import Drawing, view
from nin_spec.passes.normal_form import semantic_hash

if TYPE_CHECKING:
    from nin_spec.schemes import Init
    from nin_spec.weights import Adoption

WIDTH = 960
"""Pixels of its diagram in a notebook."""


@dataclass(frozen=True)
class Network:
    """A compiled spec, without weights. Does not load torch."""

    spec: Canonical
    graph: Graph = field(repr=False)

    @cached_property
    def hash(self) -> str:
        """The semantic hash: equal for two spellings of one function, different for two functions."""
        return semantic_hash(self.graph)

    @cached_property
    def table(self) -> ShapeTable:
        """Shapes, parameters, MACs, receptive field and memory, layer by layer."""
        return analyse(self.graph, self.hash, self.spec.root.source.name)

    @cached_property
    def card(self) -> ModelCard:
        """The metadata of an exported file."""
        spec = self.spec.spec
        contract = self.spec.data["input"]["preprocess"]
        return ModelCard(
            spec.name,
            spec.summary,
            self.spec.text,
            self.hash,
            spec.class_count,
            spec.labels,
            Preprocessing.from_dict(contract),
            dataset=spec.train.dataset if spec.train else "",
        )

    def initialise(self, seed: int = 0) -> Model:
        """A model with weights initialised by the spec's `init`; the same seed gives the same bytes."""
        from nin_spec.weights import initialise

        card = replace(self.card, weights=f"fresh, seed {seed}")
        return Model(self.graph, initialise(self.graph, self.initialisation(), seed), card)

    def with_weights(self, path: str | Path, *, temperature: bool = True) -> Model:
        """A model with the weights of a file, ours or a foreign state dict, or of a run folder.

        The weights of a calibrated run have its temperature, unless `temperature` is false. Raises WeightsError, and
        TrainingError for a run that can't be used.
        """
        return self.adopt(path, temperature=temperature)[0]

    def adopt(self, path: str | Path, *, temperature: bool = True) -> tuple[Model, list[str]]:
        """The same, with remarks on the mapping of foreign names, conversions, and the temperature."""
        from nin_spec.passes.temperature import calibrated
        from nin_spec.weights import load as load_weights
        from nin_spec.weights import load_hashed, weights_file
        from nin_spec.weights.temperature import TEMPERATURE, temperature_beside

        file = weights_file(Path(path))
        fitted = temperature_beside(file) if temperature else None
        adoption, sha256 = load_hashed(file, self.graph) if fitted else (load_weights(file, self.graph), "")
        remarks = [f"weights: {len(adoption.mapping)} tensors from {file}, each used once, with equal shapes"]
        if not adoption.by_name:
            remarks += [f"  {theirs} -> {ours}" for theirs, ours in adoption.mapping]
        remarks += adoption.remarks
        model = self.carrying(adoption)
        if fitted is None:
            return model, remarks
        unfit = fitted.unfit_for(sha256, same_function=adoption.same_function)
        remarks.append(f"{file.parent / TEMPERATURE} {unfit}" if unfit else fitted.remark)
        return calibrated(model, None if unfit else fitted.temperature), remarks

    def carrying(self, adoption: Adoption) -> Model:
        """The model with the weights of a file that was read."""
        return Model(self.graph, adoption.weights, replace(self.card, weights=adoption.weights_are))

    def initialisation(self) -> Init:
        """The scheme of each layer."""
        from nin_spec.schemes import Init, Scheme

        spec = self.spec.spec
        schemes = {
            f"blocks.{i}.convs.{j}": Scheme(**conv.init.model_dump())
            for i, block in enumerate(spec.blocks)
            for j, conv in enumerate(block.convs or ())
        }
        for k, dense in enumerate(spec.head.dense):
            if dense.init is not None:
                schemes[f"head.dense.{k}"] = Scheme(**dense.init.model_dump())
        return Init(by_node=schemes)

    def __repr__(self) -> str:
        table = self.table
        return f"<network {table.name!r}: {table.input_text}, {table.parameters:,} parameters, {self.hash}>"

    def _repr_html_(self) -> str:
        from nin_spec.diagrams import svg

        drawing = Drawing(svg(self, WIDTH))
        return view(f"{self.table.name}  {self.table.input_text}", drawing, *self.table.parts, about=self.card.summary)


def compile(spec: Canonical | str | Path | Named, overrides: Iterable[str] = ()) -> Network:  # noqa: A001 the field's word
    """Compile a spec: a loaded one, a file, or the name of a shipped one.

    `overrides` are dotted `path=value` strings and apply to what is loaded here. Raises SpecError.
    """
    if isinstance(spec, Canonical):
        if tuple(overrides):
            raise ValueError("overrides apply when a spec is loaded; pass them to load()")
        return Network(spec, lower(spec))
    canonical = load(spec, overrides)
    return Network(canonical, lower(canonical))
