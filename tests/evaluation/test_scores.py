"""Scores of every picture: prepared as for `nin-spec run`, in any batch, in both runtimes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from noise_split import foreign, noise, refusal, small_model
from onnx import TensorProto, helper
from PIL import Image

from nin_spec.diagnostics import Code, DataError, DeviceError, InputError
from nin_spec.evaluation.scores import module_scores, session_scores
from nin_spec.exporter import make
from nin_spec.model import Model
from nin_spec.pictures import normalise
from nin_spec.runtime.classify import classify, stack
from nin_spec.runtime.images import load_inputs
from nin_spec.runtime.session import Session, open_session
from nin_spec.torch_module import build_module

SHAPE = (3, 6, 8)


def session_of(model: Model, **options: Any) -> Session:
    """The model exported and opened."""
    (data,) = make(model, "onnx", options).files.values()
    return open_session(data, "cpu", 1)


def test_both_runtimes_compute_what_the_module_does() -> None:
    """On the contract's inputs, in the split's order."""
    model, split = small_model(), noise()
    contract = model.card.preprocessing
    x = normalise(split.images, contract, np.float32)
    wanted = build_module(model)(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(module_scores(build_module(model), split, contract, SHAPE), wanted, atol=1e-6)
    np.testing.assert_allclose(session_scores(session_of(model), split, contract, SHAPE), wanted, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 7, 39, 40, 41])
def test_batches_change_nothing(batch: int) -> None:
    """Any size, the last one not full; progress adds up to the pictures."""
    model, split = small_model(), noise()
    contract, module, session = model.card.preprocessing, build_module(model), session_of(model)
    runs: list[tuple[Callable[..., Any], Any]] = [(module_scores, module), (session_scores, session)]
    for scores_of, runtime in runs:
        told: list[int] = []
        found = scores_of(runtime, split, contract, SHAPE, batch, told.append)
        np.testing.assert_allclose(found, scores_of(runtime, split, contract, SHAPE), atol=1e-5)
        assert sum(told) == 40
        assert max(told) <= batch


@pytest.mark.parametrize("fixed", [1, 16, 64])
def test_a_batch_that_the_file_fixes_is_kept(fixed: int) -> None:
    """The last one is filled up, and what that gives is dropped."""
    model, split = small_model(), noise()
    contract = model.card.preprocessing
    found = session_scores(session_of(model, batch=fixed), split, contract, SHAPE, 7)
    np.testing.assert_allclose(found, session_scores(session_of(model), split, contract, SHAPE), atol=1e-5)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory. Tried"),
    ],
)
def test_want_of_memory_names_the_batch(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU too, where PyTorch raises a bare RuntimeError; any other one is left alone."""
    model, split = small_model(), noise()
    module, contract = build_module(model), model.card.preprocessing

    def fail(_: torch.Tensor) -> torch.Tensor:
        raise error

    monkeypatch.setattr(module, "forward", fail)
    with pytest.raises(DeviceError, match="cpu has too little memory for a batch of 40") as caught:
        module_scores(module, split, contract, SHAPE)
    assert (caught.value.diagnostics[0].code, caught.value.diagnostics[0].hint) == (
        Code.MEMORY,
        "pass a smaller --batch",
    )
    error = RuntimeError("shapes differ")
    with pytest.raises(RuntimeError, match="shapes differ"):
        module_scores(module, split, contract, SHAPE)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_pictures_are_prepared_as_for_run(color: str, tmp_path: Path) -> None:
    """A file classified and the same pixels evaluated give the same scores."""
    model = small_model(f"input.preprocess.color={color}")
    split, session = noise(1), session_of(model)
    Image.fromarray(split.images[0]).save(tmp_path / "picture.png")
    wanted = stack(classify(session, load_inputs([tmp_path / "picture.png"], session)))
    found = session_scores(session, split, model.card.preprocessing, SHAPE)
    assert found.tolist() == wanted.tolist()


def test_the_module_is_evaluated_and_left_as_it_was() -> None:
    """Dropout is off meanwhile, and training continues afterwards."""
    model = small_model("blocks.0.dropout=0.5")
    module = build_module(model).train()
    first = module_scores(module, noise(), model.card.preprocessing, SHAPE)
    assert module.training
    assert first.tolist() == module_scores(module, noise(), model.card.preprocessing, SHAPE).tolist()


def test_bfloat16_modules_give_float32_scores() -> None:
    """NumPy has no bfloat16."""
    model = small_model()
    module = build_module(model).to(torch.bfloat16)
    assert module_scores(module, noise(), model.card.preprocessing, SHAPE).dtype == np.float32


def test_a_picture_that_cannot_be_read_is_an_error() -> None:
    """Raised where its batch is needed, though another thread read it."""
    model = small_model()
    split = noise(broken=33)
    found = refusal(
        DataError, lambda: module_scores(build_module(model), split, model.card.preprocessing, SHAPE, batch=8)
    )
    assert found.code is Code.DATA_DAMAGED
    assert "picture 33" in found.message


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_an_error(bad: float) -> None:
    """The runtime and the first such picture are named: argmax would take them for an answer."""
    model, split = small_model(), noise()
    module = build_module(model)
    split.images[0] = 255
    with torch.no_grad():
        bias: torch.Tensor = module.get_submodule("blocks.1.convs.1").bias  # type: ignore[assignment]
        bias[0] = bad
    found = refusal(InputError, lambda: module_scores(module, split, model.card.preprocessing, SHAPE, batch=8))
    assert found.code is Code.MODEL_UNREADABLE
    assert found.message == "in torch the scores of picture 0 are NaN or infinite"


def test_classes_must_be_as_many_as_scores() -> None:
    """A data set of other classes is not this model's."""
    model = small_model()
    split = noise(classes=5)
    found = refusal(DataError, lambda: session_scores(session_of(model), split, model.card.preprocessing, SHAPE))
    assert found.code is Code.DATA_MISFIT
    assert found.message == "the model returns scores of shape (40, 7), but noise has 5 classes"


def test_maps_are_not_scores() -> None:
    """A graph with one map per class is not a classifier."""
    session = open_session(foreign(["N", *SHAPE]), "cpu")
    contract = small_model().card.preprocessing
    found = refusal(DataError, lambda: session_scores(session, noise(), contract, SHAPE))
    assert found.code is Code.DATA_MISFIT


def test_a_network_of_five_channels_takes_no_pictures() -> None:
    """Pictures have 1 channel or 3."""
    session = open_session(foreign(["N", 5, 8, 8]), "cpu")
    contract = small_model().card.preprocessing
    found = refusal(InputError, lambda: session_scores(session, noise(), contract, (5, 8, 8)))
    assert found.code is Code.INPUT_UNUSABLE


def test_a_split_without_pictures_is_an_error() -> None:
    """There is nothing to say of it."""
    model = small_model()
    found = refusal(DataError, lambda: session_scores(session_of(model), noise(0), model.card.preprocessing, SHAPE))
    assert found.message == "the test split of noise has no pictures"


def test_a_row_for_each_picture_or_an_error() -> None:
    """A graph that averages its batch away agrees with nobody."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *SHAPE])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 7])
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Expand", ["m", "shape"], ["y"]),
    ]
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 7])
    graph = helper.make_graph(nodes, "g", [x], [y], [shape])
    file = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    session = open_session(file.SerializeToString(), "cpu", 1)
    found = refusal(InputError, lambda: session_scores(session, noise(), small_model().card.preprocessing, SHAPE))
    assert found.message == "the model returns scores of shape (1, 7) for a batch of 40"
