"""nin-spec check."""

from __future__ import annotations

import json

import click

from nin_spec.cli.options import set_option
from nin_spec.diagnostics import Diagnostic, SpecError, render


@click.command("check")
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@set_option
@click.option("--format", "form", type=click.Choice(["text", "json", "github"]), default="text")
def check_command(specs: tuple[str, ...], overrides: tuple[str, ...], form: str) -> int:
    """Report every error of every SPEC; exit 2 when there is one.

    `--format github` prints the workflow commands that annotate a pull request.
    """
    found = {spec: findings(spec, overrides) for spec in specs}
    errors = [d for diagnostics in found.values() for d in diagnostics]
    if form == "json":
        click.echo(json.dumps([d.as_dict() for d in errors], indent=2))
    elif form == "github":
        for diagnostic in errors:
            click.echo(annotation(diagnostic))
    else:
        for spec, diagnostics in found.items():
            click.echo("\n".join(map(render, diagnostics)) or f"{spec}: ok")
    return 2 if errors else 0


def findings(spec: str, overrides: tuple[str, ...]) -> tuple[Diagnostic, ...]:
    """Everything wrong with a spec."""
    from nin_spec.network import compile as compile_network

    try:
        compile_network(spec, overrides)
    except SpecError as error:
        return error.diagnostics
    return ()


def annotation(diagnostic: Diagnostic) -> str:
    """A GitHub workflow command, escaped as its runner expects."""
    span = diagnostic.span
    place = f" file={_property(span.source.name)},line={span.line},col={span.column}," if span else " "
    hint = f"\n{diagnostic.hint}" if diagnostic.hint else ""
    text = _data(f"{diagnostic.message}{hint}")
    return f"::{diagnostic.severity.value}{place}title={diagnostic.code.code}::{text}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
