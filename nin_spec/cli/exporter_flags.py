"""The flags of `nin-spec export` that come from exporters: one for each exporter, and one for each of its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

import click

from nin_spec.cli import completing
from nin_spec.cli.outputs import FILE
from nin_spec.diagnostics import Diagnostic, ExportError
from nin_spec.exporter import NAME, survey

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from nin_spec.exporter import Exporter

OWN_NAME = "."
"""The value of a flag given without a path: the artifact's own name, here."""


@dataclass(frozen=True, slots=True)
class Target:
    """An exporter that is asked for, its checked options, and where its files go: a path, `-`, or OWN_NAME."""

    exporter: Exporter
    options: BaseModel
    path: str

    @property
    def reads(self) -> list[str]:
        """The files and folders that its options name."""
        return [str(value) for _, value in self.options if isinstance(value, Path)]


# ------------------------------------------------------------------ on the command line


AnyCommand = TypeVar("AnyCommand", bound=click.Command)


def derived(command: AnyCommand) -> AnyCommand:
    """The command with the flags of every exporter that can be used; its help says what is wrong with the others."""
    try:
        found = survey(own_words(command))
    except ExportError:
        # The command says so when it is used; the others' help must not suffer for it.
        return command
    fields: dict[str, tuple[FieldInfo, list[str]]] = {}
    for name, exporter in found.exporters.items():
        text = next(iter((exporter.__doc__ or "").strip().splitlines()), "")
        command.params.append(
            click.Option(
                [f"--{name}", f"to_{name}"], is_flag=False, flag_value=OWN_NAME, metavar="[PATH]", type=FILE, help=text
            )
        )
        for key, field in exporter.Options.model_fields.items():
            fields.setdefault(key, (field, []))[1].append(name)
    for key, (field, names) in fields.items():
        text = f"{field.description or ''} ({', '.join(f'--{n}' for n in names)})"
        command.params.append(
            click.Option(
                [f"--{key.replace('_', '-')}", key],
                metavar=_metavar(field),
                shell_complete=_completer(field),
                help=text,
            )
        )
    command.params += [_refusing(name, why) for name, why in found.refused.items() if _is_free(name, command)]
    if found.refused:
        command.epilog = "\n\n".join(f"Not available: {why.message}." for why in found.refused.values())
    return command


def own_words(command: click.Command) -> set[str]:
    """What no exporter may call itself or an option: the flags and parameters of the command itself."""
    return {word for p in command.params for word in (*p.opts, *p.secondary_opts, p.name or "")} | {"--help", "-h"}


def _is_free(name: str, command: click.Command) -> bool:
    """Whether a flag of that name can be added to say why it can't be used."""
    return NAME.fullmatch(name) is not None and all(
        f"--{name}" not in (*p.opts, *p.secondary_opts) for p in command.params
    )


def _refusing(name: str, why: Diagnostic) -> click.Option:
    """The flag of an exporter that can't be used: it says so."""

    def refuse(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise ExportError(why)

    return click.Option(
        [f"--{name}"], is_flag=False, flag_value=OWN_NAME, hidden=True, expose_value=False, callback=refuse
    )


def _completer(field: FieldInfo) -> completing.Completer:
    """The words that an option takes, or files; else the examples of its field, in a comma-separated list."""
    if _is_path(field):
        return completing.files
    words = [word for word in _words(field.annotation) if word != "N"]
    return completing.any_of(words) if words else completing.list_of(map(str, field.examples or ()))


def _metavar(field: FieldInfo) -> str:
    words = [w for w in _words(field.annotation) if w]
    return "|".join(words) or _key_type(field)


def _key_type(field: FieldInfo) -> str:
    """What an option without fixed words takes."""
    if _is_path(field):
        return "PATH"
    return "N" if int in (field.annotation, *get_args(field.annotation)) else "VALUE"


def _is_path(field: FieldInfo) -> bool:
    return Path in (field.annotation, *get_args(field.annotation))


def _words(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(a) for a in get_args(annotation)]
    found = [w for a in get_args(annotation) for w in _words(a)]
    return [*found, "N"] if found and int in get_args(annotation) else found


# ------------------------------------------------------------------ as it was given


def paths_of(exporters: Mapping[str, Exporter], words: Mapping[str, str | None]) -> dict[str, str]:
    """Where the files of each exporter that is asked for go."""
    return {name: path for name in exporters if (path := words.get(f"to_{name}")) is not None}


def targets_of(
    exporters: Mapping[str, Exporter], paths: Mapping[str, str], words: Mapping[str, str | None]
) -> dict[str, Target]:
    """What is asked for, by the exporter's name.

    Raises UsageError for an option of an exporter that is not asked for, which would do nothing, and ExportError for
    a value that an option can't have.
    """
    from nin_spec.exporter import check_options

    options = {key for name in paths for key in exporters[name].Options.model_fields}
    for name, exporter in exporters.items():
        for key in exporter.Options.model_fields:
            if words.get(key) is not None and key not in options:
                raise click.UsageError(f"--{key.replace('_', '-')} requires --{name}")
    return {
        name: Target(exporters[name], check_options(exporters[name], _chosen(exporters[name], words)), path)
        for name, path in paths.items()
    }


def _chosen(exporter: Exporter, words: Mapping[str, str | None]) -> dict[str, str | int]:
    """The exporter's options as given on the command line, numbers as numbers."""
    found = {key: word for key in exporter.Options.model_fields if (word := words.get(key)) is not None}
    fields = exporter.Options.model_fields
    numbers = {k for k, v in found.items() if v.isascii() and v.isdigit() and len(v) < 10 and not _is_path(fields[k])}
    return {key: int(word) if key in numbers else word for key, word in found.items()}
