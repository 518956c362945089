"""The language's grammar as pydantic models: what a person may write, before defaults are filled in.

The language reference and the editors' JSON Schema are generated from these models, so a field's
description is its documentation. Short spellings (`activation: relu`, `kernel: 5`) are read by
`shorthand.py`; `canonical.py` writes every choice out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from nin_spec.language.recipe import Recipe
from nin_spec.language.shorthand import (
    Channels,
    Fraction,
    Kind,
    Name,
    Pair,
    Probability,
    Sides,
    Units,
    Width,
    complain,
    short_pair,
    short_sides,
)

MAX_BLOCKS = 256
MAX_CONVS = 64


class Strict(BaseModel):
    """What all models share: no unknown keys, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


# ------------------------------------------------------------------ activations, norms, dropout


class PlainActivation(Strict):
    """An activation without parameters."""

    kind: Literal["none", "relu", "silu", "mish", "sigmoid", "tanh"]


class LeakyReLU(Strict):
    """x where positive, slope x elsewhere."""

    kind: Literal["leaky_relu"]
    slope: float = Field(0.01, ge=0, lt=1e6, description="Slope where x is negative.")


class PReLU(Strict):
    """Leaky ReLU with a learned slope (He et al. 2015)."""

    kind: Literal["prelu"]
    per_channel: bool = Field(False, description="One slope a channel, instead of one for the layer.")
    init: float = Field(0.25, gt=-1e6, lt=1e6, description="Slope before training.")


class ELU(Strict):
    """Exponential linear unit."""

    kind: Literal["elu"]
    alpha: float = Field(1.0, gt=0, lt=1e6, description="The limit for very negative x is -alpha.")


class GELU(Strict):
    """Gaussian error linear unit."""

    kind: Literal["gelu"]
    approximate: Literal["none", "tanh"] = Field("none", description="Exact, or by the tanh formula.")


class Maxout(Strict):
    """Maximum over groups of neighbouring channels (Goodfellow et al. 2013)."""

    kind: Literal["maxout"]
    pieces: int = Field(ge=2, le=1024, description="Channels in a group; the layer's channels are divided by it.")


Activation = Annotated[
    PlainActivation | LeakyReLU | PReLU | ELU | GELU | Maxout,
    Field(discriminator="kind"),
    Kind("none", "relu", "leaky_relu", "prelu", "elu", "gelu", "silu", "mish", "sigmoid", "tanh", full=("maxout",)),
]


class NoNorm(Strict):
    """No normalisation."""

    kind: Literal["none"]


class BatchNorm(Strict):
    """Batch normalisation by channel (Ioffe and Szegedy 2015)."""

    kind: Literal["batch"]
    eps: float = Field(1e-5, gt=0, le=1, description="Added to the variance. PyTorch 1e-5, Keras 1e-3.")
    momentum: float = Field(0.1, ge=0, le=1, description="Weight of the new batch in the running statistics.")
    affine: bool | Literal["shift"] = Field(True, description="Learned gain and offset; `shift` has the offset alone.")


class LocalResponseNorm(Strict):
    """x / (k + alpha / size * sum of squares over neighbouring channels) ** beta (Krizhevsky et al. 2012)."""

    kind: Literal["lrn"]
    size: int = Field(5, ge=1, le=1023, description="Channels in the window; odd.")
    alpha: float = Field(1e-4, gt=0, le=1e6, description="Divided by size, as in Caffe and PyTorch.")
    beta: float = Field(0.75, gt=0, le=100, description="Exponent.")
    k: float = Field(1.0, gt=0, le=1e6, description="Added inside the power. Krizhevsky used 2.")

    @model_validator(mode="after")
    def _odd(self) -> LocalResponseNorm:
        if self.size % 2 == 0:
            message = f"size {self.size} is even, and frameworks centre even windows differently"
            raise complain("INVALID_VALUE", message, at=("size",), hint="use an odd size")
        return self


Norm = Annotated[NoNorm | BatchNorm | LocalResponseNorm, Field(discriminator="kind"), Kind("none", "batch", "lrn")]
ScoreNorm = Annotated[NoNorm | BatchNorm, Field(discriminator="kind"), Kind("none", "batch")]


class Dropout(Strict):
    """Dropout in training; the identity afterwards."""

    p: float = Field(ge=0, lt=1, description="Probability of dropping. A bare number means this.")
    by: Literal["element", "channel"] = Field("element", description="Drop single elements, or whole channels.")


class BlockDropout(Dropout):
    """Dropout at the end of a block."""

    before_pool: bool = Field(False, description="Drop before the block's pool rather than after it.")


# ------------------------------------------------------------------ pools


class MaxPool(Strict):
    """Maximum over each window; padding never wins."""

    kind: Literal["max"]
    kernel: Pair = Field(description="Window, one number or [vertical, horizontal].")
    stride: Pair | None = Field(None, description="Step; the kernel's size when left out.")
    padding: Sides = Field(
        (0, 0, 0, 0), description="Cells added: a number, [vertical, horizontal], by side, or `same`."
    )
    ceil_mode: bool = Field(False, description="Count a last, partial window. Caffe does, PyTorch and Keras do not.")


