"""Pictures by class: which folders are splits and classes, and what is reported about other files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from data_files import all_of, make_pictures, pixels, refusal
from PIL import Image

from nin_spec.data import Frame, check_headers, subset
from nin_spec.data.folder import FolderSplit, is_split, look_over
from nin_spec.data.split import SplitName
from nin_spec.diagnostics import Code, DataError

FRAME = Frame(3, 6, 6)


def open_folder(dataset: str, split: SplitName, folder: Path) -> FolderSplit:
    """A split of a folder in which nothing is wrong. Raises DataError of all that is."""
    found, faults = look_over(dataset, split, folder)
    if faults:
        raise DataError(faults)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes in train, one of them in test."""
    make_pictures(tmp_path / "train", {"dog": 3, "cat": 2})
    make_pictures(tmp_path / "test", {"dog": 2})
    return tmp_path


def test_classes_are_sorted_names_and_pictures_sorted_files(root: Path) -> None:
    """The test split numbers its classes as the training split does."""
    train, test = open_folder("pets", "train", root), open_folder("pets", "test", root)
    assert train.classes == test.classes == ("cat", "dog")
    assert train.labels.tolist() == [0, 0, 1, 1, 1]
    assert test.labels.tolist() == [1, 1]
    noise = [pixels(6, 6, 3, seed=k) for k in (3, 4, 0, 1, 2)]  # dog was made first
    assert np.array_equal(all_of(train, FRAME), noise)
    assert np.array_equal(train.pictures(np.array([4, 0]), FRAME), [noise[4], noise[0]])
    assert (train.where, test.where) == (str(root / "train"), str(root / "test"))


def test_val_serves_where_there_is_no_test(tmp_path: Path) -> None:
    """ImageNet's way of naming it."""
    make_pictures(tmp_path / "train", {"a": 1})
    make_pictures(tmp_path / "val", {"a": 3})
    assert len(open_folder("x", "test", tmp_path)) == 3


def test_nothing_is_decoded_before_it_is_asked_for(root: Path) -> None:
    """Opening doesn't even open what is named like a picture; reading says which one is damaged."""
    broken = root / "train" / "cat" / "000.png"
    broken.write_bytes(b"not a picture")
    split = open_folder("pets", "train", root)
    assert split.pictures(np.array([1, 2]), FRAME).shape == (2, 6, 6, 3)
    message = refusal(lambda: split.pictures(np.array([1, 0]), FRAME), Code.DATA_DAMAGED)
    assert f"{broken} is damaged: it can't be decoded" in message
    assert "PNG, JPEG, WEBP, BMP, GIF" in message


