"""The rules in the order of their codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nin_spec.diagnostics import Code
from nin_spec.lint import layers, recipe, scores, start, windows
from nin_spec.lint.finding import Finding, Subject

RULES: dict[Code, Callable[[Subject], Iterator[Finding]]] = {
    Code.SCORE_ACTIVATION: scores.score_activation,
    Code.PADDED_POINTS: windows.padded_points,
    Code.STRIDE_SKIPS: windows.stride_skips,
    Code.POOL_DROPS: windows.pool_drops,
    Code.SCORE_DROPOUT: scores.score_dropout,
    Code.SINGLE_CELL: scores.single_cell,
    Code.SMALL_FIELD: scores.small_field,
    Code.USELESS_BIAS: layers.useless_bias,
    Code.TWO_SOFTMAXES: scores.two_softmaxes,
    Code.ODD_CHANNELS: layers.odd_channels,
    Code.DEAD_START: start.dead_start,
    Code.IDLE_ENTRY: recipe.idle_entries,
    Code.TWO_SCALES: recipe.two_scales,
    Code.CROSS_PURPOSES: recipe.cross_purposes,
}
"""The rule of each code."""

ABOUT_COMMENTS = (Code.UNUSED_IGNORE, Code.UNKNOWN_IGNORE)
"""Findings about suppression comments."""

CODES = tuple(c.code for c in (*RULES, *ABOUT_COMMENTS))
"""Codes that can be selected on the command line."""
