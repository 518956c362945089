"""The training's own way from bytes to numbers is that of serving, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nin_spec.model import Preprocessing
from nin_spec.pictures import normalise
from nin_spec.training.feed import Feed

COLOUR = Preprocessing(mean=(0.49, 0.48, 0.45), std=(0.2, 0.3, 0.26))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("contract", "stored", "channels"),
    [
        (COLOUR, 3, 3),
        (replace(COLOUR, color="bgr"), 3, 3),
        (Preprocessing(mean=(0.286,), std=(0.353,), color="gray"), 1, 1),
        (replace(COLOUR, color="gray"), 1, 3),
        (Preprocessing(scale=1.0, mean=(127.5,), std=(3.0,)), 3, 3),
    ],
    ids=["rgb", "bgr", "gray", "gray_on_three", "plain"],
)
def test_numbers_are_those_of_serving(
    contract: Preprocessing, stored: int, channels: int, dtype: type[np.floating], layout: torch.memory_format
) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 5, 6, stored), np.uint8)
    kind = torch.float32 if dtype is np.float32 else torch.float64
    found = Feed(contract, channels, kind, torch.device("cpu"), layout)(pictures)
    assert found.is_contiguous(memory_format=layout)
    assert np.array_equal(found.numpy(), normalise(pictures, contract, dtype, channels))


def test_read_only_pictures_stay_as_they_are() -> None:
    pictures = np.full((1, 2, 2, 1), 7, np.uint8)
    pictures.setflags(write=False)
    feed = Feed(Preprocessing(), 1, torch.float32, torch.device("cpu"), torch.contiguous_format)
    assert feed(pictures).mul_(0).sum() == 0
    assert pictures.min() == 7
