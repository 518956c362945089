"""`input.preprocess.resize` is said once, and a picture becomes the same array wherever it is used."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from small_models import content

import nin_spec
from nin_spec.data.folder import FolderSplit
from nin_spec.diagnostics import Code, InputError
from nin_spec.evaluation.scores import inputs
from nin_spec.language.load import loads
from nin_spec.language.recipe import Augment, Recipe
from nin_spec.model import Preprocessing
from nin_spec.network import Network
from nin_spec.pictures import Frame
from nin_spec.runtime.images import load_inputs
from nin_spec.runtime.session import Session, open_session
from nin_spec.serving.errors import TooLargeError
from nin_spec.serving.http.labelling import cost_of, prepare
from nin_spec.training.batches import Batches
from nin_spec.training.feed import Feed
from nin_spec.training.session import input_frame, stored_frame

SIZE = (6, 9)
MODES = ["RGB", "L", "I;16", "P", "RGBA", "LA", "1"]


def network_of(resize: Any, train: dict[str, Any] | None = None, channels: int = 3) -> Network:
    """A network that takes pictures resized so, and learns by a recipe."""
    preprocess = {"resize": resize, "mean": 0.4, "std": 0.3}
    data = {
        "spec": 1,
        "name": "a",
        "input": {"channels": channels, "size": list(SIZE), "preprocess": preprocess},
        "classes": 2,
        "blocks": [{"channels": ["classes"], "kernel": 3, "padding": 1}],
        "train": {"dataset": "x", "epochs": 1, "optimizer": "adam", **(train or {})},
    }
    return nin_spec.compile(loads(json.dumps(data)))


def file_of(network: Network, *, open_size: bool = False) -> Session:
    """A model file with the network's input and contract."""
    channels, height, width = network.graph.input.shape
    shape = ("N", channels, "H", "W") if open_size else ("N", channels, height, width)
    return open_session(content(shape, metadata={"preprocessing": network.card.preprocessing.as_dict()}), "cpu")


def picture(size: tuple[int, int], mode: str) -> Image.Image:
    """Noise of a size (width, height) in a mode."""
    rng = np.random.default_rng(0)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, size[::-1], dtype=np.uint16))
    return Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).convert(mode)


def trained_on(network: Network, path: Path) -> NDArray[Any]:
    """What the first step of a training is given for the picture."""
    part = FolderSplit("x", "train", "x", ("a", "b"), np.array([0]), str(path.parent), (path.name,))
    recipe, frame = recipe_of(network), input_frame(network)
    batches = Batches(part, 1, 0, stored_frame(frame, recipe), (frame.height, frame.width), recipe.augment)
    feed = Feed(
        network.card.preprocessing,
        network.graph.input.shape[0],
        torch.float32,
        torch.device("cpu"),
        torch.contiguous_format,
    )
    return feed(batches.step(0)[0].pictures)[0].numpy()


def recipe_of(network: Network) -> Recipe:
    """The network's recipe."""
    recipe = network.spec.spec.train
    assert recipe is not None
    return recipe


def evaluated_on(network: Network, path: Path) -> NDArray[Any]:
    """What `evaluate` gives the network for the picture."""
    part = FolderSplit("x", "test", "x", ("a", "b"), np.array([0]), str(path.parent), (path.name,))
    shape = cast("tuple[int, int, int]", network.graph.input.shape)
    batch: NDArray[Any]
    (batch,) = inputs(part, network.card.preprocessing, shape, np.float32, 1)
    return np.asarray(batch[0])


def served_on(session: Session, path: Path) -> NDArray[Any]:
    """What the server gives a model for the picture."""
    served: Any = SimpleNamespace(engine=SimpleNamespace(session=session, info=session.metadata))
    return prepare(served, path.read_bytes()).x


