"""The moving average of weights beside PyTorch's and beside a loop."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nin_spec.training.average import Average


def module() -> nn.Sequential:
    """A layer, a norm with statistics, a layer."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def steps(net: nn.Module, count: int) -> list[dict[str, torch.Tensor]]:
    """Train on noise; the state before and after each step."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    noise = torch.Generator().manual_seed(1)
    states = [{name: tensor.clone() for name, tensor in net.state_dict().items()}]
    for _ in range(count):
        optimizer.zero_grad()
        net(torch.randn(8, 3, dtype=torch.float64, generator=noise)).square().mean().backward()
        optimizer.step()
        states.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
    return states


def test_it_is_pytorch_s_average_once_the_decay_is_reached() -> None:
    """A decay of 0.1 is below the warm-up from the first step on; statistics are averaged, too."""
    net, other = module(), module()
    rule = get_ema_multi_avg_fn(0.1)  # type: ignore[no-untyped-call]
    ours, theirs = Average.of(net, 0.1), AveragedModel(other, multi_avg_fn=rule, use_buffers=True)
    theirs.update_parameters(other)  # the first only copies
    for k, state in enumerate(steps(module(), 5)[1:], 1):
        net.load_state_dict(state)
        other.load_state_dict(state)
        ours.follow(net, k)
        theirs.update_parameters(other)
    expected = theirs.module.state_dict()
    assert len(ours.values) == 8
    for name, value in ours.values.items():
        assert torch.allclose(value, expected[name], rtol=1e-12), name


def test_it_warms_up() -> None:
    """After n steps the decay is at most (1 + n) / (10 + n)."""
    net = module()
    made = Average.of(net, 0.99)
    states = steps(module(), 4)
    expected = states[0]["0.weight"]
    for n, state in enumerate(states[1:], 1):
        net.load_state_dict(state)
        made.follow(net, n)
        decay = (1 + n) / (10 + n)
        expected = decay * expected + (1 - decay) * state["0.weight"]
    assert torch.allclose(made.values["0.weight"], expected, rtol=1e-12)


def test_in_its_place_the_weights_come_back_bit_for_bit() -> None:
    net = module()
    made = Average.of(net, 0.5)
    after = steps(net, 2)[-1]
    with made.in_place_of(net):
        assert all(torch.equal(net.state_dict()[name], value) for name, value in made.values.items())
    assert all(torch.equal(tensor, after[name]) for name, tensor in net.state_dict().items())
