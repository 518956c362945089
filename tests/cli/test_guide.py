"""nin-spec guide: a page per topic, a list of them, and the nearest topic for a wrong one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Outcome

from nin_spec import guide
from nin_spec.cli.commands import COMMANDS, TOPICS

Run = Callable[..., Outcome]


@pytest.mark.parametrize("topic", guide.TOPICS)
def test_a_topic_is_printed(nin_spec: Run, topic: str) -> None:
    """From its title to its last line, links by their text alone."""
    outcome = nin_spec("guide", topic)
    assert (outcome.code, outcome.err) == (0, "")
    lines, written = outcome.out.splitlines(), guide.markdown(topic).splitlines()
    assert lines[0] == written[0]
    assert lines[-1] == written[-1]
    assert ".md)" not in outcome.out


def test_without_a_topic_all_are_listed(nin_spec: Run) -> None:
    """In the order of the table, each with what it is about, in 80 columns."""
    outcome = nin_spec("guide")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines[: len(guide.TOPICS)]] == list(guide.TOPICS)
    assert max(map(len, lines)) <= 80
    assert "Recipes, run folders" in lines[guide.TOPICS.index("training")]


@pytest.mark.parametrize(
    ("asked", "hint"), [("trainin", "did you mean 'training'?"), ("zzz", "expected one of: language, data, ")]
)
def test_a_wrong_topic_names_the_nearest(nin_spec: Run, asked: str, hint: str) -> None:
    """Exit code 2."""
    outcome = nin_spec("guide", asked)
    assert outcome.code == 2
    assert f"no guide {asked!r}; {hint}" in outcome.err


def test_the_help_of_a_command_names_its_guide(nin_spec: Run) -> None:
    """One that is printed."""
    assert set(TOPICS) <= set(COMMANDS)
    assert set(TOPICS.values()) <= set(guide.TOPICS)
    assert nin_spec("train", "--help").out.endswith("\n  Guide: nin-spec guide training\n")


def test_topics_complete() -> None:
    """What a shell offers after `nin-spec guide t`."""
    import click

    from nin_spec.cli.guide import guide_command

    (argument,) = guide_command.params
    offered = argument.shell_complete(click.Context(guide_command), "p")
    assert [item.value for item in offered] == ["precision", "python"]
