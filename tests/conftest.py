"""What holds for every test: nothing is reported to anyone."""

from __future__ import annotations

import os

from nin_spec.children import TELEMETRY

# Tests import onnxruntime themselves, before anything of ours does.
os.environ.update([TELEMETRY])
