"""Help pages: commands in groups, summaries whole, names in colour on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import click

from nin_spec.cli.console import paint, plain


class Page(click.HelpFormatter):
    """A help page with bold headings, and the names of options and commands in colour."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """The usage line, its first word as a heading."""
        super().write_usage(prog, args, click.style(prefix or "Usage:", bold=True) + " ")

    def write_heading(self, heading: str) -> None:
        """A heading."""
        self.write(f"{'':>{self.current_indent}}{click.style(f'{heading}:', bold=True)}\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Names and what they mean, side by side."""
        super().write_dl([(click.style(name, fg="cyan"), text) for name, text in rows], col_max, col_spacing)


class _Context(click.Context):
    formatter_class = Page


class Command(click.Command):
    """A command whose help is a `Page`."""

    context_class = _Context

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """--help, which prints past the escapes that keep colour off a terminal."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


def _show_help(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        paint(ctx.get_help())
        ctx.exit()


class Group(Command, click.Group):
    """A group of commands, whose summaries are shown whole."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are defined."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands under one heading."""
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = {name: command.get_short_help_str(1000) for name, command in found.items() if command is not None}
        write_sections(formatter, {"Commands": rows})


def write_sections(formatter: click.HelpFormatter, sections: Mapping[str, Mapping[str, str]]) -> None:
    """Names and summaries under headings, in columns that line up from one section to the next."""
    width = max(len(name) for rows in sections.values() for name in rows)
    for heading, rows in sections.items():
        with formatter.section(heading):
            formatter.write_dl([(f"{name:<{width}}", summary) for name, summary in rows.items()])


def show_error(error: click.ClickException) -> None:
    """What is wrong with a command line, after the usage of its command."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        paint(error.ctx.get_help(), err=True)
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        paint(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n", err=True)
    paint(f"{click.style('Error:', fg='red', bold=True)} {plain(error.format_message())}", err=True)
