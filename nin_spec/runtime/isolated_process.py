"""The process of `isolation.py`: opens and runs a file on the CPU, and checks what could end it for other pictures.

It ends with the process that started it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_spec.diagnostics import DeviceError
from nin_spec.processes import Message, respond
from nin_spec.runtime.creation import File
from nin_spec.runtime.failures import error_types, unreadable
from nin_spec.runtime.installation import import_onnxruntime
from nin_spec.runtime.patience import within
from nin_spec.runtime.session import reopen_session

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_DIVIDES = ("Div", "Mod")
_LOOK = 0.2
"""Seconds between two looks for the parent."""
_UNSIGNED_OR_FLOAT = {1, 2, 4, 10, 11, 12, 13, 16}
"""ONNX's numbers of the types that have no -1, or divide by it without a fault."""


def main() -> None:
    """Respond to requests until the end of the input."""
    _without_core_dumps()
    _end_with_parent()
    respond({"open": open_file, "check": check_file})


def _without_core_dumps() -> None:
    with contextlib.suppress(ImportError):  # Windows has neither
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_parent() -> None:
    """End the process once its parent has ended: it may be in a file that never ends, and read no input."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def open_file(path: str, name: str, threads: int, seconds: float, memory: int) -> Message:
    """Open and run a file on the CPU. Raises InputError if it is not usable."""
    with contextlib.suppress(DeviceError):  # the process that asks for the device finds it itself
        reopen_session(File(path, name), threads, seconds=seconds, memory=memory)
    return {}


def check_file(path: str, name: str, threads: int, seconds: float, memory: int) -> Message:  # noqa: ARG001 as above
    """Check the divisions of a file. Raises InputError if one of them may end the process."""
    file = File(path, name)
    within(seconds, name, "checking it", lambda: check_divisions(file), memory)
    return {}


# ------------------------------------------------------------------ divisions of integers


def check_divisions(file: File) -> None:
    """Raises InputError if the file divides integers by a number that is not constant, or by -1.

    The lowest integer divided by -1 is beyond the integers, and the processor ends the process. Constants are folded by
    onnxruntime first.
    """
    if not _mentions_division(file):
        return
    model = _folded(file)
    for node, number, divisor in _divisions(model.graph, {}, {}):
        if number not in _UNSIGNED_OR_FLOAT and (divisor is None or (divisor == -1).any()):
            by = "a number that depends on the input" if divisor is None else "-1"
            why = f"its node {node.name or node.output[0]!r} ({node.op_type}) divides integers by {by}"
            why += ", which ends the process if the dividend is the lowest integer"
            raise unreadable(file.name, why, "export it with a fixed size, or fold its constants with onnxsim")


def _mentions_division(file: File) -> bool:
    """Whether the file has the name of such an operator, in any graph or function."""
    names = [name.encode() for name in _DIVIDES]
    with Path(str(file.source)).open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(name) >= 0 for name in names)


def _folded(file: File) -> ModelProto:
    """The graph after onnxruntime's basic optimisations, with types."""
    import onnx

    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory(prefix="nin-spec-") as folder:
        options.optimized_model_filepath = str(Path(folder, "folded.onnx"))
        try:
            ort.InferenceSession(file.source, options, providers=["CPUExecutionProvider"])
        except error_types() as error:
            raise unreadable(file.name, f"it can't be checked for divisions of integers: {error}") from error
        model = onnx.load(options.optimized_model_filepath)
    return onnx.shape_inference.infer_shapes(model)


def _divisions(
    graph: GraphProto, kinds: dict[str, int], constants: dict[str, Any]
) -> Iterator[tuple[NodeProto, int, Any]]:
    """Each division of the graph and its subgraphs, the number of its type (0: unknown), its divisor if constant."""
    from onnx import numpy_helper

    tensors = {t.name: t for t in graph.initializer}
    given = {value.name for value in graph.input}
    kinds = kinds | {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    kinds |= {name: tensor.data_type for name, tensor in tensors.items()}
    constants = constants | {name: t for name, t in tensors.items() if name not in given}
    for node in graph.node:
        if node.op_type in _DIVIDES:
            number = next((kinds[name] for name in (*node.output, *node.input) if kinds.get(name)), 0)
            divisor = constants.get(node.input[1])
            yield node, number, None if divisor is None else numpy_helper.to_array(divisor)
        for attribute in node.attribute:
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _divisions(inner, kinds, constants)


if __name__ == "__main__":
    main()
