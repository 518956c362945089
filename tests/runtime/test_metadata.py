"""A file's card: what the exporter wrote comes back typed, and what can't be right is refused."""

from __future__ import annotations

import pytest
from small_models import content, refusal

from nin_spec.diagnostics import Code, InputError
from nin_spec.model import Preprocessing
from nin_spec.passes.class_maps import Place
from nin_spec.runtime.metadata import ModelInfo
from nin_spec.runtime.session import open_session

CARD = {
    "name": "small",
    "summary": "A small one.",
    "spec": "spec: 1\n",
    "hash": "abc",
    "classes": "4",
    "labels": ["a", "b", "c", "d"],
    "preprocessing": Preprocessing(mean=(0.1, 0.2, 0.3), resize="crop").as_dict(),
    "output": "scores",
    "dataset": "cifar10",
    "target": "triton==24.10",
    "maps": {"field": [27, 25], "jump": [4, 2], "offset": [-10, 0]},
    "precision": "int8",
    "reduction": {"max_drop": 0.5, "float_layers": []},
}


def test_metadata_is_read_back() -> None:
    """What the exporter wrote is there, typed."""
    assert open_session(content(metadata=CARD), "cpu").metadata == ModelInfo(
        name="small",
        summary="A small one.",
        spec="spec: 1\n",
        hash="abc",
        classes=4,
        labels=("a", "b", "c", "d"),
        preprocessing=Preprocessing(mean=(0.1, 0.2, 0.3), resize="crop"),
        output="scores",
        target="triton==24.10",
        dataset="cifar10",
        maps=Place(field=(27, 25), jump=(4, 2), offset=(-10, 0)),
        precision="int8",
        max_drop=0.5,
    )


def test_a_foreign_model_has_an_empty_card() -> None:
    """A model without our metadata runs; nothing about it is guessed."""
    assert open_session(content(), "cpu").metadata == ModelInfo()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("labels", "not JSON"),
        ("maps", "not JSON"),
        ("maps", [1, 2]),
        ("maps", {"field": [27, 27], "jump": [4, 4]}),
        ("maps", {"field": [27, 27], "jump": [4, 4], "offset": [0.5, 0]}),
        ("maps", {"field": [27, 27], "jump": [0, 4], "offset": [0, 0]}),
        ("maps", {"field": [27], "jump": [4, 4], "offset": [0, 0]}),
        ("labels", [1, 2]),
        ("labels", {"a": 1}),
        ("labels", "[" * 100_000),
        ("labels", ["only", "three", "names"]),
        ("classes", "ten"),
        ("classes", "9" * 5000),
        ("labels", f"[{'9' * 5000}]"),
        ("reduction", f'{{"max_drop": {"9" * 5000}}}'),
        ("reduction", f'{{"max_drop": {"9" * 400}}}'),
        ("preprocessing", f'{{"scale": {"9" * 400}}}'),
        ("preprocessing", f'{{"scale": {"9" * 5000}}}'),
        ("output", "logits"),
        ("reduction", "not JSON"),
        ("reduction", []),
        ("reduction", {"max_drop": "half"}),
        ("reduction", {"max_drop": -1}),
        ("reduction", {"max_drop": True}),
        ("preprocessing", []),
        ("preprocessing", {"sclae": 1}),
        ("preprocessing", {"mean": "abc"}),
        ("preprocessing", {"mean": []}),
        ("preprocessing", {"std": [0.0]}),
        ("preprocessing", {"scale": float("nan")}),
        ("preprocessing", {"color": "cmyk"}),
    ],
)
def test_damaged_metadata_is_refused(key: str, value: object) -> None:
    """A card that can't be right is an error of the file, never a traceback or a guess."""
    found = refusal(InputError, lambda: open_session(content(metadata={key: value}), "cpu"))
    assert found.code is Code.MODEL_UNREADABLE
