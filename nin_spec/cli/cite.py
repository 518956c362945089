"""nin-spec cite."""

from __future__ import annotations

import click

from nin_spec.cli.help import Command
from nin_spec.cli.options import compile_spec, spec_argument, warn


@click.command("cite", cls=Command)
@spec_argument
def cite_command(spec: str) -> None:
    """Print what to cite for a network, as BibTeX.

    The paper, where the network was published, and nin-spec. Where it was published is a comment at the top of the
    spec, `# Source: WHO, WHERE.`, which every shipped spec has; for a spec that extends another, both are printed.

    \b
      nin-spec cite nin_cifar >> references.bib
    """
    from nin_spec.citing import references, sources

    found = compile_spec(spec, (), None).spec
    click.echo("\n".join(map(str, references(found))), nl=False)
    if not sources(found):
        warn([f"{spec} does not state its source: add a comment at its top, `# Source: WHO, WHERE.`"])
