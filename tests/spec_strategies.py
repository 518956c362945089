"""Hypothesis strategies over the whole grammar: specs that are valid by construction, in many spellings."""

from __future__ import annotations

import json
from typing import Any, get_args

from hypothesis import strategies as st

from nin_spec.ir.types import window_count
from nin_spec.language.parts import PlainActivation

Data = dict[str, Any]
Size = tuple[int, int]

PLAIN = [*get_args(PlainActivation.model_fields["kind"].annotation)]
STEPS = ["shuffle", "conv", "norm", "activation", "dropout"]

labels = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
names = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,12}", fullmatch=True)
small = st.floats(1e-6, 0.9, allow_subnormal=False)


def to_text(data: Data) -> str:
    """A spec as text. JSON is YAML, and no emitter of ours has a hand in it."""
    return json.dumps(data, ensure_ascii=False, indent=1)


def maybe(data: Data, **choices: st.SearchStrategy[Any]) -> st.SearchStrategy[Data]:
    """`data` with some of the choices."""
    return st.fixed_dictionaries({k: st.just(v) for k, v in data.items()}, optional=choices)


def kinds(*words: str) -> st.SearchStrategy[Any]:
    """A bare word, or its mapping."""
    return st.sampled_from([*words, *({"kind": w} for w in words)])


