"""Classes of a spec and of a data set: the same, or an error before anything is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from data_files import make_pictures, pixels, refusal

from nin_spec.data import ArraySplit, match_classes, open_split, subset
from nin_spec.diagnostics import Code


def split(*classes: str) -> ArraySplit:
    """A picture of each class."""
    noise = pixels(len(classes), 4, 4)
    return ArraySplit("noise", "train", "here", classes, np.arange(len(classes)), lambda k: noise[k])


def test_the_same_classes_are_the_same_split() -> None:
    """By name, or by number where the spec only counts."""
    mine = split("cat", "dog")
    assert match_classes(mine, ("cat", "dog"), 2) is mine
    assert match_classes(mine, (), 2) is mine


def test_the_specs_spelling_is_taken() -> None:
    """Other letters, or other words for the classes of a set that numbers them."""
    assert match_classes(split("Cat", "DOG"), ("cat", "dog"), 2).classes == ("cat", "dog")
    assert match_classes(split("T-shirt/top", "Trouser"), ("t-shirt", "trouser"), 2).classes == ("t-shirt", "trouser")


def test_another_number_of_classes_is_refused_with_both() -> None:
    """And the names, as far as they are known."""
    message = refusal(lambda: match_classes(split("cat", "dog", "emu"), ("cat", "dog"), 2), Code.DATA_MISFIT)
    assert "noise has 3 classes (cat, dog, emu), but the spec has 2 (cat, dog); read from here" in message
    assert "set classes: 3" in message
    message = refusal(lambda: match_classes(split(*"0123456789"), (), 1000), Code.DATA_MISFIT)
    assert "noise has 10 classes (0, 1, 2, 3, 4, 5, ...), but the spec has 1000; read" in message


def test_another_order_is_refused_where_classes_are_numbered() -> None:
    """The same words, or only some of them."""
    for labels in (("dog", "cat"), ("dog", "wolf")):
        message = refusal(lambda labels=labels: match_classes(split("cat", "dog"), labels, 2), Code.DATA_MISFIT)  # type: ignore[misc]
        assert "class 0 of the spec is dog, but in noise dog is class 1" in message
        assert "list the spec's classes in the data set's order: cat, dog" in message


def test_labels_out_of_range_are_refused() -> None:
    """Whatever classes a split has."""
    noise = pixels(2, 4, 4)
    mine = ArraySplit("noise", "train", "here", ("a", "b"), np.array([0, 2]), lambda k: noise[k])
    assert "labels 0 to 2, but the spec has 2 classes" in refusal(lambda: match_classes(mine, (), 2), Code.DATA_MISFIT)


def test_folders_are_numbered_by_the_spec(tmp_path: Path) -> None:
    """Their order is the alphabet's, which means nothing; a view of a folder is one too."""
    make_pictures(tmp_path / "train", {"Bird": 1, "cat": 2, "dog": 3})
    mine = open_split("pets", "train", tmp_path)
    for one in (mine, subset(mine, np.arange(6))):
        matched = match_classes(one, ("dog", "bird", "cat"), 3)
        assert matched.classes == ("dog", "bird", "cat")
        assert matched.labels.tolist() == [1, 2, 2, 0, 0, 0]


def test_folders_must_bear_the_specs_names(tmp_path: Path) -> None:
    """Both sides' strangers are named."""
    make_pictures(tmp_path / "train", {"bird": 1, "cat": 1})
    mine = open_split("pets", "train", tmp_path)
    message = refusal(lambda: match_classes(mine, ("cat", "emu"), 2), Code.DATA_MISFIT)
    assert "class folders that are not labels of the spec: bird" in message
    assert "missing: emu" in message
    assert "classes: 2" in message


def test_classes_that_differ_in_case_alone_are_matched_by_it(tmp_path: Path) -> None:
    """Exactly, or not at all."""
    make_pictures(tmp_path / "train", {"cat": 1, "Cat": 2})
    mine = open_split("pets", "train", tmp_path)
    assert mine.labels.tolist() == [0, 0, 1]
    assert match_classes(mine, ("cat", "Cat"), 2).labels.tolist() == [1, 1, 0]
    message = refusal(lambda: match_classes(mine, ("cat", "dog"), 2), Code.DATA_MISFIT)
    assert "class folders that are not labels of the spec: Cat" in message
