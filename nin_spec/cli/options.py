"""Arguments that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nin_spec.cli import completing
from nin_spec.cli.printer import is_quiet

if TYPE_CHECKING:
    from nin_spec.model import Model
    from nin_spec.network import Network
    from nin_spec.training.folder import Run

Function = TypeVar("Function", bound=Callable[..., Any])

spec_argument = click.argument("spec", metavar="SPEC|RUNDIR", shell_complete=completing.specs)
set_option = click.option(
    "--set",
    "overrides",
    metavar="PATH=VALUE",
    shell_complete=completing.overrides,
    multiple=True,
    help="Override one value, for example blocks.0.kernel=7 or head.pool=global_max; may be repeated.",
)
input_option = click.option(
    "--input",
    "size",
    metavar="CxHxW",
    help="Compile for another input size, for example 3x64x64; one number is a square.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    metavar="N",
    help="Seed of fresh weights: the same seed gives the same bytes.  [default: 0]",
)

weights_option = click.option(
    "--weights",
    metavar="FILE|RUNDIR",
    shell_complete=completing.weights,
    help="Weights to use: a safetensors file of nin-spec, a state dict of another tool (.pt), or a run folder.",
)

force_option = click.option(
    "--force", is_flag=True, help="Replace a file that nin-spec did not write, or that was edited since."
)

threads_option = click.option(
    "--threads", type=click.IntRange(1, 4096), metavar="N", help="CPU threads.  [default: all cores]"
)


def data_option(name: str = "data") -> Callable[[Function], Function]:
    """--data, as the parameter of that name."""
    text = "Where the data set is: a folder, or an .npz file.  [default: where it was fetched to]"
    return click.option("--data", name, metavar="PATH", shell_complete=completing.files, help=text)


def limit_option(text: str) -> Callable[[Function], Function]:
    """--limit: how few pictures are enough."""
    return click.option("--limit", metavar="N", type=click.IntRange(1), help=text)


EACH_ALIKE = "Use only N pictures, the same number of each class."


def format_option(*forms: str) -> Callable[[Function], Function]:
    """--format, the first of the forms being the default."""
    return click.option(
        "--format", "form", type=click.Choice(forms), default=forms[0], help=f"Output format.  [default: {forms[0]}]"
    )


def check_precision(word: str, known: Sequence[str]) -> str:
    """The word, if it is one of the precisions of --precision. Raises BadParameter, with the nearest one."""
    from nin_spec.diagnostics import did_you_mean

    if word not in known:
        message = f"unknown precision {word!r}; {did_you_mean(word, known)}"
        raise click.BadParameter(message, param_hint="--precision")
    return word


_DEVICE_HELP = (
    "auto, cpu, cuda, tensorrt, or an installed plug-in such as openvino or webgpu; `nin-spec doctor` shows which work "
    "here."
)


device_named = click.option(
    "--device",
    metavar="NAME",
    default="auto",
    show_default=True,
    shell_complete=completing.devices,
    help=_DEVICE_HELP,
)


def device_options(function: Function) -> Function:
    """--device and --device-option."""
    return device_named(device_option(function))


device_option = click.option(
    "--device-option",
    "options",
    metavar="KEY=VALUE",
    multiple=True,
    callback=lambda _ctx, _param, texts: pairs(texts),
    help="Option of the device, for example spinning=never; may be repeated. An unknown one lists the valid ones.",
)


def pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE texts as a mapping. Raises BadParameter for another form, or a key given twice."""
    found: dict[str, str] = {}
    for text in texts:
        key, sign, value = (part.strip() for part in text.partition("="))
        if not (key and sign and value):
            raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE; write, for example, spinning=never")
        if key in found:
            raise click.BadParameter(f"{key} is given twice")
        found[key] = value
    return found


def spec_options(function: Function) -> Function:
    """SPEC, --set and --input."""
    return spec_argument(set_option(input_option(function)))


def compile_spec(spec: str, overrides: tuple[str, ...], size: str | None) -> Network:
    """The network that the arguments name, of a spec or a run."""
    from nin_spec.opened import network_of

    return network_of(open_spec(spec, overrides, size))


def open_spec(spec: str, overrides: tuple[str, ...], size: str | None) -> Network | Run:
    """The network of a spec, or a run."""
    from nin_spec.opened import opened

    return opened(spec, [*overrides, *input_overrides(size)])


def input_overrides(size: str | None) -> list[str]:
    """`3x64x48` as dotted overrides; one number is a square."""
    if size is None:
        return []
    match = re.fullmatch(r"(?:(\d{1,9})[x,](\d{1,9})[x,])?(\d{1,9})", size.strip())
    if match is None:
        raise click.BadParameter(
            f"{size!r} is not an input size; write CxHxW, for example 3x64x64", param_hint="--input"
        )
    channels, height, width = match.groups()
    overrides = [f"input.size=[{int(height or width)}, {int(width)}]"]
    return [f"input.channels={int(channels)}", *overrides] if channels else overrides


def weigh(network: Network, weights: str | None, seed: int) -> Model:
    """The model with the weights asked for, saying which."""
    if weights is None:
        tell([f"weights: fresh, seed {seed} (pass --weights FILE for trained ones)"])
        return network.initialise(seed)
    model, remarks = network.adopt(weights)
    tell(remarks)
    return model


def weights_of(model: Model) -> bytes:
    """A sealed safetensors file of a model's weights, with the name and hash of their network."""
    from nin_spec.weights import labels_entry, sealed_file

    card = model.card
    facts = {"name": card.name, "hash": card.hash, "weights": card.weights}
    metadata = {f"nin_spec.{key}": value for key, value in facts.items()} | labels_entry(card.labels)
    return sealed_file(model.weights, metadata)


def tell(lines: Iterable[str]) -> None:
    """Print remarks that are not the result; with --quiet nothing."""
    if not is_quiet():
        _print(lines)


def warn(lines: Iterable[str]) -> None:
    """What is probably wrong, though the command goes through."""
    _print(f"warning: {line}" for line in lines)


def _print(lines: Iterable[str]) -> None:
    from nin_spec.diagnostics import printable

    for line in lines:
        click.echo("\n".join(map(printable, line.split("\n"))), err=True)
