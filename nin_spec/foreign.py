"""Files of other tools, by name: what each is, and how to import it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MODEL_SUFFIXES = (".onnx", ".ort")
"""Files that onnxruntime runs."""

_TEXTS = (".json", ".cfg", ".txt", ".conf", ".ini", ".toml")
"""Suffixes that a spec may have, too: decided by content."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a file is, and how to import it; `{file}` and `{stem}` are replaced by its name."""

    what: str
    way: str

    def way_from(self, path: Path) -> str:
        """How to import one file."""
        return self.way.format(file=path, stem=path.with_suffix(""))


_IMPORT = "then nin-spec import {stem}.onnx -o {stem}.yaml --weights {stem}.safetensors"
_WEIGHTS = "it has no network: nin-spec export SPEC --onnx --weights {file}"
_PYTORCH = Foreign(
    "a PyTorch checkpoint", f"{_WEIGHTS}; to import a module, use Python: nin_spec.import_module(module, inputs)"
)
_KERAS = Foreign("a Keras model", f"export it, model.export('{{stem}}.onnx', format='onnx') in Keras 3, {_IMPORT}")
_TENSORFLOW = Foreign("a TensorFlow graph", f"convert it with tf2onnx (--graphdef {{file}}), {_IMPORT}")
_CAFFE = Foreign("a Caffe net", "nin-spec import {file} -o {stem}.yaml")
_ENGINE = Foreign("a TensorRT engine", "it can't be read: use the ONNX file from which it was built")
_ARRAYS = Foreign("a file of arrays", "use it as an input of nin-spec run, or as a data set: --data {file}")
_PICTURE = Foreign("a picture", "pass the model first: nin-spec run MODEL.onnx {file}")
_DRAWING = Foreign("a drawing", "pass the spec that it was drawn from: nin-spec build SPEC.yaml")
_PICKLE = Foreign(
    "a pickle",
    "it is never loaded: call torch.save(net.state_dict(), '{stem}.pt') where it was written, then "
    "nin-spec export SPEC --onnx --weights {stem}.pt",
)
_ARCHIVE = Foreign("an archive", "unpack it, and pass what is inside; a data set is passed by --data DIR")

FOREIGN = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin", ".tar"), _PYTORCH),
    ".safetensors": Foreign("a file of weights", _WEIGHTS),
    ".pt2": Foreign(
        "a program of torch.export",
        "import it in Python: nin_spec.import_module(torch.export.load('{file}').module(), inputs)",
    ),
    **dict.fromkeys((".h5", ".hdf5", ".keras"), _KERAS),
    ".pb": _TENSORFLOW,
    ".tflite": Foreign("a TensorFlow Lite model", f"convert it with tf2onnx (--tflite {{file}}), {_IMPORT}"),
    **dict.fromkeys((".prototxt", ".caffemodel"), _CAFFE),
    **dict.fromkeys(
        (".cfg", ".weights"), Foreign("a Darknet network", f"convert it to ONNX with a tool for Darknet, {_IMPORT}")
    ),
    **dict.fromkeys(
        (".mlmodel", ".mlpackage"),
        Foreign("a Core ML model", f"export the model that it was made from to ONNX, {_IMPORT}"),
    ),
    ".json": Foreign(
        "JSON without a spec in it",
        f"load a Keras or MXNet network there, with its weights, and export it to ONNX, {_IMPORT}",
    ),
    **dict.fromkeys((".engine", ".plan", ".trt"), _ENGINE),
    **dict.fromkeys((".npy", ".npz"), _ARRAYS),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"), _PICTURE),
    ".py": Foreign("Python code", "to import a PyTorch module, use Python: nin_spec.import_module(module, inputs)"),
    **dict.fromkeys((".svg", ".pdf", ".dot"), _DRAWING),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), _PICKLE),
    **dict.fromkeys((".gz", ".tgz", ".zip", ".xz", ".bz2", ".zst", ".7z"), _ARCHIVE),
    ".toml": Foreign("TOML", "a spec is YAML: nin-spec show nin_cifar prints one"),
    ".ipynb": Foreign("a notebook", "to import a PyTorch module, run nin_spec.import_module(module, inputs) in it"),
}
"""By the suffix, in lower case."""

ONNX = Foreign(
    "an ONNX file",
    "nin-spec import {file} -o {stem}.yaml makes a spec from it; run, serve and evaluate take it directly",
)


def foreign(path: Path) -> Foreign | None:
    """The kind of a file that is not a spec, by its name, and by its content for suffixes that a spec may have."""
    suffix = path.suffix.lower()
    if suffix in _TEXTS and is_file(path) and says_spec(path):
        return None
    return FOREIGN.get(suffix)


def is_file(path: Path) -> bool:
    """Whether a file exists; False for an invalid name, for example one of 5,000 letters."""
    try:
        return path.is_file()
    except OSError:
        return False  # the reader reports the error


def is_folder(path: Path) -> bool:
    """The same for a folder."""
    try:
        return path.is_dir()
    except OSError:
        return False


def begins_as_onnx(path: Path) -> bool:
    """Whether a file starts with the version field of the ONNX format; no text file does."""
    if not is_file(path):
        return False
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError:
        return False  # the reader reports the error
    return len(start) == 2 and start[0] == 8 and 1 <= start[1] < 32


def says_spec(path: Path) -> bool:
    """Whether a text file is probably a spec: its first 64 KB contain `spec`, `extends` or `blocks`."""
    try:
        with path.open("rb") as file:
            start = file.read(65536)
    except OSError:
        return True  # the reader reports the error
    key = rb"""^[ \t{]*["']?(?:spec["']?[ \t]*:[ \t]*["']?[0-9]|extends["']?[ \t]*:|blocks["']?[ \t]*:)"""
    return re.search(key, start, re.MULTILINE) is not None
