"""The training recipe: parsed and checked here, followed by nin_spec.training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nin_spec.language.parts import Strict
from nin_spec.language.shorthand import Kind, Name

Rate = Annotated[float, Field(ge=0, le=1e6)]


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


class Augment(Strict):
    """Random changes to training pictures."""

    crop: bool = Field(
        False,
        description="Crop the input at random from the resized picture (`preprocess.resize`), not from its centre.",
    )
    pad_and_crop: int = Field(0, ge=0, le=1024, description="Pad the picture by this many pixels, then crop at random.")
    flip: bool = Field(False, description="Flip half of the pictures horizontally.")


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
    lr_multipliers: dict[Annotated[str, Field(min_length=1, max_length=200)], Rate] = Field(
        {},
        description=(
            "Factors on the learning rate by parameter name or block name; `*` matches any text (`*.bias: 2`). The "
            "last match counts."
        ),
    )
    no_decay: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=1000)] = Field(
        [], description="Parameters without weight decay, named in the same way."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Of the cross-entropy loss.")
    gradient_clip: float | None = Field(None, gt=0, le=1e9, description="Largest norm of the gradient.")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="Of the forward and backward pass.")
    augment: Augment = Field(Augment.model_construct(), description="Random changes to training pictures.")
