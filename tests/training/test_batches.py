"""Order, shares and random changes of the batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_parts import numbered

from nin_spec.data import Frame
from nin_spec.language.recipe import Augment
from nin_spec.training.batches import Batches, MicroBatch, Share, cut, mirror


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


GRID = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1) + 1


@pytest.mark.parametrize(
    ("offset", "corner"), [((0.0, 0.0), 0), ((0.999, 0.999), 1 + 5), ((0.5, 0.5), 1), ((0.5, 0.999), 2)]
)
def test_windows_of_a_padded_picture(offset: tuple[float, float], corner: int) -> None:
    """Padded by one, a 4 x 4 picture has nine windows; (0.5, 0.5) is the picture itself."""
    (window,) = cut(GRID, (4, 4), 1, np.array([offset]))[..., 0]
    padded = np.pad(GRID[0, :, :, 0], 1)
    top, left = int(offset[0] * 3), int(offset[1] * 3)
    assert np.array_equal(window, padded[top : top + 4, left : left + 4])
    assert window[0, 0] == corner


def test_a_window_of_a_larger_picture_needs_no_padding() -> None:
    assert cut(GRID, (2, 2), 0, np.array([[0.999, 0.0]]))[0, :, :, 0].tolist() == [[9, 10], [13, 14]]


def test_every_window_comes_up_equally_often() -> None:
    offsets = np.random.default_rng(0).random((9000, 2))
    windows = cut(np.repeat(GRID, 9000, 0), (4, 4), 1, offsets)
    _, counts = np.unique(windows.reshape(9000, -1), axis=0, return_counts=True)
    assert len(counts) == 9
    assert counts.min() > 850


def test_mirrored_pictures_are_mirrored_left_to_right_and_the_others_left_alone() -> None:
    both = mirror(np.concatenate([GRID, GRID]), np.array([True, False]))
    assert both[0, 0, :, 0].tolist() == [4, 3, 2, 1]
    assert np.array_equal(both[1], GRID[0])