activations: st.SearchStrategy[Any] = st.one_of(
    kinds(*PLAIN),
    kinds("leaky_relu", "prelu", "elu", "gelu"),
    maybe({"kind": "leaky_relu"}, slope=small),
    maybe({"kind": "prelu"}, per_channel=st.booleans(), init=small),
    maybe({"kind": "elu"}, alpha=small),
    maybe({"kind": "gelu"}, approximate=st.sampled_from(["none", "tanh"])),
)
batch_norms: st.SearchStrategy[Any] = st.one_of(
    kinds("none", "batch"),
    maybe({"kind": "batch"}, eps=small, momentum=small, affine=st.sampled_from([True, False, "shift"])),
)
norms: st.SearchStrategy[Any] = st.one_of(
    batch_norms,
    kinds("lrn"),
    maybe({"kind": "lrn"}, size=st.sampled_from([1, 3, 5]), alpha=small, beta=small, k=small),
)
inits: st.SearchStrategy[Any] = st.one_of(
    kinds("framework", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"),
    maybe({"kind": "kaiming_normal"}, mode=st.sampled_from(["fan_in", "fan_out"]), bias=small, bias_std=small),
    maybe({"kind": "gaussian", "std": 0.05}, scale=small),
)
dropouts: st.SearchStrategy[Any] = st.one_of(
    small, maybe({"p": 0.5}, by=st.sampled_from(["element", "channel"])), st.just(0)
)
orders = st.permutations(STEPS).map(list)
shared = {"bias": st.booleans(), "norm": norms, "activation": activations, "order": orders, "init": inits}


def pairs(low: int, high: int) -> st.SearchStrategy[Any]:
    """One number, or [vertical, horizontal]."""
    one = st.integers(low, high)
    return st.one_of(one, st.tuples(one, one).map(list))


def paddings(high: int) -> st.SearchStrategy[Any]:
    """Every spelling of a padding up to `high` a side."""
    one = st.integers(0, high)
    sides = st.fixed_dictionaries({}, optional=dict.fromkeys(("top", "bottom", "left", "right"), one))
    return st.one_of(pairs(0, high), sides, st.just("same"))


def both(pair: Any) -> Size:
    """A pair written out."""
    return (pair, pair) if isinstance(pair, int) else (pair[0], pair[1])


def padded(size: Size, padding: Any, kernel: Size, stride: Size) -> tuple[Size, Size]:
    """(before, after) on each axis."""
    if padding == "same":
        needed = [max(0, (-(-n // s) - 1) * s + k - n) for n, k, s in zip(size, kernel, stride, strict=True)]
        return (needed[0] // 2, needed[0] - needed[0] // 2), (needed[1] // 2, needed[1] - needed[1] // 2)
    if isinstance(padding, dict):
        top, bottom, left, right = (padding.get(k, 0) for k in ("top", "bottom", "left", "right"))
        return (top, bottom), (left, right)
    v, h = both(padding)
    return (v, v), (h, h)


def fits(size: Size, kernel: Size, stride: Size, sides: tuple[Size, Size], *, ceil_mode: bool = False) -> Size:
    """The size behind a window; zeros where it does not fit."""
    height, width = (
        window_count(n, k, s, *p, ceil_mode=ceil_mode) for n, k, s, p in zip(size, kernel, stride, sides, strict=True)
    )
    return height, width


@st.composite
def windows(draw: st.DrawFn, size: Size) -> tuple[Data, Size]:
    """kernel, stride, padding and dilation of a convolution, and the size behind it."""
    kernel, stride, dilation = draw(pairs(1, 5)), draw(pairs(1, 3)), draw(pairs(1, 2))
    (kh, kw), (dh, dw) = both(kernel), both(dilation)
    extent = ((kh - 1) * dh + 1, (kw - 1) * dw + 1)
    padding = draw(paddings(3))
    after = fits(size, extent, both(stride), padded(size, padding, extent, both(stride)))
    if min(after) < 1:
        return {"kernel": 1}, size
    given_: Data = {"kernel": kernel}
    optional = {"stride": (stride, 1), "padding": (padding, 0), "dilation": (dilation, 1)}
    given_ |= {k: v for k, (v, default) in optional.items() if v != default or draw(st.booleans())}
    return given_, after


@st.composite
def pools(draw: st.DrawFn, size: Size) -> tuple[Any, Size]:
    """A pool, or none, and the size behind it."""
    kernel = draw(pairs(1, 3))
    stride = draw(st.none() | pairs(1, 3))
    padding = draw(paddings(min(both(kernel)) - 1))
    ceil_mode = draw(st.booleans())
    step = both(kernel if stride is None else stride)
    sides = padded(size, padding, both(kernel), step)
    too_wide = any(max(p) >= k for p, k in zip(sides, both(kernel), strict=True))
    after = fits(size, both(kernel), step, sides, ceil_mode=ceil_mode)
    if min(after) < 1 or too_wide:
        return draw(kinds("none")), size
    pool: Data = {"kind": draw(st.sampled_from(["max", "avg"])), "kernel": kernel}
    pool |= {"stride": stride} if stride is not None else {}
    pool |= {"padding": padding} if padding != 0 or draw(st.booleans()) else {}
    pool |= {"ceil_mode": ceil_mode} if ceil_mode or draw(st.booleans()) else {}
    if pool["kind"] == "avg" and ("padding" in pool or draw(st.booleans())):
        pool["count_include_pad"] = draw(st.booleans())
    return pool, after


@st.composite
def convolutions(draw: st.DrawFn, before: int, *, first: bool, size: Size, last: bool) -> tuple[Any, int, Size]:
    """An item of `convs`, its channels, and the size behind it."""
    groups = draw(st.sampled_from([g for g in (1, 1, 2, 3) if before % g == 0]))
    width = groups * draw(st.integers(1, 4))
    channels: Any = "classes" if last else width
    if not first and draw(st.booleans()):
        return channels, width, size
    window, after = draw(windows(size)) if first or draw(st.booleans()) else ({}, size)
    conv: Data = {"channels": channels, **window}
    if groups > 1 and not last:
        conv["groups"] = groups
    conv |= draw(st.fixed_dictionaries({}, optional={**shared, "dropout": dropouts}))
    if not last and width % 2 == 0 and draw(st.integers(0, 3)) == 0:
        conv |= {"activation": {"kind": "maxout", "pieces": 2}, "order": STEPS}
        width //= 2
    return conv, width, after


@st.composite
def blocks(draw: st.DrawFn, before: int, size: Size, *, last: bool) -> tuple[Data, int, Size]:
    """A block, its channels, and the size behind it."""
    block: Data = {}
    channels, width = before, before
    form = draw(st.sampled_from(["channels", "convs", "convs", "bare"])) if not last else "convs"
    if form == "channels":
        window, size = draw(windows(size))
        widths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
        width = widths[-1]
        block |= {"channels": widths, **window, **draw(st.fixed_dictionaries({}, optional=shared))}
    elif form == "convs":
        count = draw(st.integers(1, 3))
        block["convs"] = []
        for j in range(count):
            final = last and j == count - 1
            conv, channels, size = draw(convolutions(channels, first=j == 0, size=size, last=final))
            block["convs"].append(conv)
        width = channels
    else:
        block |= draw(st.fixed_dictionaries({"activation": activations, "dropout": dropouts}, optional={"norm": norms}))
        if width % 2 == 0 and draw(st.booleans()):
            block["shuffle"] = 2
    pool, size = draw(pools(size))
    block |= {"pool": pool} if pool != "none" or draw(st.booleans()) else {}
    if form != "bare" and draw(st.booleans()):
        block["dropout"] = draw(dropouts)
    return block, width, size


recipes = st.fixed_dictionaries(
    {
        "dataset": names,
        "epochs": st.integers(1, 300),
        "optimizer": st.one_of(
            kinds("adam", "adamw"),
            maybe({"kind": "sgd", "lr": 0.1}, momentum=small, weight_decay=small),
            maybe({"kind": "sgd", "lr": 0.1, "momentum": 0.9}, nesterov=st.booleans(), weight_decay=small),
        ),
    },
    optional={
        "schedule": st.one_of(
            kinds("constant", "cosine", "one_cycle"), maybe({"kind": "step", "milestones": [1, 2.5]}, gamma=small)
        ),
        "lr_multipliers": st.dictionaries(st.sampled_from(["*.bias", "kind*", "blocks.0.*", "no*"]), small),
        "no_decay": st.lists(st.sampled_from(["*.bias", "*"]), max_size=2),
        "seed": st.integers(0, 2**63 - 1),
        "augment": st.fixed_dictionaries(
            {}, optional={"flip": st.booleans(), "crop": st.booleans(), "pad_and_crop": st.integers(0, 8)}
        ),
    },
)


@st.composite
def heads(draw: st.DrawFn, size: Size, *, classes_last: bool) -> Data:
    """A head that ends in one score a class."""
    pool: Any = draw(st.sampled_from(["global_avg", "global_max"]))
    if draw(st.booleans()):
        pool = {"kind": draw(st.sampled_from(["avg", "max"])), "kernel": list(size)}
    elif not classes_last and draw(st.booleans()):
        pool = "none"
    head: Data = {"pool": pool} if pool != "global_avg" or draw(st.booleans()) else {}
    dense_shared = {"bias": st.booleans(), "norm": batch_norms, "activation": activations, "dropout": dropouts}
    if not classes_last:
        hidden = draw(st.lists(st.one_of(st.integers(1, 9), maybe({"units": 5}, **dense_shared)), max_size=2))
        head["dense"] = [*hidden, draw(st.one_of(st.just("classes"), maybe({"units": "classes"}, **dense_shared)))]
    optional = {
        "dropout": dropouts,
        "norm": batch_norms,
        "activation": activations,
        "output": st.sampled_from(["scores", "softmax", "log_softmax"]),
    }
    return head | draw(st.fixed_dictionaries({}, optional=optional))


@st.composite
def inputs(draw: st.DrawFn) -> tuple[Data, int, Size]:
    """`input`, its channels and its size."""
    channels, size = draw(st.integers(1, 5)), draw(pairs(8, 24))
    number: st.SearchStrategy[Any] = st.one_of(small, st.sampled_from(["1/255", "1/2"]))
    numbers = st.one_of(number, st.lists(number, min_size=channels, max_size=channels))
    optional: dict[str, st.SearchStrategy[Any]] = {
        "scale": number,
        "mean": numbers,
        "std": numbers,
        "layout": st.sampled_from(["HWC", "CHW"]),
        "dtype": st.sampled_from(["uint8", "float32"]),
        "resize": st.one_of(
            kinds("stretch", "crop"),
            st.just({"kind": "crop", "shorter": 32}),
            pairs(24, 40).map(lambda size: {"kind": "stretch", "size": size}),
        ),
    }
    if channels == 3:
        optional["color"] = st.sampled_from(["rgb", "bgr"])
    contract = st.fixed_dictionaries({}, optional=optional)
    data = draw(maybe({"channels": channels, "size": size}, preprocess=contract))
    return data, channels, both(size)


@st.composite
def specs(draw: st.DrawFn) -> Data:
    """A valid spec as plain data."""
    given_input, width, size = draw(inputs())
    classes: Any = draw(st.one_of(st.integers(1, 12), st.lists(labels, min_size=1, max_size=5, unique=True)))
    classes_last = draw(st.booleans())
    chain: list[Data] = []
    count = draw(st.integers(1, 4))
    for i in range(count):
        block, width, size = draw(blocks(width, size, last=classes_last and i == count - 1))
        chain.append(block)
    for i, name in enumerate(draw(st.lists(names, max_size=len(chain), unique=True))):
        chain[i]["name"] = name
    data: Data = {
        "spec": 1,
        "name": draw(names),
        "input": given_input,
        "classes": classes,
        "blocks": chain,
        "head": draw(heads(size, classes_last=classes_last)),
    }
    optional = {
        "summary": labels,
        "dtype": st.sampled_from(["float32", "float64"]),
        "defaults": st.fixed_dictionaries({}, optional=shared),
        "train": recipes,
    }
    return data | draw(st.fixed_dictionaries({}, optional=optional))
