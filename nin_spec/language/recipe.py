"""The training recipe: parsed and checked here, followed by nin_spec.training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nin_spec.language.parts import Strict
from nin_spec.language.shorthand import Kind, Name

Rate = Annotated[float, Field(ge=0, le=1e6)]
Pattern = Annotated[str, Field(min_length=1, max_length=200)]
Patterns = Annotated[list[Pattern], Field(max_length=1000)]


class Sgd(Strict):
    """Stochastic gradient descent."""

    kind: Literal["sgd"]
    lr: Rate = Field(description="Learning rate.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum.")
    nesterov: bool = Field(False, description="Nesterov's momentum.")
    weight_decay: Rate = Field(0.0, description="L2 penalty.")


class Adam(Strict):
    """Adam, or AdamW with decoupled weight decay."""

    kind: Literal["adam", "adamw"]
    lr: Rate = Field(0.001, description="Learning rate.")
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)] = Field(
        [0.9, 0.999], description="Decay of the two moments."
    )
    eps: float = Field(1e-8, gt=0, le=1, description="Added to the denominator.")
    weight_decay: Rate = Field(0.0, description="L2 penalty, decoupled for adamw.")


Optimizer = Annotated[Sgd | Adam, Field(discriminator="kind"), Kind("adam", "adamw", full=("sgd",))]


class Constant(Strict):
    """One learning rate throughout, cosine decay to zero, or one cycle (Smith and Topin 2018).

    One cycle rises from lr / 25 to lr over its warm-up (by default 30% of the training) and falls to lr / 250,000, both
    along a cosine, like torch.optim.lr_scheduler.OneCycleLR; momentum is constant.
    """

    kind: Literal["constant", "cosine", "one_cycle"]
    warmup: Annotated[float, Field(ge=0, le=1e6)] = Field(0.0, description="Epochs of linear warm-up.")


class StepSchedule(Strict):
    """The learning rate times `gamma` at each milestone."""

    kind: Literal["step"]
    milestones: Annotated[list[Annotated[float, Field(gt=0, le=1e9)]], Field(min_length=1, max_length=1000)] = Field(
        description="Epochs after which the rate drops."
    )
    gamma: float = Field(0.1, gt=0, le=1, description="Factor.")
    warmup: Annotated[float, Field(ge=0, le=1e6)] = Field(0.0, description="Epochs of linear warm-up.")


Schedule = Annotated[
    Constant | StepSchedule, Field(discriminator="kind"), Kind("constant", "cosine", "one_cycle", full=("step",))
]


Share = Annotated[float, Field(ge=0, le=1)]
Alpha = Annotated[float, Field(ge=0, le=1000)]


class Jitter(Strict):
    """Colour jitter: each factor is drawn from 1 - value to 1 + value."""

    brightness: Share = Field(0.0, description="Pixels times the factor.")
    contrast: Share = Field(0.0, description="Difference to the mean luminance times the factor.")
    saturation: Share = Field(0.0, description="Difference to the pixel's own luminance times the factor.")


class Augment(Strict):
    """Random changes to training pictures, in this order."""

    crop: bool = Field(
        False,
        description="Crop the input at random from the resized picture (`preprocess.resize`), not from its centre.",
    )
    pad_and_crop: int = Field(0, ge=0, le=1024, description="Pad the picture by this many pixels, then crop at random.")
    resized_crop: float | None = Field(
        None,
        gt=0,
        le=1,
        description=(
            "Instead of both: resize a random rectangle to the input, of this share of the resized picture's area to "
            "all of it, with an aspect of 3/4 to 4/3."
        ),
    )
    flip: bool = Field(False, description="Flip half of the pictures horizontally.")
    jitter: Jitter | None = Field(None, description="Change brightness, contrast and saturation.")
    erase: Share = Field(
        0.0, description="Share of the pictures with a black rectangle, of 2% to 33% of their area (random erasing)."
    )
    mixup: Alpha = Field(
        0.0,
        description=(
            "Mix each picture with another of its batch (mixup); the shares are drawn from a beta distribution with "
            "this alpha, 0: not at all."
        ),
    )
    cutmix: Alpha = Field(
        0.0,
        description=(
            "Replace a rectangle of each picture by that of another of its batch (cutmix), with shares drawn in the "
            "same way; with `mixup` too, half of the pictures."
        ),
    )


class Ema(Strict):
    """An exponential moving average of the weights, and of batch norm statistics."""

    decay: float = Field(
        0.999, ge=0, lt=1, description="Of the average per step; after n steps at most (1 + n) / (10 + n)."
    )


class Recipe(Strict):
    """How a network is trained."""

    dataset: Name = Field(description="Name of the data set.")
    validation: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Fraction of the training split held out, by class; the best epoch is chosen on it.",
    )
    resize: int | None = Field(
        None,
        ge=1,
        le=16384,
        description=(
            "Resize to this square in training only, instead of `preprocess.resize`; if it is larger than the input, "
            "the input is a random crop."
        ),
    )
    batch_size: int = Field(128, ge=1, le=1_000_000, description="Images per step, over all processes.")
    epochs: int = Field(ge=1, le=1_000_000, description="Passes over the training split.")
    seed: int = Field(0, ge=0, lt=2**63, description="Of initialisation, order and augmentation.")
    optimizer: Optimizer = Field(description="How weights are updated.")
    schedule: Schedule = Field(Constant.model_construct(kind="constant"), description="How the learning rate changes.")
    lr_multipliers: dict[Pattern, Rate] = Field(
        {},
        description=(
            "Factors on the learning rate by parameter name or block name; `*` matches any text (`*.bias: 2`). The "
            "last match counts."
        ),
    )
    no_decay: Patterns = Field([], description="Parameters without weight decay, named in the same way.")
    freeze: Patterns = Field(
        [],
        description=(
            "Parameters and batch norm statistics that training does not change, named in the same way; the name of a "
            "layer or block stands for all in it (`[stem, blocks.1]`)."
        ),
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Of the cross-entropy loss.")
    gradient_clip: float | None = Field(None, gt=0, le=1e9, description="Largest norm of the gradient.")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="Of the forward and backward pass.")
    ema: Ema | None = Field(
        None, description="Keep a moving average of the weights: it is evaluated, and is the result."
    )
    patience: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="End training after this many epochs without a better validation accuracy; needs `validation`.",
    )
    time_limit: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description="Minutes of training, those before it was resumed included, after which no further epoch begins.",
    )
    balance: Literal["none", "loss", "sampling"] = Field(
        "none",
        description=(
            "Give each class the same weight: `loss` divides its loss by its share of the pictures, `sampling` shows "
            "the pictures of each class equally often."
        ),
    )
    class_weights: dict[Pattern, Rate] = Field({}, description="Factors on the loss by class label; the others have 1.")
    augment: Augment = Field(Augment.model_construct(), description="Random changes to training pictures.")
