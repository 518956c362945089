"""What onnxruntime makes of our file and of torch.onnx.export's: the same kernels, or where others.

So a ratio near 1 can be told from luck: the same kernels in the same order take the same time.
"""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nin_spec.bench.contenders import PEERS, Entry

if TYPE_CHECKING:
    from nin_spec.bench.subjects import BenchSubject


def unlike(subject: BenchSubject, threads: int) -> str:
    """Where onnxruntime runs other kernels for our file than for torch.onnx.export's; "" where nowhere."""
    from nin_spec.bench.process import start

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subject.lay_out(folder, ())
        job = subject.job(Entry("", PEERS["torch-export"]), folder, "cpu", threads)
        with start(folder / "worker", threads) as worker:
            worker.ask("prepare", 1800, job=job.as_dict())
        return difference(kernels_of(folder / "model.onnx"), kernels_of(Path(job.file)))


def kernels_of(file: Path) -> list[str]:
    """The optimised graph's nodes in order, with their windows."""
    import onnx
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # it warns that such a file is for this machine alone
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(options.optimized_model_filepath, load_external_data=False).graph.node
    windows = ("kernel_shape", "strides", "group")
    shapes = [{a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} for node in nodes]
    return [
        " ".join([node.op_type, *(f"{key}={shape[key]}" for key in windows if key in shape)])
        for node, shape in zip(nodes, shapes, strict=True)
    ]


def difference(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """`GlobalAveragePool, Flatten for ReduceMean, Reshape`."""
    steps = difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    parts = [(ours[a:b], theirs[c:d]) for tag, a, b, c, d in steps if tag != "equal"]
    told = [tuple(", ".join(node.split()[0] for node in side) or "nothing" for side in part) for part in parts]
    return "; ".join(f"{mine} for {other}" for mine, other in told)


def same_kernels(kernels: Mapping[str, str]) -> list[str]:
    """A line for the specs that are alike, and one for each way in which others aren't."""
    lines = []
    for what in sorted(set(kernels.values())):
        names = ", ".join(name for name, unlike in kernels.items() if unlike == what)
        told = f"the same kernels but {what}" if what else "the same kernels"
        lines.append(f"onnxruntime runs {told}, as for torch.onnx.export's graph: {names}")
    return lines
