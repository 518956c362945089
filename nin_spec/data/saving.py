"""Write pictures of a data set as separate files, to view and to classify."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from nin_spec.data.arrays import ArraySplit
from nin_spec.data.faults import missing
from nin_spec.data.split import Indices, Split
from nin_spec.data.views import View
from nin_spec.diagnostics import Code, ExportError
from nin_spec.files import write_atomic
from nin_spec.pictures import Pixels


def save_pictures(split: Split, indices: Indices, folder: Path, *, replace: bool = False) -> list[Path]:
    """Write the pictures at these indices as `SPLIT-INDEX-CLASS.png` into an existing `folder`.

    They keep their size. A different file of that name is replaced only with `replace`. Raises DataError if the data
    set is a folder of pictures already, ExportError if writing fails, or would overwrite a different file.
    """
    made: dict[Path, bytes] = {}
    width = len(str(max(len(split) - 1, 0)))
    for number, pixels in zip(indices, raw_pictures(split, indices), strict=True):
        label = re.sub(r"[^\w.-]+", "-", split.classes[split.labels[number]])
        data = io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[-1:] == (1,) else pixels).save(data, "PNG")
        made[folder / f"{split.name}-{number:0{width}}-{label}.png"] = data.getvalue()
    for path, content in made.items():
        if not replace and path.is_file() and path.read_bytes() != content:
            hint = "pass another folder, or --force"
            raise ExportError(Code.EXPORT_PATH, f"{path} exists with different content", hint=hint)
    for path, content in made.items():
        write_atomic(path, content)
    return list(made)


def raw_pictures(split: Split, indices: Indices) -> Pixels:
    """The pictures as stored: (n, H, W) gray, or (n, H, W, 1 or 3)."""
    while isinstance(split, View):
        indices = split.chosen[indices]
        split = split.base
    if not isinstance(split, ArraySplit):
        raise missing(f"{split.where} is a folder of pictures already", "pass its files to nin-spec run")
    return np.asarray(split.read(indices))
