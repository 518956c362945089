"""Claims of shipped specs: a figure stands beside a recipe that has what it took, or says what the recipe lacks."""

from __future__ import annotations

import re

import pytest

from nin_spec.language.load import load
from nin_spec.language.parts import target_of
from nin_spec.language.recipe import Augment, Recipe
from nin_spec.named import SHIPPED, shipped_names

FIGURES: dict[str, tuple[str, ...]] = {
    "8.81%": ("augmentation", "whitening"),
    "10.41%": ("whitening",),
    "35.68%": ("whitening",),
    "2.35%": ("local contrast normalisation",),
    "0.47%": (),
    "89.6%": ("whitening",),
    "59.36%": ("resize", "crop", "flip"),
    "55.78%": (),
    "73.53%": (),
    "93%": (),
}
"""Each figure of a shipped spec and what it took beside the network, its optimiser and its schedule.

The paper (Lin et al. 2013, section 4), the Caffe model zoo, and for the last three the recipes as they stand.
"""

LACKS = re.compile(r"\blacks?\b|\blacking\b|\bwithout\b")


def has(recipe: Recipe | None, need: str, *, resized: bool) -> bool:
    """Whether a recipe does what a figure took; no recipe can whiten or normalise contrast."""
    augment = Augment() if recipe is None else recipe.augment
    return {
        "augmentation": augment != Augment(),
        "flip": augment.flip,
        "crop": augment.crop,
        "resize": resized,
    }.get(need, False)


def unsaid(text: str, recipe: Recipe | None, *, resized: bool = False) -> list[str]:
    """What figures in a text took that the recipe does not have and the text does not call lacking."""
    needs = {need for figure in re.findall(r"\d+(?:\.\d+)?%", text) for need in FIGURES[figure]}
    needs |= {"augmentation"} if "augmentation" in text else set()
    lacking = LACKS.search(text) is not None
    return sorted(n for n in needs if not has(recipe, n, resized=resized) and not (lacking and n in text))


@pytest.mark.parametrize("name", shipped_names())
def test_a_figure_is_within_reach_or_says_what_it_lacks(name: str) -> None:
    """In the summary, which stands alone in `nin-spec list`, and in the comments of the file."""
    spec = load(name).spec
    resized = target_of(spec.input.preprocess.resize) is not None
    text = (SHIPPED / f"{name}.yaml").read_text()
    comments = " ".join(re.findall(r"#\s*(.*)", text))
    for said in (spec.summary, comments):
        assert unsaid(said, spec.train, resized=resized) == [], said


def test_a_claim_out_of_reach_is_found() -> None:
    """The test above would find the summary that made it necessary."""
    recipe = load("nin_cifar_author").spec.train
    assert unsaid("8.81% error with augmentation.", recipe) == ["augmentation", "whitening"]
    assert unsaid("trained with augmentation.", load("nin_cifar_bn").spec.train) == []


SOURCE = re.compile(r"^# Source: (.+)\.$", re.MULTILINE)


@pytest.mark.parametrize("name", shipped_names())
def test_a_spec_says_who_published_it(name: str) -> None:
    """In the comment at its top: an author, a repository, or the spec of ours that it was made from."""
    header = (SHIPPED / f"{name}.yaml").read_text().partition("\nspec: ")[0]
    (source,) = SOURCE.findall(header)
    if name.startswith("seed_"):
        assert "nin-spec" not in source
    for other in re.findall(r"\b(?:nin|seed)_\w+", source):
        assert other in shipped_names()