def test_every_damaged_picture_of_a_batch_is_named(root: Path) -> None:
    """Cut short, gone, and no picture at all."""
    split = open_folder("pets", "train", root)
    folder = root / "train" / "dog"
    (folder / "000.png").write_bytes((folder / "000.png").read_bytes()[:60])
    (folder / "001.png").unlink()
    (folder / "002.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        all_of(split, FRAME)
    assert [d.message.split(" is damaged")[0] for d in caught.value.diagnostics] == [
        str(folder / f"00{k}.png") for k in range(3)
    ]


def test_pictures_come_into_the_frame(tmp_path: Path) -> None:
    """Any size and mode; a hairline is a damaged file, not gigabytes."""
    make_pictures(tmp_path / "a", {})
    (tmp_path / "a").mkdir(exist_ok=True)
    Image.fromarray(pixels(9, 20)).save(tmp_path / "a" / "gray.bmp")
    Image.fromarray(np.zeros((1, 3_000_000), np.uint8)).save(tmp_path / "a" / "hairline.png")
    split = open_folder("x", "train", tmp_path)
    assert split.pictures(np.array([0]), Frame(3, 4, 5, "crop")).shape == (1, 4, 5, 3)
    message = refusal(lambda: split.pictures(np.array([1]), Frame(1, 224, 224, "crop")), Code.DATA_DAMAGED)
    assert "too long and thin" in message


# ------------------------------------------------------------------ what lies there


@pytest.mark.parametrize(
    "name",
    ["Thumbs.db", "thumbs.db", "desktop.ini", "Desktop.ini", ".DS_Store", "._000.png", "ehthumbs.db", ".picasa.ini"],
)
def test_what_systems_leave_among_pictures_is_passed_over(root: Path, name: str) -> None:
    """In a class folder, beside the class folders, and beside train/ and test/."""
    before = [open_folder("pets", split, root).files for split in ("train", "test")]
    for place in (root, root / "train", root / "train" / "cat", root / "test" / "dog"):
        (place / name).write_bytes(b"\x89PNG\r\n\x1a\nnot a picture of the data set")
    assert [open_folder("pets", split, root).files for split in ("train", "test")] == before


@pytest.mark.parametrize("name", ["__MACOSX", ".Spotlight-V100", "$RECYCLE.BIN", "@eaDir"])
def test_folders_of_systems_are_not_classes(tmp_path: Path, name: str) -> None:
    """With or without train/."""
    make_pictures(tmp_path / "whole", {"a": 6, "b": 6, name: 6})
    assert open_folder("x", "train", tmp_path / "whole").classes == ("a", "b")
    make_pictures(tmp_path / "split" / "train", {"a": 6, name: 1})
    make_pictures(tmp_path / "split" / "test", {"a": 6, name: 1})
    assert open_folder("x", "test", tmp_path / "split").classes == ("a",)


def test_hidden_files_are_skipped_and_links_followed(root: Path) -> None:
    """Links of files and of class folders, also out of the folder; .DS_Store doesn't matter."""
    (root / "train" / "cat" / ".DS_Store").touch()
    (root / "train" / ".cache").mkdir()
    make_pictures(root / "elsewhere", {"cow": 2})
    (root / "train" / "cow").symlink_to(root / "elsewhere" / "cow")
    (root / "train" / "cat" / "link.png").symlink_to(root / "elsewhere" / "cow" / "000.png")
    split = open_folder("pets", "train", root)
    assert split.classes == ("cat", "cow", "dog")
    assert np.bincount(split.labels).tolist() == [3, 2, 3]
    assert np.array_equal(all_of(split, FRAME)[2], all_of(split, FRAME)[3])


def test_what_is_not_a_picture_is_named_and_counted(root: Path) -> None:
    """Texts, folders and broken links: the first few, and how many in all."""
    cat = root / "train" / "cat"
    for name in "abcdef":
        (cat / f"{name}.txt").touch()
    (cat / "more").mkdir()
    (cat / "gone.png").symlink_to("nowhere.png")
    message = refusal(lambda: open_folder("pets", "train", root), Code.DATA_MISFIT)
    assert (
        "has 8 files that are not pictures: cat/a.txt, cat/b.txt, cat/c.txt, cat/d.txt, cat/e.txt, and 3 more"
    ) in message


def test_a_picture_under_another_name_is_one_by_its_first_bytes(root: Path) -> None:
    """Files as a browser saves them, and suffixes in capitals."""
    cat = root / "train" / "cat"
    (cat / "000.png").rename(cat / "picture")
    (cat / "001.png").rename(cat / "001.PNG")
    assert np.bincount(open_folder("pets", "train", root).labels).tolist() == [2, 3]


def test_an_empty_class_folder_is_named(root: Path) -> None:
    """A class without pictures can't be learnt."""
    (root / "train" / "emu").mkdir()
    message = refusal(lambda: open_folder("pets", "train", root), Code.DATA_MISFIT)
    assert f"{root / 'train' / 'emu'} has no pictures" in message


def test_empty_classes_and_foreign_files_are_named_together(root: Path) -> None:
    """One look tells everything; what can be used is still there to be checked."""
    (root / "train" / "emu").mkdir()
    (root / "train" / "gnu").mkdir()
    (root / "train" / "cat" / "notes.txt").touch()
    make_pictures(root / "test", {"yak": 1})
    with pytest.raises(DataError) as caught:
        open_folder("pets", "train", root)
    said = " ".join(d.message for d in caught.value.diagnostics)
    assert all(word in said for word in ("yak", "emu has no pictures", "gnu has no pictures", "cat/notes.txt"))
    split, faults = look_over("pets", "train", root)
    assert (len(split), len(faults)) == (5, 4)


def test_headers_show_which_files_begin_as_no_picture(root: Path) -> None:
    """Without decoding: one cut short behind its header passes."""
    cat, dog = root / "train" / "cat" / "001.png", root / "train" / "dog" / "000.png"
    cat.write_bytes(b"no picture")
    dog.write_bytes(dog.read_bytes()[:60])
    split = open_folder("pets", "train", root)
    (fault,) = check_headers(split)
    assert str(cat) in fault.message
    assert check_headers(subset(split, np.array([0, 2]))) == []
    assert len(check_headers(subset(split, np.array([1, 2])))) == 1


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_to_test_that_is_not_trained_is_an_error_at_once(root: Path, split: str) -> None:
    """Also when the training split is opened: before hours of training."""
    make_pictures(root / "test", {"emu": 1, "gnu": 1})
    message = refusal(lambda: open_folder("pets", split, root), Code.DATA_MISFIT)  # type: ignore[arg-type]
    assert f"{root / 'test'} has classes that {root / 'train'} does not have: emu, gnu" in message


def test_training_alone_can_be_opened(tmp_path: Path) -> None:
    """The test split is then missing; both fixes are named."""
    make_pictures(tmp_path / "train", {"a": 2})
    assert len(open_folder("x", "train", tmp_path)) == 2
    message = refusal(lambda: open_folder("x", "test", tmp_path), Code.DATA_MISSING)
    assert "neither test/ nor val/" in message
    assert "a fifth is held out" in message


def test_names_that_are_no_text_are_read(tmp_path: Path) -> None:
    """File names are bytes to the system."""
    make_pictures(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "a" / "000.png").rename(tmp_path / "a" / os.fsdecode(b"\xff.png"))
    splits = [open_folder("x", "train", tmp_path), open_folder("x", "test", tmp_path)]
    assert sum(map(len, splits)) == 10
    assert all(split.evidence(np.arange(len(split))) for split in splits)


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9"), "red\x1b[31m"])
def test_a_class_whose_name_can_t_be_printed_is_refused(tmp_path: Path, name: str) -> None:
    """It would become a label, in files and on terminals."""
    make_pictures(tmp_path, {"a": 5, name: 5})
    message = refusal(lambda: open_folder("x", "train", tmp_path), Code.DATA_MISFIT)
    assert "whose names can't be printed" in message
    assert message.isascii()


# ------------------------------------------------------------------ undivided


def test_without_train_a_fifth_of_each_class_is_held_out(tmp_path: Path) -> None:
    """Both splits together are everything, and `where` says what was done."""
    make_pictures(tmp_path, {"a": 10, "b": 15})
    train, test = open_folder("x", "train", tmp_path), open_folder("x", "test", tmp_path)
    assert np.bincount(test.labels).tolist() == [2, 3]
    assert np.bincount(train.labels).tolist() == [8, 12]
    assert set(train.files) | set(test.files) == {f"a/{k:03d}.png" for k in range(10)} | {
        f"b/{k:03d}.png" for k in range(15)
    }
    assert not set(train.files) & set(test.files)
    assert train.where == f"{tmp_path} (all but a fixed fifth of each class; it has no train/)"
    assert test.where == f"{tmp_path} (a fixed fifth of each class; it has no train/)"
    assert not is_split(tmp_path)


def test_a_picture_keeps_its_split_when_others_come(tmp_path: Path) -> None:
    """The names choose: new pictures move at most the odd one at the edge of the fifth."""
    make_pictures(tmp_path, {"a": 50})
    before = set(open_folder("x", "test", tmp_path).files)
    for k in range(5):
        Image.fromarray(pixels(6, 6)).save(tmp_path / "a" / f"new{k}.png")
    after = set(open_folder("x", "test", tmp_path).files)
    assert len(after) == 11
    assert len(before & after) >= 9 - 5 // 5


def test_too_few_pictures_to_divide(tmp_path: Path) -> None:
    """Of two pictures no fifth can be held out."""
    make_pictures(tmp_path, {"a": 1, "b": 1})
    assert len(open_folder("x", "train", tmp_path)) == 2
    assert "too few pictures" in refusal(lambda: open_folder("x", "test", tmp_path), Code.DATA_MISFIT)


def test_a_folder_without_class_folders_says_where_pictures_belong(tmp_path: Path) -> None:
    """Loose pictures have no class."""
    Image.fromarray(pixels(6, 6)).save(tmp_path / "a.png")
    message = refusal(lambda: open_folder("x", "train", tmp_path), Code.DATA_MISSING)
    assert f"put pictures into {tmp_path}/train/CLASS/ or {tmp_path}/CLASS/" in message
