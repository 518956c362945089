"""nin-spec studio."""

from __future__ import annotations

import click

from nin_spec.cli.options import tell
from nin_spec.extras import require


@click.command("studio")
@click.argument("spec", metavar="[SPEC]", required=False)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Port of the page, on this machine alone.  [default: a free one]",
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
def studio_command(spec: str | None, port: int, no_browser: bool) -> None:
    """Write SPEC in a local page, with its network beside it after each keystroke.

    \b
      nin-spec studio mine.yaml      a file, or a new one
      nin-spec studio nin_cifar      a shipped network; what you save is a copy in this folder

    Only this browser is let in, and only SPEC is ever written: Ctrl-S saves it, unless another program has changed
    it meanwhile. Ctrl-C ends the studio.
    """
    require("nicegui", purpose="the studio", extra="studio")
    from nin_spec.studio.workspace import open_spec

    workspace = open_spec(spec)
    from nin_spec.studio.server import serve

    serve(
        workspace, port, browser=not no_browser, ready=lambda address: tell([f"studio on {address}", "Ctrl-C ends it"])
    )
