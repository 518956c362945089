"""Random specs of the whole grammar on WebGPU: none is refused, and each computes what the nn.Module computes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from spec_strategies import specs
from webgpu_machine import ask, variables

PROCESSES, SHARES, SHARE = 2, 12, 25
"""How many at a time, how many in all, and how many specs each has."""


def drawn(number: int) -> list[dict[str, Any]]:
    """The specs of a share, the same ones each time."""
    found: list[dict[str, Any]] = []

    @seed(number)
    @settings(max_examples=SHARE, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(specs())
    def collect(data: dict[str, Any]) -> None:
        found.append(data)

    collect()
    return found


@pytest.mark.long
def test_random_specs() -> None:
    """Batches of 1, 2 and 7 of each, every node on the device."""
    variables()
    shares = [drawn(number) for number in range(SHARES)]
    assert sum(map(len, shares)) >= 300
    with ThreadPoolExecutor(PROCESSES) as pool:
        answers = list(pool.map(lambda share: ask([{"spec": data} for data in share]), shares))
    pairs = [pair for share, told in zip(shares, answers, strict=True) for pair in zip(share, told, strict=True)]
    assert [pair for pair in pairs if pair[1].get("provider") != "WebGpuExecutionProvider"] == []
