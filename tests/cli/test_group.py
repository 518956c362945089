"""The command line before it comes to a command, and its help pages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest
from conftest import Outcome

from nin_spec.cli import execute, group
from nin_spec.cli.commands import COMMANDS, GROUPS
from nin_spec.cli.help import Command

SUMMARIES = {name: text for commands in GROUPS.values() for name, (_, text) in commands.items()}


def commands(parent: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, by the words that call it."""
    context = click.Context(parent)
    for name in parent.list_commands(context):
        command = parent.get_command(context, name)
        assert command is not None
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")


ALL = dict(commands(group))


@pytest.mark.floors
def test_without_arguments_the_commands_are_listed_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was asked for, so nothing was done."""
    assert execute([]) == 2
    printed = capsys.readouterr()
    assert all(f"  {name} " in printed.out + printed.err for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_summary_is_the_first_line_of_the_commands_help(name: str) -> None:
    """The list of commands loads none of them, and says what they say."""
    assert (ALL[name].help or "").splitlines()[0] == SUMMARIES[name]


@pytest.mark.parametrize("name", ["", "data"])
def test_summaries_are_shown_whole(name: str, nin_spec: Callable[..., Outcome]) -> None:
    """None is cut, however long it is."""
    shown = " ".join(nin_spec(*name.split(), "--help").out.split())
    below = {path: command for path, command in ALL.items() if path.rpartition(" ")[0] == name}
    assert len(below) > 4
    for path, command in below.items():
        assert f"{path.rpartition(' ')[2]} {command.get_short_help_str(1000)}" in shown
    assert "... " not in shown.partition("Options:")[2]


@pytest.mark.parametrize("name", ALL)
def test_every_option_has_a_help_text_and_says_what_it_takes(name: str) -> None:
    """Never the name of a type of click's."""
    command = ALL[name]
    assert isinstance(command, Command)
    context = click.Context(command)
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, option.opts
            metavar = "" if option.is_flag else option.make_metavar(context)
            assert not {"TEXT", "INTEGER", "FLOAT"} & set(metavar.replace("|", " ").split()), option.opts


def test_the_list_of_commands_loads_none_of_them() -> None:
    """Nor pydantic: it is printed at once."""
    code = "import sys\nfrom nin_spec.cli import execute\nexecute(['--help'])\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "nin_spec.cli.help" in loaded
    assert not loaded & {*COMMANDS.values(), "pydantic", "numpy", "torch", "onnx", "jinja2"}


# ------------------------------------------------------------------ colour


def bytes_of(*arguments: str, **variables: str) -> tuple[bytes, bytes]:
    """What a command prints into pipes, to standard output and to standard error."""
    environment = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR", "TERM"}}
    run = [sys.executable, "-m", "nin_spec", *arguments]
    done = subprocess.run(run, capture_output=True, check=False, env={**environment, **variables})
    return done.stdout, done.stderr


def test_no_colour_in_pipes() -> None:
    """Neither on standard output nor on standard error."""
    for arguments in (["--help"], ["build", "--help"], ["buidl"], ["check", "a\x1b[31m.yaml"]):
        assert b"\x1b" not in b"".join(bytes_of(*arguments))


def test_force_color_and_no_color() -> None:
    """FORCE_COLOR colours pipes, too; NO_COLOR wins. An empty value counts as none (no-color.org, force-color.org)."""
    assert b"\x1b[1mUsage:\x1b[0m nin-spec build" in bytes_of("build", "--help", FORCE_COLOR="1")[0]
    assert b"\x1b" not in bytes_of("build", "--help", FORCE_COLOR="1", NO_COLOR="1")[0]
    assert b"\x1b" not in bytes_of("build", "--help", FORCE_COLOR="")[0]
    assert b"\x1b[" in bytes_of("build", "--help", FORCE_COLOR="1", NO_COLOR="")[0]


def test_coloured_messages_escape_what_a_person_gave() -> None:
    """Our colours are kept, those in a name are not."""
    _, error = bytes_of("check", "a\x1b[31m.yaml", FORCE_COLOR="1")
    out, _ = bytes_of("check", "a\x1b[31m.yaml", FORCE_COLOR="1")
    assert rb"a\u001b[31m.yaml" in out + error
    assert b"\x1b[31m\x1b[1merror NIN001:\x1b[0m" in out + error
    _, error = bytes_of("a\x1b[35mb", FORCE_COLOR="1")
    assert b"\x1b[31m\x1b[1mError:\x1b[0m unknown command " in error
    assert b"\x1b[35m" not in error


def test_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without any variable a terminal has colours, unless it is dumb."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for term, coloured in (("xterm", sys.platform != "win32"), ("dumb", False)):
        monkeypatch.setenv("TERM", term)
        assert execute(["doctor", "--help"]) == 0
        assert ("\x1b[1mUsage:" in capsys.readouterr().out) == coloured
