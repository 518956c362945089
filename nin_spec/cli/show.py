"""nin-spec show, list and schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_spec.cli.console import terminal_width
from nin_spec.cli.help import Command
from nin_spec.cli.options import format_option, open_spec, spec_options

if TYPE_CHECKING:
    from nin_spec.language.canonical import Canonical
    from nin_spec.language.document import Path_
    from nin_spec.training.folder import Run


@click.command("show", cls=Command)
@spec_options
@format_option("yaml", "json", "graph")
@click.option("--no-origins", is_flag=True, help="Leave out the comments that name the origin of each value.")
def show_command(spec: str, overrides: tuple[str, ...], size: str | None, form: str, no_origins: bool) -> None:
    """Print a spec in canonical form, with the origin of each value.

    Every default is written out, and the output is itself a spec of the same network. `--format graph` prints the
    compiled graph. For RUNDIR, the spec that it was trained from is used, with the temperature of a calibrated run.
    """
    from nin_spec.language.emit import emit
    from nin_spec.opened import network_of, run_of

    found = open_spec(spec, overrides, size)
    network, canonical = network_of(found), network_of(found).spec
    if form == "graph":
        click.echo(str(network.graph), nl=False)
    elif form == "json":
        click.echo(json.dumps(canonical.data, indent=2, ensure_ascii=False))
    else:
        click.echo(f"# semantic hash {network.hash}")
        click.echo("".join(f"# {line}\n" for line in _calibration(run_of(found))), nl=False)
        click.echo(emit(canonical.data, None if no_origins else lambda p: origin(canonical, p)), nl=False)


def _calibration(run: Run | None) -> list[str]:
    """The temperature of a run that is calibrated."""
    value = None if run is None or not run.has_weights else run.temperature
    return [] if value is None else [f"temperature {value:g}, of its trained weights (nin-spec calibrate)"]


def origin(canonical: Canonical, path: Path_) -> str:
    """Where a value comes from: file and line, an override, or the language's default."""
    span = canonical.origins.get(path)
    if span is None:
        return "default"
    name = span.source.name
    return span.source.text if name == "--set" else f"{Path(name).name}:{span.line}"


@click.command("list", cls=Command)
@format_option("table", "json")
def list_command(form: str) -> None:
    """List the shipped networks.

    Each name can be used wherever a command takes a SPEC.
    """
    from nin_spec.named import shipped_names
    from nin_spec.network import compile as compile_network

    networks = [compile_network(name) for name in shipped_names()]
    rows: list[dict[str, Any]] = [
        {
            "name": n.graph.name,
            "input": list(n.graph.input.shape),
            "parameters": n.table.parameters,
            "macs": n.table.macs,
            "summary": n.spec.spec.summary,
        }
        for n in networks
    ]
    if form == "json":
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print_list(rows)


def _print_list(rows: list[dict[str, Any]]) -> None:
    from nin_spec.printing import columns

    cells = [
        (r["name"], "x".join(map(str, r["input"])), f"{r['parameters']:,}", f"{r['macs']:,}", r["summary"])
        for r in rows
    ]
    lines = columns([("name", "input", "parameters", "MACs", "summary"), *cells], right={2, 3})
    width = terminal_width()
    click.echo("\n".join(line if len(line) <= width else f"{line[: width - 3]}..." for line in lines))


@click.command("schema", cls=Command)
@format_option("json", "markdown")
@click.option("--sweep", "of_sweep", is_flag=True, help="The JSON Schema of sweep files instead of specs.")
def schema_command(form: str, of_sweep: bool) -> None:
    """Print the JSON Schema of the language, for editors.

    An editor with a YAML language server then completes keys and explains them:

    \b
      nin-spec schema > nin-spec.schema.json
    and as the first line of a spec
      # yaml-language-server: $schema=nin-spec.schema.json

    `--format markdown` prints the language reference.
    """
    from nin_spec.language.json_schema import json_schema
    from nin_spec.lint.pages import reference_page

    if of_sweep:
        from nin_spec.sweeps.schema import sweep_schema

        if form != "json":
            raise click.UsageError("--sweep has --format json alone; the page on sweeps is `nin-spec guide sweep`")
        click.echo(json.dumps(sweep_schema(), indent=2))
        return

    click.echo(json.dumps(json_schema(), indent=2) if form == "json" else reference_page(), nl=form == "json")
