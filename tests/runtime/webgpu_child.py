"""Jobs on a device, in a process of their own: a line of JSON in for each, a line of JSON out.

    {"spec": NAME or DATA, "options": {...}, "batch": 2, "half": true}    parity of a spec's export, for the device
    {"graph": TEXT}                                                       a graph in ONNX's text form, run as it is
    {"graph": TEXT, "same": TEXT}                                         the same, beside another form of it

A batch is one of noise; without one, those of every export are compared.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from nin_spec.diagnostics import NinSpecError
from nin_spec.exporter import make
from nin_spec.language.load import loads
from nin_spec.network import compile as compile_spec
from nin_spec.provider_gaps import written_for
from nin_spec.runtime.doctor import small_model
from nin_spec.runtime.parity import check_parity
from nin_spec.runtime.session import open_session

Data = dict[str, Any]


def parity(device: str, job: Data) -> Data:
    """What a spec's export differs by, what was changed for the device, and the counts of nodes by provider."""
    spec = job["spec"]
    network = compile_spec(spec if isinstance(spec, str) else loads(json.dumps(spec, ensure_ascii=False), "job.yaml"))
    model = network.initialise(1)
    artifact = make(model, "onnx", {**written_for(device), **job.get("options", {})})
    (data,) = artifact.files.values()
    if job.get("half"):
        from nin_spec.precision.float16 import to_float16
        from nin_spec.precision.reduction import stamp

        data = stamp(to_float16(data)[0], "float16", {})
    pictures = None
    if batch := job.get("batch"):
        given = np.random.default_rng(0).standard_normal((batch, *model.graph.input.shape)).astype(np.float32)
        pictures = given, given.astype(np.float64)
    report = check_parity(model, data, device, pictures=pictures)
    changes = [change.as_dict() for p in artifact.passes if p.name.startswith("for ") for change in p.changes]
    return {"provider": report.provider, "difference": report.max_relative, "changes": changes}


def gap(device: str, job: Data) -> Data:
    """What a graph's result on the device differs by from its definition, and the nodes that ran elsewhere."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    from nin_spec.runtime import plugins
    from nin_spec.runtime.installation import import_onnxruntime
    from nin_spec.runtime.providers import lookup

    ort, provider = import_onnxruntime(), lookup(device)
    proto = onnx.parser.parse_model(job["graph"])
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if provider.plugin is not None:
        options.add_provider_for_devices([plugins.find_hardware(provider.plugin)], {})
    try:
        session = ort.InferenceSession(
            proto.SerializeToString(), options, providers=[provider.name] if provider.plugin is None else None
        )
    except Exception as error:  # noqa: BLE001 onnxruntime's own exceptions share no base class
        return {"refused": str(error)}
    elsewhere = [
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
        if part.ep_name != provider.name
    ]
    x = {
        i.name: np.linspace(-3, 3, int(np.prod(i.shape))).reshape(i.shape).astype(np.float32)
        for i in session.get_inputs()
    }
    same = onnx.parser.parse_model(job["same"] if "same" in job else job["graph"])
    (wanted,), (got,) = ReferenceEvaluator(same).run(None, x), session.run(None, x)
    return {"elsewhere": elsewhere, "difference": float(np.abs(wanted - got).max())}


def main(device: str) -> None:
    """Answer each line; what can't be done is the answer, too.

    A session stays open: with its last one a device drops the kernels that it has compiled.
    """
    kept = open_session(small_model(), device)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            found = gap(device, job) if "graph" in job else parity(device, job)
        except NinSpecError as error:
            d = error.diagnostics[0]
            found = {"error": d.code.value, "message": d.message}
        sys.stdout.write(f"{json.dumps(found)}\n")
    del kept


if __name__ == "__main__":
    main(sys.argv[1])
