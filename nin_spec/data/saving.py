"""Pictures of a data set as files of their own, to look at and to classify one by one."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from nin_spec.data.arrays import ArrayPart
from nin_spec.data.faults import missing
from nin_spec.data.part import Numbers, Part
from nin_spec.data.views import View
from nin_spec.diagnostics import Code, Diagnostic, ExportError
from nin_spec.files import write_atomic
from nin_spec.pictures import Pixels


def save_pictures(part: Part, indices: Numbers, folder: Path, *, replace: bool = False) -> list[Path]:
    """Write the pictures of these numbers, at their own size, as `PART-NUMBER-CLASS.png` into `folder`, which exists.

    A file of that name that holds something else is replaced with `replace` only. Raises DataError when the data
    set is a folder of pictures already, ExportError when nothing can be written, or what is there would be lost.
    """
    made: dict[Path, bytes] = {}
    width = len(str(max(len(part) - 1, 0)))
    for number, pixels in zip(indices, raw_pictures(part, indices), strict=True):
        label = re.sub(r"[^\w.-]+", "-", part.classes[part.labels[number]])
        data = io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[-1:] == (1,) else pixels).save(data, "PNG")
        made[folder / f"{part.part}-{number:0{width}}-{label}.png"] = data.getvalue()
    for path, content in made.items():
        if not replace and path.is_file() and path.read_bytes() != content:
            hint = "say another folder, or --force"
            raise ExportError(Diagnostic(Code.EXPORT_PATH, f"{path} exists, and holds something else", hint=hint))
    for path, content in made.items():
        write_atomic(path, content)
    return list(made)


def raw_pictures(part: Part, indices: Numbers) -> Pixels:
    """The bytes as they are stored: (n, H, W) gray, or (n, H, W, 1 or 3)."""
    while isinstance(part, View):
        indices = part.chosen[indices]
        part = part.base
    if not isinstance(part, ArrayPart):
        raise missing(f"{part.where} is a folder of pictures already", "name its files to nin-spec run")
    return np.asarray(part.read(indices))
