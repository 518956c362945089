"""Caffe nets and modules that are odd, in the ways of the ONNX files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nin_spec.importers.caffe.proto import messages

HUGE = 1 << 62
HEAD = 'layer { name: "gap" type: "Pooling" bottom: "c" top: "gap" pooling_param { pool: AVE global_pooling: true } }\n'
DEPLOY = 'name: "net" layer { name: "data" type: "Input" top: "x" input_param { shape { DIMS } } }\n'
NUMBERS = [
    "0",
    "-1",
    "2147483647",
    "4294967295",
    "4294967296",
    "9" * 5000,
    "1.5",
    "nan",
    "1e3",
    '"3"',
    "0x10",
    "true",
    "",
]
FIELDS = {
    "Convolution": (
        "convolution_param",
        "num_output: 4 kernel_size: 3",
        ("num_output", "kernel_size", "stride", "pad", "dilation", "group"),
    ),
    "Pooling": ("pooling_param", "pool: MAX kernel_size: 2", ("kernel_size", "stride", "pad", "pool")),
    "LRN": ("lrn_param", "local_size: 3", ("local_size", "alpha", "beta")),
    "InnerProduct": ("inner_product_param", "num_output: 4", ("num_output", "axis")),
}


def net_of(layers: str, dims: str = "dim: 1 dim: 3 dim: 8 dim: 8") -> str:
    """A deployed net from `x` to `c`, and a global pool behind it."""
    return DEPLOY.replace("DIMS", dims) + layers + HEAD


def layer(kind: str, more: str = "", bottom: str = "x", top: str = "c", name: str = "l") -> str:
    """A layer."""
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {more} }}\n'


def fields() -> Iterator[tuple[str, bytes]]:
    """Each number of each layer at each odd value, in place of the usual one."""
    for kind, (block, usual, keys) in FIELDS.items():
        for key in keys:
            for number in NUMBERS:
                rest = " ".join(part for part in usual.replace(": ", ":").split() if not part.startswith(f"{key}:"))
                text = net_of(layer(kind, f"{block} {{ {rest} {key}: {number} }}"))
                yield f"Caffe {kind}.{key}: {number[:12]} x{len(number)}", text.encode()


CONV = layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }")


def texts() -> Iterator[tuple[str, bytes]]:
    """Texts that are no net, or another one than it seems."""
    good = net_of(CONV)
    cases: dict[str, str | bytes] = {
        "empty": "",
        "NUL": "\0",
        "noise": bytes(range(256)),
        "UTF-16": good.encode("utf-16"),
        "a BOM": "\ufeff" + good,
        "braces": "layer { " * 10_000,
        "closed too often": good + "}" * 100,
        "open": good[:-3],
        "a text without end": 'name: "abc',
        "escapes": 'name: "\\x1b[2J\\377\\u202e"\n' + good,
        "a comment": "# nothing",
        "5,000 names": "".join(f'name: "{k}"\n' for k in range(5000)),
        "no such field": "colour: 1\n" + good,
        "no input": CONV + HEAD,
        "both forms": good + 'layers { name: "m" type: RELU bottom: "c" top: "c" }\n',
        "its own bottom": net_of(layer("ReLU", bottom="c")),
        "a cycle": net_of(layer("ReLU", bottom="d") + layer("ReLU", bottom="c", top="d", name="m")),
        "a missing bottom": net_of(layer("ReLU", bottom="nothing")),
        "two bottoms": net_of(layer("Eltwise", 'bottom: "x"')),
        "two tops": net_of(layer("Split", 'top: "d"')),
        "an unknown layer": net_of(layer("NoSuchLayer")),
        "a layer of no type": net_of(layer("")),
        "Python": net_of(layer("Python", 'python_param { module: "os" layer: "system" }')),
        "a name of escapes": net_of(CONV.replace('"l"', '"\\033[2J"')),
        "10,000 layers": net_of(
            "".join(layer("ReLU", bottom="x", top="x", name=f"r{k}") for k in range(10_000)) + CONV
        ),
        "the same name": net_of(CONV + layer("ReLU", bottom="c")),
        "an input of its own": "input: 'x' input_dim: 1\n" + CONV + HEAD,
        "a shape twice": 'input: "x" input_shape { dim: 1 } input_shape { dim: 2 }\n' + CONV + HEAD,
        "a recipe": 'net: "x.prototxt" base_lr: 0.1\n',
        "a data layer": layer("Data", 'data_param { source: "/etc/passwd" batch_size: 4294967295 }') + HEAD,
        "pools without end": net_of(
            "".join(
                layer("Pooling", "pooling_param { pool: MAX kernel_size: 2 stride: 1 }", f"p{k}", f"p{k + 1}", f"p{k}")
                for k in range(50)
            )
        ),
    }
    for name, text in cases.items():
        yield f"Caffe: {name}", text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    for dims in (
        "",
        "dim: 0",
        "dim: -1",
        f"dim: {HUGE}",
        "dim: 1 " * 50,
        f"dim: 1 dim: 3 dim: {1 << 20} dim: {1 << 20}",
        f"dim: {1 << 31} dim: 3 dim: 8 dim: 8",
        f"dim: 1 dim: {HUGE} dim: 1 dim: 1",
        "dim: 1 dim: 3 dim: 0 dim: 0",
        "dim: 1 dim: 1 dim: 4000 dim: 4000",
    ):
        yield f"Caffe input {dims[:40]}", net_of(CONV, dims).encode()


def _reshaped(dims: list[int], message: Any) -> None:
    shape = message.layer[0].blobs[0].shape
    shape.ClearField("dim")
    shape.dim.extend(dims)


def blobs() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Weights whose blobs are of another shape, or of none."""
    prototxt = net_of(CONV).encode()

    def weights(change: Callable[[Any], object]) -> dict[str, bytes]:
        message = messages.NetParameter()
        one = message.layer.add(name="l", type="Convolution")
        for shape in ((4, 3, 3, 3), (4,)):
            blob = one.blobs.add()
            blob.shape.dim.extend(shape)
            blob.data = b"\0" * 4 * (108 if len(shape) == 4 else 4)
        change(message)
        return {"net.prototxt": prototxt, "net.caffemodel": bytes(message.SerializeToString())}

    for dims in ([], [HUGE], [0, HUGE, HUGE], [-1, -4], [1 << 31] * 4, [1] * 40, [108], [4, 3, 3, 3, 1]):
        yield f"blob of {dims[:3]} x{len(dims)}", weights(partial(_reshaped, dims))
    for size in (0, 1, 3, 431, 433, 1 << 20):
        yield f"blob of {size} bytes", weights(lambda m, n=size: setattr(m.layer[0].blobs[0], "data", bytes(n)))  # type: ignore[misc]
    yield "no blobs", weights(lambda m: m.layer[0].ClearField("blobs"))
    yield "a layer twice", weights(lambda m: m.layer.add().CopyFrom(m.layer[0]))
    yield "another layer", weights(lambda m: setattr(m.layer[0], "name", "m"))
    yield "NaN blobs", weights(lambda m: setattr(m.layer[0].blobs[0], "data", b"\xff\xff\xff\x7f" * 108))
    good = weights(lambda _: None)
    for part in range(1, 10):
        yield (
            f"{10 * part}% of blobs",
            {**good, "net.caffemodel": good["net.caffemodel"][: len(good["net.caffemodel"]) * part // 10]},
        )
    yield "noise for blobs", {**good, "net.caffemodel": bytes(range(256)) * 50}
    yield "empty blobs", {**good, "net.caffemodel": b""}


# ------------------------------------------------------------------ modules


class Odd(nn.Module):
    """A convolution, and a forward that does something else with it."""

    def __init__(self, function: Callable[[Odd, Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.function, self.calls = nn.Conv2d(3, 4, 3), function, 0

    def forward(self, x: Tensor) -> Any:
        """Whatever it was given."""
        self.calls += 1
        return self.function(self, x)


def _raises(error: BaseException) -> Callable[[Odd, Tensor], Any]:
    def function(_net: Odd, _x: Tensor) -> Any:
        raise error

    return function


FORWARDS: dict[str, Callable[[Odd, Tensor], Any]] = {
    "nothing": lambda *_: None,
    "a text": lambda *_: "text",
    "a pair": lambda net, x: (net.conv(x), x),
    "a dict": lambda net, x: {"y": net.conv(x)},
    "a number": lambda *_: 1.0,
    "a constant": lambda *_: torch.zeros(2, 4),
    "its input": lambda _, x: x,
    "an empty tensor": lambda _, x: x[:0],
    "a scalar": lambda net, x: net.conv(x).mean(),
    "the batch": lambda net, x: net.conv(x).mean((2, 3)).T,
    "noise": lambda net, x: net.conv(x + torch.rand_like(x)).mean((2, 3)),
    "the data": lambda net, x: net.conv(x).mean((2, 3)) if x.sum() > 0 else net.conv(-x).mean((2, 3)),
    "its calls": lambda net, x: net.conv(x * net.calls).mean((2, 3)),
    "itself": lambda net, x: net(x),
    "in place": lambda net, x: net.conv(x.mul_(2)).mean((2, 3)),
    "its weight in place": lambda net, x: net.conv.weight.mul_(2) and net.conv(x),
    "complex": lambda net, x: torch.fft.fft2(net.conv(x)).real.mean((2, 3)),
    "integers": lambda net, x: net.conv(x).int().float().mean((2, 3)),
    "a sort": lambda net, x: net.conv(x).sort(1)[0].mean((2, 3)),
    "a loop": lambda net, x: sum(net.conv(x).mean((2, 3)) * k for k in range(300)),
    "a huge pad": lambda net, x: net.conv(torch.nn.functional.pad(x, [1 << 40] * 4)),
    "a negative pad": lambda net, x: net.conv(torch.nn.functional.pad(x, [-1, -1, 0, 0])).mean((2, 3)),
    "a huge kernel": lambda net, x: torch.nn.functional.max_pool2d(net.conv(x), 1 << 40),
    "a huge repeat": lambda net, x: net.conv(x.repeat(1, 1, 1 << 20, 1 << 20)),
    "NaN": lambda net, x: net.conv(x).mean((2, 3)) * float("nan"),
    "a division by 0": lambda net, x: net.conv(x).mean((2, 3)) / 0,
    "10^38": lambda net, x: net.conv(x * 1e38).mean((2, 3)),
    "a root of less than 0": lambda net, x: net.conv(x).mean((2, 3)).sqrt(),
    "double": lambda net, x: net.conv(x).double().mean((2, 3)),
    "half": lambda net, x: net.conv(x).half().float().mean((2, 3)),
    "RuntimeError": _raises(RuntimeError("\x1b[2J" * 1000)),
    "KeyError": _raises(KeyError("k")),
    "RecursionError": _raises(RecursionError()),
    "MemoryError": _raises(MemoryError()),
    "AssertionError": _raises(AssertionError()),
    "StopIteration": _raises(StopIteration()),
}
INPUT_SHAPES: list[tuple[Any, ...]] = [
    *(
        (),
        (3,),
        (3, 8),
        (0, 8, 8),
        (3, 0, 8),
        (-3, 8, 8),
        (3, 1, 1),
        (4, 8, 8),
        (3, HUGE, 1),
        (3, 1 << 20, 1 << 20),
        (3, 20_000, 20_000),
    ),
    *((1, 1, 3, 8, 8), (3.5, 8, 8), ("3", "8", "8"), (True, 8, 8), (None, 8, 8)),
]


def _with(change: Callable[[nn.Conv2d], object]) -> nn.Module:
    conv = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        change(conv)
    return nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _weight(value: Tensor) -> Callable[[nn.Conv2d], object]:
    return lambda conv: setattr(conv, "weight", nn.Parameter(value, requires_grad=False))


def _cyclic() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    net.add_module("again", net)
    return net


MODULES: dict[str, Callable[[], Any]] = {
    **{f"a forward: {name}": partial(Odd, function) for name, function in FORWARDS.items()},
    "NaN weights": lambda: _with(lambda conv: conv.weight.fill_(float("nan"))),
    "infinite weights": lambda: _with(lambda conv: conv.weight.fill_(float("inf"))),
    "weights of the meta device": lambda: _with(lambda conv: conv.to("meta")),
    "weights of another shape": lambda: _with(_weight(torch.zeros(4, 9, 3, 3))),
    "weights of five axes": lambda: _with(_weight(torch.zeros(4, 3, 3, 3, 3))),
    "integer weights": lambda: _with(_weight(torch.zeros(4, 3, 3, 3, dtype=torch.int8))),
    "complex weights": lambda: _with(_weight(torch.zeros(4, 3, 3, 3, dtype=torch.complex64))),
    "sparse weights": lambda: _with(_weight(torch.zeros(4, 3, 3, 3).to_sparse())),
    "empty weights": lambda: _with(_weight(torch.zeros(0, 3, 3, 3))),
    "no layers": nn.Sequential,
    "no module": lambda: "text",
    "a class": lambda: nn.ReLU,
    "a thousand layers": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3), *(nn.Identity() for _ in range(1000)), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ),
    "a layer of itself": _cyclic,
    "a transformer": lambda: nn.TransformerEncoderLayer(8, 2),
    "a recurrent layer": lambda: nn.LSTM(8, 8),
    "a huge kernel": lambda: nn.Sequential(nn.MaxPool2d(1 << 31), nn.Flatten()),
    "a stride of 0": lambda: nn.Sequential(nn.MaxPool2d(2, 0), nn.Flatten()),
    "a huge upsampling": lambda: nn.Sequential(nn.Upsample(scale_factor=1e6), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
}
