"""Files of other tools are known by their names, and each names the way in."""

from __future__ import annotations

from pathlib import Path

import pytest

from nin_spec.foreign import FOREIGN, begins_as_onnx, foreign, says_spec


@pytest.mark.parametrize("suffix", FOREIGN)
@pytest.mark.parametrize("upper", [False, True])
def test_every_suffix_says_what_it_is_and_the_way(suffix: str, *, upper: bool) -> None:
    """In any case of letters, with the file's own name where the way has one."""
    path = Path("some/net.v2").with_name(f"net.v2{suffix.upper() if upper else suffix}")
    found = foreign(path)
    assert found is not None
    assert found.what
    way = found.way_from(path)
    assert "{" not in way
    assert "nin_spec." in way or "nin-spec" in way or "ONNX" in way or "--data" in way
    if "import" in way and "{stem}" in found.way:
        assert "some/net.v2.yaml" in way


def test_specs_and_unknown_files_are_not_foreign() -> None:
    """What is not known by its name is left to who reads it."""
    assert foreign(Path("a.yaml")) is foreign(Path("a.yml")) is foreign(Path("a")) is foreign(Path("a.xyz")) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("spec: 1\nname: a\n", True),
        ("# about\n\nname: a\nspec: 1\n", True),
        ('{"spec": 1, "name": "a"}', True),
        ('{\n "name": "a",\n "spec": 1}', True),
        ("extends: nin_cifar\n", True),
        ("name: a\nblocks:\n  - {channels: [4]}\n", True),
        ("kind: Deployment\nspec:\n  replicas: 1\n", False),
        ("services: {web: {image: a}}\n", False),
        ("[net]\nbatch=1\n", False),
        ('{"class_name": "Sequential", "config": {"spec": "x"}}', False),
        ("", False),
    ],
)
def test_a_text_that_is_meant_as_a_spec_is_known(text: str, *, meant: bool, tmp_path: Path) -> None:
    """Under any name: JSON is YAML, and a Kubernetes manifest has a key of that name, too."""
    for name in ("a.json", "a.cfg"):
        (tmp_path / name).write_text(text)
        assert says_spec(tmp_path / name) == meant
        assert (foreign(tmp_path / name) is None) == meant


def test_onnx_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    """Some tools call such a file .pb."""
    (tmp_path / "a.pb").write_bytes(b"\x08\x09\x12\x07pytorch")
    (tmp_path / "b.pb").write_bytes(b"\x0a\x09\x12\x07node")
    (tmp_path / "c.pb").write_bytes(b"\x08")
    assert [begins_as_onnx(tmp_path / f"{name}.pb") for name in "abcd"] == [True, False, False, False]
