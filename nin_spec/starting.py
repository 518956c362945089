"""A first spec for a folder of pictures: channels, size, classes and preprocessing read from it, a network that fits.

The network is of mlpconv blocks with batch normalisation, as nin_cifar_bn. A pool halves the maps after each block but
the last, until they have at most 8 rows and the receptive field covers a picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nin_spec.language.emit import flow

LARGEST = 128
"""Pictures with a longer side are resized: the cost of a network grows with their area."""
_SQUARES = (32, 64, 96, LARGEST)
_SAMPLE = 256
"""Pictures that are looked at, spread evenly over the training split."""
_WIDTHS = (32, 64, 96, 128, 160)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a folder of pictures holds: the size is that of the network's input, `own` that of all pictures or None.

    Mean and standard deviation are of the training split's pixels in [0, 1], one value per channel.
    """

    folder: Path
    classes: tuple[str, ...]
    pictures: int
    channels: int
    size: tuple[int, int]
    own: tuple[int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]


def look_at(folder: Path) -> Seen:
    """Read names, headers and a sample of the pictures. Raises DataError for what `nin-spec data check` refuses."""
    import numpy as np

    from nin_spec.data.faults import missing
    from nin_spec.data.folder import look_over
    from nin_spec.diagnostics import DataError
    from nin_spec.pictures import Frame, is_gray, read_header

    if not folder.is_dir():
        why = "is not a folder" if folder.exists() else "does not exist"
        raise missing(f"{folder} {why}", "pass a folder with pictures in CLASS/")
    split, faults = look_over(folder.name, "train", folder)
    chosen = np.unique(np.linspace(0, max(0, len(split) - 1), min(_SAMPLE, len(split))).astype(np.int64))
    if faults := [*faults, *split.headers(chosen)]:
        raise DataError(faults)
    paths = [Path(split.root, split.files[k]) for k in chosen]
    sizes = {read_header(path)[::-1] for path in paths}
    channels = 1 if all(map(is_gray, paths)) else 3
    size, own = _size(sizes)
    pixels = split.pictures(chosen, Frame(channels, *size, "stretch" if own == size else "crop")) / 255
    mean, std = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2)).clip(0.01)
    return Seen(folder, split.classes, len(split), channels, size, own, _rounded(mean), _rounded(std))


def _rounded(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)


def _size(sizes: set[tuple[int, int]]) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """The input's height and width, and those of the pictures if they are all alike."""
    own = next(iter(sizes)) if len(sizes) == 1 else None
    if own is not None and max(own) <= LARGEST:
        return own, own
    shorter = sorted(min(size) for size in sizes)[len(sizes) // 2]
    side = max((square for square in _SQUARES if square <= shorter), default=_SQUARES[0])
    return (side, side), own


def name_of(folder: Path) -> str:
    """A name of the language, nearest to the folder's, that is not the name of a known data set."""
    from nin_spec.data.catalog import CATALOG

    name = re.sub(r"[^A-Za-z0-9_-]+", "_", folder.name).strip("_-")[:60]
    name = name if re.match("[A-Za-z]", name) else f"my_{name}".rstrip("_")
    return f"my_{name}" if name in CATALOG else name


def spec_of(seen: Seen, name: str) -> str:
    """The text of the spec."""
    return "\n".join([*_head(seen, name), "", "blocks:", *_blocks(seen), "", *_end(seen, name)]) + "\n"


def _head(seen: Seen, name: str) -> list[str]:
    found = f"{seen.pictures:,} pictures of {len(seen.classes)} classes to train on"
    own = "of several sizes" if seen.own is None else f"of {seen.own[0]}x{seen.own[1]} pixels"
    size = seen.size[0] if seen.size[0] == seen.size[1] else list(seen.size)
    same = "" if seen.own == seen.size else f"{'':<4}# the pictures are {own}: each is scaled, and its centre is cut"
    statistics = {"mean": _values(seen.mean), "std": _values(seen.std)}
    resize = {} if seen.own == seen.size else {"resize": "crop"}
    return [
        f"# Network in Network for the pictures in {_printable(seen.folder.name)}: {found}.",
        "# Written by nin-spec init. `nin-spec guide language` explains each key; a change shows in `nin-spec build`.",
        "spec: 1",
        f"name: {name}",
        "",
        "input:",
        f"  channels: {seen.channels}{'':<6}# {'gray' if seen.channels == 1 else 'red, green, blue'}",
        f"  size: {flow(size)}{same}",
        "  # Of the training pictures, in [0, 1]: each value has its mean subtracted, and is divided by std.",
        f"  preprocess: {flow({**resize, **statistics})}",
        "",
        "# The names of the folders, in their order.",
        f"classes: {flow(list(seen.classes))}",
        "",
        "defaults:",
        "  norm: batch",
        "  bias: false        # the norm has an offset of its own",
        "  init: kaiming_normal",
    ]


def _values(values: tuple[float, ...]) -> float | list[float]:
    return values[0] if len(values) == 1 else list(values)


def _printable(text: str) -> str:
    from nin_spec.diagnostics import printable

    return printable(text)


def _blocks(seen: Seen) -> list[str]:
    """Blocks with a pool each, while maps are large or the field is small; the last gives a map per class."""
    rows, field, jump, lines = max(seen.size), 1, 1, list[str]()
    for number in range(1, 20):
        width = _WIDTHS[min(number, len(_WIDTHS)) - 1]
        field += 4 * jump
        if rows <= 8 and field >= max(seen.size):
            dropout = ["    dropout: 0.2", ""] if lines else []
            return [*lines[:-1], *dropout, *_last(number, width)]
        after = -(-rows // 2)
        lines += [
            f"  - name: mlpconv{number}",
            f"    channels: [{width}, {width}, {width}]      # a 5x5 convolution, then two 1x1",
            "    kernel: 5",
            "    padding: 2",
            f"    pool: {{kind: max, kernel: 3, stride: 2, ceil_mode: true}}    # {rows} -> {after}",
            "",
        ]
        field, jump, rows = field + 2 * jump, 2 * jump, after
    raise AssertionError("a picture of at most LARGEST pixels has at most 5 blocks")


def _last(number: int, width: int) -> list[str]:
    return [
        f"  - name: mlpconv{number}",
        "    kernel: 5",
        "    padding: 2",
        "    # One map per class, whose mean is its score: without norm or activation, it may be negative.",
        f"    convs: [{width}, {width}, {{channels: classes, norm: none, activation: none, bias: true}}]",
    ]


def _end(seen: Seen, name: str) -> list[str]:
    where = "the folder beside this file" if name == seen.folder.name else "pass its folder with --data"
    return [
        "head:",
        "  pool: global_avg",
        "",
        "train:",
        f"  dataset: {name}{'':<4}# {where}",
        f"  batch_size: {min(64, max(1, seen.pictures // 4))}",
        "  epochs: 30",
        "  validation: 0.1     # of the training pictures, by class; the best epoch is chosen on them",
        "  optimizer: {kind: adamw, lr: 0.002, weight_decay: 0.02}",
        "  schedule: one_cycle",
        "  label_smoothing: 0.1",
        "  augment: {flip: true, pad_and_crop: 2}    # remove flip where a mirrored picture means something else",
    ]
