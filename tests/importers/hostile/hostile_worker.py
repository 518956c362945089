"""What import and opening make of each hostile case, each in a process of its own: its outcome, CPU time and memory.

python hostile_worker.py KIND EVERY    KIND is `onnx`, `open`, `caffe` or `module`; every EVERY-th case is tried.
A line of JSON for each case.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hostile_attributes
import hostile_files
import hostile_functions
import hostile_graphs
import hostile_nets
import torch

import nin_spec
from nin_spec.diagnostics import NinSpecError
from nin_spec.importers.caffe import importing as caffe_importing
from nin_spec.importers.onnx import importing as onnx_importing
from nin_spec.importers.torch import importing as torch_importing
from nin_spec.runtime import session

LOADED = (caffe_importing, onnx_importing, torch_importing)
"""Imported once, before the cases are forked off."""
WALL = 60
"""Seconds after which a case is killed."""
SPACE = 8 << 30
"""Bytes that a case may map, so that the machine survives it."""
Case = tuple[str, Callable[[Path], object]]


def onnx_files() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Every ONNX file, with those beside it."""
    graphs, functions = hostile_graphs, hostile_functions
    files, attributes = hostile_files, hostile_attributes
    for family in (
        *(attributes.attributes, attributes.twisted, attributes.regions),
        *(graphs.shapes, graphs.numbers, graphs.names, graphs.structures, graphs.versions, functions.functions),
        *(functions.subgraphs, files.contents, files.tensors, files.metadata, files.operators, files.large),
        files.never_used,
    ):
        for name, data in family():
            yield name, {"net.onnx": data}
    yield from files.external()


def written(folder: Path, files: dict[str, bytes], main: str) -> Path:
    """The files in the folder; the path of one of them."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder / main


def onnx_cases() -> Iterator[Case]:
    """Imported."""
    for name, files in onnx_files():
        yield name, partial(_imported, files, "net.onnx", None)


def opened_cases() -> Iterator[Case]:
    """Opened, which is what run, evaluate and serve do first. Their patience is longer than a test's."""
    vars(session).update(OPENING=10.0, MEMORY=512 << 20)
    for name, files in onnx_files():
        yield name, lambda folder, files=files: nin_spec.open_session(written(folder, files, "net.onnx"), "cpu")  # type: ignore[misc]


def caffe_cases() -> Iterator[Case]:
    """Texts alone, then weights with one."""
    for name, data in (*hostile_nets.fields(), *hostile_nets.texts()):
        yield name, partial(_imported, {"net.prototxt": data}, "net.prototxt", None)
    for name, files in hostile_nets.blobs():
        yield name, partial(_imported, files, "net.prototxt", "net.caffemodel")


def module_cases() -> Iterator[Case]:
    """Modules, and input shapes of one that is not odd."""
    torch.export.export(torch.nn.ReLU(), (torch.zeros(1),))  # loads what each case would load, for a second
    for name, make in hostile_nets.MODULES.items():
        yield name, lambda _, make=make: nin_spec.import_module(make(), (3, 8, 8))  # type: ignore[misc]
    for shape in hostile_nets.INPUT_SHAPES:
        yield f"input_shape {shape}", lambda _, shape=shape: nin_spec.import_module(torch.nn.Conv2d(3, 4, 3), shape)  # type: ignore[misc]


CASES = {"onnx": onnx_cases, "open": opened_cases, "caffe": caffe_cases, "module": module_cases}


def _imported(files: dict[str, bytes], main: str, weights: str | None, folder: Path) -> object:
    path = written(folder, files, main)
    if path.suffix == ".onnx":
        return nin_spec.import_onnx(path, (8, 8))
    return nin_spec.import_caffe(path, None if weights is None else folder / weights)


def outcome(call: Callable[[Path], object], folder: Path) -> dict[str, Any]:
    """What a call gives, in this process."""
    try:
        call(folder)
    except NinSpecError as error:
        return {"outcome": "refused", "said": str(error)[:300]}
    except BaseException:  # noqa: BLE001 what the bar is about
        return {"outcome": "traceback", "said": traceback.format_exc()[-1500:]}
    return {"outcome": "imported"}


def pages(kind: int) -> int:
    """Bytes of this process: mapped (0) or resident (1)."""
    return int(Path("/proc/self/statm").read_text().split()[kind]) * resource.getpagesize()


def tried(name: str, call: Callable[[Path], object]) -> dict[str, Any]:
    """A case in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "outcome.json")
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_AS, (pages(0) + SPACE, pages(0) + SPACE))
            before = pages(1)
            told.write_text(json.dumps({"before": before, **outcome(call, Path(folder))}))
            os._exit(0)
        found: dict[str, Any]
        killed, began = False, time.monotonic()
        while not (ended := os.wait4(child, os.WNOHANG))[0]:
            time.sleep(0.01)
            if not killed and time.monotonic() - began > WALL:
                killed = True
                os.kill(child, signal.SIGKILL)
        _, status, usage = ended
        found = (
            json.loads(told.read_text())
            if told.exists()
            else {"before": 0, "outcome": "died", "said": f"status {status}"}
        )
    seconds = WALL if killed else usage.ru_utime + usage.ru_stime
    grown = (usage.ru_maxrss * 1024 - found.pop("before")) >> 20
    return {"name": name, **found, "seconds": round(seconds, 2), "megabytes": grown}


def load(call: Callable[[Path], object]) -> None:
    """Load what a call loads, so that no case has to; the call itself runs in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "modules.json")
        child = os.fork()
        if child == 0:
            outcome(call, Path(folder))
            told.write_text(json.dumps(list(sys.modules)))
            os._exit(0)
        os.waitpid(child, 0)
        for name in json.loads(told.read_text()):
            with contextlib.suppress(ImportError):  # some modules are made and not found
                importlib.import_module(name)


def main() -> None:
    """Try the cases, and print what came of each."""
    warnings.simplefilter("ignore")
    kind, every = sys.argv[1], int(sys.argv[2])
    load(partial(_imported, {"net.onnx": hostile_graphs.file_of([hostile_graphs.CONV])}, "net.onnx", None))
    for k, (name, call) in enumerate(CASES[kind]()):
        if k % every == 0:
            sys.stdout.write(json.dumps(tried(name, call)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
