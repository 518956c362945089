"""nin-spec guide."""

from __future__ import annotations

import click

from nin_spec import guide
from nin_spec.cli.completing import any_of
from nin_spec.cli.help import Command


@click.command("guide", cls=Command)
@click.argument("topic", metavar="[TOPIC]", required=False, shell_complete=any_of(guide.TOPICS))
def guide_command(topic: str | None) -> None:
    """Print a guide, or list the topics.

    \b
      nin-spec guide
      nin-spec guide training
      nin-spec guide export | less

    The reference of the language is a page of its own: `nin-spec schema --format markdown`.
    """
    from nin_spec.diagnostics import did_you_mean
    from nin_spec.printing import columns

    if topic is None:
        click.echo("\n".join(columns([(topic, guide.summary(topic)) for topic in guide.TOPICS])))
        click.echo("\nnin-spec guide TOPIC prints one.")
    elif topic in guide.TOPICS:
        click.echo(guide.text(topic), nl=False)
    else:
        raise click.BadParameter(f"no guide {topic!r}; {did_you_mean(topic, guide.TOPICS)}", param_hint="TOPIC")
