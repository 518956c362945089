"""The device and the precision of a training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch

from nin_spec.diagnostics import Code, DeviceError
from nin_spec.training.world import World, agreed

if TYPE_CHECKING:
    from nin_spec.training.settings import Precision

_BFLOAT16 = ("amx_tile", "amx_bf16", "avx512_bf16", "bf16")


def choose_device(name: str, world: World) -> torch.device:
    """The requested device; `auto` is a GPU if PyTorch has one. Raises DeviceError, never falls back."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = "this PyTorch is built without CUDA" if built is None else f"PyTorch (CUDA {built}) finds no GPU"
        raise DeviceError(Code.DEVICE_UNAVAILABLE, f"cuda can't be used: {why}", hint="pass --device cpu")
    # The same seed must give the same weights on a GPU, too.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    if world.collectives is not None and world.store is None:  # the creator of the process group has chosen
        return torch.device("cuda", torch.cuda.current_device())
    gpus = torch.cuda.device_count()
    if gpus == 1 and world.store is not None:  # Slurm may show each task only its own GPU; require_own_gpu checks
        return torch.device("cuda", 0)
    if max(world.neighbours, world.local + 1) > gpus:
        message = f"{world.neighbours} processes need a GPU each, but this machine has {gpus}"
        raise DeviceError(Code.DEVICE_UNAVAILABLE, message, hint="start one process per GPU")
    return torch.device("cuda", world.local)


def require_own_gpu(world: World, device: torch.device) -> None:
    """Raise DeviceError if two processes have chosen the same GPU."""
    if device.type != "cuda":
        return
    chosen = world.all_gather(str(getattr(torch.cuda.get_device_properties(device), "uuid", "")))
    with agreed(world):
        for rank, gpu in enumerate(chosen):
            if gpu and chosen.index(gpu) < rank:
                message = f"processes {chosen.index(gpu)} and {rank} have the same GPU"
                raise DeviceError(Code.DEVICE_UNAVAILABLE, message, hint="start one process per GPU")


def default_threads(world: World) -> int:
    """Number of PyTorch threads: this process's share of the cores."""
    from nin_spec.runtime.providers import available_threads

    return max(1, available_threads() // world.neighbours)


def autocast_for(device: torch.device, precision: Precision) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """The context of each forward pass."""
    if precision == "float32":
        return contextlib.nullcontext
    return partial(torch.autocast, device.type, dtype=torch.bfloat16)


def slow_precision(device: torch.device, precision: Precision) -> str | None:
    """A warning before a bfloat16 training on a processor that only emulates it, else None."""
    if precision == "float32" or device.type != "cpu":
        return None
    ask = getattr(torch.cpu, "get_capabilities", None)  # older versions don't have it
    known = ask() if ask else None
    if known is None or any(known.get(key) for key in _BFLOAT16):
        return None
    return (
        "this CPU has no bfloat16 arithmetic (AMX or AVX512-BF16) and emulates it, many times slower: pass "
        "--precision float32"
    )
