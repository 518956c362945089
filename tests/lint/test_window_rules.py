"""The rules about windows, against windows counted cell by cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lint_specs import SCORES, STEM, codes_of, network_of, spec_of, told

from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import Padding, ShapeError, TensorType
from nin_spec.lint.finding import Subject
from nin_spec.lint.windows import _sees_nothing, dropped

PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))
SIDES = st.tuples(*[st.integers(0, 4)] * 4)
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))


def seen(size: int, count: int, taps: list[int], step: int, before: int) -> list[set[int]]:
    """The cells of the input under each window of an axis."""
    return [{i * step - before + t for t in taps} & set(range(size)) for i in range(count)]


# ------------------------------------------------------------------ NIN902


def test_a_padded_point() -> None:
    """A 1x1 convolution with padding is reported at its padding."""
    block = "{convs: [64, {channels: 64, padding: 1}], kernel: 8, stride: 4}"
    assert told(spec_of(block, SCORES), "NIN902") == [
        (
            6,
            42,
            "1",
            "blocks.0.convs.1: a 1x1 convolution with padding 1 turns 7x7 into 9x9, and its border sees no input",
        )
    ]


@pytest.mark.parametrize(
    "block",
    [
        "{channels: [64], kernel: 3, padding: 2}",
        "{convs: [{channels: 64, kernel: 1, padding: 0}], kernel: 1}",
        "{channels: [64], kernel: 1, padding: same, stride: 2}",
        "{channels: [64], kernel: 2, dilation: 3, padding: 3}",
        "{channels: [64], kernel: [1, 3], padding: [0, 1]}",
    ],
)
def test_borders_that_see_something(block: str) -> None:
    """Padding below the kernel's reach, or none."""
    assert "NIN902" not in codes_of(spec_of(block, SCORES))


@pytest.mark.parametrize("padding", ["{bottom: 1}", "[0, 1]", "{left: 2}"])
def test_one_padded_side_is_enough(padding: str) -> None:
    """The side does not matter, nor how it is said."""
    block = f"{{convs: [64, {{channels: 64, padding: {padding}}}], kernel: 8, stride: 4}}"
    assert "NIN902" in codes_of(spec_of(block, SCORES))


@given(SIZES, PAIRS, PAIRS, SIDES)
def test_windows_without_input_are_those_counted(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], sides: tuple[int, int, int, int]
) -> None:
    """The rule fires just where some window of an axis has no cell of the input."""
    op = ops.Conv2d(4, kernel, stride, Padding(*sides))
    try:
        node = Graph("a", TensorType((3, *size))).then("a", op).nodes[0]
    except ShapeError:
        return
    axes = zip(size, node.output.shape[1:], kernel, stride, (sides[0], sides[2]), strict=True)
    empty = any(not cells for n, c, k, s, b in axes for cells in seen(n, c, list(range(k)), s, b))
    assert _sees_nothing(node, op) == empty


# ------------------------------------------------------------------ NIN903


def test_a_stride_that_skips() -> None:
    """Told at the stride, with the share of cells that nothing reads."""
    text = spec_of("{channels: [64], kernel: 5, padding: 2}", "{convs: [{channels: 64, stride: 2}], kernel: 1}", SCORES)
    assert told(text, "NIN903") == [
        (7, 37, "2", "blocks.1.convs.0: windows of 1x1 move by 2x2: 75% of the cells are never seen")
    ]
    pool = spec_of(STEM.replace("4}", "4, pool: {kind: max, kernel: 2, stride: 3}}"), SCORES)
    assert told(pool, "NIN903")[0][2:] == (
        "3",
        "blocks.0.pool: windows of 2x2 move by 3x3: 56% of the cells are never seen",
    )
    assert "NIN904" not in codes_of(pool)


@pytest.mark.parametrize(
    "block",
    [
        "{channels: [64], kernel: 4, stride: 4}",
        "{channels: [64], kernel: 2, dilation: 3, stride: 4}",
        "{channels: [64], kernel: 32, stride: 40}",
    ],
)
def test_strides_that_skip_nothing(block: str) -> None:
    """Windows that touch, windows stretched by dilation, and a single window, which never moves."""
    assert "NIN903" not in codes_of(spec_of(block, "{convs: [{channels: classes, activation: none}], kernel: 1}"))


