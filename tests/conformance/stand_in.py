"""A worker on a device with a fault: `python stand_in.py FAULT OPS LOG`.

The fault is that of cases whose op is among OPS, a comma-separated list. LOG gets a line for each case that is tried.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import onnx

from nin_spec.conformance import trial, worker
from nin_spec.conformance.cases import Case
from nin_spec.conformance.place import Place
from nin_spec.conformance.verdict import Verdict
from nin_spec.diagnostics import Code, DeviceError
from nin_spec.model import Model
from nin_spec.runtime.parity_inputs import Batch
from nin_spec.runtime.providers import Device

FAULT, OPS, LOG = sys.argv[1], sys.argv[2].split(","), Path(sys.argv[3])
TRY, MAKE = trial.try_case, trial.file_of


def faulty(case: Case, place: Place) -> Verdict:
    """A case, which a fault may keep from its end."""
    with LOG.open("a") as log:
        log.write(f"{case.id}\n")
    if case.op in OPS:
        match FAULT:
            case "crashes":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "crashes once" if not LOG.with_suffix(".crashed").exists():
                LOG.with_suffix(".crashed").touch()
                os.abort()
            case "hangs":
                time.sleep(1000)
    return TRY(case, place)


def corrupted(case: Case, model: Model, device: Device) -> tuple[bytes, Batch | None]:
    """A file that a device with the fault would compute."""
    data, inputs = MAKE(case, model, device)
    if case.op not in OPS:
        return data, inputs
    if FAULT == "refuses":
        raise DeviceError(Code.DEVICE_FALLBACK, "the stand-in has no kernel for it")
    if FAULT == "counts padding":
        proto = onnx.load_from_string(data)
        for node in proto.graph.node:
            for attribute in node.attribute:
                if attribute.name == "count_include_pad":
                    attribute.i = 1
        data = proto.SerializeToString()
    return data, inputs


if __name__ == "__main__":
    if FAULT == "has no device":
        os.abort()
    worker.try_case, trial.file_of = faulty, corrupted  # type: ignore[attr-defined]
    worker.main()
