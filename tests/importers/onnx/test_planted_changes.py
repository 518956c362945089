"""One change after the export is never passed over: the file is refused, or comes back as what it now computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from examples import few
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from own_files import exported, network_of, options, texts, trained
from planted_rare import CHANGES

from nin_spec.diagnostics import NinSpecError
from nin_spec.importers.decompiler.decompile import Imported
from nin_spec.importers.onnx.importing import import_onnx
from nin_spec.importers.proof import exported as our_export
from nin_spec.importers.proof import runner
from nin_spec.network import Network

_APART = 1e-3


def outcome(network: Network, given_: dict[str, Any], planted: str, seed: int, folder: Path, *, own: bool) -> str:
    """`refused`, `changed`, or `none` where the file has no place for the change; anything else is asserted away."""
    data = exported(trained(network), {**given_, "opset": 17})
    assert data is not None
    proto = onnx.load_model_from_string(data)
    if not CHANGES[planted](proto, np.random.default_rng(seed)):
        return "none"
    if not own:
        del proto.metadata_props[:]
    path = folder / "planted.onnx"
    path.write_bytes(proto.SerializeToString())
    try:
        runner(path)
    except NinSpecError:
        return "none"  # onnxruntime refuses the file itself
    try:
        found, _ = import_onnx(path)
    except NinSpecError:
        return "refused"
    _computes_the_same(path, found, proto, seed)
    return "changed"


def _computes_the_same(path: Path, found: Imported, proto: onnx.ModelProto, seed: int) -> None:
    """On inputs up to 1,000, of other scales than those of the proof."""
    if [o.name for o in proto.graph.output] != ["scores"]:
        return
    theirs, ours = runner(path), runner(our_export(found.model))
    graph = found.network.graph
    batch = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    for x in _inputs(graph.input.shape, batch or 4, seed):
        wanted, got = (f(x).reshape(len(x), -1) for f in (theirs, ours))
        finite = np.isfinite(wanted).all(1)
        apart = np.abs(got - wanted)[finite].max(initial=0.0)
        # What the last bits of the input change in the original is not a change of the network.
        moved = np.abs(theirs(x * (1 + 2.0**-21)).reshape(len(x), -1) - wanted)[finite].max(initial=0.0)
        assert apart <= _APART * max(1.0, np.abs(wanted[finite]).max(initial=0.0)) + 8 * moved


def _inputs(shape: tuple[int, ...], batch: int, seed: int) -> Iterator[Any]:
    rng = np.random.default_rng(seed + 1)
    for scale in (0.1, 3.0, 50.0, 300.0):
        yield scale * rng.standard_normal((batch, *shape))
    for low, high in ((0, 255), (200, 1000), (-1000, -200)):
        yield rng.uniform(low, high, (batch, *shape))


plain = options.map(lambda o: {**o, "takes": "normalised", "outputs": ("scores",)})


@settings(few, phases=[Phase.generate])
@given(texts, plain, st.sampled_from(sorted(CHANGES)), st.integers(0, 999), st.booleans())
def test_a_planted_change_is_seen(  # noqa: PLR0917 what is drawn
    tmp_path: Path,
    text: str,
    given_: dict[str, Any],
    planted: str,
    seed: int,
    own: bool,  # noqa: FBT001
) -> None:
    """With our metadata and without. Of the networks, a third have no place for the change."""
    result = outcome(network_of(text), given_, planted, seed, tmp_path, own=own)
    event(f"{planted}: {result}")  # pytest --hypothesis-show-statistics


PLACES = """\
spec: 1
name: places
input: {channels: 3, size: 9}
classes: 4
blocks:
  - channels: [6]
    kernel: 3
    padding: 1
    norm: batch
    activation: leaky_relu
    pool: {kind: avg, kernel: 3, stride: 2, padding: 1, count_include_pad: true}
  - {channels: [classes], kernel: 3, padding: 1, norm: {kind: lrn, size: 3}}
"""


@pytest.mark.parametrize("planted", sorted(CHANGES))
def test_every_change_finds_a_place(planted: str, tmp_path: Path) -> None:
    """So that the tests above have something to see: a network of padded convolutions, norms and a pool takes all."""
    network = network_of(PLACES)
    given_ = {"without": ("fold_batch_norm", "explicit_pools"), "outputs": ("scores",)}
    found = {outcome(network, given_, planted, seed, tmp_path, own=seed % 2 == 0) for seed in range(3)}
    assert found & {"refused", "changed"}
