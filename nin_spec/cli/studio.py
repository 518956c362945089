"""nin-spec studio."""

from __future__ import annotations

import click

from nin_spec.cli import completing
from nin_spec.cli.help import Command
from nin_spec.cli.options import tell
from nin_spec.extras import require


@click.command("studio", cls=Command)
@click.argument("spec", metavar="[SPEC]", required=False, shell_complete=completing.specs)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Port of the page, on this machine only.  [default: a free one]",
)
@click.option("--no-browser", is_flag=True, help="Print the address without opening a browser.")
def studio_command(spec: str | None, port: int, no_browser: bool) -> None:
    """Edit a spec in a local web page that shows its network as you type.

    \b
      nin-spec studio mine.yaml      a file, or a new one
      nin-spec studio nin_cifar      a shipped network; what you save is a copy in this folder

    Only the browser that was opened has access, and only SPEC is ever written: Ctrl-S saves it, unless another
    program has changed it meanwhile. Ctrl-C stops the studio.
    """
    require("nicegui", purpose="the studio", extra="studio")
    from nin_spec.studio.workspace import open_spec

    workspace = open_spec(spec)
    from nin_spec.studio.server import serve

    serve(
        workspace,
        port,
        browser=not no_browser,
        ready=lambda address: tell([f"studio on {address}", "press Ctrl-C to stop"]),
    )
