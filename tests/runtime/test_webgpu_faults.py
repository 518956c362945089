"""A file that WebGPU would compute wrongly is known before it is opened; what is right passes."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from webgpu_machine import ask

import nin_spec
from nin_spec.exporter import make
from nin_spec.provider_gaps import END_PADDING, THREES
from nin_spec.runtime.webgpu_faults import faults


def graph(
    *, size: str = "3,2", kernel: tuple[int, int] = (3, 2), more: str = "pads = [0, 0, 0, 1]", ins: int = 1
) -> str:
    """A convolution as ONNX's text: a map of this size, a kernel, and attributes."""
    taps = 2 * kernel[0] * kernel[1]
    weight = ", ".join(str(k % 5 - 2.5) for k in range(taps))
    return (
        f'<ir_version: 8, opset_import: ["" : 17]> conv (float[1,{ins},{size}] input) => (float[1,2,H,W] scores)'
        f"<float[2,1,{kernel[0]},{kernel[1]}] weight = {{{weight}}}> {{ scores = Conv <{more}> (input, weight) }}"
    )


WRONG = [
    graph(),
    graph(more="pads = [0, 0, 1, 0]"),
    graph(more="pads = [0, 0, 1, 1], strides = [2, 1]"),
    graph(size="2,2", kernel=(2, 2), more="pads = [0, 0, 1, 1], dilations = [2, 2]"),
    graph(size="2,2", kernel=(2, 2), more='auto_pad = "SAME_UPPER"'),
    graph(size="3,3", kernel=(1, 1)),
]
STRIDED = graph(size="4,4", kernel=(3, 3), more='auto_pad = "SAME_UPPER", strides = [2, 2]')
RIGHT = [
    graph(size="3,3"),
    graph(more="pads = [1, 0, 0, 1]"),
    graph(more="pads = [0, 0, 0, 0]"),
    graph(more="pads = [0, 0, 0, 1], group = 2", ins=2),
    graph(size="3,3", kernel=(3, 3), more='auto_pad = "SAME_UPPER"'),
    STRIDED,
    graph(size="2,2", kernel=(2, 2), more='auto_pad = "SAME_LOWER"'),
    graph(size="3,3", kernel=(1, 1), more="pads = [0, 0, 0, 1], strides = [2, 2]"),
]


def found(text: str) -> tuple[str, ...]:
    """The faults of a graph."""
    return faults(onnx.parser.parse_model(text).SerializeToString())


@pytest.mark.parametrize(("texts", "names"), [(WRONG, (END_PADDING,)), (RIGHT, ())], ids=["wrong", "right"])
def test_a_convolution_that_ignores_padding(texts: list[str], names: tuple[str, ...]) -> None:
    """At known sizes it is known exactly."""
    assert [found(text) for text in texts] == [names] * len(texts)


def test_the_device_agrees() -> None:
    """What is refused is computed wrongly there, what passes is right."""
    # onnx 1.21's reference evaluator pads a strided SAME_UPPER wrongly.
    same = {STRIDED: graph(size="4,4", kernel=(3, 3), more="pads = [0, 0, 1, 1], strides = [2, 2]")}
    told = ask([{"graph": text, "same": same.get(text, text)} for text in (*WRONG, *RIGHT)])
    assert [answer["difference"] > 1e-2 for answer in told] == [True] * len(WRONG) + [False] * len(RIGHT)


def channels(before: int, after: int, more: str = "", kernel: int = 2) -> str:
    """A convolution of so many channels."""
    taps = ", ".join(str(k % 5 - 2) for k in range(before * after * kernel))
    return (
        f'<ir_version: 8, opset_import: ["" : 17]> conv (float[1,{before},1,5] input) => (float[1,{after},H,W] scores)'
        f"<float[{after},{before},1,{kernel}] weight = {{{taps}}}> {{ scores = Conv {more} (input, weight) }}"
    )


THREE_WIDE = [channels(6, 4), channels(9, 8), channels(15, 16, "<pads = [0, 1, 0, 1]>")]
THREE_WIDE += [channels(6, 4, "<strides = [1, 2]>", kernel=1), channels(18, 4, "<pads = [1, 1, 1, 1]>", kernel=1)]
OTHERS = [channels(3, 4), channels(12, 4), channels(6, 5), channels(5, 4), channels(8, 8), channels(6, 4, kernel=1)]


def test_input_channels_in_threes() -> None:
    """A file that has them is refused; the device agrees on which are wrong."""
    assert [found(text) for text in THREE_WIDE] == [(THREES,)] * len(THREE_WIDE)
    assert [found(text) for text in OTHERS] == [()] * len(OTHERS)
    told = ask([{"graph": text} for text in (*THREE_WIDE, *OTHERS)])
    assert [answer["difference"] > 1e-2 for answer in told] == [True] * len(THREE_WIDE) + [False] * len(OTHERS)


def test_an_open_size_may_be_the_kernels(tmp_path: Path) -> None:
    """From the file's path as from its bytes; along an axis of another size it can't be."""
    data = onnx.parser.parse_model(graph(size="H,W")).SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data)
    assert faults(data) == faults(str(tmp_path / "m.onnx")) == (END_PADDING,)
    assert found(graph(size="H,3")) == ()


@pytest.mark.parametrize("more", ["strides = [0, 1]", "strides = [1]", "kernel_shape = [2]", "dilations = [1, -1]"])
def test_what_is_malformed_is_left_to_onnxruntime(more: str) -> None:
    """It is not a fault of the device."""
    assert found(graph(more=f"pads = [0, 0, 0, 1], {more}")) == ()


SPEC = """\
spec: 1
name: padded
input: {channels: 3, size: 6}
classes: 2
blocks:
  - {channels: [4], kernel: 3, stride: 2, padding: {bottom: 1, right: 1}}
  - {channels: [classes], kernel: KERNEL, padding: {right: 1}}
"""


@pytest.mark.parametrize(("kernel", "meets"), [(3, True), (2, False)])
def test_files_of_a_spec(kernel: int, meets: bool) -> None:  # noqa: FBT001
    """Of a map within, too; the file for the device meets none."""
    model = nin_spec.compile(nin_spec.loads(SPEC.replace("KERNEL", str(kernel)))).initialise()
    for options, there in (({}, meets), ({"lower_for": "webgpu"}, False)):
        (data,) = make(model, "onnx", options).files.values()
        assert faults(data) == ((END_PADDING,) if there else ())