def expected(image: Image.Image, resize: Any, size: tuple[int, int], channels: int) -> NDArray[Any]:
    """What Resize and CenterCrop of torchvision do, in Pillow's words, then the contract's numbers."""
    said: dict[str, Any] = {"kind": resize} if isinstance(resize, str) else resize
    target = said.get("size", said.get("shorter", list(size)))
    high, wide = target if isinstance(target, list) else (target, target)
    pixels = image.convert("L" if channels == 1 else "RGB")
    if image.mode == "I;16":
        eight = Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
        pixels = eight.convert(pixels.mode)
    if said["kind"] == "crop":
        w, h = pixels.size
        high, wide = (high, w * high // h) if w * high >= h * wide else (h * wide // w, wide)
    if pixels.size != (wide, high):
        pixels = pixels.resize((wide, high), Image.Resampling.BILINEAR)
    top, left = round((high - size[0]) / 2), round((wide - size[1]) / 2)
    raw = np.asarray(pixels)[top : top + size[0], left : left + size[1]].reshape(*size, -1)
    x = raw.transpose(2, 0, 1).astype(np.float32) * np.float32(1 / 255)
    return (x - np.float32(0.4)) / np.float32(0.3)


sides = st.integers(1, 40)
resizes: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["stretch", "crop", {"kind": "crop"}, {"kind": "stretch"}]),
    st.integers(9, 20).map(lambda n: {"kind": "crop", "shorter": n}),
    st.integers(9, 20).map(lambda n: {"kind": "stretch", "size": n}),
    st.tuples(st.integers(6, 20), st.integers(9, 20)).map(lambda pair: {"kind": "stretch", "size": list(pair)}),
)


@given(st.tuples(sides, sides), st.sampled_from(MODES), resizes, st.sampled_from([1, 3]))
def test_a_picture_is_the_same_array_everywhere(size: tuple[int, int], mode: str, resize: Any, channels: int) -> None:
    """Training without augmentation, evaluation, `run` and the server, bit for bit, for pictures of any shape."""
    network = network_of(resize, channels=channels)
    session = file_of(network)
    assert session.metadata.preprocessing == network.card.preprocessing
    image = picture(size, mode)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.png")
        image.save(path)
        found = {
            "training": trained_on(network, path),
            "evaluation": evaluated_on(network, path),
            "run": load_inputs([path], session)[0][1],
            "server": served_on(session, path),
        }
    wanted = expected(image, resize, SIZE, channels)
    for where, array in found.items():
        assert array.dtype == np.float32
        assert np.array_equal(array, wanted), where


FRAMES = [
    ("crop", {}, Frame(3, 6, 9, "crop")),
    ("crop", {"augment": {"crop": True}}, Frame(3, 6, 9, "crop")),
    ({"kind": "crop", "shorter": 12}, {}, Frame(3, 6, 9, "crop", (12, 12))),
    ({"kind": "crop", "shorter": 12}, {"augment": {"flip": True}}, Frame(3, 6, 9, "crop", (12, 12))),
    ({"kind": "crop", "shorter": 12}, {"augment": {"crop": True}}, Frame(3, 12, 12, "crop")),
    ({"kind": "crop", "shorter": 12}, {"augment": {"pad_and_crop": 2}}, Frame(3, 12, 12, "crop")),
    ({"kind": "stretch", "size": [8, 10]}, {"augment": {"crop": True}}, Frame(3, 8, 10, "stretch")),
    ({"kind": "crop", "shorter": 12}, {"resize": 16}, Frame(3, 16, 16, "crop")),
    ("stretch", {"resize": 16}, Frame(3, 16, 16)),
]


@pytest.mark.parametrize(("resize", "train", "frame"), FRAMES)
def test_random_crops_come_from_the_resized_picture(resize: Any, train: dict[str, Any], frame: Frame) -> None:
    """Without them the centre is kept, as everywhere else; `train.resize` overrules for training alone."""
    network = network_of(resize, train)
    assert stored_frame(input_frame(network), recipe_of(network)) == frame


