"""nin-spec train."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_spec.cli import completing
from nin_spec.cli.console import canvas, draws
from nin_spec.cli.help import Command
from nin_spec.cli.options import compile_spec, data_option, input_option, set_option, tell
from nin_spec.cli.outputs import FOLDER
from nin_spec.diagnostics import counted

if TYPE_CHECKING:
    from nin_spec.network import Network
    from nin_spec.training.folder import Run
    from nin_spec.training.reporter import Pace, Row
    from nin_spec.training.world import World

_PRECISIONS: dict[str | None, Any] = {
    "float32": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
}
_LINE_SECONDS = 30.0
"""Between lines about a long epoch, where no progress bar can be drawn."""


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
    metavar="FILE|RUNDIR",
    shell_complete=completing.weights,
    help="Start from these weights instead of fresh ones.",
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
    type=click.Choice(list(_PRECISIONS)),
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
def train_command(target: str, **given: Any) -> int:
    """Train a network by the recipe in its spec.

    \b
      nin-spec train nin_digits                             a small data set that nin-spec includes
      nin-spec train nin_cifar --data cifar-10-batches-bin --set train.epochs=10
      nin-spec train runs/nin_cifar --resume                after Ctrl-C, a crash, a kill -9
      nin-spec train nin_cifar --weights runs/nin_cifar     a new run, from the weights of another
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

    with _stoppable() as stop, joined(given["peer_timeout"]) as world:
        run = _train(world, target, given, stop)
        return _conclude(run, stop) if world.is_main else 0


def _train(world: World, target: str, given: dict[str, Any], stop: _Stop) -> Run:
    """Train as the command line of process 0 says; the others see neither the spec nor the run folder."""
    from nin_spec.training.world import agreed, require_same

    require_same(world, {name: str(value) for name, value in {"SPEC": target, **given}.items() if name != "data"})
    network, folder = None, None
    with agreed(world, click.ClickException):
        if world.is_main:
            folder = _run_to_resume(target, given) if given["resumed"] else None
            network = _checked(world, target, given) if folder is None else None
    text, name, path = world.broadcast(
        [network and network.spec.text, network and network.spec.root.source.name, folder and str(folder)]
    )
    data = None if given["data"] is None else Path(given["data"])
    from nin_spec.training.begin import resume_in, train_in

    if path is not None:
        return resume_in(world, path, data, Speaker(), stop)
    from nin_spec import network as networks
    from nin_spec.language.load import loads
    from nin_spec.training.settings import TrainSettings

    settings = TrainSettings(
        given["device"],
        _PRECISIONS.get(given["precision"]),
        given["threads"],
        given["accumulate"],
        given["compiled"],
        given["channels_last"],
        given["limit"],
        given["checkpoint_minutes"],
    )
    network = network or networks.compile(loads(text, name))
    return train_in(world, network, data, given["output"], given["weights"], settings, Speaker(), stop)


def _checked(world: World, target: str, given: dict[str, Any]) -> Network:
    """The network to train; all that is refused quickly is refused here, before torch, which takes seconds to load."""
    from nin_spec.named import is_run
    from nin_spec.training.folder import open_run, recipe_of, require_free

    if not math.isfinite(given["checkpoint_minutes"]):
        raise click.BadParameter("pass a finite number of minutes", param_hint="--checkpoint-minutes")
    if is_run(target):
        run = open_run(target)
        longer = f"; to train it longer: {run.longer}" if run.record.status == "finished" else ""
        raise click.UsageError(f"{target} is a run folder: pass --resume to resume it{longer}")
    network = compile_spec(target, given["overrides"], given["size"])
    recipe = recipe_of(network)
    if given["output"] is not None and not world.restarted:
        require_free(Path(given["output"]))
    from nin_spec.data.opening import place_for
    from nin_spec.training.sets import beside
    from nin_spec.weights import weights_file

    if given["data"] is None and (place := beside(network)) is not None:
        given["data"] = str(place)
        if world.is_main:
            tell([f"data: {place}, beside the spec"])
    place_for(recipe.dataset, None if given["data"] is None else Path(given["data"]))
    if given["weights"] is not None:
        weights_file(Path(given["weights"]))
    return network


