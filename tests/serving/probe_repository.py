"""The models that the real Triton and our servers are asked about: small ones, the same bytes each time.

python tests/serving/probe_repository.py FOLDER      writes them as a Triton repository
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nin_spec
from nin_spec.exporter import Artifact, write
from nin_spec.model import Model

PROBE = """\
spec: 1
name: probe
input: {channels: 1, size: 4}
classes: [cat, dog, fox]
blocks:
  - {channels: [4, classes], kernel: 3, padding: 1}
"""

NARROW = """\
spec: 1
name: narrow
input: {channels: 3, size: 64}
classes: 4
blocks:
  - {channels: [256, 256, 256, classes], kernel: 5, padding: 2}
"""

OPTIONS: dict[str, dict[str, Any]] = {"probe": {"max_batch": 8}, "narrow": {"max_batch": 1, "queue": 1}}


def models() -> list[Model]:
    """Both models, with the weights of seed 0."""
    return [nin_spec.compile(nin_spec.loads(text)).initialise() for text in (PROBE, NARROW)]


def repository() -> Artifact:
    """Both as one repository for Triton."""
    from nin_spec.exporter import make

    made = [make(model, "triton", {**OPTIONS[model.graph.name], "threads": 1}) for model in models()]
    return Artifact({name: data for artifact in made for name, data in artifact.files.items()})


if __name__ == "__main__":
    write(repository(), Path(sys.argv[1]))
