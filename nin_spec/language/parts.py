"""The elements of a network that have kinds: activations, norms, dropout, pools, initialisation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from nin_spec.language.shorthand import MAX_CELLS, Kind, Pair, Sides, complain, kind_of


class Strict(BaseModel):
    """Base of all models: no unknown keys, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


# ------------------------------------------------------------------ activations, norms, dropout


class PlainActivation(Strict):
    """An activation without parameters."""

    kind: Literal["none", "relu", "silu", "hardswish", "mish", "sigmoid", "tanh"]


class LeakyReLU(Strict):
    """x where positive, slope x elsewhere."""

    kind: Literal["leaky_relu"]
    slope: float = Field(0.01, ge=0, lt=1e6, description="Slope where x is negative.")


class PReLU(Strict):
    """Leaky ReLU with a learned slope (He et al. 2015)."""

    kind: Literal["prelu"]
    per_channel: bool = Field(False, description="One slope per channel, instead of one for the layer.")
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
    pieces: int = Field(ge=2, le=1024, description="Channels per group; the layer's channels are divided by it.")


Activation = Annotated[
    PlainActivation | LeakyReLU | PReLU | ELU | GELU | Maxout,
    Field(discriminator="kind"),
    Kind(
        *("none", "relu", "leaky_relu", "prelu", "elu", "gelu", "silu", "hardswish", "mish", "sigmoid", "tanh"),
        full=("maxout",),
    ),
]


class NoNorm(Strict):
    """No normalisation."""

    kind: Literal["none"]


def _affine(value: object) -> object:
    if not isinstance(value, bool) and value != "shift":
        raise complain("WRONG_TYPE", f"expected true, false or `shift`, found {kind_of(value)}")
    return value


Affine = Annotated[
    bool | Literal["shift"],
    PlainValidator(_affine),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"const": "shift"}]}),
]


class BatchNorm(Strict):
    """Batch normalisation by channel (Ioffe and Szegedy 2015)."""

    kind: Literal["batch"]
    eps: float = Field(1e-5, gt=0, le=1, description="Added to the variance. PyTorch 1e-5, Keras 1e-3.")
    momentum: float = Field(0.1, ge=0, le=1, description="Weight of the new batch in the running statistics.")
    affine: Affine = Field(True, description="Learned gain and offset; `shift` is the offset alone.")


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
            message = f"size {self.size} is even; frameworks centre even windows differently"
            raise complain("INVALID_VALUE", message, at=("size",), hint="use an odd size")
        return self


Norm = Annotated[NoNorm | BatchNorm | LocalResponseNorm, Field(discriminator="kind"), Kind("none", "batch", "lrn")]
ScoreNorm = Annotated[NoNorm | BatchNorm, Field(discriminator="kind"), Kind("none", "batch")]


class Dropout(Strict):
    """Dropout in training; the identity at inference."""

    p: float = Field(ge=0, lt=1, description="Probability of dropping. A bare number means this.")
    by: Literal["element", "channel"] = Field("element", description="Drop single elements, or whole channels.")


class BlockDropout(Dropout):
    """Dropout at the end of a block."""

    before_pool: bool = Field(False, description="Drop before the block's pool rather than after it.")


# ------------------------------------------------------------------ pools


class MaxPool(Strict):
    """Maximum over each window; padding never wins."""

    kind: Literal["max"]
    kernel: Pair = Field(description="Window in cells, one number or [vertical, horizontal].")
    stride: Pair | None = Field(None, description="Step in cells; default: the kernel's size.")
    padding: Sides = Field(
        (0, 0, 0, 0), description="Cells added: a number, [vertical, horizontal], by side, or `same`."
    )
    ceil_mode: bool = Field(
        False,
        description="Count a last, partial window: with kernel 3 and stride 2, 32 cells become 16, not 15. "
        "cuda-convnet and Caffe, in which the paper's networks were made, do; PyTorch and Keras do not.",
    )


class AvgPool(MaxPool):
    """Average over each window; cells beyond the padding never count."""

    kind: Literal["avg"]  # type: ignore[assignment]
    count_include_pad: bool | None = Field(
        None,
        description="Whether padded cells count in the divisor. Required with padding: PyTorch counts them, Keras "
        "does not.",
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


# ------------------------------------------------------------------ pictures of another size


class Stretch(Strict):
    """Resize the picture, ignoring its aspect ratio, and keep the centre of the input's size."""

    kind: Literal["stretch"]
    size: Pair | None = Field(
        None,
        description="Size to resize to, one number or [height, width]; default: the input's size.",
    )


class Crop(Strict):
    """Scale the picture, keeping its aspect ratio, and keep the centre of the input's size (Krizhevsky et al. 2012)."""

    kind: Literal["crop"]
    shorter: int | None = Field(
        None,
        ge=1,
        le=MAX_CELLS,
        description="Pixels of the shorter side after scaling, usually 256 for an input of 224; default: just enough "
        "to cover the input.",
    )


Resize = Annotated[Stretch | Crop, Field(discriminator="kind"), Kind("stretch", "crop")]


def target_of(resize: Stretch | Crop) -> tuple[int, int] | None:
    """(height, width) that a picture is resized to, or just covers once scaled; None for the input's size."""
    if isinstance(resize, Stretch):
        return resize.size
    return None if resize.shorter is None else (resize.shorter, resize.shorter)


# ------------------------------------------------------------------ initialisation


class Framework(Strict):
    """PyTorch's default: weights and biases uniform in +-1 / sqrt(fan_in)."""

    kind: Literal["framework"]


class _Scheme(Strict):
    bias: float = Field(0.0, gt=-1e6, lt=1e6, description="Value of every bias.")
    bias_std: float = Field(0.0, ge=0, lt=1e6, description="Standard deviation of the biases around that value.")
    scale: float = Field(1.0, gt=0, lt=1e6, description="Multiplies the weights drawn.")


class Xavier(_Scheme):
    """Glorot and Bengio 2010."""

    kind: Literal["xavier_uniform", "xavier_normal"]


class Kaiming(_Scheme):
    """He et al. 2015, for ReLU."""

    kind: Literal["kaiming_uniform", "kaiming_normal"]
    mode: Literal["fan_in", "fan_out"] = Field("fan_in", description="Keep the variance forward, or backward.")


class Gaussian(_Scheme):
    """Normal with a fixed standard deviation, as in the paper author's networks."""

    kind: Literal["gaussian"]
    std: float = Field(gt=0, lt=1e6, description="Standard deviation of the weights.")


Init = Annotated[
    Framework | Xavier | Kaiming | Gaussian,
    Field(discriminator="kind"),
    Kind("framework", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", full=("gaussian",)),
]
