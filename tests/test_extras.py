"""Packages of an extra: loaded when needed, and named when missing."""

from __future__ import annotations

import sys

import pytest

from nin_spec.diagnostics import InputError
from nin_spec.extras import need, require


def test_what_is_installed_is_loaded() -> None:
    assert need("json", "reading").loads("1") == 1
    require("json", "email", purpose="reading")


def test_requiring_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    require("wave", purpose="sound")
    assert "wave" not in sys.modules


def test_what_is_missing_is_named_with_its_purpose_and_the_way_to_get_it() -> None:
    for ask in (lambda: need("nin_spec_none", "training"), lambda: require("nin_spec_none", purpose="training")):
        with pytest.raises(InputError) as caught:
            ask()
        diagnostic = caught.value.diagnostics[0]
        assert diagnostic.message == "training needs nin_spec_none, which is not installed"
        assert diagnostic.hint == "pip install 'nin-spec[train]'"
        assert diagnostic.code.code == "NIN705"
