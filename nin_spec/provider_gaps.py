"""What onnxruntime's providers lack, and what they compute wrongly: one row each, with a graph that shows it.

A file that is exported for a device (`lower_for`) says in other operators, exactly, what the rows of that device say;
exporters/onnx_lowering.py writes them. A test runs each row's graph where the device is here, and fails once it is no
longer true: then the row and its lowering go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Gap:
    """One gap or fault of a device.

    `kind` is "missing" for what has no kernel, "wrong" for what is computed wrongly. `seen` are the versions that were
    seen with it. `graph` is the smallest graph that shows it, in ONNX's text format. `instead` says how a file for the
    device is written, empty if it can't be.
    """

    name: str
    device: str
    kind: Literal["missing", "wrong"]
    what: str
    seen: str
    graph: str
    instead: str = ""


_WEBGPU = "onnxruntime-ep-webgpu 0.4.0 in onnxruntime 1.27.0 and 1.31.1"
_OPSETS = '<ir_version: 8, opset_import: ["" : 17]>'
_OPENVINO = "onnxruntime-openvino 1.24.1"

LRN, LOG_SOFTMAX, ACTIVATIONS, OPSET, FLOAT64 = "LRN", "LogSoftmax", "two activations", "opset 22", "float64"
THREES = "convolutions of input channels in threes"
END_PADDING, SMALL_VALUES = "convolutions padded at the end", "activations of small numbers"
FRACTIONAL_LRN, CHANNEL_ORDER = "LRN with a fractional k", "channels in another order"
POOLED_ACTIVATION = "activations after a max pool"
CEIL_POOLS, COUNTED_ZEROS = "pools in ceil mode", "averages in int8 that count padding"
NEWEST_OPSET = 21
"""The highest opset of a file for a device with the row `OPSET`."""

GAPS = (
    Gap(
        LRN,
        "webgpu",
        "missing",
        "it has no kernel for LRN",
        _WEBGPU,
        f"{_OPSETS} lrn (float[1,3,2,2] input) => (float[1,3,2,2] scores) {{ scores = LRN <size = 3> (input) }}",
        "squares, which AveragePool averages over a window of channels as rows; a power as Exp and Log",
    ),
    Gap(
        LOG_SOFTMAX,
        "webgpu",
        "missing",
        "it has no kernel for LogSoftmax",
        _WEBGPU,
        f"{_OPSETS} log_softmax (float[1,3] input) => (float[1,3] scores) {{ scores = LogSoftmax (input) }}",
        "x - max(x) - log(sum(exp(x - max(x))))",
    ),
    Gap(
        ACTIVATIONS,
        "webgpu",
        "wrong",
        "of two activations after a convolution, the second one replaces the first when they are fused into it",
        _WEBGPU,
        f"{_OPSETS} activations (float[1,1,1,2] input) => (float[1,1,1,2] scores)"
        "<float[1,1,1,1] weight = {1}>"
        "{ maps = Conv (input, weight) positive = Relu (maps) scores = Tanh (positive) }",
        "an Identity where the second one does nothing, else Max(x, x) between them",
    ),
    Gap(
        THREES,
        "webgpu",
        "wrong",
        "a convolution is wrong if the number of its input channels is a multiple of 3 above 3 but not of 4, and that"
        " of its output channels a multiple of 4",
        "onnxruntime-ep-webgpu 0.4.0 in onnxruntime 1.31.1",
        f"{_OPSETS} threes (float[1,6,1,3] input) => (float[1,4,1,2] scores)"
        f"<float[4,6,1,2] weight = {{{', '.join(str(k % 5 - 2) for k in range(48))}}}>"
        "{ scores = Conv (input, weight) }",
        "Pad and Max(x, x) before it: its padding, and channels of zeros, which the weights ignore",
    ),
    Gap(
        END_PADDING,
        "webgpu",
        "wrong",
        "a convolution that is padded only at the bottom and right is wrong if its kernel has the input's size, or is"
        " 1x1 with stride 1",
        _WEBGPU,
        f"{_OPSETS} padded (float[1,1,1,2] input) => (float[1,1,1,2] scores)"
        "<float[1,1,1,2] weight = {1, 2}>"
        "{ scores = Conv <pads = [0, 0, 0, 1]> (input, weight) }",
        "Pad and Max(x, x) before it, which the optimiser does not merge",
    ),
    Gap(
        SMALL_VALUES,
        "webgpu",
        "wrong",
        "tanh and elu of small numbers are 1e-7 off, so that few of their digits are right",
        "onnxruntime-ep-webgpu 0.4.0 in onnxruntime 1.31.1",
        f"{_OPSETS} small (float[1,1,1,4] input) => (float[1,1,1,4] scores)"
        "<float little = {0.000001}, float much = {1000000}>"
        "{ small = Mul (input, little) bent = Tanh (small) scores = Mul (bent, much) }",
        "the first terms of their series near 0",
    ),
    Gap(
        OPSET,
        "webgpu",
        "missing",
        "it has no kernels for the pools of opset 22 and later",
        "onnxruntime-ep-webgpu 0.4.0 in onnxruntime 1.31.1",
        '<ir_version: 10, opset_import: ["" : 22]> pool (float[1,1,2,2] input) => (float[1,1,1,1] scores)'
        "{ scores = MaxPool <kernel_shape = [2, 2]> (input) }",
        f"opset {NEWEST_OPSET} or lower",
    ),
    Gap(
        FRACTIONAL_LRN,
        "openvino",
        "wrong",
        "it cuts the fraction off the k of LRN",
        _OPENVINO,
        f"{_OPSETS} lrn (float[1,3,2,2] input) => (float[1,3,2,2] scores)"
        "{ scores = LRN <size = 3, bias = 1.5> (input) }",
        "squares, which AveragePool averages over a window of channels as rows; a power as Exp and Log",
    ),
    Gap(
        CHANNEL_ORDER,
        "openvino",
        "wrong",
        "of channels in another order before a convolution it takes the inverse order",
        _OPENVINO,
        f"{_OPSETS} shuffle (float[1,6,1,1] input) => (float[1,1,1,1] scores)"
        "<float[1,6,1,1] weight = {1, 2, 3, 4, 5, 6}, int64[6] order = {0, 3, 1, 4, 2, 5}>"
        "{ maps = Gather <axis = 1> (input, order) scores = Conv (maps, weight) }",
        "a shuffle as Reshape, Transpose, Reshape",
    ),
    Gap(
        POOLED_ACTIVATION,
        "openvino",
        "wrong",
        "between a convolution and a max pool it computes the activation that comes after the pool, also one that falls"
        " somewhere, such as gelu",
        _OPENVINO,
        f"{_OPSETS} pooled (float[1,1,1,2] input) => (float[1,1,1,1] scores)"
        "<float[1,1,1,1] weight = {1}, float[1] bias = {-3}>"
        "{ maps = Conv (input, weight, bias) largest = MaxPool <kernel_shape = [1, 2]> (maps)"
        " gate = Sigmoid (largest) scores = Mul (largest, gate) }",
        "Max(x, x) between the pool and such an activation",
    ),
    Gap(
        CEIL_POOLS,
        "openvino",
        "wrong",
        "pools in ceil mode, which a file of an open size has, average wrongly at the border or fail",
        _OPENVINO,
        f"{_OPSETS} pool (float[1,1,H,W] input) => (float[1,1,h,w] scores)"
        "{ scores = AveragePool <kernel_shape = [2, 2], strides = [2, 2], pads = [0, 0, 1, 1], count_include_pad = 1,"
        " ceil_mode = 1> (input) }",
        "",
    ),
    Gap(
        COUNTED_ZEROS,
        "openvino",
        "wrong",
        "in int8 it counts padding as another number than 0 in an average",
        _OPENVINO,
        f"{_OPSETS} average (float[1,1,4,4] input) => (float[1,1,5,5] scores)"
        "<float scale = {0.1}, uint8 zero = {100}>"
        "{ q = QuantizeLinear (input, scale, zero) maps = DequantizeLinear (q, scale, zero)"
        " mean = AveragePool <kernel_shape = [2, 2], pads = [1, 1, 1, 1], count_include_pad = 1> (maps)"
        " r = QuantizeLinear (mean, scale, zero) scores = DequantizeLinear (r, scale, zero) }",
        "",
    ),
    Gap(
        FLOAT64,
        "cpu",
        "missing",
        "it has no convolution in float64",
        "onnxruntime 1.27.0 and 1.31.1",
        f"{_OPSETS} float64 (double[1,1,2,2] input) => (double[1,1,2,2] scores)"
        "<double[1,1,1,1] weight = {1}>"
        "{ scores = Conv (input, weight) }",
        "",
    ),
)
"""Each device's in one piece."""


def gaps_of(devices: Iterable[str]) -> tuple[Gap, ...]:
    """The rows of devices for which a file can be written otherwise."""
    named = set(devices)
    return tuple(gap for gap in GAPS if gap.device in named and gap.instead)


def in_threes(before: int, after: int) -> bool:
    """True for numbers of input and output channels of which WebGPU computes a convolution wrongly (`THREES`)."""
    return before > 3 and before % 3 == 0 and before % 4 != 0 and after % 4 == 0


def newest_opset(devices: Iterable[str]) -> int | None:
    """The highest opset of a file for these devices, None for any."""
    return NEWEST_OPSET if any(gap.name == OPSET for gap in gaps_of(devices)) else None


def lowered_devices() -> tuple[str, ...]:
    """The devices for which a file can be written otherwise."""
    return tuple(dict.fromkeys(gap.device for gap in GAPS if gap.instead))


def written_for(*devices: str) -> dict[str, tuple[str, ...]]:
    """The ONNX exporter's option with which a file suits the devices; empty where every file does."""
    named = tuple(device for device in lowered_devices() if device in devices)
    return {"lower_for": named} if named else {}
