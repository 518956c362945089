"""The table of known data sets is complete, and knows where things lie."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from data_files import refusal

import nin_spec
from nin_spec.data.catalog import CATALOG, ENTRIES, data_root, entry_of, place_of
from nin_spec.diagnostics import Code


def test_every_entry_is_whole() -> None:
    """Names once, classes distinct, files with URL, size and checksum."""
    assert len(CATALOG) == len(ENTRIES) == 6
    for entry in ENTRIES:
        assert len(set(entry.classes)) == len(entry.classes)
        assert entry.licence
        assert entry.citation
        assert entry.source.startswith("http")
        assert bool(entry.downloads) == (entry.name != "digits")
        for download in entry.downloads:
            assert re.fullmatch("[0-9a-f]{64}", download.sha256)
            assert download.size > 1000
            assert all(url.startswith("http") and url.endswith(download.name) for url in download.urls)
    assert entry.size == 182_040_794 + 64_275_384
    assert len({download.sha256 for entry in ENTRIES for download in entry.downloads}) == 12


def test_the_shipped_specs_train_on_what_is_known() -> None:
    """Each recipe's data set is in the table and has the spec's number of classes."""
    specs = Path(nin_spec.__file__).parent / "specs"
    named = {
        path.stem: found[1]
        for path in specs.glob("*.yaml")
        if (found := re.search(r"dataset: *(\w+)", path.read_text()))
    }
    assert named["nin_cifar"] == "cifar10"
    for name, dataset in named.items():
        if dataset in CATALOG:
            assert len(CATALOG[dataset].classes) == nin_spec.compile(name).card.classes


def test_an_unknown_name_gets_the_nearest() -> None:
    """Or all of them."""
    assert "did you mean 'cifar10'?" in refusal(lambda: entry_of("cifar-10"), Code.DATA_MISSING)
    assert "digits, mnist, fashion_mnist" in refusal(lambda: entry_of("wombats"), Code.DATA_MISSING)


def test_the_root_is_the_variable_or_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NIN_SPEC_DATA, XDG_CACHE_HOME, then the system's custom."""
    monkeypatch.setenv("NIN_SPEC_DATA", str(tmp_path))
    assert place_of("mnist") == tmp_path / "mnist"
    monkeypatch.delenv("NIN_SPEC_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_root() == tmp_path / "nin-spec" / "data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    for platform, cache in (("linux", ".cache"), ("darwin", "Library/Caches")):
        monkeypatch.setattr(sys, "platform", platform)
        assert data_root() == tmp_path / cache / "nin-spec" / "data"