def _run_to_resume(target: str, given: dict[str, Any]) -> Path | None:
    """The run folder to resume; None where -o names one that does not exist yet."""
    from nin_spec.named import is_run
    from nin_spec.training.folder import latest_folder, open_run

    output = given["output"]
    if output is not None and not is_run(output):
        return None
    folder = Path(output or target)
    if not is_run(folder):
        folder = latest_folder(compile_spec(target, (), None).card.name)
    run = open_run(folder)
    _same_training(run, target, given)
    if run.record.status == "finished":
        tell([f"{folder} is finished; to train it longer: {run.longer}"])
    return folder


_FREE = {"target", "resumed", "output", "data", "peer_timeout"}
"""What may change when a run is resumed."""


def _same_training(run: Run, target: str, given: dict[str, Any]) -> None:
    """A run keeps its settings: refuse what would make it another one."""
    from nin_spec.named import is_run
    from nin_spec.weights import weights_file

    context = click.get_current_context()
    said = {n for n in given if context.get_parameter_source(n) is click.core.ParameterSource.COMMANDLINE} - _FREE
    if given["output"] is not None and not is_run(target):
        network = compile_spec(target, given["overrides"], given["size"])
        if keys := _differing(network, run.network):
            named = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
            message = f"{run.path} is a run of another network or recipe: pass another --output (differs in: {named})"
            raise click.UsageError(message)
        said -= {"overrides", "size"}
    settings = {
        **asdict(run.record.settings),
        "compiled": run.record.settings.compile,
        "weights": run.record.started_from,
    }
    now = {n: _PRECISIONS.get(given[n], given[n]) for n in said}
    if "weights" in now:
        now["weights"] = str(weights_file(Path(now["weights"])).resolve())
    other = {n for n, value in now.items() if n not in settings or settings[n] != value}
    if other:
        flags = ", ".join(sorted(next(p.opts[0] for p in context.command.params if p.name == n) for n in other))
        longer = f"; to train it longer: {run.longer}" if run.record.status == "finished" else ""
        raise click.UsageError(f"--resume keeps the settings of {run.path}; leave out {flags}{longer}")


def _differing(ours: Network, theirs: Network) -> list[str]:
    """The keys in which two specs differ, except their names; labels count where both have them."""
    left, right = ({k: v for k, v in n.spec.data.items() if k not in {"name", "summary"}} for n in (ours, theirs))
    if ours.card.classes == theirs.card.classes and not ours.card.labels:
        left["classes"] = right["classes"]  # a run has those of its data set
    return [".".join(map(str, path)) for path in _apart(left, right)]


