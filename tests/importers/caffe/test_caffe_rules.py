"""Each layer of Caffe's as the language says it; what it can't say is refused at the layer's line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from caffe_nets import HEAD, conv, layer, net, written
from hypothesis import given
from hypothesis import strategies as st

from nin_spec.diagnostics import ForeignModelError
from nin_spec.importers.caffe.importing import import_caffe

POOL = layer("Pooling", "c", "p", "pooling_param { %s }")
GAUSS = 'weight_filler { type: "%s" } kernel_size: 3'


@pytest.mark.parametrize(
    ("layers", "shown"),
    [
        ([conv("c", more="kernel_h: 5 kernel_w: 1 pad_h: 2 pad_w: 0 stride: 2 stride: 1")], "stride: [2, 1]"),
        ([conv("c", more="kernel_size: 3 dilation: 2 bias_term: false")], "dilation: 2"),
        ([conv("c", channels=6, more="kernel_size: 1 group: 3")], "{channels: classes, groups: 3}"),
        ([conv("c"), layer("ReLU", "c", "", "relu_param { negative_slope: 0.2 }")], "{kind: leaky_relu, slope: 0.2}"),
        ([conv("c"), layer("PReLU", "c", "", "prelu_param { channel_shared: true }")], "activation: prelu"),
        ([conv("c"), layer("Sigmoid", "c")], "activation: sigmoid"),
        ([conv("c"), layer("BatchNorm", "c"), layer("Scale", "c")], "norm: {kind: batch, momentum: 0.001}"),
        ([conv("c"), layer("BatchNorm", "c")], "affine: false"),
        ([conv("c"), layer("LRN", "c", "", "lrn_param { alpha: 1e-4 k: 2 }")], "norm: {kind: lrn, k: 2.0}"),
        ([conv("c"), layer("Dropout", "c")], "dropout: 0.5"),
        ([layer("CCCP", "data", "c", "cccp_param { num_output: 4 }")], "- {channels: [classes], kernel: 1}"),
        ([conv("c", more=GAUSS % "msra")], "init: kaiming_normal"),
        ([conv("c", more=GAUSS % "xavier")], "init: {kind: kaiming_uniform, scale: 0.707"),
    ],
)  # fmt: skip
def test_layers_in_the_languages_words(layers: list[str], shown: str, tmp_path: Path) -> None:
    """Each proved by the import itself."""
    assert shown in import_caffe(written(tmp_path, net(*layers, last="c")))[0].text


@pytest.mark.parametrize(
    ("pool", "shown"),
    [
        ("kernel_size: 2 stride: 2", "pool: {kind: max, kernel: 2}"),
        ("kernel_size: 3 stride: 2", "pool: {kind: max, kernel: 3, stride: 2, ceil_mode: true}"),
        ("kernel_size: 3 stride: 2 round_mode: FLOOR", "pool: {kind: max, kernel: 3, stride: 2}"),
        ("pool: AVE kernel_size: 3 stride: 2 pad: 1", "padding: 1, ceil_mode: true, count_include_pad: true}"),
    ],
)
def test_pools_round_up_where_that_changes_something(pool: str, shown: str, tmp_path: Path) -> None:
    """From 8x8: windows of 2 fill it, windows of 3 don't."""
    same = "kernel_size: 3 pad: 1"
    path = written(tmp_path, net(conv("c", more=same), POOL % pool, conv("d", "p", more="kernel_size: 1"), last="d"))
    assert shown in import_caffe(path)[0].text


WINDOWS = st.fixed_dictionaries({
    "kernel_size": st.integers(1, 5), "stride": st.integers(1, 5), "pad": st.integers(0, 4),
    "pool": st.sampled_from(["MAX", "AVE"]), "round_mode": st.sampled_from(["CEIL", "FLOOR"]),
})  # fmt: skip


