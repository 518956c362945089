"""Every case: each word and attribute of the language, alone and behind a convolution, of fixed and open sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any, Literal, get_args

from nin_spec.conformance.cases import CLOSING, OPEN, SIZES, STEM, Case, Data, case, words
from nin_spec.conformance.covering import Row, combined, covering
from nin_spec.conformance.grammar import spellings
from nin_spec.conformance.pools import pools
from nin_spec.ir import ops
from nin_spec.ir.types import Padding, Pair, ShapeError, TensorType
from nin_spec.language.shorthand import short_pair, short_sides
from nin_spec.words import DROPOUTS, OUTPUTS, WORDS, spelling_of

Depth = Literal["full", "core"]
"""`full` has every pair of values, in every position; `core` has every value, for kernels that share its windows."""
Cases = Iterator[Case]
_STRENGTH: dict[Depth, int] = {"full": 2, "core": 1}

POOLED: Data = {"pool": "global_avg"}
"""The block before features."""


def suite(precision: str = "float32") -> list[Case]:
    """The cases of a precision, each once: of float32 in full depth, of the others in core."""
    depth: Depth = "full" if precision == "float32" else "core"
    found = (replace(each, precision=precision) for make in _MAKERS for each in make(depth))
    if precision == "int8":  # nothing else is quantised
        found = (each for each in found if each.weighted)
    return list({each.id: each for each in found}.values())


# ------------------------------------------------------------------ activations, norms, dropout


def activations(depth: Depth) -> Cases:
    """Each activation behind a convolution, on features, and alone."""
    for value in spellings("activation"):
        row, step = f"activation {_kind(value)}", {"activation": value}
        yield case(row, f"{words(step)}; behind a convolution", [STEM | step, CLOSING])
        yield _on_features(row, step)
        if depth == "full":
            yield case(row, f"{words(step)}; alone", [step], channels=6)
            yield case(row, f"{words(step)}; alone", [step], channels=6, size=None)


def norms(depth: Depth) -> Cases:
    """Each norm alone, where it stays a node, and behind a convolution, where it may be folded into it."""
    for value in [*spellings("norm"), {"kind": "batch", "affine": False}]:
        row, step = f"norm {_kind(value)}", {"norm": _telling(value)}
        yield case(row, f"{words(step)}; before an activation", [{**step, "activation": "tanh"}], channels=6)
        yield case(row, f"{words(step)}; behind a convolution", [STEM | step, CLOSING])
        if depth == "full":
            yield case(row, f"{words(step)}; alone", [step], channels=8)
            yield case(row, f"{words(step)}; behind a convolution", [STEM | step, CLOSING], size=None)
        if row == "norm batch":
            yield _on_features(row, {**step, "activation": "tanh"})
            yield case(row, f"{words(step)}; on scores", [POOLED], channels=6, head=step)


def dropouts(_: Depth) -> Cases:
    """Dropout wherever it may stand: it changes nothing."""
    for by in DROPOUTS:
        dropout = {"p": 0.25, "by": by}
        row = f"dropout {by}"
        yield case(row, "at a convolution", [{"kernel": 3, "convs": [{"channels": 4, "dropout": dropout}]}])
        for before in (False, True):
            step = {"pool": {"kind": "max", "kernel": 2}, "dropout": {**dropout, "before_pool": before}}
            yield case(row, f"{words({'before_pool': before})}; behind a convolution", [STEM | step, CLOSING])
    for_elements = {"dropout": {"p": 0.25}}
    yield case("dropout element", "on features", [POOLED], channels=6, head=for_elements)
    yield _on_features("dropout element", for_elements)


def _on_features(row: str, step: Data) -> Case:
    head = {"dense": [{"units": 6, **step}, "classes"]}
    return case(row, f"{words(step)}; on features", [POOLED], channels=6, head=head)


def _kind(value: Any) -> str:
    return str(value["kind"] if isinstance(value, dict) else value)


def _telling(value: Any) -> Any:
    """A response norm with a larger alpha: the usual one changes too little to show."""
    given = value if isinstance(value, dict) else {"kind": value}
    return {"alpha": 0.375, **given} if _kind(value) == "lrn" else value


# ------------------------------------------------------------------ convolutions


_CONVOLUTIONS: dict[str, tuple[Any, ...]] = {
    "size": (*SIZES, None),
    "channels": ((3, 4, 1), (4, 8, 1), (9, 8, 1), (8, 6, 2), (6, 12, 3), (6, 6, 6), (4, 8, 4)),
    "kernel": ((1, 1), (3, 3), (3, 2), (1, 5), (2, 2)),
    "stride": ((1, 1), (2, 2), (2, 1), (3, 3)),
    "padding": ((0, 0, 0, 0), (1, 1, 1, 1), (1, 1, 0, 0), (0, 1, 0, 1), (2, 0, 1, 2), "same"),
    "dilation": ((1, 1), (2, 2), (2, 1)),
    "bias": (True, False),
    "shuffle": (None, 2),
}
"""What a convolution may be, by key; its channels are those of its input, its own, and its groups."""


def convolutions(depth: Depth) -> Cases:
    """Convolutions of every kernel, stride, padding, dilation and number of groups, each with each other."""
    rows = [row for row in combined(_CONVOLUTIONS) if _is_legal(row)]
    for row in _chosen(rows, depth):
        width, step = _convolution(row)
        blocks = [step] if depth == "full" else [step, CLOSING]
        yield case("conv", words(step), blocks, channels=width, size=row["size"])


def _convolution(row: Row) -> tuple[int, Data]:
    """The channels of its input, and the block."""
    before, after, groups = row["channels"]
    pairs = {key: short_pair(row[key]) for key in ("stride", "dilation") if row[key] != (1, 1)}
    padding = {} if row["padding"] == (0, 0, 0, 0) else {"padding": short_sides(row["padding"])}
    others = {"groups": groups} if groups != 1 else {}
    others |= {"bias": False} if not row["bias"] else {}
    others |= {"shuffle": row["shuffle"]} if row["shuffle"] else {}
    conv = {"channels": after, "activation": "none", **others}
    return before, {"kernel": short_pair(row["kernel"]), **pairs, **padding, "convs": [conv]}


def _chosen(rows: list[Row], depth: Depth) -> Iterator[Row]:
    """The rows of a covering design."""
    return (rows[k] for k in covering(rows, _STRENGTH[depth]))


def _is_legal(row: Row) -> bool:
    before, after, _ = row["channels"]
    if row["shuffle"] and before % row["shuffle"]:
        return False
    if row["padding"] == "same":
        return row["size"] is not None or row["stride"] == (1, 1)
    op = ops.Conv2d(after, row["kernel"], row["stride"], Padding(*row["padding"]), row["dilation"])
    return _fits(op, before, row["size"])


def _fits(op: ops.Op, channels: int, size: Pair | None) -> bool:
    try:
        op.infer(TensorType((channels, *(size or OPEN))))
    except ShapeError:
        return False
    return True


def orders(_: Depth) -> Cases:
    """Shuffles alone, and the steps around a convolution in other orders."""
    yield case("shuffle", "shuffle: 3; alone", [{"shuffle": 3}], channels=6)
    yield case("shuffle", "shuffle: 2; alone", [{"shuffle": 2}], channels=8, size=None)
    usual = ["shuffle", "conv", "norm", "activation", "dropout"]
    around = {"channels": 6, "shuffle": 2, "norm": "batch", "activation": "silu", "dropout": 0.25}
    for names in (usual, usual[::-1]):
        for k in range(len(names)):
            order = [*names[k:], *names[:k]]
            block = {"kernel": 3, "convs": [{**around, "order": order}]}
            yield case("order", words({"order": order}), [block, CLOSING], channels=4)


# ------------------------------------------------------------------ pools


def windows(depth: Depth) -> Cases:
    """Pools with windows, of every padding and rounding, alone and behind a convolution."""
    for op, size, behind in _windows(depth):
        value = spelling_of(op)
        step = {"pool": value}
        text = f"{words(step)}; {'behind a convolution' if behind else 'alone'}"
        yield case(f"pool {_kind(value)}", text, [STEM | step, CLOSING] if behind else [step], size=size)


def _windows(depth: Depth) -> Iterator[tuple[ops.Pool2d, Pair | None, bool]]:
    """Pools, the size of their network, and whether they stand behind a convolution.

    Every two values are in one of them, and so is every rounding with every kind of padding, counted and not, of a
    fixed and an open size.
    """
    where = product(pools(), (*SIZES, None), (False, True) if depth == "full" else (True,))
    legal = [(op, size, behind) for op, size, behind in where if _fits(op, 8, size)]
    values, forms = [], []
    for op, size, behind in legal:
        form = (type(op), op.ceil_mode, op.counts_padding)
        window = (op.kernel_size, op.stride)
        values.append({"form": form, "window": window, "padding": op.padding, "size": size, "behind": behind})
        forms.append({"form": (form, _sides(op), size is None, behind)})
    chosen = {*covering(values, _STRENGTH[depth]), *covering(forms, 1)}
    return (legal[k] for k in sorted(chosen))


def _sides(op: ops.Pool2d) -> str:
    """How a pool is padded."""
    return "none" if op.padding == Padding() else "all" if op.padding.symmetric else "uneven"


def whole_maps(_: Depth) -> Cases:
    """Pools of whole maps, and those that are only words."""
    windowed = _windowed()
    for value in spellings("pool"):
        row, step = f"pool {_kind(value)}", {"pool": value}
        if _kind(value) in windowed:
            yield case(row, f"{words(step)}; before the head", [CLOSING], size=(9, 8), head=step)
            continue
        for size in (*SIZES, None):
            yield case(row, f"{words(step)}; before the head", [STEM], size=size, head=step)
            yield case(row, f"{words(step)}; alone", [step], channels=5, size=size)


# ------------------------------------------------------------------ ops in a row


def rows(depth: Depth) -> Cases:
    """Every two ops in a row behind a convolution: optimisers fuse them, and may forget the first or the second."""
    if depth == "core":
        return
    steps: list[Data] = [{"activation": value} for value in _plainest("activation")]
    others: list[Data] = [{"norm": _telling(value)} for value in _plainest("norm")]
    windowed = {"kernel": 2, "stride": 1}
    others += [{"pool": {"kind": kind, **windowed}} for kind in _windowed()]
    others += [{"shuffle": 2}, {"channels": [8], "kernel": 1, "activation": "none"}]
    for first, second in product([*steps, *others], repeat=2):
        # Convolutions of one cell are products of matrices, and have kernels of their own.
        kernels = (1, 3) if first in steps and second in steps else (1,)
        for kernel in kernels:
            stem = {"channels": [8], "kernel": kernel, "activation": "none"}
            text = f"{words(first)}; then {words(second)}; behind a convolution of {kernel}"
            yield case("two in a row", text, [stem, first, second])


def _plainest(key: str) -> list[Any]:
    """Each kind under a key in its fewest keys."""
    return list({_kind(value): value for value in reversed(spellings(key))}.values())[::-1]


def _windowed() -> list[str]:
    """The words of the pools with windows."""
    return [kind for kind, word in WORDS["pool"].items() if word.op in get_args(ops.WindowPool)]


# ------------------------------------------------------------------ heads, and what a file may have beside the spec


def heads(_: Depth) -> Cases:
    """Dense layers, and the ends of a head."""
    for bias in (True, False):
        for units in ([6], [7, 6]):
            dense = [*({"units": n, "bias": bias} for n in units), {"units": "classes", "bias": bias}]
            yield case("dense", words({"dense": dense}), [POOLED], channels=6, head={"dense": dense})
    yield case("dense", "on maps", [CLOSING], head={"dense": ["classes"]})
    for value in ("relu", {"kind": "prelu", "per_channel": True}):
        step = {"activation": value}
        yield case(f"activation {_kind(value)}", f"{words(step)}; on scores", [POOLED], channels=6, head=step)
    for output in ("scores", *OUTPUTS):
        yield case("output", words({"output": output}), [POOLED], channels=6, head={"output": output})
        for size in ((5, 4), None):
            block = {"channels": [5], "kernel": 3}
            head = {"pool": "global_avg", "output": output}
            yield case("output", f"{words({'output': output})}; of class maps", [block], size=size, head=head)
            options = {"outputs": "scores,probabilities,top2"}
            text = f"{words({'output': output})}; --outputs {options['outputs']}"
            yield case("outputs of the file", text, [block], size=size, head=head, options=options)
    options = {"outputs": "scores,maps"}
    head = {"pool": "global_avg"}
    yield case("outputs of the file", "--outputs scores,maps", [STEM, CLOSING], head=head, options=options)


_PREPROCESSING: dict[str, tuple[Any, ...]] = {
    "layout": ("HWC", "CHW"),
    "dtype": ("uint8", "float32"),
    "color": ("rgb", "bgr", "gray"),
    "scale": ("1/255", 0.25),
    "mean": (0.0, 0.5, (0.25, 0.5, 0.75)),
    "std": (1.0, 0.25, (0.25, 0.5, 0.75)),
    "padding": (0, 1),
}


def pixels(depth: Depth) -> Cases:
    """Files that take raw pixels (`--takes pixels`): folded into a convolution, and before one that is padded."""
    rows = [row for row in combined(_PREPROCESSING) if row["color"] != "gray" or _gray(row)]
    for values in _chosen(rows, depth):
        contract = {key: list(v) if isinstance(v, tuple) else v for key, v in values.items() if key != "padding"}
        block = {"channels": [4], "kernel": 3, "padding": values["padding"]}
        options = {"takes": "pixels"}
        text = f"--takes pixels; {words({'preprocess': contract})}"
        channels = 1 if values["color"] == "gray" else 3
        yield case("pixels", text, [block, CLOSING], channels=channels, preprocess=contract, options=options)


def _gray(row: Row) -> bool:
    """Whether a row has one mean and one deviation, as for one channel."""
    return not any(isinstance(row[key], tuple) for key in ("mean", "std"))


_MAKERS: tuple[Callable[[Depth], Cases], ...] = (
    *(convolutions, orders, activations, norms, dropouts, windows, whole_maps, rows, heads, pixels),
)
