"""Convert a float32 file to a reduced precision, measure it against the budget, and report each step."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from onnx import ModelProto, TensorProto, load_from_string

from nin_spec.data.views import sample
from nin_spec.diagnostics import Code, ExportError
from nin_spec.evaluation.scores import Shape, inputs
from nin_spec.exporter import Artifact
from nin_spec.model import Model
from nin_spec.precision.calibration import largest
from nin_spec.precision.fitness import DEFAULT_DEVICE, remark_on
from nin_spec.precision.float16 import LARGEST, to_float16, too_large
from nin_spec.precision.int8 import integer_kernels, layers_of, macs_of, quantise
from nin_spec.precision.job import Job, Watch, batches_of, span_of
from nin_spec.precision.samples import SEED, open_pictures
from nin_spec.precision.search import search
from nin_spec.precision.settings import Precision, PrecisionSettings
from nin_spec.precision.trial import Outcome
from nin_spec.runtime.parity_inputs import BATCHES, Batch
from nin_spec.runtime.session import open_session


@dataclass(frozen=True)
class Reduced:
    """A file of another precision, not yet proved, and `pictures` to prove int8 on, which noise does not suit."""

    artifact: Artifact
    pictures: Batch | None = None


def reduce(
    model: Model,
    artifact: Artifact,
    settings: PrecisionSettings,
    device: str | None = None,
    watch: Watch = Watch(),  # noqa: B008 frozen
) -> Reduced:
    """The artifact with its float32 ONNX file in another precision, measured on `device` within the budget.

    Raises:
        ExportError: a weight out of the precision's range, or a device that can't compute in it.
        DataError: pictures that are missing, damaged, or not of the model's classes.
        DeviceError: the device can't run here.
        BudgetError: more accuracy is lost than `settings.max_drop` allows.
    """
    if settings.precision == "float32":
        return Reduced(artifact)
    (name,) = artifact.models
    data = artifact.files[name]
    _require_float32(data)
    job = _prepare(model, data, settings, device, watch)
    made = _MAKERS[settings.precision](job)
    return Reduced(replace(artifact, files={**artifact.files, name: made}), _proof(job))


def _prepare(model: Model, data: bytes, settings: PrecisionSettings, device: str | None, watch: Watch) -> Job:
    """The job, after checking its device and its pictures."""
    place = device or DEFAULT_DEVICE[settings.precision]
    remark = remark_on(settings.precision, place)
    session = open_session(data, cast("Any", place), options=settings.options)
    # The device that `auto` chose is known only now.
    remark = remark or remark_on(settings.precision, session.device)
    if remark:
        watch.say(remark)
    measures = settings.max_drop is not None or settings.precision == "int8"
    return Job(model, data, settings, session, open_pictures(model, settings) if measures else None, watch)


def _require_float32(data: bytes) -> None:
    if any(t.data_type == TensorProto.DOUBLE for t in load_from_string(data).graph.initializer):
        message = "a float64 file can't be converted directly: export it in float32"
        raise ExportError(Code.EXPORT_OPTION, message, hint="remove --dtype float64 or --precision")


# ------------------------------------------------------------------ precisions


def _float16(job: Job) -> bytes:
    data, remarks = to_float16(job.data)
    for remark in remarks:
        job.watch.say(remark)
    if job.pictures is not None:
        _refuse_overflow(job)
    return _measured(job, data)


def _refuse_overflow(job: Job) -> None:
    """Raise ExportError, at the spec's line, if a value leaves float16's range, which a CPU would not show."""
    sizes = largest(job.ranges())
    values = (value for node in load_from_string(job.data).graph.node for value in node.output)
    for name in (job.session.input_name, *values):
        size = sizes.get(name, 0.0)
        if not size <= LARGEST:
            raise too_large(f"{name} reaches {size:.3g} on training pictures", span_of(job.model, name))


def _bfloat16(job: Job) -> bytes:
    job.watch.say(
        "the file stays float32 and requests bfloat16 in its metadata (nin_spec.precision): nin-spec's sessions use "
        "it if the provider can; other programs must set their provider's own option"
    )
    return _measured(job, stamp(job.data, "bfloat16"))


def _int8(job: Job) -> bytes:
    if not layers_of(job.data):
        message = "int8 has nothing to quantise: the only layer with weights computes the scores, which stay in float"
        raise ExportError(Code.EXPORT_OPTION, message, hint="remove --precision")
    ranges = job.ranges()
    used = job.known.calibration
    job.watch.say(
        f"int8: calibrated on {len(used):,} of {job.known.learned:,} training pictures of {used.dataset} "
        f"(smallest and largest of each value; seed {SEED})"
    )
    if job.settings.max_drop is None:
        return _finish(job, quantise(job.data, ranges), None)
    found = search(job, ranges)
    return _finish(job, found.data, found.outcome, found.float_layers)


_MAKERS: Mapping[Precision, Callable[[Job], bytes]] = {"float16": _float16, "bfloat16": _bfloat16, "int8": _int8}


def _measured(job: Job, data: bytes) -> bytes:
    """The file with its metadata, if it is within the budget. Raises BudgetError."""
    precision, outcome = job.settings.precision, None
    if job.settings.max_drop is not None:
        outcome = job.attempt(job.begin(), data, precision)
        if not outcome.within(job.budget):
            raise job.exceeded(f"{precision} loses {outcome.drop:.2f} points")
    return _finish(job, data, outcome)


def _finish(job: Job, data: bytes, outcome: Outcome | None, float_layers: tuple[str, ...] = ()) -> bytes:
    """The file with its metadata; remarks are reported."""
    precision = job.settings.precision
    if outcome is None:
        job.watch.say(f"{precision}: the loss of accuracy was not measured (no budget)")
    if precision == "int8":
        job.watch.say(_integer_share(job, data, float_layers))
    return stamp(data, precision, job.facts(outcome, float_layers, calibrated=precision == "int8"))


def _integer_share(job: Job, data: bytes, float_layers: tuple[str, ...]) -> str:
    """The fraction of the network computed in integers, from the CPU provider's optimised graph."""
    layers = layers_of(job.data)
    macs = macs_of(job.data)
    quantised = sum(macs.get(name, 0) for name in layers if name not in float_layers)
    share = f", {quantised / sum(macs.values()):.1%} of the MACs" if macs else ""
    return (
        f"int8: {len(layers) - len(float_layers)} of {len(layers)} layers{share}; onnxruntime's CPU provider "
        f"computes {integer_kernels(data)} by integer kernels; the nodes from the last maps to the scores stay in float"
    )


