"""The scores of every picture of a split, in torch or in onnxruntime.

Pictures are preprocessed as in `nin-spec run`, the next batch in a thread while this one is computed. The runtimes run
one after the other, since their thread pools would compete.
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
"""Called after each batch with its number of pictures."""

BATCH = 256


def module_scores(  # noqa: PLR0913, PLR0917 model, data and settings
    module: NiNModule,
    split: Split,
    contract: Preprocessing,
    shape: Shape,
    batch: int = BATCH,
    progress: Progress | None = None,
    *,
    pixels: bool = False,
) -> Array:
    """The module's scores (n, classes) on its device; its training mode is restored.

    `shape` is the network's input (C, H, W); with `pixels` the module takes raw ones, channels first. Raises DataError
    or InputError for a misfit or non-finite scores, DeviceError if the device runs out of memory.
    """
    import torch

    sample = next(module.parameters(), torch.empty(0))
    dtype = np.float64 if sample.dtype == torch.float64 else np.float32
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode(), _exact(sample.device):
            coming = inputs(split, contract, shape, dtype, batch, replace(contract, layout="CHW") if pixels else None)
            made = (_forward(module, torch.from_numpy(x).to(sample.device, sample.dtype)) for x in coming)
            return _collect(made, split, "torch", progress)
    finally:
        module.train(was_training)


def session_scores(  # noqa: PLR0913, PLR0917 the same
    session: Session,
    split: Split,
    contract: Preprocessing,
    shape: Shape,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> Array:
    """The session's scores (n, classes). If the model has a fixed batch size, the last batch is padded with zeros.

    Raises DataError or InputError for a misfit or non-finite scores.
    """
    fixed = session.input_shape[0]
    raw_as = contract if session.takes_pixels else None
    coming = inputs(split, contract, shape, session.dtype, fixed or batch, raw_as)
    return _collect((_run(session, x, fixed or len(x)) for x in coming), split, "onnxruntime", progress)


def inputs(  # noqa: PLR0913, PLR0917 pictures and preprocessing
    split: Split,
    contract: Preprocessing,
    shape: Shape,
    dtype: DTypeLike,
    batch: int,
    raw_as: Preprocessing | None = None,
) -> Iterator[Array]:
    """The split's pictures in order as inputs (n, C, H, W), or as raw pixels, prefetched."""
    if shape[0] not in (1, 3):
        message = f"a picture has 1 or 3 channels, but the model takes {show(shape)}"
        raise InputError(Code.INPUT_UNUSABLE, message)
    if not len(split):
        raise DataError(Code.DATA_MISFIT, f"the {split.name} split of {split.dataset} has no pictures")
    frame = frame_of(shape, contract)
    numbers = np.arange(len(split))
    cuts = [numbers[k : k + batch] for k in range(0, len(numbers), batch)]

    def prepare(pictures: Pixels) -> Array:
        return raw(pictures, raw_as, dtype) if raw_as else normalise(pictures, contract, dtype, shape[0])

    return read_ahead(lambda cut: prepare(split.pictures(cut, frame)), cuts, 1)


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
    """The scores of a batch that is padded to `size`."""
    if len(x) == size:
        return _row_each(_bounded(session, x), len(x))
    filled = np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])
    return _row_each(_bounded(session, filled), size)[: len(x)]


def _row_each(scores: Array, count: int) -> Array:
    """The same scores. Raises InputError unless they have `count` rows."""
    if not scores.ndim or len(scores) != count:
        message = f"the model returns scores of shape {show(scores.shape)} for a batch of {count}"
        raise InputError(Code.MODEL_UNREADABLE, message, hint="it must return one row per picture")
    return scores


def _collect(made: Iterable[Array], split: Split, runtime: str, progress: Progress | None) -> Array:
    """All scores in one array, checked batch by batch."""
    found: list[Array] = []
    for scores in made:
        _check(scores, split, runtime, done=sum(map(len, found)))
        found.append(scores)
        if progress is not None:
            progress(len(scores))
    return np.concatenate(found)


def _check(scores: Array, split: Split, runtime: str, done: int) -> None:
    if scores.ndim != 2 or scores.shape[1] != len(split.classes):
        message = (
            f"the model returns scores of shape {show(scores.shape)}, but {split.dataset} has {len(split.classes)}"
        )
        raise DataError(Code.DATA_MISFIT, f"{message} classes")
    finite = np.isfinite(scores).all(1)
    if not finite.all():
        message = f"in {runtime} the scores of picture {done + int(finite.argmin())} are NaN or infinite"
        hint = "the weights are damaged, or their training diverged"
        raise InputError(Code.MODEL_UNREADABLE, message, hint=hint)


@contextlib.contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """Disable TF32 on a GPU, which rounds the factors of convolutions to 10 bits."""
    if device.type != "cuda":
        yield
        return
    import torch

    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set PyTorch's number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _bounded(session: Session, x: Array) -> Array:
    """A batch's scores; a run that never ends is abandoned."""
    return within(RUNNING, "the model", "running it", lambda: session.run(x))
