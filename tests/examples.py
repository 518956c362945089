"""How many examples Hypothesis draws: by the profile (conftest.py has them), and by what one example costs."""

from __future__ import annotations

from hypothesis import settings

_EXAMPLES = settings().max_examples

few = settings(max_examples=max(_EXAMPLES // 3, 1))
"""Of what takes a large part of a second: an ONNX file written and read."""
many = settings(max_examples=_EXAMPLES * 3)
"""Of what takes a millisecond: bytes read, a text parsed."""