def _apart(ours: Any, theirs: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths at which two trees of plain data differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys((*ours, *theirs)):
            yield from _apart(ours.get(key), theirs.get(key), (*path, key))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _apart(one, other, (*path, number))
    elif ours != theirs:
        yield path


def _conclude(run: Run, stop: _Stop) -> int:
    """Print the result, and what to do next."""
    record = run.record
    if record.status == "interrupted":
        click.echo(f"interrupted; to resume: nin-spec train {run.path} --resume", err=True)
        return 128 + stop.number
    validation = record.data.scored_on == "validation"
    score = run.result.get(f"{record.data.scored_on}_accuracy")
    if score is not None:
        of = f"{record.data.scored_images:,} {record.data.dataset} pictures ({record.data.scored_on})"
        best = f"epoch {run.result['epoch']}, the best of {record.final['epoch']}"
        click.echo(f"accuracy {score:.2%} of {of}, after {best if validation else 'the last epoch'}")
    click.echo(f"wrote {run.path}: {record.result}, the weights of {record.chosen}; metrics.csv, curves.png")
    if validation:
        tell(["the test split was not used: evaluate measures on it"])
    tell([f"next: nin-spec evaluate {run.path}", f"      nin-spec export {run.path} --onnx"])
    return 0


class _Stop:
    """Asked after each step whether to stop. The second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.asked, self.number = False, int(signal.SIGINT)

    def __call__(self) -> bool:
        return self.asked

    def handle(self, number: int, _frame: object) -> None:
        if self.asked and number == signal.SIGTERM:
            sys.exit(128 + number)
        if self.asked:
            raise KeyboardInterrupt
        self.asked, self.number = True, number
        click.echo(f"\n{signal.Signals(number).name}: finishing this step; again to stop at once", err=True)


@contextlib.contextmanager
def _stoppable() -> Iterator[_Stop]:
    """SIGINT and SIGTERM ask to stop, while training."""
    stop = _Stop()
    before = {number: signal.signal(number, stop.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Speaker:
    """Reports progress: a bar on a terminal, and a line per epoch."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.heard = True
        self.steps = self.batch = self.first = 0
        self.begun = self.said = time.monotonic()

    def started(self, facts: Mapping[str, object], step: int, steps: int, batch: int) -> None:
        """What is trained, on what, how."""
        shares = int(str(facts["processes"])) * int(str(facts["pieces"]))
        processes = counted(int(str(facts["processes"])), "process", "processes")
        divided = (
            f" = {processes} x {counted(int(str(facts['pieces'])), 'micro-batch', 'micro-batches')}"
            if shares > 1
            else ""
        )
        pictures = f"{facts['train_images']:,} {facts['dataset']} pictures"
        what = f"{facts['network']}: {facts['parameters']:,} parameters, on {pictures}"
        scored = f"scored on {facts['scored_images']:,} ({facts['scored_on']})"
        work = f"{counted(int(str(facts['epochs'])), 'epoch')}, {counted(steps, 'step')} of {batch}{divided}"
        place = f"{facts['device']}, {counted(int(str(facts['threads'])), 'thread')}, {facts['precision']}"
        if facts["weights"] is not None:
            place += f"; from {facts['weights']}"
        after = f", resumed after step {step:,}" if step else ""
        tell([f"{what}, {scored}", f"{work}; {place}", f"run folder: {facts['folder']}{after}"])
        self.steps, self.batch, self.first = steps, batch, step
        self.begun = self.said = time.monotonic()
        if draws():
            from nin_spec.extras import need

            self.bar = need("tqdm", "training").tqdm(total=steps, initial=step, unit="step", leave=False, file=canvas())

    def stepped(self, step: int, loss: float) -> None:
        """The bar moves; without one, a line from time to time."""
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {loss:.3f}, {self._rate(step):,.0f} images/s", refresh=False)
            self.bar.update(1)
        elif time.monotonic() - self.said > _LINE_SECONDS:
            self.said = time.monotonic()
            self._say(
                f"  step {step:,}/{self.steps:,}: loss {loss:.4f}, {self._rate(step):,.0f} images/s, {self._left(step)}"
            )

    def finished_epoch(self, row: Row, pace: Pace) -> None:
        """A line with the result of the epoch."""
        part = next(k.removesuffix("_accuracy") for k in row if k.endswith("_accuracy") and not k.startswith("train"))
        self.said = time.monotonic()
        learned = f"loss {row['train_loss']:.4f}, {part} loss {row[f'{part}_loss']:.4f}"
        speed = f"{pace.images_per_second:,.0f} images/s, data {pace.data_share:.1%} of a step"
        self._say(
            f"epoch {row['epoch']:>3}: {learned}, {part} accuracy {row[f'{part}_accuracy']:.2%}; "
            f"lr {row['lr']:.2g}, {speed}, {self._left(int(row['step']))}"
        )
        if self.bar is not None and row["step"] == self.steps:
            self.bar.close()

    def logged(self, message: str) -> None:
        """A warning."""
        self._say(f"warning: {message}", err=True)

    def _say(self, text: str, *, err: bool = False) -> None:
        if self.bar is not None:
            self.bar.clear()
        if not (err or self.heard):
            return
        try:
            click.echo(text, err=err)
        except OSError as error:
            # `| head` has gone, or the disk of the log is full: hours of training are worth more than a line.
            self.heard = False
            sys.stdout = None
            with contextlib.suppress(OSError):
                click.echo(f"warning: standard output is closed ({error.strerror}); training continues", err=True)

    def _rate(self, step: int) -> float:
        return (step - self.first) * self.batch / max(time.monotonic() - self.begun, 1e-9)

    def _left(self, step: int) -> str:
        done = max(step - self.first, 1)
        seconds = round((time.monotonic() - self.begun) / done * (self.steps - step))
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02} left"
