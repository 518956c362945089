"""One case on one device: exported, run, and compared with the nn.Module in float64."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_spec.conformance.cases import Case
from nin_spec.conformance.place import Place
from nin_spec.conformance.verdict import Outcome, Verdict
from nin_spec.diagnostics import DeviceError, ExportError, InputError, ParityError
from nin_spec.exporter import Exporter, artifact_of, check_options, find
from nin_spec.ir.graph import Graph
from nin_spec.language.load import loads
from nin_spec.model import Model
from nin_spec.network import compile as compile_network
from nin_spec.precision.calibration import calibrate
from nin_spec.precision.float16 import to_float16
from nin_spec.precision.int8 import quantise
from nin_spec.precision.reduction import stamp
from nin_spec.provider_gaps import written_for
from nin_spec.runtime.parity import DifferenceError, check_parity
from nin_spec.runtime.parity_inputs import Batch, inputs
from nin_spec.runtime.providers import Device
from nin_spec.runtime.session import open_session

BATCHES = (1, 2, 7, 64)
"""The batches of each case: a single image, an even and an odd number, and more than a block of any kernel."""
SEED = 1


def model_of(case: Case) -> Model:
    """The network of a case with weights that are felt: statistics, slopes and offsets are not as they begin."""
    network = compile_network(loads(case.spec, "case.yaml"))
    return Model(network.graph, weights_of(network.graph), network.card)


def weights_of(graph: Graph) -> dict[str, NDArray[Any]]:
    """Weights that are neither large nor small, variances above zero; of the same seed."""
    random = np.random.default_rng(SEED)
    return {
        name: np.abs(random.normal(1, 0.3, p.shape)).astype(np.float32)
        if p.role in ("var", "scale", "slope")
        else random.normal(0, 0.5, p.shape).astype(np.float32)
        for name, p in graph.parameters().items()
    }


def try_case(case: Case, place: Place) -> Verdict:
    """Whether the device computes a case.

    Exact is within the tolerance of its precision (nin_spec.runtime.tolerances). Refused is what the exporter, the
    device or onnxruntime reports that it can't do, before it computes anything.
    """
    try:
        model = model_of(case)
        data, pictures = file_of(case, model, place.device)
        report = check_parity(
            *(model, data, place.device),
            pictures=pictures,
            options=place.options,
            batches=BATCHES,
            threads=place.threads,
        )
    except DifferenceError as error:
        finite = error.difference if math.isfinite(error.difference) else None
        return Verdict(Outcome.WRONG, finite, error.diagnostics[0].message)
    except ParityError as error:
        return Verdict(Outcome.WRONG, None, error.diagnostics[0].message)
    except (DeviceError, ExportError, InputError) as error:
        return Verdict(Outcome.REFUSED, None, error.diagnostics[0].message)
    return Verdict(Outcome.EXACT, report.max_relative)


# ------------------------------------------------------------------ files


def file_of(case: Case, model: Model, device: Device) -> tuple[bytes, Batch | None]:
    """The file for a device in the precision of the case, and the inputs to prove it on, if they are not noise."""
    exporter = _exporter()
    options = {**written_for(device), **case.options}
    artifact = artifact_of(exporter, model, check_options(exporter, options))
    (name,) = artifact.models
    data = artifact.files[name]
    match case.precision:
        case "float32":
            return data, None
        case "float16":
            return stamp(to_float16(data)[0], "float16"), None
        case "bfloat16":
            return stamp(data, "bfloat16"), None
        case "int8":
            return _quantised(model, data)
        case other:
            raise ValueError(f"no file is made in {other}")


@cache
def _exporter() -> Exporter:
    return find("onnx")


def _quantised(model: Model, data: bytes) -> tuple[bytes, Batch]:
    """The file in int8, calibrated on the inputs that it is proved on: what saturates is the device's fault alone."""
    session = open_session(data, "cpu", threads=1)
    _, *size = model.graph.input.maps()
    given, x = next(inputs(model, session, SEED, [(sum(BATCHES), (size[0], size[1]))]))
    ranges = calibrate(data, session.input_name, [given])
    return stamp(quantise(data, ranges), "int8"), (given, x)
