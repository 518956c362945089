"""Caffe's definitions, computed: each layer as its C++ source has it, in NumPy and float64.

The proof of an import is against this: it shares no code with the rules that read a net, nor with what we
export, and follows blobs by their names as Caffe does. Source: BVLC/caffe, src/caffe/layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nin_spec.importers.caffe.file import Layer
from nin_spec.importers.caffe.wiring import Wiring
from nin_spec.importers.chain import Array

Blobs = Mapping[str, Array]
Formula = Callable[[Layer, Blobs, Array], Array]


def forward(wiring: Wiring, blobs: list[dict[str, Array]], x: Array) -> Array:
    """The scores (N, classes) of pictures (N, C, H, W); `blobs` are those of each layer of the path."""
    values: dict[str, Array] = {wiring.picture: x.astype(np.float64)}
    numbers = {id(layer): k for k, layer in enumerate(wiring.path)}
    last = values[wiring.picture]
    for layer in wiring.running:
        if layer.type == "Split":
            values.update({top: values[layer.bottoms[0]] for top in layer.tops if layer.bottoms[0] in values})
        elif id(layer) in numbers:
            held = {name: array.astype(np.float64) for name, array in blobs[numbers[id(layer)]].items()}
            last = FORMULAS[layer.type](layer, held, values[layer.bottoms[0]])
            values[layer.tops[0]] = last
    return last.reshape(len(x), -1)


def _pair(param: Any, key: str, usual: int) -> tuple[int, int]:
    """GetKernelSize and its kind: `_h` and `_w`, else the one number, else one an axis."""
    short = key.removesuffix("_size")
    if f"{short}_h" in param.DESCRIPTOR.fields_by_name and param.HasField(f"{short}_h"):
        return getattr(param, f"{short}_h"), getattr(param, f"{short}_w")
    values = list(getattr(param, key)) or [usual]
    return values[0], values[-1]


def _convolution(layer: Layer, blobs: Blobs, x: Array) -> Array:
    """base_conv_layer.cpp: each tap of the kernel adds its share."""
    param = layer.param("convolution_param")
    (kh, kw), (sh, sw) = _pair(param, "kernel_size", 0), _pair(param, "stride", 1)
    (ph, pw), (dh, dw) = _pair(param, "pad", 0), _pair(param, "dilation", 1)
    n, _, h, w = x.shape
    oh, ow = (h + 2 * ph - (dh * (kh - 1) + 1)) // sh + 1, (w + 2 * pw - (dw * (kw - 1) + 1)) // sw + 1
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    groups = param.group
    kernels = np.split(blobs["weight"], groups)
    y = np.zeros((n, param.num_output, oh, ow))
    for i in range(kh):
        for j in range(kw):
            seen = padded[:, :, i * dh : i * dh + (oh - 1) * sh + 1 : sh, j * dw : j * dw + (ow - 1) * sw + 1 : sw]
            parts = zip(kernels, np.split(seen, groups, 1), strict=True)
            y += np.concatenate([np.einsum("oc,nchw->nohw", k[:, :, i, j], s, optimize=True) for k, s in parts], 1)
    return y + blobs["bias"].reshape(1, -1, 1, 1) if param.bias_term else y


def _cccp(layer: Layer, blobs: Blobs, x: Array) -> Array:
    """cccp_layer.cpp of the fork: in each group, a matrix over the channels of each cell."""
    param = layer.param("cccp_param")
    rows = blobs["weight"].reshape(param.group, param.num_output, -1)
    cells = x.reshape(len(x), param.group, -1, *x.shape[2:])
    y: Array = np.einsum("goc,ngchw->ngohw", rows, cells).reshape(len(x), -1, *x.shape[2:])
    return y + blobs["bias"].reshape(1, -1, 1, 1) if param.bias_term else y


def _inner_product(layer: Layer, blobs: Blobs, x: Array) -> Array:
    """inner_product_layer.cpp."""
    param, weight = layer.param("inner_product_param"), blobs["weight"]
    y: Array = x.reshape(len(x), -1) @ (weight if param.transpose else weight.T)
    return y + blobs["bias"] if param.bias_term else y


def _pooling(layer: Layer, _: Blobs, x: Array) -> Array:
    """pooling_layer.cpp, window by window; pool_size is taken before the window is cut to the map."""
    param = layer.param("pooling_param")
    height, width = x.shape[2:]
    if param.global_pooling:
        (kh, kw), (sh, sw), (ph, pw) = (height, width), (1, 1), (0, 0)
    else:
        (kh, kw), (sh, sw), (ph, pw) = (
            _pair(param, key, usual) for key, usual in (("kernel_size", 0), ("stride", 1), ("pad", 0))
        )
    rounded = math.ceil if param.round_mode == 0 else math.floor
    rows, columns = rounded((height + 2 * ph - kh) / sh) + 1, rounded((width + 2 * pw - kw) / sw) + 1
    if ph or pw:
        rows -= (rows - 1) * sh >= height + ph
        columns -= (columns - 1) * sw >= width + pw
    y = np.empty((*x.shape[:2], rows, columns))
    for i in range(rows):
        for j in range(columns):
            top, left = i * sh - ph, j * sw - pw
            bottom, right = min(top + kh, height + ph), min(left + kw, width + pw)
            cells = x[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
            pool_size = (bottom - top) * (right - left)
            y[:, :, i, j] = cells.sum((2, 3)) / pool_size if param.pool == 1 else cells.max((2, 3))
    return y


def _lrn(layer: Layer, _: Blobs, x: Array) -> Array:
    """lrn_layer.cpp, CrossChannelForward: alpha is divided by the size."""
    param = layer.param("lrn_param")
    before = (param.local_size - 1) // 2
    squares = np.pad(x**2, ((0, 0), (before, before), (0, 0), (0, 0)))
    sums = sum(squares[:, k : k + x.shape[1]] for k in range(param.local_size))
    found: Array = x * (param.k + param.alpha / param.local_size * sums) ** -param.beta
    return found


def _batch_norm(layer: Layer, blobs: Blobs, x: Array) -> Array:
    """batch_norm_layer.cpp: scale_factor is 0 where the third blob is."""
    factor = float(blobs["factor"].reshape(-1)[0])
    scale_factor = 0 if factor == 0 else 1 / factor
    mean, variance = _column(blobs["mean"] * scale_factor, x), _column(blobs["variance"] * scale_factor, x)
    found: Array = (x - mean) / np.sqrt(variance + layer.param("batch_norm_param").eps)
    return found


def _scale(_: Layer, blobs: Blobs, x: Array) -> Array:
    """scale_layer.cpp."""
    y: Array = x * _column(blobs["gain"], x)
    return y + _column(blobs["offset"], x) if "offset" in blobs else y


def _column(values: Array, x: Array) -> Array:
    """One value a channel."""
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


def _leaky(x: Array, slope: Array | float) -> Array:
    """relu_layer.cpp and prelu_layer.cpp."""
    found: Array = np.maximum(x, 0) + slope * np.minimum(x, 0)
    return found


def _elu(layer: Layer, _: Blobs, x: Array) -> Array:
    """elu_layer.cpp."""
    found: Array = np.maximum(x, 0) + layer.param("elu_param").alpha * (np.exp(np.minimum(x, 0)) - 1)
    return found


def _softmax(_layer: Layer, _blobs: Blobs, x: Array) -> Array:
    """softmax_layer.cpp, along the channels."""
    shifted = np.exp(x - x.max(1, keepdims=True))
    found: Array = shifted / shifted.sum(1, keepdims=True)
    return found


def _flat(_layer: Layer, _blobs: Blobs, x: Array) -> Array:
    """flatten_layer.cpp, with its usual axes."""
    return x.reshape(len(x), -1)


FORMULAS: dict[str, Formula] = {
    "BatchNorm": _batch_norm,
    "CCCP": _cccp,
    "Convolution": _convolution,
    "Dropout": lambda _layer, _blobs, x: x,
    "ELU": _elu,
    "Flatten": _flat,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "PReLU": lambda _, blobs, x: _leaky(x, _column(blobs["slope"], x)),
    "Pooling": _pooling,
    "ReLU": lambda layer, _, x: _leaky(x, layer.param("relu_param").negative_slope),
    "Reshape": _flat,
    "Scale": _scale,
    "Sigmoid": lambda _layer, _blobs, x: 1 / (1 + np.exp(-x)),
    "Softmax": _softmax,
    "TanH": lambda _layer, _blobs, x: np.tanh(x),
}
"""What each type computes when testing."""
