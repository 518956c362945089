"""The guides are plain, narrow and complete; the modules beside this one run them, in shards."""

from __future__ import annotations

import re

import pytest
import test_guides_deploy
import test_guides_spec
import test_guides_train
from documents import COLUMNS, ROOT, blocks

from nin_spec import guide


def test_every_guide_is_run() -> None:
    """By one of the modules beside this one."""
    assert sorted([*test_guides_spec.TOPICS, *test_guides_train.TOPICS, *test_guides_deploy.TOPICS]) == sorted(
        guide.TOPICS
    )


def test_every_guide_is_a_topic() -> None:
    """A file that is added is listed."""
    assert {file.stem for file in guide.FOLDER.glob("*.md")} == set(guide.TOPICS)


@pytest.mark.parametrize("topic", guide.TOPICS)
def test_a_guide_has_a_title_and_a_summary(topic: str) -> None:
    """The list shows the sentence under the title, on one line."""
    title, blank, sentence, after = guide.markdown(topic).splitlines()[:4]
    assert title.startswith("# ")
    assert not blank
    assert not after
    assert sentence.endswith(".")
    assert len(sentence) <= 68  # beside the topic, in 80 columns


@pytest.mark.parametrize("topic", guide.TOPICS)
def test_a_guide_is_plain_and_narrow(topic: str) -> None:
    """ASCII, and, but for tables, lines that fit a terminal; code fits a narrow one."""
    assert guide.markdown(topic).isascii()
    assert [line for line in guide.markdown(topic).splitlines() if len(line) > 80 and line[0] != "|"] == []
    for block in blocks(guide.FOLDER / f"{topic}.md"):
        assert [line for line in block.text.splitlines() if len(line) > COLUMNS] == [], block


@pytest.mark.parametrize("topic", guide.TOPICS)
def test_what_a_guide_names_is_there(topic: str) -> None:
    """Other guides, files of the repository, and the heading of a link."""
    text = guide.markdown(topic)
    assert set(re.findall(r"nin-spec guide (\w+)", text)) <= {*guide.TOPICS}
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (guide.FOLDER / target).exists(), target


def test_every_guide_is_in_the_readme() -> None:
    """As a link to its file."""
    readme = (ROOT / "README.md").read_text()
    for topic in guide.TOPICS:
        assert f"(nin_spec/guide/{topic}.md)" in readme


def test_every_guide_in_a_message_is_a_topic() -> None:
    """Hints and help name guides that can be printed."""
    code = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "nin_spec").rglob("*.py")))
    named = set(re.findall(r"nin-spec guide ([a-z]+)", code))
    assert {"clusters", "precision", "serving"} <= named
    assert named <= set(guide.TOPICS)