# ------------------------------------------------------------------ NIN904


def pooled(pool: str, size: object = 8) -> str:
    """A spec whose first step is a pool of `size` cells."""
    return spec_of(f"{{pool: {pool}}}", "{convs: [{channels: classes, activation: none}], kernel: 1}", size=size)


@pytest.mark.parametrize(
    ("pool", "size", "what"),
    [
        ("{kind: max, kernel: 3, stride: 2}", 8, "the last row and the last column of 8x8"),
        ("{kind: avg, kernel: 5}", 8, "the last 3 rows and the last 3 columns of 8x8"),
        ("{kind: max, kernel: 2}", "[7, 8]", "the last row of 7x8"),
        ("{kind: max, kernel: 2}", "[8, 7]", "the last column of 8x7"),
        ("{kind: max, kernel: 3, stride: 3, padding: {top: 1}}", "[9, 9]", "the last row of 9x9"),
    ],
)
def test_what_a_pool_leaves_out(pool: str, size: object, what: str) -> None:
    """How many rows and columns, at the pool."""
    ((line, column, shown, message),) = told(pooled(pool, size), "NIN904")
    assert (line, column, shown) == (6, 12, "{")
    assert message == f"blocks.0.pool: the pool leaves out {what}"


def test_said_rounding_is_shown() -> None:
    """`ceil_mode: false` is where the caret stands."""
    assert told(pooled("{kind: max, kernel: 3, stride: 2, ceil_mode: false}"), "NIN904")[0][2] == "false"


@pytest.mark.parametrize(
    ("pool", "size"),
    [
        ("{kind: max, kernel: 3, stride: 2, ceil_mode: true}", 8),
        ("{kind: max, kernel: 3, stride: 2}", 9),
        ("{kind: max, kernel: 3, stride: 2, padding: 1}", 8),
        ("{kind: max, kernel: 3, stride: 2, padding: same}", 8),
        ("{kind: avg, kernel: 8}", 8),
        ("global_avg", 8),
    ],
)
def test_pools_that_reach_the_end(pool: str, size: int) -> None:
    """Rounded up, an exact fit, padded at the end, or of everything."""
    assert "NIN904" not in codes_of(pooled(pool, size))


@given(SIZES, PAIRS, PAIRS, SIDES, st.booleans())
def test_dropped_cells_are_those_counted(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    sides: tuple[int, int, int, int],
    up: bool,  # noqa: FBT001 hypothesis hands it over
) -> None:
    """Where windows leave no gaps, the cells that no window sees; in ceil mode there are none."""
    stride = (min(stride[0], kernel[0]), min(stride[1], kernel[1]))
    op = ops.MaxPool2d(kernel, stride, Padding(*sides), up)
    try:
        node = Graph("a", TensorType((3, *size))).then("a", op).nodes[0]
    except ShapeError:
        return
    axes = zip(size, node.output.shape[1:], kernel, stride, (sides[0], sides[2]), strict=True)
    missed = tuple(n - len(set().union(*seen(n, c, list(range(k)), s, b))) for n, c, k, s, b in axes)
    assert dropped(node, op) == missed
    assert not up or missed == (0, 0)


def test_every_pool_of_the_seed_is_found() -> None:
    """The AlexNet-stemmed network loses an edge three times: 54, 26 and 12 cells."""
    from nin_spec.lint import lint
    from nin_spec.network import compile as compile_network

    found = [d.message for d in lint(compile_network("seed_cifar10_at_224")) if d.code.code == "NIN904"]
    assert [m.rpartition(" of ")[2] for m in found] == ["54x54", "26x26", "12x12"]


def test_layers_are_seen_in_order() -> None:
    """Convolutions and pools that skip are reported in their order in the network."""
    text = spec_of(
        "{pool: {kind: max, kernel: 1, stride: 2}}", "{convs: [{channels: 64, stride: 2}], kernel: 1}", SCORES
    )
    messages = [m for *_, m in told(text, "NIN903")]
    assert [m.partition(":")[0] for m in messages] == ["blocks.0.pool", "blocks.1.convs.0"]
    assert len(list(Subject(network_of(text)).pools())) == 1
