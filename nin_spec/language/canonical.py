"""The canonical form: the same spec with every choice written out, and the source of each choice.

Defaults and block-level values are folded into each convolution, so that lowering reads only that. The canonical form
is itself a spec of the language, and compiles to the same network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from nin_spec.diagnostics import MAX_FINDINGS, Span, SpecError
from nin_spec.language import rules
from nin_spec.language.document import Path_, Table, Value, find
from nin_spec.language.emit import emit
from nin_spec.notebook import Code, view

if TYPE_CHECKING:
    from nin_spec.language.schema import Conv, Spec

SPATIAL = ("kernel", "stride", "padding", "dilation")
"""Keys of a block that apply to its first convolution."""

SHARED = ("bias", "norm", "activation", "order", "init")
"""Keys of a block, or of `defaults`, that apply to each convolution."""


@dataclass(frozen=True)
class Canonical:
    """A complete spec.

    `spec` has every key set; `data` is the same as plain data; `origins` maps each value's path to the span that set
    it, or to None for the language's default; `tree` is the spec as written.
    """

    spec: Spec
    data: dict[str, Any] = field(repr=False)
    origins: dict[Path_, Span | None] = field(repr=False)
    tree: Table = field(repr=False)

    @property
    def root(self) -> Span:
        """The span of the spec's start."""
        return self.tree.span

    @property
    def text(self) -> str:
        """The canonical YAML."""
        return emit(self.data)

    def where(self, *path: str | int) -> Span:
        """The span that set the value at `path`, else that of the nearest enclosing one."""
        while path:
            span = self.origins.get(path)
            if span is not None:
                return span
            path = path[:-1]
        return self.root

    def __repr__(self) -> str:
        return f"<spec {self.spec.name!r} of {self.root.source.name}>"

    def _repr_html_(self) -> str:
        return view(self.spec.name, Code(self.text), about=self.spec.summary)


def canonicalise(spec: Spec, root: Table) -> Canonical:
    """Complete a validated spec. Raises SpecError with every contradiction and every unset choice."""
    from nin_spec.language.schema import Spec

    found = list(islice(rules.check(spec, root), MAX_FINDINGS))
    if found:
        raise SpecError(found)
    builder = _Builder(root)
    data = builder.spec(spec)
    return Canonical(Spec.model_validate(data), data, builder.origins, root)


