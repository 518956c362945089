"""ONNX files that are odd as files: their bytes, tensors, metadata, and what their operators ask for."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hostile_graphs import CONV, HUGE, Change, Node, changed, file_of, model_of
from onnx import TensorProto, helper, numpy_helper

import nin_spec
from nin_spec.exporter import make

Files = dict[str, bytes]


def contents() -> Iterator[tuple[str, bytes]]:
    """What is not an ONNX file, or only part of one."""
    good = file_of([CONV])
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("net.onnx", good)
    yield from {
        "empty": b"",
        "a zero": b"\0",
        "zeros": bytes(10_000),
        "text": b"hello\n",
        "a spec": b"spec: 1\nname: a\n",
        "JSON": b'{"ir_version": 8}',
        "gzip": gzip.compress(good),
        "zip": archive.getvalue(),
        "twice": good + good,
        "text format": str(model_of([CONV])).encode(),
        "in UTF-16": good.decode("latin-1").encode("utf-16"),
        "a PNG's head": b"\x89PNG\r\n\x1a\n" + good,
        "junk behind": good + b"\xff" * 100,
        "nested groups": b"\x0b" * 10_000,
        "nested messages": b"\x3a\xff\xff\xff\xff\x07" * 1000,
        "a length of 2^63": b"\x3a" + b"\xff" * 9 + b"\x01",
        "newlines added": good.replace(b"\n", b"\r\n"),
        "a varint without end": b"\x08" + b"\xff" * 50,
    }.items()
    for part in range(1, 20):
        yield f"{5 * part}% of a file", good[: len(good) * part // 20]
    for field in range(1, 26):
        yield f"field {field} three times", good + bytes([field << 3 & 0x7F | 2, 3]) + b"abc"


def tensors() -> Iterator[tuple[str, bytes]]:
    """A weight whose shape, type and bytes do not fit each other."""

    def weight(change: Callable[[TensorProto], object]) -> bytes:
        return changed(lambda m: change(m.graph.initializer[0]))

    for dims in (
        [],
        [HUGE],
        [1 << 31] * 3,
        [-1],
        [0],
        [4, 3, 3, 1 << 40],
        [1] * 64,
        [1] * 100_000,
        [4, 27],
        [108],
        [2, 3, 3, 3],
    ):
        yield f"dims {dims[:4]} x{len(dims)}", weight(lambda t, d=dims: (t.ClearField("dims"), t.dims.extend(d)))  # type: ignore[misc]
    for kind in (0, *range(2, 27), 99, -1, 1 << 30):
        yield f"data of type {kind}", weight(lambda t, k=kind: setattr(t, "data_type", k))  # type: ignore[misc]
    for size in (0, 1, 3, 428, 431, 433, 864):
        yield f"{size} bytes", weight(lambda t, n=size: setattr(t, "raw_data", bytes(n)))  # type: ignore[misc]
    for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        yield f"{field} beside raw", weight(lambda t, f=field: getattr(t, f).extend([1] * 108))  # type: ignore[misc]
        yield f"{field} alone", weight(lambda t, f=field: (t.ClearField("raw_data"), getattr(t, f).extend([1] * 108)))  # type: ignore[misc]
    texts = TensorProto(dims=[4, 3, 3, 3], data_type=8, string_data=[b"\xff"] * 108, name="w")
    yield "texts", weight(lambda t: t.CopyFrom(texts))
    yield "a segment", weight(lambda t: setattr(t.segment, "begin", HUGE))
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.ones(1, np.float32), "s"), numpy_helper.from_array(np.array([HUGE]), "i"), [HUGE]
    )
    yield "sparse weights", changed(lambda m: m.graph.sparse_initializer.append(sparse))
    for key, value in {
        "value_strings": ["a"],
        "value_string": "a" * 10_000,
        "value_ints": [HUGE] * 1000,
        "value_floats": [float("nan")],
        "sparse_value": sparse,
        "value": TensorProto(dims=[HUGE], data_type=1),
        "no_such_value": 1,
    }.items():
        constant = helper.make_node("Constant", [], ["v"])
        constant.attribute.append(helper.make_attribute(key, value))
        yield f"Constant with {key}", file_of([constant, ("Conv", ["x", "v"], ["c"], {})])


def external() -> Iterator[tuple[str, Files]]:
    """A weight whose bytes lie elsewhere, with what lies there."""
    entries: dict[str, dict[str, str]] = {
        location: {"location": location}
        for location in (
            "",
            ".",
            "..",
            "../x",
            "/etc/hostname",
            "/dev/zero",
            "~/x",
            "missing",
            "net.onnx",
            "a\0b",
            "x" * 5000,
            "data/../../x",
            "C:\\x",
            "http://example.org/x",
            "\u202ex",
            "data",
        )
    }
    for key in ("offset", "length"):
        for value in ("-1", "1", "9" * 5000, str(HUGE), "abc", "", "1e3", "0x10", "nan"):
            entries[f"{key} {value[:9]} x{len(value)}"] = {"location": "data", key: value}
    entries |= {"no location": {"offset": "0"}, "an unknown key": {"location": "data", "what": "x"}, "nothing": {}}
    for name, said in entries.items():

        def change(model: Any, said: dict[str, str] = said) -> None:
            tensor = model.graph.initializer[0]
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in said.items():
                tensor.external_data.add(key=key, value=value)

        yield f"external: {name[:40]}", {"net.onnx": changed(change), "data": bytes(432)}


# ------------------------------------------------------------------ metadata


SPEC = """\
spec: 1
name: own
input: {channels: 3, size: 8}
classes: [a, b, c]
blocks:
  - {channels: [4, classes], kernel: 3, pool: {kind: avg, kernel: 2, stride: 2}}
