"""The contenders of bench_training.py: nin_spec.training, and a loop written by hand. Each runs in its own process.

python tests/bench_contenders.py JOB DATA    JOB is a Job as JSON, or `probe`; the result is one line of JSON
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import nin_spec
from nin_spec.bench.runners import set_tf32
from nin_spec.training.reporter import Pace, Row, Silent

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from nin_spec.language.recipe import Recipe
    from nin_spec.network import Network
    from nin_spec.training.settings import Precision

NATIVE_BFLOAT16 = ("amx_bf16", "avx512_bf16", "bf16")
"""What torch.cpu.get_capabilities() calls bfloat16 arithmetic, the last on ARM."""
Result = dict[str, Any]
"""Of a process: `rate` of each turn in images/s, `memory` and `device_memory` in MB, `share` of each epoch."""


@dataclass(frozen=True)
class Job:
    """One contender: who trains what, how.

    `tuned` is what nin_spec.training does by itself: channels last in memory, the fused optimiser. Steps up to
    `warmup` are not timed; then come `turns` of `steps` steps. `epochs` trains whole epochs to the end instead. On a
    GPU, `tf32` rounds the factors of float32 products to 10 bits; PyTorch alone does so in convolutions.
    """

    who: Literal["ours", "plain"]
    spec: str
    batch: int
    threads: int
    warmup: int
    steps: int
    precision: Precision = "float32"
    tuned: bool = True
    epochs: int | None = None
    turns: int = 5
    device: Literal["cpu", "cuda"] = "cpu"
    tf32: bool = False

    def __str__(self) -> str:
        layout = "channels last" if self.tuned else "contiguous"
        length = f"{self.turns} turns of {self.steps}" if self.epochs is None else f"epochs: {self.epochs}"
        return f"{self.who} {self.spec}, {self.precision}, {layout}, {length}"

    @property
    def total(self) -> int:
        """Steps of one process."""
        return self.warmup + self.turns * self.steps

    def pauses(self, done: int) -> bool:
        """Whether the next steps wait for their turn."""
        return self.epochs is None and done >= self.warmup and (done - self.warmup) % self.steps == 0

    def network(self) -> Network:
        """The network, its recipe changed where this job says so."""
        changes = [f"train.batch_size={self.batch}"]
        if self.epochs is not None:
            changes.append(f"train.epochs={self.epochs}")
        return nin_spec.compile(self.spec, changes)

    def result(self, times: Sequence[float], shares: Sequence[float] = ()) -> Result:
        """What came of it, from the times of steps and the waiting shares of epochs."""
        length = self.steps if self.epochs is None else len(times)
        turns = [times[k : k + length] for k in range(0, len(times), length)]
        rate = [self.batch / statistics.median(turn) for turn in turns]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"rate": rate, "memory": memory, "share": shares, "device_memory": self.device_memory()}

    def device_memory(self) -> float | None:
        """MB that PyTorch allocated on the GPU at most."""
        import torch

        return torch.cuda.max_memory_allocated() / 1e6 if self.device == "cuda" else None


# ------------------------------------------------------------------ nin_spec.training


@dataclass
class Watch(Silent):
    """Takes the times of steps, and stops after enough of them."""

    job: Job
    times: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    done: int = 0
    before: float | None = None

    def enough(self) -> bool:
        """Asked within the step after those that are done."""
        return self.job.epochs is None and self.done + 1 >= self.job.total

    def stepped(self, step: int, loss: float) -> None:
        now = time.perf_counter()
        if self.before is not None and step > self.job.warmup:
            self.times.append(now - self.before)
        if self.job.pauses(step):
            wait_for_turn()
        self.done, self.before = step, time.perf_counter()

    def finished_epoch(self, row: Row, pace: Pace) -> None:
        self.shares.append(pace.data_share)
        # Evaluation and a checkpoint came between, and are no part of a step.
        self.before = time.perf_counter()


def wait_for_turn() -> None:
    """Say that a turn is done, and sleep until the next."""
    print("turn", flush=True)
    sys.stdin.readline()


def ours(job: Job, data: Path | None) -> Result:
    """Train as the command line does."""
    from nin_spec.training.begin import train
    from nin_spec.training.settings import TrainSettings

    watch = Watch(job)
    set_tf32(allowed=job.tf32)
    settings = TrainSettings(device=job.device, precision=job.precision, threads=job.threads, channels_last=job.tuned)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(job.network(), data=data, output=run, settings=settings, reporter=watch, stop=watch.enough)
    return job.result(watch.times, watch.shares)


# ------------------------------------------------------------------ by hand


def plain(job: Job, data: Path | None) -> Result:
    """The same network, data and recipe in a loop as people write it."""
    import numpy as np
    import torch
    import torch.nn.functional as F  # noqa: N812 the field's name

    from nin_spec.data import Frame, open_split
    from nin_spec.training.optimizer import rate_factor

    torch.set_num_threads(job.threads)
    set_tf32(allowed=job.tf32)
    device = torch.device(job.device)
    network = job.network()
    recipe = network.spec.spec.train
    assert recipe is not None
    assert recipe.gradient_clip is None
    layout = torch.channels_last if job.tuned else torch.contiguous_format
    net = nin_spec.build_module(network.initialise()).to(memory_format=layout)  # type: ignore[call-overload]
    net = net.to(device).train()
    part, (channels, height, width) = open_split(recipe.dataset, "train", data), network.graph.input.shape
    pictures = part.pictures(np.arange(len(part)), Frame(channels, height, width))
    images, labels = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.labels)
    contract = network.card.preprocessing
    mean, std = (torch.tensor(v, device=device).reshape(1, -1, 1, 1) for v in (contract.mean, contract.std))
    steps, per_epoch = job.total, len(images) // job.batch
    optimizer = by_hand(net, recipe, fused=True if job.tuned else None)
    factor = partial(rate_factor, recipe.schedule, steps_per_epoch=per_epoch, epochs=recipe.epochs)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    orders = [torch.randperm(len(images))[: per_epoch * job.batch] for _ in range(steps // per_epoch + 1)]
    times, total, before = [], 0.0, time.perf_counter()
    for rows in torch.cat(orders).reshape(-1, job.batch)[:steps]:
        x = cropped(images[rows], recipe.augment.pad_and_crop).to(device)
        x = x.to(torch.float32, memory_format=layout)
        x = x.mul_(contract.scale).sub_(mean).div_(std)
        wanted = labels[rows].to(device)
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=job.precision == "bfloat16"):
            loss = F.cross_entropy(net(x), wanted, label_smoothing=recipe.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        total += loss.item()
        times.append(time.perf_counter() - before)
        if job.pauses(len(times)):
            wait_for_turn()
        before = time.perf_counter()
    return job.result(times[job.warmup :])


def cropped(images: Tensor, pad: int) -> Tensor:
    """Windows of the images' own size, at random places of the padded images."""
    import torch
    import torch.nn.functional as F  # noqa: N812 the field's name

    if not pad:
        return images
    count, _, height, width = images.shape
    padded = F.pad(images, (pad, pad, pad, pad)).permute(0, 2, 3, 1)
    top, left = torch.randint(0, 2 * pad + 1, (2, count, 1, 1))
    rows, columns = top + torch.arange(height)[:, None], left + torch.arange(width)
    return padded[torch.arange(count)[:, None, None], rows, columns].permute(0, 3, 1, 2)


