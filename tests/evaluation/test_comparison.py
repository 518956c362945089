"""A network in torch and in onnxruntime on the same pictures: the same numbers, and the differences found."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from noise_split import noise, refusal, small_model

from nin_spec.diagnostics import Code, DataError
from nin_spec.evaluation import compare, evaluate, evaluation_of, subject_of
from nin_spec.evaluation.scores import module_scores, session_scores
from nin_spec.exporter import make
from nin_spec.model import Model
from nin_spec.runtime.metadata import Output
from nin_spec.runtime.session import open_session
from nin_spec.torch_module import build_module


def altered(model: Model) -> Model:
    """The same network with other weights."""
    random = np.random.default_rng(1)
    weights = {name: (w + random.normal(size=w.shape)).astype(w.dtype) for name, w in model.weights.items()}
    return replace(model, weights=weights)


@pytest.mark.parametrize(
    ("overrides", "output"),
    [
        ((), "scores"),
        (("head.output=softmax",), "probabilities"),
        (("head.output=log_softmax",), "log_probabilities"),
        (("dtype=float64",), "scores"),
        (("input.open=true",), "scores"),
        (("blocks.0.norm=batch",), "scores"),
    ],
)
def test_both_runtimes_agree(overrides: tuple[str, ...], output: Output) -> None:
    """On every picture; their totals are the same, and those of each runtime alone."""
    model, split = small_model(*overrides), noise(60)
    found = evaluate(model, split)
    assert found.torch is not None
    assert found.agreement is not None
    assert found.agreement.complete
    assert 0 < found.agreement.max_difference < 1e-4
    assert (found.torch.confusion.sum(0) > 0).sum() > 1
    assert found.torch.confusion.tolist() == found.onnxruntime.confusion.tolist()
    given = (split, model.card.preprocessing, (3, 6, 8))
    module = build_module(model)
    alone = evaluation_of(module_scores(module, *given), split.labels, split.classes, output)
    assert alone.headline() == found.torch.headline()
    (data,) = make(model, "onnx", {}).files.values()
    session = open_session(data, "cpu")
    other = evaluation_of(session_scores(session, *given), split.labels, split.classes, session.metadata.output)
    assert other.headline() == found.onnxruntime.headline()
    assert alone.loss == pytest.approx(found.onnxruntime.loss, rel=1e-5)


def test_other_weights_are_found_out() -> None:
    """The pictures are named, and nothing of it is hidden in the totals."""
    model, split = small_model(), noise(60)
    subject = replace(subject_of(altered(model)), module=build_module(model))
    found = compare(subject, split, batch=16)
    assert found.agreement is not None
    assert not found.agreement.complete
    assert found.agreement.max_difference > 0.1
    assert found.torch is not None
    assert found.torch.confusion.tolist() != found.onnxruntime.confusion.tolist()
    first = found.agreement.first[0]
    assert first.true == split.labels[first.image]
    assert first.torch != first.onnxruntime


def test_each_runtime_has_its_own_progress() -> None:
    """First torch, over all pictures; then onnxruntime."""
    told: list[tuple[str, int]] = []
    compare(subject_of(small_model()), noise(40), 16, lambda name: lambda count: told.append((name, count)))
    counts = (16, 16, 8)
    assert told == [("torch", n) for n in counts] + [("onnxruntime", n) for n in counts]


def test_plain_data_is_json() -> None:
    """The totals on top, each runtime's beside them."""
    found = evaluate(small_model(), noise())
    data = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert data["accuracy"] == data["torch"]["accuracy"] == data["onnxruntime"]["accuracy"] == found.accuracy
    assert data["agreement"]["same"] == data["agreement"]["images"] == 40
    assert data["not_compared"] is None
    assert len(data["confusion"]) == len(data["per_class"]) == 7


def test_the_classes_are_the_models() -> None:
    """By name where it names them; a data set of other classes is refused."""
    labels = [f"kind {k}" for k in range(7)]
    model = small_model(f"classes={json.dumps(labels)}")
    assert evaluate(model, noise()).onnxruntime.classes == tuple(labels)
    found = refusal(DataError, lambda: evaluate(model, noise(classes=6)))
    assert found.code is Code.DATA_MISFIT
    assert "6 classes" in found.message


@pytest.mark.parametrize(
    ("precision", "max_drop", "holds"),
    [("", None, False), ("int8", None, True), ("int8", 100.0, True), ("int8", -1.0, False)],
)
def test_smaller_numbers_are_held_to_their_budget(precision: str, max_drop: float | None, holds: bool) -> None:  # noqa: FBT001
    """Not to agreement on every picture, which is what other files are held to."""
    model, split = small_model(), noise(60)
    subject = replace(subject_of(altered(model)), module=build_module(model))
    found = replace(compare(subject, split, batch=16), precision=precision, max_drop=max_drop)
    assert found.torch is not None
    assert found.drop == pytest.approx(100 * (found.torch.accuracy - found.onnxruntime.accuracy))
    if max_drop == -1.0:
        found = replace(found, max_drop=found.drop - 0.1 if found.drop else -0.1)
    assert found.holds is holds
    assert found.as_dict()["drop"] == found.drop