@given(size=st.integers(1, 12), window=WINDOWS)
def test_any_pool_is_proved_or_refused(size: int, window: dict[str, Any], tmp_path: Path) -> None:
    """Caffe's rounding and its divisor, over small maps: never anything but an equal result, or a refusal."""
    pool = POOL % " ".join(f"{key}: {value}" for key, value in window.items())
    path = written(tmp_path, net(conv("c", more="kernel_size: 1"), pool, last="p", shape=(2, size, size)))
    kernel, stride, pad = (window[key] for key in ("kernel_size", "stride", "pad"))
    try:
        import_caffe(path)
    except ForeignModelError as refusal:
        message = refusal.diagnostics[0].message
    else:
        message = ""
    possible = kernel > size or pad >= kernel or stride > kernel
    assert not message or (possible and message.startswith("p (Pooling): "))


ELTWISE = 'layer { name: "sum" type: "Eltwise" bottom: "c" bottom: "d" top: "sum" }\n'
SHARED = 'kernel_size: 3 } param { name: "w"'
CONV_D = conv("d", "c", more="kernel_size: 1")


@pytest.mark.parametrize(
    ("layers", "line", "message"),
    [
        ([conv("c"), CONV_D, ELTWISE, HEAD % "sum"], 4, r"sum \(Eltwise\): d reads the same blob 'c'"),
        ([conv("c"), CONV_D, conv("e", "c"), HEAD % "d"], 4, r"e \(Convolution\): d reads the same blob 'c'"),
        ([conv("c"), layer("Deconvolution", "c", "d"), HEAD % "d"], 3, "no equivalent of what this computes"),
        ([conv("c", more="")], 2, "its kernel_size is missing"),
        ([conv("c", more="kernel_size: 3 kernel_h: 3")], 2, "not both"),
        ([conv("c", more="kernel_size: 9"), HEAD % "c"], 2, "does not fit into 8x8"),
        ([conv("c", channels=5, more="kernel_size: 3 group: 2")], 2, "can't be split into 2 groups"),
        ([conv("c", channels=0)], 2, "its num_output is missing"),
        ([conv("c", channels=4_000_000_000)], 2, "parameters so far; the limit is"),
        ([conv("c"), layer("LRN", "c", "", "lrn_param { norm_region: WITHIN_CHANNEL }")], 3, "WITHIN_CHANNEL"),
        ([conv("c"), layer("LRN", "c", "", "lrn_param { local_size: 4 }")], 3, "local_size 4 is even"),
        ([conv("c"), POOL % "pool: STOCHASTIC kernel_size: 2"], 3, "stochastic"),
        ([conv("c"), POOL % "kernel_size: 1 stride: 4"], 3, "sees nothing"),
        ([conv("c"), POOL % "kernel_size: 2 pad: 2"], 3, "see no input"),
        ([conv("c"), layer("Softmax", "c")], 3, "a softmax at each position of a map"),
        ([conv("c"), layer("Dropout", "c", "", "dropout_param { dropout_ratio: 1 }")], 3, "a dropout_ratio of 1.0"),
        ([conv("c")], 2, "the network outputs maps, not scores"),
        ([layer("Python", "data", "x")], 2, r"x \(Python\): the language has no equivalent"),
        ([conv("c", bottom="nowhere")], 2, "no layer before it outputs the blob 'nowhere'"),
        ([conv("c", more=SHARED), conv("d", "c", more=SHARED)], 3, "shares its weights 'w' with c"),
    ],
)  # fmt: skip
def test_what_the_language_cannot_say_is_refused_at_its_line(
    layers: list[str], line: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ForeignModelError, match=message) as caught:
        import_caffe(written(tmp_path, net(*layers)))
    span = caught.value.diagnostics[0].span
    assert span is not None
    assert (span.line, span.column) == (line, 1)


@pytest.mark.parametrize("shape", [(65_537, 8, 8), (3, 60_000, 60_000), (3, 0, 8)])
def test_pictures_that_are_none_are_refused(shape: tuple[int, int, int], tmp_path: Path) -> None:
    with pytest.raises(ForeignModelError):
        import_caffe(written(tmp_path, net(conv("c"), last="c", shape=shape)))


def test_a_scale_without_a_norm_becomes_part_of_the_convolution(tmp_path: Path) -> None:
    found, remarks = import_caffe(written(tmp_path, net(conv("c"), layer("Scale", "c", name="s"), last="c")))
    assert "norm" not in found.text
    assert "s: its scale became part of the layer before it" in remarks