def by_hand(net: nn.Module, recipe: Recipe, *, fused: bool | None) -> torch.optim.Optimizer:
    """The recipe's optimiser; of multipliers, those of nin_cifar: biases twice, the class maps a tenth."""
    import torch

    o = recipe.optimizer
    groups: list[dict[str, Any]] = [{"params": list(net.parameters())}]
    if recipe.lr_multipliers:
        *convs, last = (layer for layer in net.modules() if isinstance(layer, torch.nn.Conv2d))
        groups = [
            {"params": [conv.weight for conv in convs]},
            {"params": [conv.bias for conv in convs], "lr": o.lr * 2, "weight_decay": 0.0},
            {"params": [last.weight], "lr": o.lr * 0.1},
            {"params": [last.bias], "lr": o.lr * 0.2, "weight_decay": 0.0},
        ]
    if o.kind == "sgd":
        return torch.optim.SGD(groups, o.lr, o.momentum, 0.0, o.weight_decay, o.nesterov, fused=fused)
    kind = torch.optim.AdamW if o.kind == "adamw" else torch.optim.Adam
    return kind(groups, o.lr, (o.betas[0], o.betas[1]), o.eps, o.weight_decay, fused=fused)


# ------------------------------------------------------------------ in a process of its own


def probe() -> dict[str, Any]:
    """Which PyTorch this is, and what the CPU can do."""
    import torch

    known = torch.cpu.get_capabilities()
    native = any(known.get(key) for key in NATIVE_BFLOAT16)
    return {"torch": torch.__version__, "cpu": known.get("cpu_name", ""), "native_bfloat16": native}


def main() -> None:
    """Print what came of it."""
    said, data = sys.argv[1:]
    if said == "probe":
        print(json.dumps(probe()))
        return
    job = Job(**json.loads(said))
    folder = Path(data) if job.spec == "nin_cifar" else None
    print(json.dumps({"ours": ours, "plain": plain}[job.who](job, folder)))


if __name__ == "__main__":
    main()
