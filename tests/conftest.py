"""What holds for every test: nothing is reported to anyone, and nothing is coloured unasked."""

from __future__ import annotations

import os

from nin_spec.children import TELEMETRY

# Tests import onnxruntime themselves, before anything of ours does.
os.environ.update([TELEMETRY])

# As a continuous integration sets it for everything that runs there.
os.environ.pop("FORCE_COLOR", None)
