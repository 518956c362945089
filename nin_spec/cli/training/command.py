"""nin-spec train: a run begun or resumed, in one process or several."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_spec.cli import completing
from nin_spec.cli.help import Command
from nin_spec.cli.options import data_option, input_option, open_spec, set_option, tell
from nin_spec.cli.outputs import FOLDER
from nin_spec.cli.printer import Printer, printer_option, quiet_option
from nin_spec.cli.training.arguments import PRECISIONS, Arguments
from nin_spec.cli.training.progress import ProgressReporter, conclude
from nin_spec.cli.training.resuming import run_to_resume
from nin_spec.cli.training.stopping import Stop, stoppable

if TYPE_CHECKING:
    from nin_spec.network import Network
    from nin_spec.training.folder import Run
    from nin_spec.training.world import World


@click.command("train", cls=Command)
@click.argument("target", metavar="SPEC|RUNDIR", shell_complete=completing.specs)
@set_option
@input_option
@data_option()
@click.option(
    "-o",
    "--output",
    metavar="RUNDIR",
    type=FOLDER,
    help="Run folder to create.  [default: runs/NAME, or runs/NAME-2, ...]",
)
@click.option(
    "--resume",
    "resumed",
    is_flag=True,
    help="Resume the run in RUNDIR, in -o, or the newest of SPEC. Only --data may be changed when resuming.",
)
@click.option(
    "--weights",
    "--from",
    "weights",
    metavar="FILE|RUNDIR",
    shell_complete=completing.weights,
    help="Start from these weights instead of fresh ones; every tensor must fit.",
)
@click.option(
    "--new-head",
    is_flag=True,
    help="With --weights: the head may be another. The class layer's rows are carried by class name, the others are "
    "fresh.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Device to train on.",
)
@click.option(
    "--precision",
    type=click.Choice(list(PRECISIONS)),
    help="Arithmetic of the forward and backward pass.  [default: the recipe's]",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 4096),
    metavar="N",
    help="CPU threads of each process.  [default: its share of the cores]",
)
@click.option(
    "--accumulate",
    type=click.IntRange(1, 65536),
    default=1,
    metavar="N",
    help="Compute each batch as N micro-batches, to save memory; batch norm then sees one micro-batch at a time.",
)
@click.option("--compile", "compiled", is_flag=True, help="Use torch.compile.")
@click.option("--channels-last/--channels-first", default=True, show_default=True, help="Memory format.")
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Use only N pictures of each split, to try things out."
)
@click.option(
    "--checkpoint-minutes",
    type=click.FloatRange(0.01, 10_000),
    default=5.0,
    show_default=True,
    metavar="M",
    help="Minutes between checkpoints within an epoch. One is also written after every epoch; epochs shorter than 2 s "
    "share one.",
)
@click.option(
    "--peer-timeout",
    type=click.FloatRange(0, 86_400),
    default=60.0,
    show_default=True,
    metavar="S",
    help="With several processes: stop if one of them has not responded for S seconds; 0 waits forever.",
)
@printer_option
@quiet_option
def train_command(printer: Printer, **given: Any) -> int:
    """Train a network by the recipe in its spec.

    \b
      nin-spec train nin_digits                             a small data set that nin-spec includes
      nin-spec train nin_cifar --data cifar-10-batches-bin --set train.epochs=10
      nin-spec train runs/nin_cifar --resume                after Ctrl-C, a crash, a kill -9
      nin-spec train nin_cifar --weights runs/nin_cifar     a new run, from the weights of another
      nin-spec train mine.yaml --weights w.safetensors --new-head   the same, for other classes
      nin-spec train nin_cifar -o runs/x --resume           begin or resume: for jobs that are restarted
      torchrun --nproc-per-node 2 -m nin_spec train nin_cifar --data DIR
      srun --ntasks 8 nin-spec train nin_cifar --data DIR   Slurm; MPI needs MASTER_ADDR and MASTER_PORT

    The run folder holds everything needed to repeat the run: the resolved spec, seeds, versions, metrics.csv,
    curves.png, checkpoints and the weights (safetensors). Continue with `nin-spec evaluate RUNDIR` and
    `nin-spec export RUNDIR --onnx`. `nin-spec data fetch NAME` downloads a data set.

    The batch of the recipe is divided among processes and micro-batches, so the same recipe gives the same curve on one
    machine or many. Ctrl-C finishes the step, writes a checkpoint and stops; with --resume the run ends as an
    uninterrupted one would, bit for bit on one machine. A run keeps its settings: with --resume, an option that differs
    from them is refused, except --data.

    With several processes, each machine needs the data set; only the machine of rank 0 needs the run folder. If a
    process is stopped, killed or cut off, the others name it and exit with code 1, at the latest 5 s after
    --peer-timeout. torchrun --max-restarts N then resumes the same run.
    """
    from nin_spec.training.world import joined

    asked = Arguments(**given)
    with stoppable() as stop, joined(asked.peer_timeout) as world:
        run = _train(world, asked, stop)
        return conclude(run, stop.code, printer) if world.is_main else 0


@dataclass(frozen=True, slots=True)
class _Start:
    """What process 0 has found usable: a network, and the file of the weights to start from."""

    network: Network
    weights: Path | None


def _train(world: World, asked: Arguments, stop: Stop) -> Run:
    """Train by the command line of process 0; the others read neither the spec nor the run folder."""
    from nin_spec.training.world import agreed, require_same

    given = asdict(asked)
    target, data = given.pop("target"), given.pop("data")  # where the pictures lie is each machine's own
    require_same(world, {name: str(value) for name, value in {"SPEC": target, **given}.items()})
    start, run = None, None
    with agreed(world, click.ClickException):
        if world.is_main:
            run = run_to_resume(asked) if asked.resumed else None
            start = None if run is not None else _checked(world, asked)
    from nin_spec.training.begin import resume_in, train_in
    from nin_spec.training.parallel import shared

    if world.broadcast(run is not None):
        return resume_in(world, shared(world, run), data, ProgressReporter(), stop)
    network, weights = _shared_start(world, start)
    reporter = ProgressReporter()
    return train_in(world, network, data, asked.output, weights, asked.new_head, asked.settings, reporter, stop)


def _shared_start(world: World, start: _Start | None) -> tuple[Network, str | None]:
    """What process 0 starts from, in each: the network, and the path of the weights."""
    from nin_spec import network as networks
    from nin_spec.language.load import loads

    told = None
    if start is not None:
        spec = start.network.spec
        told = [spec.text, spec.root.source.name, start.weights and str(start.weights)]
    text, name, weights = world.broadcast(told)
    return start.network if start is not None else networks.compile(loads(text, name)), weights


def _checked(world: World, asked: Arguments) -> _Start:
    """The network to train; all that is refused quickly is refused here, before torch, which takes seconds to load."""
    from nin_spec.data.opening import place_for
    from nin_spec.opened import network_of, run_of
    from nin_spec.training.folder import recipe_of, require_free
    from nin_spec.training.sets import beside
    from nin_spec.weights import weights_file
    from nin_spec.weights.temperature import TEMPERATURE, temperature_beside

    if not math.isfinite(asked.checkpoint_minutes):
        raise click.BadParameter("pass a finite number of minutes", param_hint="--checkpoint-minutes")
    if asked.new_head and asked.weights is None:
        raise click.UsageError("--new-head needs --weights: fresh weights have no head to keep")
    found = open_spec(asked.target, asked.overrides, asked.size)
    if (run := run_of(found)) is not None:
        longer = f"; to train it longer: {run.longer}" if run.record.status == "finished" else ""
        raise click.UsageError(f"{asked.target} is a run folder: pass --resume to resume it{longer}")
    network = network_of(found)
    recipe = recipe_of(network)
    if asked.output is not None and not world.restarted:
        require_free(Path(asked.output))
    place = None if asked.data is None else Path(asked.data)
    if place is None and (place := beside(network)) is not None:
        tell([f"data: {place}, beside the spec"])
    place_for(recipe.dataset, place)
    start = None if asked.weights is None else weights_file(Path(asked.weights))
    if start is not None and temperature_beside(start) is not None:
        tell([f"{start.parent / TEMPERATURE} is not used: the training starts from the weights alone"])
    return _Start(network, start)
