"""When padding before a maximum changes nothing."""

from __future__ import annotations

from nin_spec.ir import ops

NON_NEGATIVE = (ops.ReLU, ops.Sigmoid, ops.Softmax)
"""After these, zeros never win a maximum that sees one cell of the input."""

LOWEST = -1e30
"""Padding below this never wins one."""
