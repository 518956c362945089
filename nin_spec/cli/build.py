"""nin-spec build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nin_spec.cli.console import terminal_width
from nin_spec.cli.help import Command
from nin_spec.cli.options import (
    force_option,
    format_option,
    open_spec,
    seed_option,
    spec_options,
    tell,
    warn,
    weigh,
    weights_of,
    weights_option,
)
from nin_spec.cli.outputs import FILE, deliver, protect
from nin_spec.seals import Kind

if TYPE_CHECKING:
    from nin_spec.analysis.tables import ShapeTable
    from nin_spec.network import Network


@click.command("build", cls=Command)
@spec_options
@format_option("table", "json", "csv", "markdown", "latex")
@click.option("--by", type=click.Choice(["layer", "stage"]), default="layer", help="One row per layer, or per block.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=FILE,
    help="Also save weights (safetensors): fresh ones, those of RUNDIR, or --weights.",
)
@weights_option
@force_option
@seed_option
def build_command(
    spec: str,
    overrides: tuple[str, ...],
    size: str | None,
    form: str,
    by: str,
    output: str | None,
    weights: str | None,
    force: bool,
    seed: int,
) -> None:
    """Compile a spec and print its shape table.

    SPEC is a YAML file, the name of a shipped network, or - for standard input. For RUNDIR, the spec that
    it was trained from is used.

    \b
      nin-spec build nin_cifar
      nin-spec build my.yaml --input 3x64x64 --set blocks.0.kernel=7
      nin-spec build nin_cifar --format json
      nin-spec build nin_cifar --by stage --format latex > table.tex
      nin-spec build nin_cifar -o weights.safetensors --seed 1
      nin-spec build my.yaml --weights checkpoint.pt -o ours.safetensors
    """
    if weights is not None and output is None:
        raise click.UsageError("--weights needs -o FILE: where to save them under the names of nin-spec")
    if output is not None:
        protect({Path(output): Kind.WEIGHTS}, [spec, weights], force=force)
    from nin_spec.opened import network_of, run_of

    found = open_spec(spec, overrides, size)
    network, run = network_of(found), run_of(found)
    table = network.table.stages() if by == "stage" else network.table
    show(table, form)
    if output is not None:
        if weights is None and run is not None:
            weights = str(run.weights)
        save(network, Path(output), spec, weights, seed, force=force)


def show(table: ShapeTable, form: str) -> None:
    """Print a shape table in one of the five forms."""
    from nin_spec.analysis import tables

    if form == "json":
        click.echo(json.dumps(table.as_dict(), indent=2))
    elif form == "csv":
        click.echo(tables.table_csv(table), nl=False)
    elif form == "markdown":
        click.echo(tables.table_markdown(table), nl=False)
    elif form == "latex":
        from nin_spec.analysis.latex_table import table_latex

        click.echo(table_latex(table), nl=False)
    else:
        click.echo(tables.table_text(table, terminal_width()))


def save(network: Network, output: Path, spec: str, weights: str | None, seed: int, *, force: bool) -> None:
    """Save weights under nin-spec's names, and report the file."""
    from nin_spec.passes.temperature import temperature_of

    model = weigh(network, weights, seed)
    deliver({output: weights_of(model)}, [spec, weights], force=force)
    tell([f"saved {len(model.weights)} tensors to {output}"])
    if (value := temperature_of(model.graph)) is not None:
        both = f"nin-spec export {spec} --onnx --weights {weights}"
        warn([f"{output} has the weights alone, without the temperature {value:g}; for a file with both: {both}"])
