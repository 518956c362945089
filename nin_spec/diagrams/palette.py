"""The colours of a diagram, by family of layers: light, which is for print too, and dark.

Okabe and Ito's hues; each family also differs from its neighbours in lightness.
"""

from __future__ import annotations

LIGHT = {
    "ground": "#ffffff",
    "card": "#f4f6f9",
    "ink": "#1c2430",
    "soft": "#5b6675",
    "line": "#d5dbe4",
    "input": "#8d99a8",
    "conv": "#0067b0",
    "mix": "#58aee6",
    "pool": "#e08a00",
    "dense": "#3b3f8f",
    "flat": "#8d99a8",
    "norm": "#a44a86",
    "activation": "#00815f",
    "dropout": "#6b7480",
    "shuffle": "#8a6d1d",
    "output": "#b3403a",
}
DARK = {
    "ground": "#11161d",
    "card": "#1a212b",
    "ink": "#e3e8ef",
    "soft": "#9aa6b5",
    "line": "#36404d",
    "input": "#76828f",
    "conv": "#3d94db",
    "mix": "#8fcbf2",
    "pool": "#f0ab3c",
    "dense": "#9498f2",
    "flat": "#76828f",
    "norm": "#dd8cc1",
    "activation": "#3fc79d",
    "dropout": "#9aa6b5",
    "shuffle": "#d3b45a",
    "output": "#f08a82",
}


def colours(*, dark: bool) -> str:
    """The declarations of a diagram's colours, for a page with its own light and dark modes."""
    return "".join(f"--{name}:{colour};" for name, colour in (DARK if dark else LIGHT).items())
