"""Dead starts are reported, once, and living ones are left alone."""

from __future__ import annotations

import math

import torch

import nin_spec
from nin_spec.training.guard import JUDGE_AT, Guard

SPEC = """
spec: 1
name: net
input: {channels: 1, size: 8}
classes: 4
blocks:
  - {channels: [8, 8], kernel: 3, padding: 1}
  - {channels: [8, classes], kernel: 1}
head: {pool: global_avg}
"""
GRAPH = nin_spec.compile(nin_spec.loads(SPEC, "net.yaml")).graph
LAST = [n.name for n in GRAPH if n.kind == "ReLU"][-1]
FIRST = next(n.name for n in GRAPH if n.kind == "ReLU")


def judged(guard: Guard, losses: list[float]) -> list[str]:
    """What it says over these losses."""
    return [m for step, loss in enumerate(losses, 1) for m in guard.judge(step, loss)]


def test_a_loss_that_sits_at_ln_classes_is_reported_once() -> None:
    found = judged(Guard(GRAPH, 4), [math.log(4) * 1.003] * max(JUDGE_AT))
    assert len(found) == 1
    assert "ln(classes) is 1.3863" in found[0]
    assert "after 100 steps" in found[0]
    assert "kaiming_normal" in found[0]


def test_a_resumed_run_does_not_tell_it_again() -> None:
    first = judged(Guard(GRAPH, 4), [math.log(4)] * 100)
    assert judged(Guard(GRAPH, 4, first), [math.log(4)] * 5000) == []


def test_a_loss_that_falls_is_left_alone() -> None:
    assert judged(Guard(GRAPH, 4), [math.log(4) * 0.999**k for k in range(6000)]) == []


def test_dead_scores_are_reported_with_their_line_and_the_fix() -> None:
    scores = torch.zeros(5, 4, 8, 8)
    scores[:, 2] = 1
    (message,) = Guard(GRAPH, 4).look([(LAST, scores)])
    assert "dead for 3 of 4 classes" in message
    assert "net.yaml line 8" in message
    assert "activation: none" in message


def test_scores_of_which_half_live_are_left_alone() -> None:
    scores = torch.zeros(5, 4, 8, 8)
    scores[0, :2, 0, 0] = 1
    assert Guard(GRAPH, 4).look([(LAST, scores)]) == []


def test_a_dead_hidden_layer_is_reported() -> None:
    guard = Guard(GRAPH, 4)
    dead = torch.zeros(5, 8, 8, 8)
    (message,) = guard.look([(FIRST, dead)])
    assert "8 of 8 channels never fire" in message
    assert guard.look([(FIRST, dead)]) == []


def test_other_layers_may_be_silent() -> None:
    conv = next(n.name for n in GRAPH if n.kind == "Conv2d")
    assert Guard(GRAPH, 4).look([(conv, torch.full((5, 8, 8, 8), -1.0))]) == []
