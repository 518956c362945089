"""Order, shares and random changes of the batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_parts import numbered

from nin_spec.data import Frame
from nin_spec.language.recipe import Augment
from nin_spec.training.batches import Batches, MicroBatch, Share


def batches(count: int = 23, batch: int = 5, seed: int = 1, share: Share | None = None, **changes: object) -> Batches:
    """Batches over numbered pictures of 4 x 4."""
    augment = Augment.model_validate(changes)
    return Batches(numbered(count), batch, seed, Frame(1, 4, 4), (4, 4), augment, share or Share())


def numbers(micro_batches: list[MicroBatch]) -> list[int]:
    """The numbers of the pictures in a step; 0 where the middle was padded away."""
    return [int(picture.max()) for micro_batch in micro_batches for picture in micro_batch.pictures]


def test_an_epoch_shows_each_picture_at_most_once_and_only_whole_batches() -> None:
    made = batches()
    assert made.per_epoch == 4
    seen = [n for step in range(4) for n in numbers(made.step(step))]
    assert len(seen) == len(set(seen)) == 20


def test_epochs_differ_and_seeds_differ_and_nothing_else_does() -> None:
    first, again, other = batches(), batches(), batches(seed=2)
    assert numbers(first.step(0)) == numbers(again.step(0))
    assert numbers(first.step(0)) != numbers(other.step(0))
    assert numbers(first.step(0)) != numbers(first.step(4))


def test_a_batch_larger_than_the_split_is_the_split() -> None:
    made = batches(count=3, batch=100)
    assert (made.batch, made.per_epoch) == (3, 1)
    assert sorted(numbers(made.step(0))) == [0, 1, 2]


def test_labels_go_with_their_pictures() -> None:
    (micro_batch,) = batches(flip=True).step(2)
    assert [int(p.max()) % 2 for p in micro_batch.pictures] == micro_batch.labels.tolist()


@given(ranks=st.integers(1, 4), micro_batches=st.integers(1, 3), batch=st.integers(12, 40))
def test_processes_and_micro_batches_together_see_what_one_sees(ranks: int, micro_batches: int, batch: int) -> None:
    """Also the same windows and mirrorings: the pictures are equal, row for row."""
    whole = batches(count=90, batch=batch, pad_and_crop=1, flip=True).step(1)[0]
    each = [
        batches(count=90, batch=batch, share=Share(rank, ranks, micro_batches), pad_and_crop=1, flip=True)
        for rank in range(ranks)
    ]
    parts = [micro_batch for made in each for micro_batch in made.step(1)]
    assert np.array_equal(np.concatenate([p.pictures for p in parts]), whole.pictures)
    assert np.array_equal(np.concatenate([p.labels for p in parts]), whole.labels)
    assert [p.start for p in parts[1:]] == [p.stop for p in parts[:-1]]
    assert {p.total for p in parts} == {batch}


def test_steps_come_in_order_from_where_they_are_asked() -> None:
    made = batches()
    assert [numbers(s) for s in made.steps(2, 7)] == [numbers(made.step(k)) for k in range(2, 7)]
    assert list(made.steps(5, 5)) == []


def test_an_error_while_reading_ahead_is_raised_where_its_step_would_come() -> None:
    made = batches(count=60)  # one epoch, whose order is drawn before the labels go; few steps are read by then
    coming = made.steps(0, made.per_epoch)
    assert numbers(next(coming)) == numbers(made.step(0))
    made.split.labels = made.split.labels[:0]  # type: ignore[misc]
    with pytest.raises(IndexError):
        list(coming)


MIXED: dict[str, object] = {
    "mixup": 0.4,
    "cutmix": 1.0,
    "erase": 0.5,
    "jitter": {"brightness": 0.5},
    "resized_crop": 0.3,
    "flip": True,
}


@pytest.mark.parametrize("ranks", [2, 3])
def test_processes_mix_with_pictures_of_the_others(ranks: int) -> None:
    """A partner may be a row of another process: pictures, partners, labels and shares are those of one process."""
    (whole,) = batches(60, 17, 1, None, **MIXED).step(2)
    parts = [m for k in range(ranks) for m in batches(60, 17, 1, Share(k, ranks, 2), **MIXED).step(2)]
    assert whole.mixture is not None
    assert np.array_equal(np.concatenate([p.pictures for p in parts]), whole.pictures)
    for name in ("labels", "shares", "blend", "partners"):
        joined = np.concatenate([getattr(p.mixture, name) for p in parts])
        assert np.array_equal(joined, getattr(whole.mixture, name)), name


def test_one_augmentation_more_leaves_the_choices_of_the_others() -> None:
    """Each purpose has its own stream: what mixup and erasing draw moves no crop and no flip."""
    plain = batches(count=40, pad_and_crop=2, flip=True).step(3)[0]
    more = batches(count=40, pad_and_crop=2, flip=True, mixup=0.5).step(3)[0]
    assert np.array_equal(plain.pictures, more.pictures)


def test_balanced_batches_show_each_class_equally_often() -> None:
    """Thirty pictures of one class and ten of another: twenty of each, the rare ones twice."""
    made = Batches(numbered(40), 10, 1, Frame(1, 4, 4), (4, 4), Augment(), balanced=True)
    made.split.labels = (np.arange(40) < 10).astype(np.int64)  # type: ignore[misc]
    labels = np.concatenate([made.step(k)[0].labels for k in range(4)])
    assert np.bincount(labels).tolist() == [20, 20]
    seen = np.bincount([n for k in range(4) for n in numbers(made.step(k))], minlength=40)
    assert set(seen[:10]) == {2}
    assert set(seen[10:]) == {0, 1}
