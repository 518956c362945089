"""Shared state of several processes that compute what one would: weights, gradients, batch norms."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from nin_spec import network as networks
from nin_spec.language.load import loads
from nin_spec.training.checkpoint import Checkpoint, state_from
from nin_spec.training.folder import Record, Run, open_run
from nin_spec.training.freezing import EvaluatedNorm, replace_norms
from nin_spec.training.world import World, agreed


def share_run(world: World, path: Path) -> Run:
    """Broadcast the run in a folder that only process 0 reads. Raises what `open_run` raises."""
    run = None
    with agreed(world):
        if world.is_main:
            run = open_run(path)
    return shared(world, run)


def shared(world: World, run: Run | None) -> Run:
    """The run that process 0 has opened, in each; `run` counts in process 0 alone."""
    told = None
    if run is not None:
        told = [str(run.path), run.network.spec.text, run.record.model_dump_json()]
    path, text, record = world.broadcast(told)
    if run is not None:
        return run
    network = networks.compile(loads(text, str(Path(path) / "spec.yaml")))
    return Run(Path(path), network, Record.model_validate_json(record))


def share_weights(world: World, module: nn.Module) -> None:
    """Broadcast the tensors of process 0's module."""
    if world.size == 1:
        return
    with torch.no_grad():
        for tensor in module.state_dict().values():
            sent = tensor.detach().clone(memory_format=torch.contiguous_format)
            dist.broadcast(sent, src=0)
            tensor.copy_(sent)


def share_checkpoint(world: World, checkpoint: Checkpoint | None, device: torch.device) -> Checkpoint | None:
    """Broadcast process 0's checkpoint; `checkpoint` is ignored in other processes, which don't read the folder."""
    if world.size == 1:
        return checkpoint
    told = None
    if checkpoint is not None:
        shapes = {name: (array.shape, array.dtype.str) for name, array in checkpoint.tensors.items()}
        told = {"state": asdict(checkpoint.state), "tensors": shapes}
    told = world.broadcast(told)
    if told is None:
        return None
    tensors = {}
    for name, (shape, dtype) in told["tensors"].items():
        own = np.zeros(shape, dtype) if checkpoint is None else np.array(checkpoint.tensors[name])
        sent = torch.from_numpy(own).to(device)
        dist.broadcast(sent, src=0)
        tensors[name] = sent.cpu().numpy()
    return Checkpoint(state_from(told["state"]), tensors)


class SharedBatchNorm(EvaluatedNorm):
    """Batch norm over the batch of all processes, in training. PyTorch's SyncBatchNorm supports GPUs only.

    Uses the parameters and buffers of a BatchNorm1d or 2d, and equals that layer in evaluation.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same."""
        if not self.training:
            return super().forward(x)
        mean, var = cast("Tensor", self.running_mean), cast("Tensor", self.running_var)
        wide = x.float() if x.dtype == torch.bfloat16 else x
        axes, shape = [k for k in range(x.ndim) if k != 1], (1, -1, *[1] * (x.ndim - 2))
        # Two reductions, the mean and then the squared deviations, lose no digits.
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
    """A differentiable sum over all processes."""
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
    """The module with gradients averaged over all processes; its buffers are equal by construction."""
    parallel = nn.parallel.DistributedDataParallel
    # PyTorch 2.13 renamed it, and warns about the old name.
    known = inspect.signature(parallel).parameters
    keep = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    ids = [device.index] if device.type == "cuda" else None
    options: dict[str, Any] = {keep: False}
    return cast("nn.Module", parallel(module, ids, **options))


def share_norms(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with batch norms over all processes."""
    if device.type == "cuda":
        return cast("nn.Module", nn.SyncBatchNorm.convert_sync_batchnorm(module))  # type: ignore[no-untyped-call]
    replace_norms(module, lambda _, norm: SharedBatchNorm(norm))
    return module
