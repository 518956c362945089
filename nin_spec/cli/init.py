"""nin-spec init."""

from __future__ import annotations

from pathlib import Path

import click

from nin_spec.cli import completing
from nin_spec.cli.help import Command
from nin_spec.cli.options import force_option, tell
from nin_spec.cli.outputs import FILE, STDOUT, deliver, protect
from nin_spec.seals import Kind, sealed

SUFFIX = ".nin.yaml"
"""What editors know a spec by."""


@click.command("init", cls=Command)
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path), shell_complete=completing.files)
@click.option("-o", "--output", metavar="FILE", type=FILE, help="File to write.  [default: FOLDER.nin.yaml]")
@force_option
def init_command(folder: Path, output: str | None, force: bool) -> None:
    """Write a first spec for a folder of pictures.

    FOLDER has FOLDER/train/CLASS/* and FOLDER/test/CLASS/*, or only FOLDER/CLASS/*. Channels, size, classes and
    preprocessing are read from it; the comments say what to change. Editors know a spec by its suffix, .nin.yaml.

    \b
      nin-spec init photos
      nin-spec check photos.nin.yaml
      nin-spec train photos.nin.yaml
    """
    from nin_spec.starting import look_at, name_of, spec_of

    folder = folder.resolve()
    name = name_of(folder)
    path = Path(output) if output is not None else folder.parent / f"{name}{SUFFIX}"
    protect({path: Kind.SPEC}, [], force=force)
    seen = look_at(folder)
    deliver({path: sealed(spec_of(seen, name).encode(), Kind.SPEC)}, [], force=force)
    size = f"{seen.channels}x{seen.size[0]}x{seen.size[1]}"
    if str(path) == STDOUT:
        return
    click.echo(f"wrote {_short(path)} ({size}, {len(seen.classes)} classes, {seen.pictures:,} pictures to train on)")
    tell([f"next: nin-spec train {_short(path)}"])


def _short(path: Path) -> Path:
    """The path from the current folder, if it is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
