"""Several processes that compute what one would: started by torchrun, one device each."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 the field's name
from torch import Tensor, nn

from nin_spec.diagnostics import Code, Diagnostic, NinSpecError, TrainingError


@dataclass(frozen=True, slots=True)
class World:
    """This process among all: `rank` of `size`, the `local`-th of the `neighbours` on its machine."""

    rank: int = 0
    size: int = 1
    local: int = 0
    neighbours: int = 1

    @property
    def leads(self) -> bool:
        """True in the one process that writes and speaks."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, in each."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def word(self, value: Any) -> Any:
        """What the leading process says, in each."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def words(self, value: Any) -> list[Any]:
        """What each process says, in each."""
        if self.size == 1:
            return [value]
        said: list[Any] = [None] * self.size
        dist.all_gather_object(said, value)
        return said


def find_world() -> World:
    """The processes that torchrun announces in the environment. Raises TrainingError when it makes no sense."""
    try:
        found: World | None = World(*(int(os.environ.get(key, default)) for key, default in _ANNOUNCED))
    except ValueError:
        found = None
    if found is None or not (0 <= found.rank < found.size and 0 <= found.local < found.neighbours <= found.size):
        said = ", ".join(f"{key}={os.environ[key]}" for key, _ in _ANNOUNCED if key in os.environ)
        message = f"the environment announces processes that can't be: {said}"
        raise TrainingError(Diagnostic(Code.RECIPE, message, hint="unset them, or start with torchrun"))
    if found.size > 1 and not {"MASTER_ADDR", "MASTER_PORT"} <= set(os.environ):
        message = f"the environment announces {found.size} processes, and no MASTER_ADDR and MASTER_PORT to meet at"
        raise TrainingError(Diagnostic(Code.RECIPE, message, hint="unset WORLD_SIZE, or start with torchrun"))
    return found


_ANNOUNCED = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def joined(world: World, device: torch.device) -> Iterator[None]:
    """The process group, while training."""
    if world.size == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)  # what is said between processes travels over it
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=world.rank, world_size=world.size)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def agreed(world: World) -> Iterator[None]:
    """What one process can't begin, none begins: an error that all have is said by the leading one alone.

    Nothing in it may wait for another process. The others raise an error without words.
    """
    own: NinSpecError | None = None
    try:
        yield
    except NinSpecError as error:
        own = error
    said = world.words(None if own is None else str(own))
    if own is not None:
        raise own if world.leads or str(own) != said[0] else type(own)(())
    if any(word is not None for word in said):
        raise TrainingError(())


@contextmanager
def said_once(world: World) -> Iterator[None]:
    """The same before processes are joined: of those on one machine, which see the same, the first speaks."""
    try:
        yield
    except NinSpecError as error:
        raise error if world.local == 0 else type(error)(()) from None


class SharedBatchNorm(nn.Module):
    """Batch norm over the batch of all processes, in training. PyTorch's SyncBatchNorm has it on GPUs only.

    Takes over the parameters and buffers of a BatchNorm1d or 2d, and is that layer in evaluation.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.eps, self.momentum = norm.eps, norm.momentum
        self.weight, self.bias = norm.weight, norm.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same."""
        mean, var = cast("Tensor", self.running_mean), cast("Tensor", self.running_var)
        if not self.training:
            return F.batch_norm(x, mean, var, self.weight, self.bias, False, 0.0, self.eps)
        wide = x.float() if x.dtype == torch.bfloat16 else x
        axes, shape = [k for k in range(x.ndim) if k != 1], (1, -1, *[1] * (x.ndim - 2))
        # Two rounds, mean and then squares about it, lose no digits.
        count = _everywhere(torch.full_like(mean, x.numel() / x.shape[1]))
        centre = _everywhere(wide.sum(axes)) / count
        away = wide - centre.reshape(shape)
        spread = _everywhere((away * away).sum(axes)) / count
        with torch.no_grad():
            part = cast("float", self.momentum)
            mean.lerp_(centre.to(mean.dtype), part)
            var.lerp_((spread * count / (count - 1)).to(var.dtype), part)
        scale = torch.rsqrt(spread + self.eps)
        scale = scale if self.weight is None else scale * self.weight
        y = away * scale.reshape(shape)
        return (y if self.bias is None else y + self.bias.reshape(shape)).to(x.dtype)


def _everywhere(values: Tensor) -> Tensor:
    """The sum over all processes, through which gradients flow."""
    summed: Tensor = _Everywhere.apply(values)  # type: ignore[no-untyped-call]
    return summed


class _Everywhere(torch.autograd.Function):
    """Each process's loss depends on the sum, so the gradient of a summand is the sum of all gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004 PyTorch's interface
        """The sum."""
        return _summed(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        """The sum of the gradients."""
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def share_gradients(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with gradients averaged over all processes; its buffers are equal in each by what they compute."""
    parallel = nn.parallel.DistributedDataParallel
    # PyTorch 2.13 renamed it, and warns of the old name.
    known = inspect.signature(parallel).parameters
    keep = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    ids = [device.index] if device.type == "cuda" else None
    options: dict[str, Any] = {keep: False}
    return cast("nn.Module", parallel(module, ids, **options))


def share_norms(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with batch norms over all processes."""
    if device.type == "cuda":
        return cast("nn.Module", nn.SyncBatchNorm.convert_sync_batchnorm(module))  # type: ignore[no-untyped-call]
    norms = [(n, m) for n, m in module.named_modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for name, norm in norms:
        above, _, last = name.rpartition(".")
        setattr(module.get_submodule(above), last, SharedBatchNorm(norm))
    return module
