"""What people ask for that the language leaves out on purpose, with the reason it gives them."""

from __future__ import annotations

_CHAIN = "a network is a chain, each layer takes what the layer before it gives"
_REAL = "weights and activations are real numbers, none are binarised"
_OWN = "each layer has weights of its own"

REASONS = {
    **dict.fromkeys(("add", "branch", "branches", "concat", "parallel", "residual", "shortcut", "skip"), _CHAIN),
    **dict.fromkeys(("auxiliary", "exits", "side_outputs"), _CHAIN),
    **dict.fromkeys(("binarize", "binary", "sign", "ternary", "xnor"), _REAL),
    **dict.fromkeys(("recurrent", "share", "shared", "tie", "tied"), _OWN),
}
HINT = "`nin-spec schema --format markdown` says what a spec can hold, and what not"


def reason(word: str) -> str | None:
    """Why there is no such key or kind, where it is left out on purpose."""
    return f"{word!r} is outside the language: {REASONS[word]}" if word in REASONS else None
