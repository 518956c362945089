"""Packages of the names of OpenVINO and MNN, with as much of their Python APIs as a bench calls, on onnxruntime.

They show that the plumbing holds where the real ones are not installed; what they compute is onnxruntime's.
"""

from __future__ import annotations

from pathlib import Path

from fake_plugins import add_distribution

OPENVINO = """
import json, os
import onnxruntime

class Core:
    def get_property(self, device, key):
        assert (device, key) == ("CPU", "OPTIMIZATION_CAPABILITIES")
        return ["FP32", "INT8"]

    def read_model(self, path):
        return Model(path)

    def compile_model(self, model, device, settings):
        assert device == "CPU" and model.shape, "a shape is fixed before it compiles"
        with open(os.environ["SETTINGS"], "w") as file:
            json.dump(settings, file)
        return Compiled(model)

class Model:
    def __init__(self, path):
        self.path, self.shape = path, None

    def reshape(self, shape):
        self.shape = shape

class Compiled:
    def __init__(self, model):
        self.shape = model.shape
        self.session = onnxruntime.InferenceSession(model.path)

    def create_infer_request(self):
        return self

    def infer(self, inputs, share_inputs):
        (x,) = inputs
        assert list(x.shape) == self.shape and share_inputs
        return self.session.run(None, {self.session.get_inputs()[0].name: x})
"""

TOOLS = """
import shutil

def mnnconvert(words):
    given = dict(zip(words[1::2], words[2::2]))
    assert given["-f"] == "ONNX"
    shutil.copy(given["--modelFile"], given["--MNNModel"])
"""

MNN = """
import numpy as np
import onnxruntime

Halide_Type_Float, Tensor_DimensionType_Caffe = "float", "caffe"

class Tensor:
    def __init__(self, shape, kind, array, layout):
        assert (kind, layout, array.dtype) == ("float", "caffe", np.float32)
        self.array = array

    def getShape(self):
        return self.array.shape

    def getNumpyData(self):
        return self.array.ravel()

class Source:
    def copyFrom(self, tensor):
        assert tensor.array.shape == self.shape, "the session is resized first"
        self.x = tensor.array

class Result:
    def getShape(self):
        return self.scores.shape

    def copyToHostTensor(self, tensor):
        tensor.array[...] = self.scores

class Interpreter:
    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(path)
        self.source, self.result = Source(), Result()

    def createSession(self, settings):
        assert settings == {"backend": "CPU", "numThread": 1, "precision": "high"}
        return "session"

    def getSessionInput(self, session):
        return self.source

    def resizeTensor(self, source, shape):
        self.wanted = shape

    def resizeSession(self, session):
        self.source.shape = self.wanted

    def runSession(self, session):
        self.result.scores = self.session.run(None, {self.session.get_inputs()[0].name: self.source.x})[0]

    def getSessionOutput(self, session):
        return self.result
"""


def stand_in_openvino(folder: Path) -> None:
    """OpenVINO of version 0.1, without bfloat16."""
    _write(folder, "openvino", OPENVINO)
    add_distribution(folder, "openvino", "0.1", "openvino/__init__.py")


def stand_in_mnn(folder: Path) -> None:
    """MNN of version 0.2, with its converter beside it, as in the real one."""
    _write(folder, "MNN", MNN)
    (folder / "_tools.py").write_text(TOOLS)
    # The real one runs pip and reports to a server.
    (folder / "MNN" / "tools.py").write_text("raise AssertionError('MNN.tools is not to be imported')")
    add_distribution(folder, "MNN", "0.2", "MNN/__init__.py")


def _write(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(text)