def stamp(data: bytes, precision: Precision, facts: Mapping[str, Any] | None = None) -> bytes:
    """The file with its precision in its metadata."""
    proto: ModelProto = load_from_string(data)
    said = {p.key: p.value for p in proto.metadata_props} | {"nin_spec.precision": precision}
    if facts is not None:
        said["nin_spec.reduction"] = json.dumps(facts, ensure_ascii=False)
    proto.ClearField("metadata_props")
    for key, value in said.items():
        proto.metadata_props.add(key=key, value=value)
    written: bytes = proto.SerializeToString(deterministic=True)
    return written


def facts_of(data: bytes) -> dict[str, Any]:
    """The file's metadata on how its precision was made and measured; empty if there is none."""
    said = {p.key: p.value for p in load_from_string(data).metadata_props}
    facts: dict[str, Any] = json.loads(said.get("nin_spec.reduction", "{}"))
    return facts


def _proof(job: Job) -> Batch | None:
    """Pictures for the parity of int8, which is calibrated on pictures; None for precisions that take noise."""
    if job.settings.precision != "int8":
        return None
    split = sample(job.known.evaluation, sum(BATCHES), SEED)
    given = next(batches_of(job.session, job.model, split))
    shape = cast("Shape", job.model.graph.input.shape)
    x = next(inputs(split, job.model.card.preprocessing, shape, np.float64, len(split)))
    # A file with a fixed batch takes fewer, or is padded with the last picture.
    rows = np.minimum(np.arange(len(given)), len(x) - 1)
    return given, x[rows]