"""
TEXTS = {
    "empty": "",
    "5,000 digits": "1" * 5000,
    "NaN": "NaN",
    "brackets": "[" * 100_000,
    "braces": "{" * 100_000,
    "null": "null",
    "an object": "{}",
    "a list": "[1, 2]",
    "escapes": "\x1b[2J\x00\u202e",
    "infinity": "1e999",
    "a surrogate": '"\\ud800"',
    "aliases": "a: &a [x, x]\n"
    + "".join(f"{c}: &{c} [*{d}, *{d}, *{d}]\n" for c, d in zip("bcdefghijklm", "abcdefghijkl", strict=True)),
    "a tag": "!!python/object/apply:os.system [x]",
}
EDITS = {
    "2^62 channels": ("channels: [4", f"channels: [{HUGE}"),
    "a kernel of 2^31": ("kernel: 3", f"kernel: {1 << 31}"),
    "a picture of 2^40": ("size: 8", f"size: {1 << 40}"),
    "another spec": ("spec: 1", "extends: nin_imagenet\nspec: 1"),
    "a file": ("spec: 1", "extends: /etc/passwd\nspec: 1"),
    "10^9 classes": ("[a, b, c]", "1000000000"),
    "an activation": ("kernel: 3", "kernel: 3, activation: tanh"),
    "no blocks": ("blocks", "clocks"),
    "100,000 blocks": ("blocks:\n", "blocks:\n" + "  - {channels: [4], kernel: 1}\n" * 100_000),
}


def metadata() -> Iterator[tuple[str, bytes]]:
    """A file of our own that says something else of itself."""
    model = nin_spec.compile(nin_spec.loads(SPEC)).initialise()
    (good,) = make(model, "onnx", {}).files.values()
    own = model_of([CONV])
    own.ParseFromString(good)
    keys = [p.key for p in own.metadata_props]

    def saying(key: str, value: str) -> bytes:
        copy = type(own)()
        copy.CopyFrom(own)
        for entry in [p for p in copy.metadata_props if p.key == key]:
            copy.metadata_props.remove(entry)
        copy.metadata_props.add(key=key, value=value)
        found: bytes = copy.SerializeToString()
        return found

    for key in ("spec", "labels", "preprocessing", "passes", "classes", "input", "output", "hash"):
        for name, text in TEXTS.items():
            yield f"nin_spec.{key} is {name}", saying(f"nin_spec.{key}", text)
    for key in ("precision", "target", "reduction", "dataset", "weights"):
        for name in ("5,000 digits", "brackets", "escapes"):
            yield f"nin_spec.{key} is {name}", saying(f"nin_spec.{key}", TEXTS[name])
    for name, (old, new) in EDITS.items():
        yield f"a spec with {name}", saying("nin_spec.spec", model.card.spec.replace(old, new))
    for precision in ("float16", "bfloat16", "int8", "int4"):
        yield f"not {precision}", saying("nin_spec.precision", precision)
    contract = json.loads(next(p.value for p in own.metadata_props if p.key == "nin_spec.preprocessing"))
    for key, value in {
        "mean": [HUGE],
        "std": [0],
        "scale": 1e400,
        "layout": "HHH",
        "dtype": "object",
        "target": [HUGE, 1],
        "color": 5,
    }.items():
        yield f"preprocessing.{key} = {value}", saying("nin_spec.preprocessing", json.dumps({**contract, key: value}))
    copy = own.SerializeToString() + model_of([CONV]).SerializeToString()
    yield "two graphs in one", copy
    yield "each key twice", own.SerializeToString() + b"".join(_entry(key, "x") for key in keys)


def _entry(key: str, value: str) -> bytes:
    model = type(model_of([CONV]))()
    model.metadata_props.add(key=key, value=value)
    found: bytes = model.SerializeToString()
    return found


# ------------------------------------------------------------------ operators that are not in the language

FOREIGN = {
    "com.microsoft": ("FusedConv", "Gelu", "FastGelu", "QLinearSoftmax", "Attention", "NhwcConv", "Nothing"),
    "ai.onnx.ml": ("Normalizer", "TreeEnsembleClassifier", "ArrayFeatureExtractor"),
    "ai.onnx.preview.training": ("Gradient", "Adam"),
    "my own": ("Relu", "Conv"),
    "": (
        "NoSuchOperator",
        "Bernoulli",
        "RandomNormalLike",
        "NonZero",
        "Unique",
        "Det",
        "IsNaN",
        "Einsum",
        "TopK",
        "Resize",
        "GridSample",
        "DepthToSpace",
        "Hardmax",
        "ImageDecoder",
        "StringNormalizer",
        "SequenceConstruct",
        "OptionalHasElement",
        "LSTM",
        "STFT",
        "QuantizeLinear",
        "ConvInteger",
        "MatMulInteger",
        "EyeLike",
        "CumSum",
        "ScatterND",
        "Compress",
        "BitShift",
        "Mod",
        "Shrink",
    ),
}


def operators() -> Iterator[tuple[str, bytes]]:
    """Unknown ones and those of others: on the path, in a fork, on constants."""
    for domain, kinds in FOREIGN.items():

        def imported(model: Any, domain: str = domain) -> None:
            if domain:
                model.opset_import.add(domain=domain, version=1)

        for kind in kinds:
            node = helper.make_node(kind, ["c"], ["d"], domain=domain)
            yield f"{domain} {kind}", changed(imported, [CONV, node], last="d")
            fork: list[Node] = [CONV, node, ("Mul", ["c", "d"], ["e"], {})]
            yield f"{domain} {kind} in a fork", changed(imported, fork, last="e")
        constant = helper.make_node(kinds[0], ["w"], ["v"], domain=domain)
        yield f"{domain} {kinds[0]} of constants", changed(imported, [constant, ("Conv", ["x", "v"], ["c"], {})])


# ------------------------------------------------------------------ what asks for much


def large() -> Iterator[tuple[str, bytes]]:
    """A few bytes that ask for gigabytes or hours."""
    big = {"shape": ("n", 3, 512, 512)}
    small = {"u": np.ones((1, 3, 1, 1), np.float32), "wide": np.ones((4096, 3, 1, 1), np.float32)}
    swish: list[Node] = [("Sigmoid", ["c"], ["s"], {}), ("Mul", ["c", "s"], ["d"], {})]
    pool = {"kernel_shape": [2, 2]}
    cases: dict[str, tuple[list[Any], dict[str, Any]]] = {
        "a convolution of 16 million cells": ([("Conv", ["x", "u"], ["c"], {})], {"shape": ("n", 3, 4096, 4096)}),
        "4,096 channels": ([("Conv", ["x", "wide"], ["c"], {})], big),
        "padding of 2^30": ([("Conv", ["x", "w"], ["c"], {"pads": [1 << 30] * 4})], {}),
        "padding of 5,000": ([("Conv", ["x", "w"], ["c"], {"pads": [5000] * 4})], {}),
        "a pool padded by 2^30": (
            [("MaxPool", ["x"], ["c"], {"kernel_shape": [1 << 31] * 2, "pads": [1 << 30] * 4})],
            {},
        ),
        "a pool of 4,000 cells a side": (
            [("AveragePool", ["x"], ["c"], {"kernel_shape": [4000, 4000]})],
            {"shape": ("n", 1, 8000, 8000)},
        ),
        "a norm over 2^40 channels": ([("LRN", ["x"], ["c"], {"size": (1 << 40) + 1})], big),
        "a norm over a million channels": ([("LRN", ["x"], ["c"], {"size": 1_000_001})], big),
        "a swish of large maps": (
            [("Conv", ["x", "wide"], ["c"], {}), *swish],
            {"shape": ("n", 3, 64, 64), "last": "d"},
        ),
        "a ceil-mode pool in a fork": (
            [("MaxPool", ["x"], ["c"], {**pool, "ceil_mode": 1}), ("Mul", ["x", "c"], ["d"], {})],
            {**big, "last": "d"},
        ),
        "an average in a fork": (
            [("AveragePool", ["x"], ["c"], pool), ("Max", ["c", "c"], ["d"], {})],
            {**big, "last": "d"},
        ),
        "a maximum of all pairs": (
            [
                ("Unsqueeze", ["x", "first"], ["c"], {}),
                ("Transpose", ["c"], ["e"], {"perm": [1, 2, 0, 3, 4]}),
                ("ReduceMax", ["e"], ["d"], {"axes": [2]}),
            ],
            {**big, "last": "d"},
        ),
        "an Expand of the picture": ([("Expand", ["x", "to"], ["c"], {})], {}),
        "a Tile of the picture": ([("Tile", ["x", "to"], ["c"], {})], {}),
        "a Resize of the picture": ([("Resize", ["x", "", "scales"], ["c"], {})], {}),
        "a OneHot": ([("OneHot", ["first", "depth", "ends"], ["v"], {}), ("Mul", ["x", "v"], ["c"], {})], {}),
        "an erf of much": (
            [("Conv", ["x", "wide"], ["c"], {}), ("Erf", ["c"], ["e"], {}), ("Mul", ["c", "e"], ["d"], {})],
            {"shape": ("n", 3, 128, 128), "last": "d"},
        ),
        "a groups' shuffle of much": (
            [
                ("Conv", ["x", "wide"], ["c"], {}),
                ("Reshape", ["c", "split"], ["e"], {}),
                ("Transpose", ["e"], ["f"], {"perm": [0, 2, 1, 3, 4]}),
                ("Reshape", ["f", "back"], ["d"], {}),
            ],
            {"shape": ("n", 3, 64, 64), "last": "d"},
        ),
    }
    small |= {
        "to": np.array([1, 1 << 20, 1 << 10, 1 << 10]),
        "scales": np.array([1, 1, 1e6, 1e6], np.float32),
        "depth": np.array(1 << 40),
        "ends": np.array([0, 1], np.float32),
        "split": np.array([0, 64, 64, 64, 64]),
        "back": np.array([0, 4096, 64, 64]),
    }
    for name, (nodes, given) in cases.items():
        yield name, file_of(nodes, small, **given)


def never_used() -> Iterator[tuple[str, bytes]]:
    """The same beside the path, where nothing needs it."""
    idle: dict[str, Change] = {
        "a constant of 2^40": lambda m: m.graph.node.append(helper.make_node("ConstantOfShape", ["shape"], ["unused"])),
        "an endless range": lambda m: m.graph.node.append(
            helper.make_node("Range", ["zero", "limit", "step"], ["unused"])
        ),
    }
    held = {"shape": np.array([1 << 20, 1 << 20]), "limit": np.array(HUGE), "step": np.array(1)}
    for name, change in idle.items():
        model = model_of([CONV], held)
        change(model)
        yield f"{name}, unused", model.SerializeToString()