class AvgPool(MaxPool):
    """Average over each window; cells beyond the padding never count."""

    kind: Literal["avg"]  # type: ignore[assignment]
    count_include_pad: bool | None = Field(
        None,
        description="Whether padded cells count in the divisor. Needed when there is padding: PyTorch counts them,"
        " Keras does not.",
    )


class GlobalPool(Strict):
    """Each map becomes one number (Lin et al. 2013, section 3.2)."""

    kind: Literal["global_avg", "global_max"]


class NoPool(Strict):
    """No pooling."""

    kind: Literal["none"]


Pool = Annotated[
    NoPool | MaxPool | AvgPool | GlobalPool,
    Field(discriminator="kind"),
    Kind("none", "global_avg", "global_max", full=("max", "avg")),
]


# ------------------------------------------------------------------ initialisation


class Framework(Strict):
    """PyTorch's default: weights and biases uniform in +-1 / sqrt(fan_in)."""

    kind: Literal["framework"]


class _Scheme(Strict):
    bias: float = Field(0.0, gt=-1e6, lt=1e6, description="Value of every bias.")
    bias_std: float = Field(0.0, ge=0, lt=1e6, description="Standard deviation of the biases around it.")
    scale: float = Field(1.0, gt=0, lt=1e6, description="Multiplies the weights drawn.")


class Xavier(_Scheme):
    """Glorot and Bengio 2010."""

    kind: Literal["xavier_uniform", "xavier_normal"]


class Kaiming(_Scheme):
    """He et al. 2015, for ReLU."""

    kind: Literal["kaiming_uniform", "kaiming_normal"]
    mode: Literal["fan_in", "fan_out"] = Field("fan_in", description="Keep the variance forward, or backward.")


class Gaussian(_Scheme):
    """Normal with a fixed standard deviation, as the paper's author did."""

    kind: Literal["gaussian"]
    std: float = Field(gt=0, lt=1e6, description="Standard deviation of the weights.")


