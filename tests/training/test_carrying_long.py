"""What carried weights are worth: few pictures of new classes, beside a training from nothing with the same steps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nin_spec
from nin_spec.data import Frame, Split, open_split
from nin_spec.network import Network
from nin_spec.training.begin import train
from nin_spec.training.settings import TrainSettings

pytestmark = pytest.mark.long
FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts it."""
NEW = 6
"""Shirts: the class that the first network never sees, and the hardest to tell from the others."""
RENAMED = {"tee": 0, "jumper": 2, "jacket": 4}
KNOWN = [k for k in range(10) if k != NEW]
SETTINGS = TrainSettings(threads=1)


def save(path: Path, classes: list[int], per_class: tuple[int, int], seed: int) -> Path:
    """So many training and test pictures of some classes, which are 0, 1, ... in the file."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for name, count in zip(("train", "test"), per_class, strict=True):
        split: Split = open_split("fashion_mnist", "train" if name == "train" else "test", FASHION)
        chosen = [rng.permutation(np.flatnonzero(split.labels == label))[:count] for label in classes]
        arrays[f"x_{name}"] = split.pictures(np.concatenate(chosen), Frame(1, 28, 28))[..., 0]
        arrays[f"y_{name}"] = np.repeat(np.arange(len(classes)), [len(c) for c in chosen])
    np.savez(path, **arrays)
    return path


def network(labels: list[str], *overrides: str) -> Network:
    """Fashion-MNIST's network for other classes."""
    return nin_spec.compile("nin_fashion_mnist", [f"classes={labels!r}", "train.dataset=mine", *overrides])


def test_fifty_pictures_of_each_class_and_carried_weights_beat_a_training_from_nothing(tmp_path: Path) -> None:
    """At least 8 points of accuracy on the four classes' 1,000 test pictures, in the mean of three draws."""
    if not FASHION.is_dir():
        pytest.skip("needs Debian's package dataset-fashion-mnist")
    labels = [nin_spec.compile("nin_fashion_mnist").card.labels[k] for k in KNOWN]
    data = save(tmp_path / "known.npz", KNOWN, (1000, 20), 0)
    source = train(network(labels, "train.epochs=3"), data=data, output=tmp_path / "known", settings=SETTINGS)
    gaps = []
    for seed in range(3):
        data = save(tmp_path / f"few{seed}.npz", [*RENAMED.values(), NEW], (50, 250), seed)
        recipe = ("train.epochs=4", "train.batch_size=20", "train.optimizer.lr=0.002", f"train.seed={seed}")
        few = [*RENAMED, "blouse"]
        given: dict[str, Any] = {"data": data, "settings": SETTINGS}
        fresh = train(network(few, *recipe), output=tmp_path / f"fresh{seed}", **given)
        frozen = network(few, *recipe, "train.freeze=[mlpconv1, mlpconv2]")
        given |= {"weights": source.path, "new_head": True}
        carried = train(frozen, output=tmp_path / f"carried{seed}", **given)
        assert fresh.record.final["step"] == carried.record.final["step"] == 40
        scores = {
            name: float(run.record.final["test_accuracy"]) for name, run in (("fresh", fresh), ("carried", carried))
        }
        sys.stdout.write(f"seed {seed}: " + ", ".join(f"{k} {v:.2%}" for k, v in scores.items()) + "\n")
        gaps.append(scores["carried"] - scores["fresh"])
    assert np.mean(gaps) >= 0.08
