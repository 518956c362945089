"""One function opens everything: by name, by place, by what lies there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import make_cifar10, make_cifar100, make_idx, make_pictures, npz_bytes, pack, pixels, refusal

from nin_spec.data import open_split
from nin_spec.data.catalog import CATALOG, place_of
from nin_spec.data.opening import is_here
from nin_spec.diagnostics import Code


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data root."""
    monkeypatch.setenv("NIN_SPEC_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


def npz(path: Path) -> Path:
    """Ten classes of one picture, in Keras's names."""
    labels = np.arange(10)
    arrays = {"x_train": pixels(10, 4, 4), "y_train": labels, "x_test": pixels(10, 4, 4), "y_test": labels}
    path.write_bytes(npz_bytes(np.savez, arrays))
    return path


def test_known_sets_lie_in_the_root(root: Path) -> None:
    """Each in the folder of its name, in its own format; `is_here` sees it."""
    assert not is_here("mnist")
    make_idx(root / "mnist", count=30)
    make_idx(root / "fashion_mnist" / "FashionMNIST" / "raw", count=30)
    make_cifar10(root / "cifar10" / "cifar-10-batches-bin")
    make_cifar100(root / "src")
    (root / "cifar100").mkdir()
    pack(root / "src", root / "cifar100" / "cifar-100-binary.tar.gz", "cifar-100-binary")
    for name in ("mnist", "fashion_mnist", "cifar10", "cifar100", "digits"):
        assert is_here(name)
        for which in ("train", "test"):
            split = open_split(name, which)
            assert (split.dataset, split.name, split.classes) == (name, which, CATALOG[name].classes)
            assert len(split) == len(split.labels) > 0
    assert not is_here("svhn")


def test_what_is_not_here_says_how_to_get_it(root: Path) -> None:
    """The place looked at, and both ways."""
    message = refusal(lambda: open_split("mnist", "train"), Code.DATA_MISSING)
    assert message == (
        f"MNIST is not here: {root / 'mnist'} does not exist | "
        "run nin-spec data fetch mnist, or pass --data DIR if you have it"
    )
    place_of("svhn").mkdir(parents=True)
    assert "does not contain train_32x32.mat" in refusal(lambda: open_split("svhn", "train"), Code.DATA_MISSING)


def test_unknown_names_need_a_place(tmp_path: Path) -> None:
    """The nearest known one is named."""
    message = refusal(lambda: open_split("cifar-100", "train"), Code.DATA_MISSING)
    assert "did you mean 'cifar100'?; pass --data DIR for your own" in message
    message = refusal(lambda: open_split("pets", "train", tmp_path / "none"), Code.DATA_MISSING)
    assert f"{tmp_path / 'none'}: it does not exist" in message


@pytest.mark.parametrize("name", ["mnist", "mine"])
def test_an_archive_is_recognised_under_any_name(tmp_path: Path, name: str) -> None:
    """Told by its bytes, not by its suffix."""
    assert len(open_split(name, "test", npz(tmp_path / "data.npz"))) == 10
    assert len(open_split(name, "test", npz(tmp_path / "data.bin"))) == 10
    (tmp_path / "text.npz").write_text("no archive")
    assert "is not a data set" in refusal(lambda: open_split(name, "test", tmp_path / "text.npz"), Code.DATA_MISSING)


def test_pictures_in_train_are_taken_under_any_name(tmp_path: Path) -> None:
    """CIFAR-10 as PNG files, as some mirrors have it."""
    make_pictures(tmp_path / "train", {"cat": 2, "dog": 1})
    make_pictures(tmp_path / "test", {"dog": 1})
    assert open_split("cifar10", "train", tmp_path).classes == ("cat", "dog")
    assert len(open_split("pets", "test", tmp_path)) == 1


def test_other_folders_are_recognised_by_what_they_hold(tmp_path: Path) -> None:
    """Kuzushiji-MNIST has MNIST's names; class folders alone are divided; the digits' name gives nothing away."""
    make_idx(tmp_path / "kmnist", count=30)
    assert open_split("kmnist", "train", tmp_path / "kmnist").classes == tuple("0123456789")
    make_pictures(tmp_path / "pets", {"cat": 5, "dog": 5})
    for name in ("pets", "digits"):
        assert len(open_split(name, "train", tmp_path / "pets")) == 8
    message = refusal(lambda: open_split("none", "train", tmp_path / "kmnist" / ".."), Code.DATA_MISFIT)
    assert "files that are not pictures" in message


def test_a_cifar_archive_is_opened_by_its_name(tmp_path: Path) -> None:
    """As it was downloaded."""
    archive = pack(make_cifar10(tmp_path / "src"), tmp_path / "cifar-10-binary.tar.gz", "cifar-10-batches-bin")
    assert len(open_split("cifar10", "train", archive)) == 20


def test_places_that_may_not_be_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own words, no traceback."""
    make_pictures(tmp_path / "train", {"cat": 1})

    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", refuse)
    message = refusal(lambda: open_split("pets", "train", tmp_path), Code.DATA_MISSING)
    assert "can't be read: Permission denied" in message
    assert "does not exist" in refusal(lambda: open_split("pets", "train", Path("a\0b")), Code.DATA_MISSING)


@pytest.mark.parametrize("depth", ["inner", "inner/more"])
def test_a_folder_above_the_right_one_names_it(tmp_path: Path, depth: str) -> None:
    """One level down or two: pictures by class, MNIST's files, an archive."""
    place = tmp_path / depth
    make_pictures(place / "pets" / "train", {"cat": 2, "dog": 2})
    make_pictures(place / "pets" / "test", {"cat": 1})
    message = refusal(lambda: open_split("pets", "train", place), Code.DATA_MISFIT)
    assert f"{place / 'pets'}, which looks like the data set" in message
    make_idx(tmp_path / "mnist" / depth, count=30)
    message = refusal(lambda: open_split("mnist", "train", tmp_path / "mnist"), Code.DATA_MISSING)
    assert f"{tmp_path / 'mnist' / depth}, which looks like the data set" in message
    (tmp_path / "arrays").mkdir()
    npz(tmp_path / "arrays" / "mine.npz")
    message = refusal(lambda: open_split("mine", "train", tmp_path / "arrays"), Code.DATA_MISSING)
    assert f"{tmp_path / 'arrays' / 'mine.npz'}, which looks like the data set" in message


def test_a_fault_of_the_right_folder_is_not_blamed_on_the_place(tmp_path: Path) -> None:
    """An old copy inside is not better."""
    make_pictures(tmp_path / "train", {"cat": 2})
    (tmp_path / "train" / "emu").mkdir()
    make_pictures(tmp_path / "old" / "train", {"cat": 2})
    make_pictures(tmp_path / "old" / "test", {"cat": 2})
    assert "remove the folder, or fill it" in refusal(lambda: open_split("pets", "train", tmp_path), Code.DATA_MISFIT)
