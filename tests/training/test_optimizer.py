"""The recipe's arithmetic, against torch's own optimisers and schedulers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import nn

import nin_spec
from nin_spec.language.recipe import Recipe, Schedule
from nin_spec.recipe_names import aliases
from nin_spec.training.optimizer import (
    build_optimizer,
    decays,
    multiplier,
    rate_factor,
    restore_state,
    set_rates,
    state_of,
)

EPOCHS, PER_EPOCH = 6, 7
TOTAL = EPOCHS * PER_EPOCH


def schedule(**given: Any) -> Schedule:
    """A schedule as the language reads it."""
    adapter: TypeAdapter[Schedule] = TypeAdapter(Schedule)
    return adapter.validate_python(given)


def recipe(optimizer: dict[str, Any], **given: Any) -> Recipe:
    """A recipe with this optimiser."""
    return Recipe.model_validate({"dataset": "digits", "epochs": EPOCHS, "optimizer": optimizer, **given})


def torch_rates(make: Callable[[torch.optim.Optimizer], Any]) -> list[float]:
    """The learning rate of each step by a scheduler of torch, from a rate of 0.5."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler, found = make(optimizer), []
    for _ in range(TOTAL):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def our_rates(chosen: Schedule) -> list[float]:
    """The same by ours."""
    return [0.5 * rate_factor(chosen, step, PER_EPOCH, EPOCHS) for step in range(TOTAL)]


lr = torch.optim.lr_scheduler


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (schedule(kind="constant"), lambda o: lr.ConstantLR(o, factor=1.0)),
        (schedule(kind="cosine"), lambda o: lr.CosineAnnealingLR(o, TOTAL)),
        (schedule(kind="step", milestones=[2, 5], gamma=0.2), lambda o: lr.MultiStepLR(o, [14, 35], gamma=0.2)),
        (schedule(kind="one_cycle"), lambda o: lr.OneCycleLR(o, 0.5, total_steps=TOTAL, cycle_momentum=False)),
        (
            schedule(kind="one_cycle", warmup=2),
            lambda o: lr.OneCycleLR(o, 0.5, total_steps=TOTAL, pct_start=1 / 3, cycle_momentum=False),
        ),
    ],
    ids=["constant", "cosine", "step", "one_cycle", "one_cycle_warmup"],
)
def test_rates_are_those_of_torchs_schedulers(ours: Schedule, theirs: Callable[[torch.optim.Optimizer], Any]) -> None:
    assert our_rates(ours) == pytest.approx(torch_rates(theirs), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", ["constant", "cosine"])
def test_warmup_rises_in_equal_steps_and_meets_the_schedule(kind: str) -> None:
    rates = our_rates(schedule(kind=kind, warmup=2))
    assert rates[:14] == pytest.approx([0.5 * (k + 1) / 15 for k in range(14)])
    assert rates[14] == 0.5


def test_milestones_may_come_in_any_order() -> None:
    assert our_rates(schedule(kind="step", milestones=[5, 2])) == our_rates(schedule(kind="step", milestones=[2, 5]))


@given(
    kind=st.sampled_from(["constant", "cosine", "one_cycle"]),
    warmup=st.floats(0, 20),
    epochs=st.integers(1, 30),
    per_epoch=st.integers(1, 30),
)
def test_a_rate_is_never_negative_nor_above_the_recipes(kind: str, warmup: float, epochs: int, per_epoch: int) -> None:
    chosen = schedule(kind=kind, warmup=warmup)
    factors = [rate_factor(chosen, step, per_epoch, epochs) for step in range(epochs * per_epoch)]
    assert all(0 <= f <= 1 + 1e-12 for f in factors)


PLAIN = [
    ({"kind": "sgd", "lr": 0.1}, lambda p: torch.optim.SGD(p, lr=0.1)),
    (
        {"kind": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    ),
    ({"kind": "adam", "lr": 0.01}, lambda p: torch.optim.Adam(p, lr=0.01)),
    (
        {"kind": "adamw", "lr": 0.01, "weight_decay": 0.1, "betas": [0.8, 0.99]},
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, betas=(0.8, 0.99)),
    ),
]


def descend(parameter: nn.Parameter, optimizer: torch.optim.Optimizer, steps: int = 5) -> None:
    """A few steps down a quartic."""
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward((parameter**4).sum())
        optimizer.step()


@pytest.mark.parametrize(("given_as", "plain"), PLAIN, ids=["sgd", "nesterov", "adam", "adamw"])
def test_an_optimizer_does_what_torchs_plain_one_does(
    given_as: dict[str, Any], plain: Callable[[Any], torch.optim.Optimizer]
) -> None:
    ours, theirs = (nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)) for _ in range(2))
    descend(ours, build_optimizer([("w", ours)], recipe(given_as), lambda name: (name,)))
    descend(theirs, plain([theirs]))
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=0)


def test_multipliers_and_decay_reach_the_parameters_they_name() -> None:
    chosen = recipe(
        {"kind": "sgd", "lr": 0.1, "weight_decay": 0.5}, lr_multipliers={"a.*": 2, "a.bias": 4}, no_decay=["*.bias"]
    )
    named = {name: nn.Parameter(torch.ones(1)) for name in ("a.weight", "a.bias", "b.weight", "b.bias")}
    optimizer = build_optimizer(named.items(), chosen, lambda name: (name,))
    set_rates(optimizer, 0.5)
    sum(p.sum() for p in named.values()).backward()  # type: ignore[union-attr]
    optimizer.step()
    # Gradients are 1; the decay of 0.5 adds to those of weights.
    expected = {"a.weight": 1 - 0.1 * 1.5, "a.bias": 1 - 0.2, "b.weight": 1 - 0.05 * 1.5, "b.bias": 1 - 0.05}
    assert {k: p.item() for k, p in named.items()} == pytest.approx(expected)


def test_the_authors_recipe_is_followed_by_block_names() -> None:
    """nin_cifar: biases twice as fast, the class maps at a tenth and a fifth, biases without decay."""
    spec = nin_spec.load("nin_cifar").spec
    assert spec.train is not None
    found = {n: multiplier(spec.train, aliases(n, spec)) for n in nin_spec.compile("nin_cifar").graph.parameters()}
    assert found["blocks.0.convs.0.weight"] == 1
    assert found["blocks.0.convs.0.bias"] == 2
    assert found["blocks.2.convs.2.weight"] == 0.1
    assert found["blocks.2.convs.2.bias"] == 0.2
    assert not decays(spec.train, aliases("blocks.0.convs.0.bias", spec))


def test_brackets_in_a_pattern_are_letters() -> None:
    assert multiplier(recipe({"kind": "sgd", "lr": 1}, lr_multipliers={"[ab].weight": 3}), ("a.weight",)) == 1


@pytest.mark.parametrize("given_as", [p[0] for p in PLAIN], ids=["sgd", "nesterov", "adam", "adamw"])
def test_a_restored_optimizer_continues_bit_for_bit(given_as: dict[str, Any]) -> None:
    first = nn.Parameter(torch.tensor([0.5, -0.7, 0.2]))
    optimizer = build_optimizer([("w", first)], recipe(given_as), lambda name: (name,))
    descend(first, optimizer, 3)
    state = {k: v.clone() for k, v in state_of(optimizer, [("w", first)]).items()}
    second = nn.Parameter(first.detach().clone())
    again = build_optimizer([("w", second)], recipe(given_as), lambda name: (name,))
    restore_state(again, [("w", second)], state)
    descend(first, optimizer, 3)
    descend(second, again, 3)
    assert torch.equal(first, second)
