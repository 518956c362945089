"""How much a command prints, and in which form: --quiet, and a result as text or as one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any, TextIO, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

STDOUT_OWNER = "nin_spec.stdout"
"""The key of a context's `meta` under which the real standard output is kept while a file or document owns it."""
_QUIET = "nin_spec.quiet"


def is_quiet() -> bool:
    """Whether only results, warnings and errors are to be printed."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


def _hush(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    context.meta[_QUIET] = asked


quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_hush,
    help="Print no progress and no remarks: only the result, warnings and errors.",
)


def claim_stdout(context: click.Context) -> None:
    """Keep standard output for one file or document; what is printed goes to standard error from here on.

    Raises UsageError for a second one.
    """
    if STDOUT_OWNER in context.meta:
        raise click.UsageError("only one output can be standard output: an output of -, or --format json")
    context.meta[STDOUT_OWNER] = sys.stdout
    context.with_resource(redirect_stdout(sys.stderr))


class Printer:
    """Prints a command's result: as lines of text when they are known, or as one JSON document at the end.

    Where a document is printed, standard output has nothing else.
    """

    def __init__(self, stdout: TextIO | None = None) -> None:
        self._stdout = stdout

    def line(self, text: str) -> None:
        """A line, or several, of the text."""
        if self._stdout is None:
            click.echo(text)

    def step(self, text: str) -> None:
        """A line about a step that is done: part of the text, and progress beside a document."""
        if self._stdout is None or not is_quiet():
            click.echo(text)

    def document(self, data: Mapping[str, Any] | list[Any]) -> None:
        """The same result as plain data."""
        if self._stdout is not None:
            click.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False), file=self._stdout)


def _printer(context: click.Context, _parameter: click.Parameter, form: str) -> Printer:
    if form == "text" or context.resilient_parsing:
        return Printer()
    claim_stdout(context)
    return Printer(context.meta[STDOUT_OWNER])


def printer_option(function: Function) -> Function:
    """--format, as the parameter `printer`."""
    return click.option(
        "--format",
        "printer",
        type=click.Choice(["text", "json"]),
        default="text",
        callback=_printer,
        help="Output format; json prints one document, and progress on standard error.  [default: text]",
    )(function)
