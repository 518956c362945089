"""The language's grammar as pydantic models: a spec as written, before defaults are filled in.

The language reference and the editors' JSON Schema are generated from these models, so a field's
description is its documentation. Short spellings (`activation: relu`, `kernel: 5`) are read by
`shorthand.py`; `canonical.py` writes every choice out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, model_validator

from nin_spec.language.parts import (
    Activation,
    BlockDropout,
    Dropout,
    Framework,
    GlobalPool,
    Init,
    NoNorm,
    NoPool,
    Norm,
    PlainActivation,
    Pool,
    Resize,
    ScoreNorm,
    Stretch,
    Strict,
)
from nin_spec.language.recipe import Recipe
from nin_spec.language.shorthand import (
    Channels,
    Fraction,
    Name,
    Pair,
    Probability,
    Sides,
    Units,
    Width,
    complain,
    kind_of,
    short_pair,
    short_sides,
)

MAX_BLOCKS = 256
MAX_CONVS = 64


# ------------------------------------------------------------------ convolutions and blocks

Step = Literal["shuffle", "conv", "norm", "activation", "dropout"]
Order = Annotated[
    list[Step],
    Field(min_length=1, max_length=5, description="The order of the steps around a convolution."),
]


class Defaults(Strict):
    """Defaults for every convolution."""

    bias: bool = Field(True, description="A learned offset per channel.")
    norm: Norm = Field(NoNorm.model_construct(kind="none"), description="Normalisation.")
    activation: Activation = Field(PlainActivation.model_construct(kind="relu"), description="Non-linearity.")
    order: Order = Field(["shuffle", "conv", "norm", "activation", "dropout"])
    init: Init = Field(Framework.model_construct(kind="framework"), description="Initialisation of the weights.")

    @model_validator(mode="after")
    def _order(self) -> Defaults:
        check_order(self.order)
        return self


def check_order(order: list[Step]) -> None:
    """Every step once, the convolution among them."""
    if len(set(order)) != len(order) or "conv" not in order:
        raise complain("INVALID_VALUE", "order names each step once, the convolution among them", at=("order",))


class Conv(Defaults):
    """One convolution and the steps around it. Unset keys come from the block, then from `defaults`."""

    channels: Width = Field(description="Output channels, or `classes`.")
    kernel: Pair = Field((1, 1), description="Kernel, one number or [vertical, horizontal].")
    stride: Pair = Field((1, 1), description="Step.")
    padding: Sides = Field(
        (0, 0, 0, 0), description="Zeros added: a number, [vertical, horizontal], by side, or `same`."
    )
    dilation: Pair = Field((1, 1), description="Distance between kernel taps.")
    groups: int = Field(1, ge=1, le=65536, description="Independent groups of channels.")
    shuffle: int | None = Field(None, ge=2, le=65536, description="Shuffle the channels in this many groups.")
    dropout: Annotated[Dropout, Probability] | None = Field(None, description="Dropout at this convolution.")


class Block(Defaults):
    """A spatial convolution, then 1x1 convolutions, then a pool: the paper's mlpconv layer (section 3.1).

    Without convolutions a block is bare: its shuffle, norm, activation, pool and dropout stand alone, in
    that order.
    """

    name: Name | None = Field(None, description="Name for overrides and messages.")
    channels: Annotated[list[Width], Field(min_length=1, max_length=MAX_CONVS)] | None = Field(
        None, description="Output channels of each convolution; the first is spatial, the others are 1x1."
    )
    convs: Annotated[list[Annotated[Conv, Channels]], Field(min_length=1, max_length=MAX_CONVS)] | None = Field(
        None, description="Instead of `channels`: each convolution as a mapping, or its channels alone."
    )
    kernel: Pair | None = Field(
        None, description="Kernel of the first convolution in cells: one number, or [vertical, horizontal]."
    )
    stride: Pair | None = Field(None, description="Step of the first convolution in cells.")
    padding: Sides | None = Field(
        None,
        description="Cells added around the first convolution: a number, [vertical, horizontal], by side, or `same`.",
    )
    dilation: Pair | None = Field(None, description="Distance between taps of the first convolution's kernel.")
    shuffle: int | None = Field(None, ge=2, le=65536, description="In a bare block: shuffle the channels.")
    pool: Pool = Field(
        NoPool.model_construct(kind="none"),
        description="Pool after the convolutions. The paper's take the maximum (Lin et al. 2013, section 3.3).",
    )
    dropout: Annotated[BlockDropout, Probability] | None = Field(
        None, description="Dropout after the pool, as the paper has it after all blocks but the last (section 4.1)."
    )

    def conv_items(self) -> Iterator[tuple[Conv, str]]:
        """Each convolution, and the key under which it was written."""
        if self.convs is not None:
            yield from ((conv, "convs") for conv in self.convs)
        elif self.channels is not None:
            yield from ((Conv.model_construct({"channels"}, channels=width), "channels") for width in self.channels)


# ------------------------------------------------------------------ head, input, spec


class Dense(Strict):
    """A dense layer of the head."""

    units: Width = Field(description="Output features, or `classes`.")
    bias: bool = Field(True, description="A learned offset per feature.")
    norm: ScoreNorm = Field(NoNorm.model_construct(kind="none"), description="Normalisation before the activation.")
    activation: Activation | None = Field(None, description="relu between dense layers, none after the last.")
    dropout: Annotated[Dropout, Probability] | None = Field(None, description="Dropout after the activation.")
    init: Init | None = Field(None, description="Initialisation of its weights.")


class Head(Strict):
    """From class maps to scores: pool, flatten, dropout, dense layers, norm, activation, output."""

    pool: Pool = Field(
        GlobalPool.model_construct(kind="global_avg"),
        description="How maps become features; the paper averages (section 3.2).",
    )
    dropout: Annotated[Dropout, Probability] | None = Field(None, description="Dropout on the features.")
    dense: Annotated[list[Annotated[Dense, Units]], Field(max_length=16)] = Field(
        [], description="Dense layers after the pool."
    )
    norm: ScoreNorm = Field(NoNorm.model_construct(kind="none"), description="A norm on the scores.")
    activation: Activation = Field(
        PlainActivation.model_construct(kind="none"), description="An activation on the scores."
    )
    output: Literal["scores", "softmax", "log_softmax"] = Field("scores", description="The network's output.")


def _one_or_list(value: object) -> str:
    return "list" if isinstance(value, list) else "one"


Numbers = Annotated[
    Annotated[Fraction, Tag("one")] | Annotated[list[Fraction], Field(min_length=1, max_length=4096), Tag("list")],
    Discriminator(_one_or_list),
]


class Preprocess(Strict):
    """From a picture to the network's input: resize, then (pixel * scale - mean) / std by channel."""

    scale: Fraction = Field(1 / 255, description="Multiplies each pixel; `1/255` is allowed.")
    mean: Numbers = Field(0.0, description="Subtracted, in scaled units: a number, or one per channel.")
    std: Numbers = Field(1.0, description="Divides: a number, or one per channel.")
    layout: Literal["HWC", "CHW"] = Field("HWC", description="Axes of the raw picture.")
    dtype: Literal["uint8", "float32"] = Field("uint8", description="Type of the raw pixels.")
    color: Literal["rgb", "bgr", "gray"] | None = Field(None, description="gray for one channel, else rgb.")
    resize: Resize = Field(
        Stretch.model_construct(kind="stretch"),
        description="How a picture of another size is resized to the input's, in training and inference.",
    )