Init = Annotated[
    Framework | Xavier | Kaiming | Gaussian,
    Field(discriminator="kind"),
    Kind("framework", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", full=("gaussian",)),
]


# ------------------------------------------------------------------ convolutions and blocks

Step = Literal["shuffle", "conv", "norm", "activation", "dropout"]
Order = Annotated[
    list[Step],
    Field(min_length=1, max_length=5, description="The order of the steps around a convolution."),
]


class Defaults(Strict):
    """What every convolution does unless it says otherwise."""

    bias: bool = Field(True, description="A learned offset a channel.")
    norm: Norm = Field(NoNorm.model_construct(kind="none"), description="Normalisation.")
    activation: Activation = Field(PlainActivation.model_construct(kind="relu"), description="Non-linearity.")
    order: Order = Field(["shuffle", "conv", "norm", "activation", "dropout"])
    init: Init = Field(Framework.model_construct(kind="framework"), description="How weights begin.")

    @model_validator(mode="after")
    def _order(self) -> Defaults:
        check_order(self.order)
        return self


def check_order(order: list[Step]) -> None:
    """Every step once, the convolution among them."""
    if len(set(order)) != len(order) or "conv" not in order:
        raise complain("INVALID_VALUE", "order names each step once, the convolution among them", at=("order",))


class Conv(Defaults):
    """One convolution with what goes around it. What is left out comes from the block, then from `defaults`."""

    channels: Width = Field(description="Output channels, or `classes`.")
    kernel: Pair = Field((1, 1), description="Kernel, one number or [vertical, horizontal].")
    stride: Pair = Field((1, 1), description="Step.")
    padding: Sides = Field(
        (0, 0, 0, 0), description="Zeros added: a number, [vertical, horizontal], by side, or `same`."
    )
    dilation: Pair = Field((1, 1), description="Distance between kernel taps.")
    groups: int = Field(1, ge=1, le=65536, description="Independent groups of channels.")
    shuffle: int | None = Field(None, ge=2, le=65536, description="Shuffle the channels in so many groups.")
    dropout: Annotated[Dropout, Probability] | None = Field(None, description="Dropout at this convolution.")


class Block(Defaults):
    """A spatial convolution, then 1x1 convolutions, then a pool: the paper's mlpconv layer (section 3.1).

    Without convolutions a block is bare: its shuffle, norm, activation, pool and dropout stand alone, in
    that order.
    """

    name: Name | None = Field(None, description="For overrides and messages.")
    channels: Annotated[list[Width], Field(min_length=1, max_length=MAX_CONVS)] | None = Field(
        None, description="Output channels of each convolution; the first is spatial, the others are 1x1."
    )
    convs: Annotated[list[Annotated[Conv, Channels]], Field(min_length=1, max_length=MAX_CONVS)] | None = Field(
        None, description="Instead of `channels`: each convolution as a mapping, or its channels alone."
    )
    kernel: Pair | None = Field(None, description="Kernel of the first convolution.")
    stride: Pair | None = Field(None, description="Step of the first convolution.")
    padding: Sides | None = Field(None, description="Padding of the first convolution.")
    dilation: Pair | None = Field(None, description="Dilation of the first convolution.")
    shuffle: int | None = Field(None, ge=2, le=65536, description="In a bare block: shuffle the channels.")
    pool: Pool = Field(NoPool.model_construct(kind="none"), description="Pool after the convolutions.")
    dropout: Annotated[BlockDropout, Probability] | None = Field(None, description="Dropout after the pool.")


# ------------------------------------------------------------------ head, input, spec


class Dense(Strict):
    """A dense layer of the head."""

    units: Width = Field(description="Output features, or `classes`.")
    bias: bool = Field(True, description="A learned offset a feature.")
    norm: ScoreNorm = Field(NoNorm.model_construct(kind="none"), description="Normalisation before the activation.")
    activation: Activation | None = Field(None, description="relu between dense layers, none after the last.")
    dropout: Annotated[Dropout, Probability] | None = Field(None, description="Dropout after the activation.")
    init: Init | None = Field(None, description="How its weights begin.")


class Head(Strict):
    """From class maps to scores: pool, flatten, dropout, dense layers, norm, activation, output."""

    pool: Pool = Field(GlobalPool.model_construct(kind="global_avg"), description="How maps become features.")
    dropout: Annotated[Dropout, Probability] | None = Field(None, description="Dropout on the features.")
    dense: Annotated[list[Annotated[Dense, Units]], Field(max_length=16)] = Field(
        [], description="Dense layers after the pool."
    )
    norm: ScoreNorm = Field(NoNorm.model_construct(kind="none"), description="A norm on the scores.")
    activation: Activation = Field(
        PlainActivation.model_construct(kind="none"), description="An activation on the scores."
    )
    output: Literal["scores", "softmax", "log_softmax"] = Field("scores", description="What the network gives.")


def _one_or_list(value: object) -> str:
    return "list" if isinstance(value, list) else "one"


Numbers = Annotated[
    Annotated[Fraction, Tag("one")] | Annotated[list[Fraction], Field(min_length=1, max_length=4096), Tag("list")],
    Discriminator(_one_or_list),
]


class Preprocess(Strict):
    """From a picture to the network's input: resize, then (pixel * scale - mean) / std by channel."""

    scale: Fraction = Field(1 / 255, description="Multiplies each pixel; `1/255` is allowed.")
    mean: Numbers = Field(0.0, description="Subtracted, in scaled units: a number, or one a channel.")
    std: Numbers = Field(1.0, description="Divides: a number, or one a channel.")
    layout: Literal["HWC", "CHW"] = Field("HWC", description="Axes of the raw picture.")
    dtype: Literal["uint8", "float32"] = Field("uint8", description="Type of the raw pixels.")
    color: Literal["rgb", "bgr", "gray"] | None = Field(None, description="gray for one channel, else rgb.")
    resize: Literal["stretch", "crop"] = Field(
        "stretch", description="Stretch to the input size, or scale the shorter side and crop the centre."
    )


class Input(Strict):
    """What goes in."""

    channels: int = Field(ge=1, le=4096, description="Channels of the picture: 1 gray, 3 colour, or any number.")
    size: Pair = Field(description="Pixels: one number, or [height, width].")
    open: bool = Field(False, description="Other sizes may come at run time; `size` is the nominal one.")
    preprocess: Preprocess = Field(
        Preprocess.model_construct(), description="The contract that training and serving share."
    )


Label = Annotated[str, Field(min_length=1, max_length=200)]
Classes = Annotated[
    Annotated[int, Field(ge=1, le=65536), Tag("one")]
    | Annotated[list[Label], Field(min_length=1, max_length=65536), Tag("list")],
    Discriminator(_one_or_list),
]


class Spec(Strict):
    """A Network-in-Network classifier."""

    spec: Literal[1] = Field(description="Version of the language.")
    extends: str | None = Field(
        None, description="A spec to start from, a file beside this one or a shipped name; what follows overrides it."
    )
    name: Name = Field(description="Name of the network: letters, digits, _ and -.")
    summary: str = Field("", max_length=500, description="One line about it.")
    dtype: Literal["float32", "float64"] = Field("float32", description="Numbers that the network computes in.")
    input: Input = Field(description="What goes in.")
    classes: Classes = Field(description="How many classes, or the list of their labels.")
    defaults: Defaults = Field(
        Defaults.model_construct(), description="What every convolution does unless it says otherwise."
    )
    blocks: Annotated[list[Block], Field(min_length=1, max_length=MAX_BLOCKS)] = Field(description="In order.")
    head: Head = Field(Head.model_construct(), description="From class maps to scores.")
    train: Recipe | None = Field(None, description="How it is trained.")

    @property
    def class_count(self) -> int:
        """Number of classes, labelled or not."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' labels, or none."""
        return () if isinstance(self.classes, int) else tuple(self.classes)


def dump(value: Any) -> Any:
    """A model or value as plain data in its shortest spelling, every key written out but those that are None."""
    match value:
        case BaseModel():
            return value.model_dump(mode="json", exclude_none=True)
        case tuple((_, _)):
            return short_pair(value)
        case tuple((_, _, _, _)):
            return short_sides(value)
        case _:
            return value
