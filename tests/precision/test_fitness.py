"""What is reported about a precision on a device before a file is written."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nin_spec.diagnostics import ExportError
from nin_spec.precision.fitness import DEFAULT_DEVICE, DEVICES, remark_on
from nin_spec.precision.settings import PRECISIONS


def test_a_device_that_is_not_faster_is_remarked() -> None:
    """With the one that the file is meant for."""
    remark = remark_on("float16", "cpu")
    assert remark is not None
    assert "not faster" in remark
    assert "cuda" in remark


def test_int8_is_refused_where_no_convolution_is_of_integers() -> None:
    """And what is faster there is named."""
    with pytest.raises(ExportError, match="no int8 convolution") as caught:
        remark_on("int8", "cuda")
    assert caught.value.diagnostics[0].hint == "pass --precision float16 for cuda, or --device cpu"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_bfloat16_is_refused_where_nothing_computes_in_it(device: str) -> None:
    """And the device that does is named."""
    with pytest.raises(ExportError, match="pass --device openvino"):
        remark_on("bfloat16", device)


def test_a_pair_without_a_row_says_nothing() -> None:
    """What is not known is not claimed."""
    assert remark_on("int8", "cpu") is None
    assert remark_on("int8", "some_plugin") is None


def test_every_precision_has_a_device_that_it_is_not_refused_on() -> None:
    """Its default."""
    assert set(DEFAULT_DEVICE) == set(PRECISIONS)
    for precision, device in DEFAULT_DEVICE.items():
        remark_on(precision, device)
    assert {precision for precision, _ in DEVICES} <= set(PRECISIONS)


def test_onnx_has_no_convolution_of_bfloat16_before_opset_22() -> None:
    """The reason that the table gives."""
    kinds = {c.type_param_str: set(c.allowed_type_strs) for c in onnx.defs.get_schema("Conv", 21).type_constraints}
    assert "tensor(bfloat16)" not in kinds["T"]
    kinds = {c.type_param_str: set(c.allowed_type_strs) for c in onnx.defs.get_schema("Conv", 22).type_constraints}
    assert "tensor(bfloat16)" in kinds["T"]
    assert helper.tensor_dtype_to_np_dtype(TensorProto.FLOAT16) == np.float16
