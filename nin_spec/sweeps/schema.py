"""The grammar of a sweep file, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from nin_spec.language.parts import Strict
from nin_spec.language.shorthand import Kind, Short

MAX_AXES = 64
MAX_CHOICES = 1000

Number = Annotated[float, Field(gt=0, le=1e18)]
Text = Annotated[str, Field(min_length=1, max_length=200)]


class Choices(Strict):
    """An axis with one of several values, each as in a spec: a number, a word, a list or a whole mapping."""

    choices: Annotated[list[Any], Field(min_length=1, max_length=MAX_CHOICES)] = Field(description="The values.")
    when: dict[Text, Any] = Field({}, description="Other axes and the values with which this one is used.")


class Range(Strict):
    """An axis with a number of a range, whole if all its numbers are whole."""

    low: float = Field(alias="from", ge=-1e18, le=1e18, description="The least number.")
    high: float = Field(alias="to", ge=-1e18, le=1e18, description="The greatest number.")
    log: bool = Field(False, description="Search by orders of magnitude.")
    step: Number | None = Field(None, description="Distance between neighbours.")
    when: dict[Text, Any] = Field({}, description="Other axes and the values with which this one is used.")


def _form(value: Any) -> str:
    return "choices" if not isinstance(value, dict) or "choices" in value else "range"


Axis = Annotated[
    Annotated[Choices, Tag("choices")] | Annotated[Range, Tag("range")],
    Discriminator(_form),
    Short("choices", {"type": "array", "minItems": 1, "maxItems": MAX_CHOICES}),
]


class Timing(Strict):
    """How the speed of an exported file is measured."""

    goal: Literal["min", "max"] = Field(description="The direction that is better.")
    device: Literal["cpu"] = Field("cpu", description="Where it runs.")
    batch: int = Field(1, ge=1, le=65_536, description="Images per run.")
    threads: int = Field(1, ge=1, le=4096, description="CPU threads.")
    seconds: float = Field(0.5, gt=0, le=600, description="Seconds of measurement.")


_GOAL = Short("goal", {"enum": ["min", "max"]})


class Objectives(Strict):
    """What is better: `max` or `min` of each quantity. The first one decides what a table is sorted by."""

    validation_accuracy: Literal["max"] | None = Field(None, description="Of the best epoch, on the held-out share.")
    validation_loss: Literal["min"] | None = Field(None, description="The least of all epochs, on the held-out share.")
    parameters: Literal["min"] | None = Field(None, description="Trainable parameters.")
    macs: Literal["min"] | None = Field(None, description="Multiply-accumulates for one image.")
    peak_memory: Literal["min"] | None = Field(None, description="The largest input and output of a layer, in bytes.")
    weight_memory: Literal["min"] | None = Field(None, description="Parameters and running statistics, in bytes.")
    latency: Annotated[Timing, _GOAL] | None = Field(None, description="Of a run of the exported file, in ms.")
    throughput: Annotated[Timing, _GOAL] | None = Field(None, description="Of the exported file, in images/s.")
    int8_size: Literal["min"] | None = Field(None, description="Of the exported int8 file, in bytes.")


class Limits(Strict):
    """The most that a candidate may have. Its shape table decides, before a step is trained."""

    parameters: Number | None = Field(None, description="Trainable parameters.")
    macs: Number | None = Field(None, description="Multiply-accumulates for one image.")
    peak_memory: Number | None = Field(None, description="The largest input and output of one layer, in bytes.")
    weight_memory: Number | None = Field(None, description="Parameters and running statistics, in bytes.")


class Median(Strict):
    """Stop a candidate whose accuracy is below the median of the others at the same epoch."""

    kind: Literal["median"]
    after: int = Field(5, ge=1, le=10_000, description="Candidates that are trained to the end first.")
    epoch: int = Field(1, ge=0, le=1_000_000, description="Epochs that each candidate is trained in any case.")


class Halving(Strict):
    """Successive halving: only the best share of the candidates is trained beyond each rung."""

    kind: Literal["halving"]
    epoch: int = Field(1, ge=1, le=1_000_000, description="The first rung.")
    factor: int = Field(3, ge=2, le=100, description="Ratio of neighbouring rungs; one of so many goes further.")


Pruner = Annotated[Median | Halving, Field(discriminator="kind"), Kind("median", "halving")]


class SweepFile(Strict):
    """A family of networks, what is better among them, and how they are searched."""

    sweep: Literal[1] = Field(description="Version of the format.")
    base: Text = Field(description="The spec that all candidates change: a shipped name or a file, as in `extends`.")
    fixed: dict[Text, Any] = Field({}, alias="set", description="Values of every candidate, by path, as in `--set`.")
    space: Annotated[dict[Text, Axis], Field(min_length=1, max_length=MAX_AXES)] = Field(
        description="The axes, by path as in `--set`, or by a `$name` that other values use."
    )
    objectives: Objectives = Field(Objectives.model_construct(validation_accuracy="max"), description="What is better.")
    within: Limits = Field(Limits.model_construct(), description="Limits.")
    sampler: Literal["tpe", "nsga2", "random", "grid"] = Field("tpe", description="Optuna's sampler.")
    prune: Pruner | None = Field(None, description="Stop what does badly, with one objective.")
    trials: int = Field(20, ge=1, le=1_000_000, description="Candidates to train.")
    time_limit: Annotated[str, Field(pattern=r"^\d+(\.\d+)? (s|min|h)$")] | None = Field(
        None, description="No candidate begins after this time: for example 30 min, 2 h."
    )
    seeds: int = Field(1, ge=1, le=100, description="Trainings of each candidate; the mean counts.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of the sampler.")
    storage: Text | None = Field(None, description="URL of a database; the default is study.db in the sweep folder.")


def sweep_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a sweep file, for editors."""
    from nin_spec.language.reference import schema_of

    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema_of(SweepFile)}