def test_a_random_crop_is_a_window_of_the_resized_picture(tmp_path: Path) -> None:
    """Training with `augment.crop` sees windows of the middle square, and not always the centre's."""
    resize = {"kind": "crop", "shorter": 14}
    network = network_of(resize, {"augment": {"crop": True}})
    picture((30, 20), "RGB").save(tmp_path / "a.png")
    square = expected(picture((30, 20), "RGB"), resize, (14, 14), 3)
    part = FolderSplit("x", "train", "x", ("a", "b"), np.zeros(40, np.int64), str(tmp_path), ("a.png",) * 40)
    frame = input_frame(network)
    batches = Batches(part, 40, 0, stored_frame(frame, recipe_of(network)), SIZE, Augment(crop=True))
    feed = Feed(network.card.preprocessing, 3, torch.float32, torch.device("cpu"), torch.contiguous_format)
    windows = np.lib.stride_tricks.sliding_window_view(square, SIZE, axis=(1, 2))
    places = set()
    for crop in feed(batches.step(0)[0].pictures).numpy():
        same = (windows == crop[:, None, None]).all(axis=(0, 3, 4))
        places |= {(int(top), int(left)) for top, left in np.argwhere(same)}
        assert same.any()
    assert len(places) > 10


@pytest.mark.parametrize("size", [(30, 20), (20, 30), (3, 5), (12, 12)])
def test_an_open_size_takes_the_whole_of_the_resized_picture(size: tuple[int, int], tmp_path: Path) -> None:
    """At the scale that the network learned; without a size to resize to, the picture's own."""
    path = tmp_path / "a.png"
    picture(size, "RGB").save(path)
    session = file_of(network_of({"kind": "crop", "shorter": 12}), open_size=True)
    height, width = (12, size[0] * 12 // size[1]) if size[0] >= size[1] else (size[1] * 12 // size[0], 12)
    wanted = expected(picture(size, "RGB"), {"kind": "crop", "shorter": 12}, (height, width), 3)
    assert np.array_equal(load_inputs([path], session)[0][1], wanted)
    assert np.array_equal(served_on(session, path), wanted)
    as_it_is = file_of(network_of("crop"), open_size=True)
    assert load_inputs([path], as_it_is)[0][1].shape == served_on(as_it_is, path).shape == (3, *size[::-1])


def test_the_server_bounds_what_an_open_size_is_scaled_to(tmp_path: Path) -> None:
    """A line of pixels would be scaled to a picture larger than a request may be."""
    picture((4000, 1), "L").save(tmp_path / "a.png")
    session = file_of(network_of({"kind": "crop", "shorter": 12}), open_size=True)
    served: Any = SimpleNamespace(engine=SimpleNamespace(session=session, info=session.metadata))
    with pytest.raises(TooLargeError):
        cost_of(served, (tmp_path / "a.png").read_bytes(), 1 << 20)


# ------------------------------------------------------------------ the file's metadata


@pytest.mark.parametrize(
    "resize", ["stretch", "crop", {"kind": "crop", "shorter": 40}, {"kind": "stretch", "size": [40, 50]}]
)
def test_an_exported_file_carries_it(resize: Any) -> None:
    """As the spec spells it; what older files say, a word, means what it meant."""
    contract = network_of(resize).card.preprocessing
    text = json.dumps(contract.as_dict())
    assert json.loads(text)["resize"] == resize
    assert Preprocessing.from_dict(json.loads(text)) == contract


BAD = [
    {"kind": "crop", "shorter": 0},
    {"kind": "crop", "shorter": 1 << 40},
    {"kind": "crop", "shorter": [1, 2]},
    {"kind": "crop", "size": 40},
    {"kind": "stretch", "size": [40]},
    {"kind": "zoom"},
    {"kind": ["crop"]},
    "zoom",
    40,
    None,
]


@pytest.mark.parametrize("resize", BAD, ids=str)
def test_a_file_that_says_it_wrongly_is_refused(resize: Any) -> None:
    """One message, for anything at that path."""
    with pytest.raises(InputError) as caught:
        open_session(content(metadata={"preprocessing": {"resize": resize}}), "cpu")
    assert caught.value.diagnostics[0].code is Code.MODEL_UNREADABLE


def test_a_file_that_resizes_to_less_than_its_input_is_refused(tmp_path: Path) -> None:
    """The centre of 7 x 7 pixels is not 8 x 8 of them."""
    picture((30, 20), "RGB").save(tmp_path / "a.png")
    contract = {"resize": {"kind": "crop", "shorter": 7}}
    session = open_session(content(metadata={"preprocessing": contract}), "cpu")
    with pytest.raises(InputError, match="smaller than 8x8"):
        load_inputs([tmp_path / "a.png"], session)
