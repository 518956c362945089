"""Folders of small pictures, a folder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from nin_spec.data import Frame, open_split


def digit_folder(path: Path, **classes: int) -> Path:
    """The digits `classes` under other names, at most 30 pictures of each to train on and 20 to test."""
    for name, count in (("train", 30), ("test", 20)):
        split = open_split("digits", "train" if name == "train" else "test")
        for label, digit in classes.items():
            folder = path / name / label
            folder.mkdir(parents=True)
            chosen = np.flatnonzero(split.labels == digit)[:count]
            for k, picture in enumerate(split.pictures(chosen, Frame(1, 8, 8))):
                Image.fromarray(picture[..., 0]).save(folder / f"{k:02}.png")
    return path
