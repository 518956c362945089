"""nin-spec explain, end to end on real files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome
from PIL import Image

import nin_spec as package
from nin_spec.seals import Kind, kind_of


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nin_digits with its maps, and a picture beside it."""
    folder = tmp_path_factory.mktemp("explain")
    Image.linear_gradient("L").save(folder / "picture.png")
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n")
    network = package.compile("nin_digits")
    package.export(network.initialise(1), "onnx", folder / "net.onnx", parity=False, outputs="scores,maps")
    return folder / "net.onnx"


def test_a_table_and_a_picture(nin_spec: Callable[..., Outcome], model: Path, tmp_path: Path) -> None:
    """The class with its score and mean, what was checked, and a sealed PNG."""
    drawn = tmp_path / "maps.png"
    done = nin_spec("explain", str(model), str(model.parent / "picture.png"), "--device", "cpu", "-o", str(drawn))
    assert done.code == 0
    assert "the map's mean is the score (difference" in done.out
    assert "untrained weights" in done.err
    assert kind_of(drawn) is Kind.PNG
    with Image.open(drawn) as picture:
        assert picture.width > 3 * 224


def test_json_has_the_maps(nin_spec: Callable[..., Outcome], model: Path) -> None:
    """And nothing else is on standard output."""
    words = ("--class", "3", "--class", "all", "--format", "json", "--device", "cpu")
    done = nin_spec("explain", str(model), str(model.parent / "picture.png"), *words)
    assert done.code == 0
    found = json.loads(done.out)
    (picture,) = found["pictures"]
    assert found["hash"] == package.compile("nin_digits").hash
    assert picture["classes"][0]["class"] == 3
    assert len(picture["classes"]) == 10
    for one in picture["classes"]:
        cells = [value for row in one["map"] for value in row]
        assert len(cells) == 16
        assert sum(cells) / 16 == pytest.approx(one["score"], abs=1e-5)
    assert picture["place"] == {"field": [12, 12], "jump": [2, 2], "offset": [-5, -5]}


def test_what_is_wrong_is_reported(nin_spec: Callable[..., Outcome], model: Path, tmp_path: Path) -> None:
    """An unknown class before any picture is read; a torn picture after the others."""
    pictures = [str(model.parent / name) for name in ("picture.png", "torn.png")]
    done = nin_spec("explain", str(model), *pictures, "--class", "eight")
    assert (done.code, done.out) == (2, "")
    assert "the model has no class 'eight'" in done.err
    done = nin_spec("explain", str(model), *pictures)
    assert done.code == 2
    assert "the map's mean is the score" in done.out
    assert "torn.png can't be used" in done.err
    assert "1 picture of 2 can't be used" in done.err
    done = nin_spec("explain", "nin_digits", *pictures)
    assert done.code == 2
    assert "is a spec, which has no weights" in done.err
    plain = tmp_path / "plain.onnx"
    package.export(package.compile("nin_digits").initialise(1), "onnx", plain, parity=False)
    done = nin_spec("explain", str(plain), *pictures)
    assert done.code == 2
    assert "does not return its class maps" in done.err
