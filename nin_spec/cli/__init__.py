"""The command line: one short function per command, the only printer, the only owner of exit codes.

0: done. 1: a check failed. 2: what was given can't be used. 130: interrupted. 143: terminated.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import redirect_stdout
from typing import Any

import click
from click.shell_completion import CompletionItem

from nin_spec import __version__
from nin_spec.children import TELEMETRY
from nin_spec.cli.commands import COMMANDS, GROUPS, TOPICS
from nin_spec.cli.console import coloured, escape_streams, paint
from nin_spec.cli.help import Group, show_error, write_sections
from nin_spec.diagnostics import NinSpecError
from nin_spec.interrupts import begin, end

_NO_TEXTS = "Python runs with -OO (PYTHONOPTIMIZE=2), which removes the text of this page."


class Commands(Group):
    """Loads a command's module when the command is used, so that no command loads another's imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of typical use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name])
        command: click.Command = getattr(module, f"{cmd_name}_command")
        if cmd_name in TOPICS:
            guide = f"Guide: nin-spec guide {TOPICS[cmd_name]}"
            own = (command.epilog or "").removesuffix(guide)
            command.epilog = f"{own.rstrip()}\n\n{guide}".lstrip()
        if sys.flags.optimize >= 2:
            command.epilog = _NO_TEXTS
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by group, none of them loaded."""
        write_sections(
            formatter, {title: {n: text for n, (_, text) in group.items()} for title, group in GROUPS.items()}
        )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so, none of them loaded, and the options."""
        found = {name: text for group in GROUPS.values() for name, (_, text) in group.items()}
        named = [CompletionItem(name, help=text) for name, text in found.items() if name.startswith(incomplete)]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The same, naming the nearest command when there is none."""
        from nin_spec.diagnostics import did_you_mean

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"unknown command {args[0]!r}; {did_you_mean(args[0], list(COMMANDS))}")
        found = super().resolve_command(ctx, args)
        begin()  # all that a command needs to be asked for is loaded
        return found


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_NO_TEXTS if sys.flags.optimize >= 2 else None,
)
@click.version_option(__version__, prog_name="nin-spec")
def group() -> None:
    """Specify, build, train, export and run Network-in-Network image classifiers.

    \b
    Getting started:
      nin-spec list                          list the shipped networks
      nin-spec build nin_cifar               compile one and print its shape table
      nin-spec export nin_cifar --onnx       write an ONNX file, proved equal
      nin-spec run nin_cifar.onnx photo.jpg  classify a picture
      nin-spec train nin_digits              train on a small included data set, in seconds
      nin-spec evaluate runs/nin_digits      measure its accuracy

    SPEC is a YAML file, the name of a shipped network, or - for standard input.

    To complete commands, names and options with the Tab key, put one line into your shell's startup file:

    \b
      eval "$(_NIN_SPEC_COMPLETE=bash_source nin-spec)"       ~/.bashrc
      eval "$(_NIN_SPEC_COMPLETE=zsh_source nin-spec)"        ~/.zshrc
      _NIN_SPEC_COMPLETE=fish_source nin-spec | source        ~/.config/fish/config.fish
    """


def main(arguments: list[str] | None = None) -> None:
    """Run a command; turn errors into text and an exit code, never a traceback."""
    escape_streams()
    # Or pydantic looks for plug-ins in every package installed, which costs a tenth of `build`.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # And whoever imports onnxruntime in this process or in one that it starts reports nothing.
    os.environ.update([TELEMETRY])
    try:
        code = execute(arguments)
        end()
    except KeyboardInterrupt:  # while an error was being reported
        code = _interrupted()
    if patience := sys.modules.get("nin_spec.runtime.patience"):
        patience.leave(code)
    sys.exit(code)


def execute(arguments: list[str] | None = None) -> int:
    """The exit code of a command."""
    try:
        with redirect_stdout(sys.stdout):  # put back, where a command wrote its file there
            result: Any = group.main(arguments, prog_name="nin-spec", standalone_mode=False)
    except NinSpecError as error:
        report(error)
        return error.exit_code
    except click.NoSuchOption as error:
        from nin_spec.cli.misplaced import hint_for

        show_error(error)
        if hint := hint_for(error, sys.argv[1:] if arguments is None else arguments):
            click.echo(f"hint: {hint}", err=True)
        return error.exit_code
    except click.ClickException as error:
        show_error(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing to say, and nobody to say it to.
        sys.stdout = None
        return 0
    except OSError as error:
        # A path too long, a folder without permission: what the machine says, in its words.
        click.echo(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", err=True)
        return 2
    return result if isinstance(result, int) else 0


def _interrupted() -> int:
    click.echo("interrupted", err=True)
    return 130


def report(error: NinSpecError) -> None:
    """Every diagnostic of an error, then how many there are."""
    for diagnostic in error.diagnostics:
        paint(coloured(diagnostic), err=True)
    if len(error.diagnostics) > 1:
        click.echo(f"{len(error.diagnostics)} errors", err=True)