class Input(Strict):
    """The network's input."""

    channels: int = Field(ge=1, le=4096, description="Channels of the picture: 1 gray, 3 colour, or any number.")
    size: Pair = Field(description="Pixels: one number, or [height, width].")
    open: bool = Field(False, description="Accept other sizes at run time; `size` is the nominal one.")
    preprocess: Preprocess = Field(
        Preprocess.model_construct(), description="The contract that training and serving share."
    )


Label = Annotated[str, Field(min_length=1, max_length=200)]
Classes = Annotated[
    Annotated[int, Field(ge=1, le=65536), Tag("one")]
    | Annotated[list[Label], Field(min_length=1, max_length=65536), Tag("list")],
    Discriminator(_one_or_list),
]


def _version(value: object) -> object:
    # To Python, true and 1.0 equal 1.
    if type(value) is not int or value != 1:
        raise complain("UNKNOWN_CHOICE", f"expected 1, the version of the language, found {kind_of(value)}")
    return value


class Spec(Strict):
    """A Network-in-Network classifier."""

    spec: Annotated[Literal[1], BeforeValidator(_version)] = Field(description="Version of the language.")
    extends: str | None = Field(
        None, description="A spec to start from, a file beside this one or a shipped name; what follows overrides it."
    )
    name: Name = Field(description="Name of the network: letters, digits, _ and -.")
    summary: str = Field("", max_length=500, description="One line about it.")
    dtype: Literal["float32", "float64"] = Field("float32", description="dtype that the network computes in.")
    input: Input = Field(description="The network's input.")
    classes: Classes = Field(description="How many classes, or the list of their labels.")
    defaults: Defaults = Field(Defaults.model_construct(), description="Defaults for every convolution.")
    blocks: Annotated[list[Block], Field(min_length=1, max_length=MAX_BLOCKS)] = Field(
        description="The blocks, in order."
    )
    head: Head = Field(Head.model_construct(), description="From class maps to scores.")
    train: Recipe | None = Field(None, description="How it is trained.")

    @property
    def class_count(self) -> int:
        """Number of classes, labelled or not."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' labels, if given."""
        return () if isinstance(self.classes, int) else tuple(self.classes)


def dump(value: Any) -> Any:
    """A model or value as plain data in its shortest spelling, with every key that is not None.

    Written by hand since pydantic would first build a serializer for each model.
    """
    match value:
        case BaseModel():
            found = ((name, getattr(value, name)) for name in type(value).model_fields)
            return {name: dump(v) for name, v in found if v is not None}
        case tuple((_, _)):
            return short_pair(value)
        case tuple((_, _, _, _)):
            return short_sides(value)
        case list():
            return [dump(v) for v in value]
        case _:
            return value
