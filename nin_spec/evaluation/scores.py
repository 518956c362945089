"""The scores of every picture of a part, in torch or in onnxruntime.

Pictures are prepared as `nin-spec run` prepares them, the next batch in a thread while this one is
computed. One runtime goes over all of them before the other begins: their thread pools would fight.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nin_spec.data.ahead import read_ahead
from nin_spec.data.split import Split
from nin_spec.diagnostics import Code, DataError, InputError
from nin_spec.model import Preprocessing
from nin_spec.pictures import Pixels, frame_of, normalise, raw
from nin_spec.runtime.memory import ran_out, shortage
from nin_spec.runtime.patience import RUNNING, within
from nin_spec.runtime.session import Session, show

if TYPE_CHECKING:
    import torch

    from nin_spec.torch_module import NiNModule

Array = NDArray[np.floating[Any]]
Shape = tuple[int, int, int]
Progress = Callable[[int], None]
"""Told after each batch how many pictures it had."""

BATCH = 256


def module_scores(  # noqa: PLR0913, PLR0917 what it computes, on what, and how
    module: NiNModule,
    part: Split,
    contract: Preprocessing,
    shape: Shape,
    batch: int = BATCH,
    progress: Progress | None = None,
    *,
    pixels: bool = False,
) -> Array:
    """The module's scores (n, classes) on the device where it lies; it is left in the mode it was in.

    `shape` is the network's input (C, H, W); with `pixels` the module takes raw ones, channels first.
    Raises DataError or InputError for what doesn't fit or is not finite, DeviceError when the device has too
    little memory.
    """
    import torch

    sample = next(module.parameters(), torch.empty(0))
    dtype = np.float64 if sample.dtype == torch.float64 else np.float32
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode(), _exact(sample.device):
            coming = inputs(part, contract, shape, dtype, batch, replace(contract, layout="CHW") if pixels else None)
            made = (_forward(module, torch.from_numpy(x).to(sample.device, sample.dtype)) for x in coming)
            return _collect(made, part, "torch", progress)
    finally:
        module.train(was_training)


def session_scores(  # noqa: PLR0913, PLR0917 the same
    session: Session,
    part: Split,
    contract: Preprocessing,
    shape: Shape,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> Array:
    """The session's scores (n, classes). A batch that the model fixes is kept, the last one filled with zeros.

    Raises DataError or InputError for what doesn't fit or is not finite.
    """
    fixed = session.input_shape[0]
    raw_as = contract if session.takes_pixels else None
    coming = inputs(part, contract, shape, session.dtype, fixed or batch, raw_as)
    return _collect((_run(session, x, fixed or len(x)) for x in coming), part, "onnxruntime", progress)


def inputs(  # noqa: PLR0913, PLR0917 which pictures, and what is made of them
    part: Split,
    contract: Preprocessing,
    shape: Shape,
    dtype: DTypeLike,
    batch: int,
    raw_as: Preprocessing | None = None,
) -> Iterator[Array]:
    """The part's pictures in order as inputs (n, C, H, W), or as the raw ones of a contract, read ahead."""
    if shape[0] not in (1, 3):
        message = f"a picture has 1 or 3 channels, and the model takes {show(shape)}"
        raise InputError(Code.INPUT_UNUSABLE, message)
    if not len(part):
        raise DataError(Code.DATA_MISFIT, f"the {part.part} part of {part.dataset} has no pictures")
    frame = frame_of(shape, contract)
    numbers = np.arange(len(part))
    cuts = [numbers[k : k + batch] for k in range(0, len(numbers), batch)]

    def prepare(pictures: Pixels) -> Array:
        return raw(pictures, raw_as, dtype) if raw_as else normalise(pictures, contract, dtype, shape[0])

    return read_ahead(lambda cut: prepare(part.pictures(cut, frame)), cuts, 1)


def _forward(module: NiNModule, x: torch.Tensor) -> Array:
    import torch

    try:
        scores = module(x)
    except (MemoryError, RuntimeError) as error:  # on the CPU PyTorch raises a bare RuntimeError
        if not ran_out(error):
            raise
        raise shortage(f"{x.device} has too little memory for a batch of {len(x)}", "pass a smaller --batch") from error
    result: Array = (scores if scores.dtype == torch.float64 else scores.float()).cpu().numpy()
    return _row_each(result, len(x))


def _run(session: Session, x: Array, size: int) -> Array:
    """The scores of a batch that is filled up to `size`."""
    if len(x) == size:
        return _row_each(_bounded(session, x), len(x))
    filled = np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])
    return _row_each(_bounded(session, filled), size)[: len(x)]


def _row_each(scores: Array, count: int) -> Array:
    """The same scores. Raises InputError unless there is a row for each of so many pictures."""
    if not scores.ndim or len(scores) != count:
        message = f"the model gives scores of shape {show(scores.shape)} for a batch of {count}"
        raise InputError(Code.MODEL_UNREADABLE, message, hint="it must give one row a picture")
    return scores


def _collect(made: Iterable[Array], part: Split, runtime: str, progress: Progress | None) -> Array:
    """All scores in one array, each batch looked at as it comes."""
    found: list[Array] = []
    for scores in made:
        _check(scores, part, runtime, done=sum(map(len, found)))
        found.append(scores)
        if progress is not None:
            progress(len(scores))
    return np.concatenate(found)


def _check(scores: Array, part: Split, runtime: str, done: int) -> None:
    if scores.ndim != 2 or scores.shape[1] != len(part.classes):
        message = f"the model gives scores of shape {show(scores.shape)}, and {part.dataset} has {len(part.classes)}"
        raise DataError(Code.DATA_MISFIT, f"{message} classes")
    finite = np.isfinite(scores).all(1)
    if not finite.all():
        message = f"in {runtime} the scores of picture {done + int(finite.argmin())} are not finite numbers"
        hint = "the weights are damaged, or their training diverged"
        raise InputError(Code.MODEL_UNREADABLE, message, hint=hint)


@contextlib.contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """On a GPU, convolutions without TF32, which rounds their factors to 10 bits."""
    if device.type != "cuda":
        yield
        return
    import torch

    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """PyTorch with so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _bounded(session: Session, x: Array) -> Array:
    """A batch's scores; a run that never ends is given up."""
    return within(RUNNING, "the model", "running it", lambda: session.run(x))
