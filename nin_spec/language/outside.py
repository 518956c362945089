"""What the language leaves out on purpose, with the reason that the message gives."""

from __future__ import annotations

_CHAIN = "a network is a chain: the input of each layer is the output of the one before"
_REAL = "weights and activations are real numbers, never binarised"
_OWN = "layers can't share weights"

REASONS = {
    **dict.fromkeys(("add", "branch", "branches", "concat", "parallel", "residual", "shortcut", "skip"), _CHAIN),
    **dict.fromkeys(("auxiliary", "exits", "side_outputs"), _CHAIN),
    **dict.fromkeys(("binarize", "binary", "sign", "ternary", "xnor"), _REAL),
    **dict.fromkeys(("recurrent", "share", "shared", "tie", "tied"), _OWN),
}
HINT = "`nin-spec schema --format markdown` lists what a spec can contain"


def reason(word: str) -> str | None:
    """Why a key or kind is left out on purpose, else None."""
    return f"{word!r} is outside the language: {REASONS[word]}" if word in REASONS else None
