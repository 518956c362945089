"""The machine's own peak: products that are products, and no peak where there are no instructions for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nin_spec.bench.peak import NATIVE, SHAPES, Product, best_product, products, refuse_emulated
from nin_spec.diagnostics import InputError

SMALL = (8, 16, 4)


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16", "int8"])
def test_each_engine_multiplies_matrices(precision: str) -> None:
    """Of the shape that it says, with as many operations."""
    found = list(products(precision, SMALL, 1))
    assert found
    for product in found:
        result = product.run()
        first = result[0] if isinstance(result, list) else result
        assert tuple(np.shape(first)) == (8, 4), product.engine
        assert product.operations == 2 * 8 * 16 * 4


def test_engines_of_one_precision_multiply_the_same() -> None:
    """The libraries have the same matrices before them."""
    a, b = (p.run() for p in list(products("float32", SMALL, 1))[:2])
    np.testing.assert_allclose(a.numpy(), b, rtol=1e-5)


def test_the_best_is_the_one_that_reached_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is hopeless at the smallest shape is not tried at larger ones."""
    speeds = {"fast": 40.0, "fair": 30.0, "slow": 1.0}
    monkeypatch.setattr(
        "nin_spec.bench.peak.products", lambda _, shape, __: [Product(e, shape, lambda: None) for e in speeds]
    )
    monkeypatch.setattr(Product, "gflops", lambda p: speeds[p.engine] + (p.shape[0] == 2048))
    best, tried = best_product("float32", torch.get_num_threads())
    assert (best.engine, best.shape) == ("fast", (2048, 2048, 2048))
    assert [t["engine"] for t in tried].count("slow") == 1
    assert [t["engine"] for t in tried].count("fair") == len(SHAPES)


def test_an_emulated_precision_has_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would flatter everything that is divided by it. One instruction of several is enough."""
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"architecture": "x86_64", "amx_bf16": False})
    refuse_emulated("float32")
    with pytest.raises(InputError, match="bfloat16 is emulated and has no separate peak"):
        refuse_emulated("bfloat16")
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"architecture": "x86_64", "amx_bf16": True})
    refuse_emulated("bfloat16")


def test_the_instructions_are_those_that_torch_knows() -> None:
    """A misspelt name would make every machine an emulating one."""
    known = torch.cpu.get_capabilities()
    if known.get("architecture") != "x86_64":
        pytest.skip("this CPU has other names")
    assert {name for names in NATIVE.values() for name in names} <= set(known)