class _Builder:
    def __init__(self, root: Table) -> None:
        self.root = root
        self.origins: dict[Path_, Span | None] = {}

    def put(self, target: Path_, value: Any, source: Path_ | None) -> Any:
        """Record the source of a value, leaf by leaf, and return it as plain data."""
        from nin_spec.language.schema import dump

        data = dump(value)
        self._record(target, data, source)
        return data

    def _record(self, target: Path_, data: Any, source: Path_ | None) -> None:
        self._mark(target, source)
        node = find(self.root, source) if source is not None else None
        for key, child in _children(data):
            below = (*source, key) if source is not None else None
            if isinstance(node, Value) and key in ("kind", "p", "units"):
                below = source
            self._record((*target, key), child, below)

    def _mark(self, target: Path_, source: Path_ | None) -> None:
        node = find(self.root, source) if source is not None else None
        self.origins[target] = node.span if node else None

    def spec(self, spec: Spec) -> dict[str, Any]:
        """The whole spec, `defaults` folded in."""
        keys = ["spec", "name", "summary", "dtype", "input", "classes"]
        data = {k: self.put((k,), getattr(spec, k), (k,)) for k in keys}
        self._preprocess(spec, data["input"])
        data["blocks"] = [self.block(spec, i) for i in range(len(spec.blocks))]
        data["head"] = self.head(spec)
        if spec.train is not None:
            data["train"] = self.put(("train",), spec.train, ("train",))
        return data

    def _preprocess(self, spec: Spec, data: dict[str, Any]) -> None:
        """Per-channel mean and std, a resize without a size as a bare word, and the colour implied by the channels."""
        contract = data["preprocess"]
        for key in ("mean", "std"):
            value = contract[key]
            contract[key] = value if isinstance(value, list) else [value] * spec.input.channels
        if contract["resize"].keys() == {"kind"}:
            contract["resize"] = contract["resize"]["kind"]  # the word stored in exported files
        implied = {1: "gray", 3: "rgb"}.get(spec.input.channels)
        if "color" not in contract and implied:
            contract["color"] = self.put(("input", "preprocess", "color"), implied, None)
        data["preprocess"] = _ordered(spec.input.preprocess, contract)

    def block(self, spec: Spec, i: int) -> dict[str, Any]:
        """One block: its convolutions in full, or the steps of a bare block."""
        block, path = spec.blocks[i], ("blocks", i)
        data: dict[str, Any] = {}
        self._mark(path, path)
        if block.name is not None:
            data["name"] = self.put((*path, "name"), block.name, (*path, "name"))
        convs = list(block.conv_items())
        if convs:
            data["convs"] = [self.conv(spec, i, j, conv, key) for j, (conv, key) in enumerate(convs)]
        else:
            for key in ("shuffle", "norm", "activation"):
                if key in block.model_fields_set and getattr(block, key) is not None:
                    data[key] = self.put((*path, key), getattr(block, key), (*path, key))
        data["pool"] = self.pool((*path, "pool"), block.pool)
        if block.dropout is not None:
            data["dropout"] = self.put((*path, "dropout"), block.dropout, (*path, "dropout"))
        return data

    def conv(self, spec: Spec, i: int, j: int, conv: Conv, key: str) -> dict[str, Any]:
        """One convolution, each key from the nearest scope that sets it."""
        block, target = spec.blocks[i], ("blocks", i, "convs", j)
        item: Path_ = ("blocks", i, key, j)
        self._mark(target, item)
        whole = find(self.root, (*item, "channels")) is None
        data = {"channels": self.put((*target, "channels"), conv.channels, item if whole else (*item, "channels"))}
        for name in (*SPATIAL, "groups", *SHARED, "shuffle", "dropout"):
            scopes: list[tuple[Any, Path_]] = [(conv, item)]
            if name in SHARED or (name in SPATIAL and j == 0):
                scopes.append((block, ("blocks", i)))
            if name in SHARED:
                scopes.append((spec.defaults, ("defaults",)))
            value, source = _pick(name, scopes)
            if value is not None:
                data[name] = self.put((*target, name), value, source)
        present = {s for s in ("shuffle", "dropout") if s in data} | {"conv"}
        present |= {s for s in ("norm", "activation") if data[s]["kind"] != "none"}
        data["order"] = [s for s in data["order"] if s in present]
        return data

    def pool(self, path: Path_, pool: Any) -> dict[str, Any]:
        """A pool with its stride, padding and divisor explicit."""
        data: dict[str, Any] = self.put(path, pool, path)
        if "kernel" in data:
            data.setdefault("stride", data["kernel"])
        if "count_include_pad" in type(pool).model_fields:
            data.setdefault("count_include_pad", False)
        for key in data:
            self.origins.setdefault((*path, key), None)
        return _ordered(pool, data)

    def head(self, spec: Spec) -> dict[str, Any]:
        """The head, each dense layer's activation explicit."""
        head, path = spec.head, ("head",)
        data: dict[str, Any] = self.put(path, head, path)
        data["pool"] = self.pool((*path, "pool"), head.pool)
        for k, dense in enumerate(data["dense"]):
            last = k == len(data["dense"]) - 1
            dense.setdefault("activation", {"kind": "none" if last else "relu"})
            dense.setdefault("init", self.put((*path, "dense", k, "init"), spec.defaults.init, ("defaults", "init")))
            data["dense"][k] = _ordered(head.dense[k], dense)
        return data


def _ordered(model: Any, data: dict[str, Any]) -> dict[str, Any]:
    """The keys in the order of the grammar."""
    return {key: data[key] for key in type(model).model_fields if key in data}


def _pick(name: str, scopes: list[tuple[Any, Path_]]) -> tuple[Any, Path_ | None]:
    """The value of the first scope that sets `name`, and its path; else the language's default."""
    for model, path in scopes:
        if name in model.model_fields_set and getattr(model, name) is not None:
            return getattr(model, name), (*path, name)
    return getattr(scopes[0][0], name), None


def _children(data: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(data, dict):
        yield from data.items()
    elif isinstance(data, list):
        yield from enumerate(data)
