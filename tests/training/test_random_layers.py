"""Dropout keyed by seed, step and place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nin_spec.training.random_layers import KeyedDropout, StepContext, key_dropout


def dropped(context: StepContext, x: Tensor, index: int = 0, p: float = 0.5, *, channels: bool = False) -> Tensor:
    """What a layer in training makes of x."""
    layer = KeyedDropout(p, index, context, channels=channels)
    result: Tensor = layer(x)
    return result


ONES = torch.ones(8, 6, 5, 5)
WHOLE = StepContext(1, 0, 0, 8, 8)


def test_the_same_moment_draws_the_same_mask_and_any_other_another() -> None:
    first = dropped(WHOLE, ONES)
    assert torch.equal(first, dropped(WHOLE, ONES))
    for context, index in ((StepContext(2, 0, 0, 8, 8), 0), (StepContext(1, 1, 0, 8, 8), 0), (WHOLE, 1)):
        assert not torch.equal(first, dropped(context, ONES, index))


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_rows_of_a_batch_get_the_rows_of_its_mask(channels: bool, layout: torch.memory_format) -> None:  # noqa: FBT001
    x = ONES.contiguous(memory_format=layout)
    whole = dropped(WHOLE, x, channels=channels)
    parts = [dropped(StepContext(1, 0, a, b, 8), x[a:b], channels=channels) for a, b in ((0, 3), (3, 8))]
    assert torch.equal(torch.cat(parts), whole)


def test_a_layout_changes_no_number() -> None:
    assert torch.equal(dropped(WHOLE, ONES), dropped(WHOLE, ONES.contiguous(memory_format=torch.channels_last)))


def test_what_is_kept_is_scaled_so_that_the_mean_stays() -> None:
    found = dropped(StepContext(1, 0, 0, 64, 64), torch.ones(64, 6, 20, 20), p=0.25)
    assert sorted(set(found.flatten().tolist())) == [0, pytest.approx(4 / 3)]
    assert found.mean().item() == pytest.approx(1, abs=0.01)


def test_whole_channels_are_dropped_together() -> None:
    found = dropped(WHOLE, ONES, channels=True)
    assert torch.equal(found.amin((2, 3)), found.amax((2, 3)))
    assert 0 < (found[:, :, 0, 0] == 0).sum() < 48


def test_vectors_drop_too() -> None:
    assert set(dropped(WHOLE, torch.ones(8, 100)).flatten().tolist()) == {0.0, 2.0}


def test_dropout_is_the_identity_in_evaluation_and_at_zero() -> None:
    layer = KeyedDropout(0.5, 0, WHOLE, channels=False).eval()
    assert layer(ONES) is ONES
    assert dropped(WHOLE, ONES, p=0) is ONES
    assert dropped(WHOLE, ONES, p=1).abs().sum() == 0


def test_every_dropout_of_a_module_is_replaced_with_a_place_of_its_own() -> None:
    net = nn.Sequential(nn.Dropout(0.2), nn.Sequential(nn.Conv2d(6, 6, 1), nn.Dropout2d(0.3)))
    key_dropout(net, WHOLE)
    found = [m for m in net.modules() if isinstance(m, KeyedDropout)]
    assert [(m.p, m.index, m.channels) for m in found] == [(0.2, 0, False), (0.3, 1, True)]


def test_gradients_pass_where_the_values_do() -> None:
    x = ONES.clone().requires_grad_()
    found = dropped(WHOLE, x)
    torch.autograd.backward(found.sum())
    assert torch.equal(x.grad if x.grad is not None else ONES, found.detach())


def test_a_compiled_module_draws_the_same_masks() -> None:
    """torch.compile leaves the layers with generators out."""
    context = StepContext(seed=3, step=5, stop=4, total=4)
    x = torch.ones(4, 8, 3, 3)
    plain = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Dropout(0.5)).train()
    key_dropout(plain, context)
    expected = plain(x)
    compiled = torch.compile(plain, backend="eager")
    assert torch.equal(compiled(x), expected)
    assert not torch.equal(expected, plain[0](x))
