"""Pictures to labels over HTTP: the same answer as `nin-spec run` gives."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from server_process import CARD, ask, ask_json, bare_scores, running, small_models_served
from small_models import content

import nin_spec
from nin_spec.cli import execute
from nin_spec.diagrams import svg
from nin_spec.runtime.images import load_inputs
from nin_spec.runtime.session import open_session
from nin_spec.serving.errors import OverloadedError, TooLargeError
from nin_spec.serving.http import labelling
from nin_spec.serving.limits import MemoryBudget, Reservation

CLASSIFY = "/v2/models/small/classify"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The small models, served."""
    with small_models_served(tmp_path_factory.mktemp("serving")) as port:
        yield port


def picture(form: str, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> bytes:
    """A picture's file."""
    pixels = np.random.default_rng(2).integers(0, 256, (*size[::-1], 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(data, form)
    return data.getvalue()


def test_a_picture_is_classified(port: int) -> None:
    """Prepared by the contract in the file, ranked, with labels and probabilities."""
    status, _, answer = ask(port, "POST", f"{CLASSIFY}?top=3", picture("PNG"))
    assert status == 200
    data = json.loads(answer)
    pixels = np.asarray(Image.open(io.BytesIO(picture("PNG")))).astype(np.float32)
    x = ((pixels * np.float32(1 / 255) - np.float32(0.5)) / np.float32(0.25)).transpose(2, 0, 1)[None]
    scores = bare_scores(np.ascontiguousarray(x))[0].astype(np.float64)
    order = np.argsort(-scores)[:3]
    powers = np.exp(scores - scores.max())
    found = data["predictions"]
    assert [p["rank"] for p in found] == [1, 2, 3]
    assert [p["index"] for p in found] == order.tolist()
    assert [p["label"] for p in found] == [["cat", "dog", "owl", "fox"][k] for k in order]
    assert np.allclose([p["score"] for p in found], scores[order], rtol=1e-5)
    assert np.allclose([p["probability"] for p in found], (powers / powers.sum())[order], rtol=1e-4)
    assert (data["model_name"], data["model_version"]) == ("small", "1")


@pytest.mark.parametrize(
    ("form", "mode"), [("JPEG", "RGB"), ("WEBP", "RGB"), ("PNG", "L"), ("PNG", "RGBA"), ("GIF", "P")]
)
def test_pictures_of_any_kind_and_size_are_taken(port: int, form: str, mode: str) -> None:
    """Gray, transparent, larger than the model's input."""
    status, _, answer = ask(port, "POST", CLASSIFY, picture(form, (31, 17), mode))
    assert status == 200
    assert len(json.loads(answer)["predictions"]) == 4


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        (CLASSIFY, b"", "the body is empty"),
        (CLASSIFY, b"--x\r\nContent-Disposition: form-data\r\n\r\nGIF89a\r\n--x--", "a form, not the picture itself"),
        (CLASSIFY, b"GIF89a", "not a picture"),
        (CLASSIFY, picture("PNG")[:-30], "not a picture"),
        (f"{CLASSIFY}?top=0", picture("PNG"), "top"),
        (f"{CLASSIFY}?top=many", picture("PNG"), "top"),
        ("/v2/models/plain/classify", picture("PNG"), "doesn't declare its preprocessing"),
    ],
)
def test_what_is_not_a_picture_is_refused(port: int, path: str, body: bytes, told: str) -> None:
    """400, and why."""
    status, _, answer = ask(port, "POST", path, body)
    assert status == 400
    assert told in json.loads(answer)["error"]


def test_a_bomb_is_refused(port: int) -> None:
    """A small file that would unfold to gigabytes."""
    data = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(data, "PNG")
    status, answer = ask(port, "POST", CLASSIFY, data.getvalue())[0], ask_json(port, "GET", "/v2/health/live")
    assert (status, answer[0]) == (413, 200)


def test_what_memory_a_picture_takes_is_held_while_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files of large pictures count by the memory that they take: 503 beside others, 413 alone."""
    served: Any = "served"
    service: Any = SimpleNamespace(repository=SimpleNamespace(now=lambda _: served))
    budget = MemoryBudget(total=1000)
    monkeypatch.setattr(labelling, "prepare", lambda *_: budget.reserved)

    def decoded(cost: int, others: int) -> int:
        monkeypatch.setattr(labelling, "cost_of", lambda *_: cost)
        budget.reserved, reservation = others, Reservation(budget)
        try:
            held: Any = asyncio.run(labelling.Classify(service).input(served, b"", reservation))[1]
        finally:
            reservation.release()
            assert budget.reserved == others
        return int(held)

    assert decoded(700, 300) == 1000
    with pytest.raises(OverloadedError, match="the whole memory budget"):
        decoded(700, 301)
    with pytest.raises(TooLargeError, match="--max-body"):
        decoded(1001, 0)


def test_want_of_memory_is_not_the_fault_of_the_picture() -> None:
    """503, to come again: a client must not take its picture for a bad one."""
    with pytest.raises(OverloadedError, match="not enough memory") as caught, labelling._refusing(b""):
        raise MemoryError
    assert (caught.value.status, caught.value.retry_after) == (503, 1)


@pytest.fixture(scope="module")
def explaining(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """nin_digits with its class maps, of any batch and of a fixed one."""
    folder = tmp_path_factory.mktemp("explaining")
    model = nin_spec.compile("nin_digits").initialise(1)
    for name, batch in (("digits", "dynamic"), ("four", 4)):
        path = folder / f"{name}.onnx"
        nin_spec.export(model, "onnx", path, parity=False, outputs="scores,maps", batch=batch)
    with running(*(f"{name}={folder / name}.onnx" for name in ("digits", "four"))) as server:
        yield server.port


@pytest.mark.parametrize("name", ["digits", "four"])
def test_a_picture_is_explained(explaining: int, name: str) -> None:
    """Each class's map, whose mean is the score that classify gives; the picture as the network sees it if asked."""
    path, sent = f"/v2/models/{name}", picture("PNG", (31, 17))
    status, _, answer = ask(explaining, "POST", f"{path}/explain?class=all&picture=true", sent)
    assert status == 200
    found = json.loads(answer)
    best = json.loads(ask(explaining, "POST", f"{path}/classify?top=10", sent)[2])["predictions"]
    assert [c["label"] for c in found["classes"]] == [p["label"] for p in best]
    for one, other in zip(found["classes"], best, strict=True):
        assert np.shape(one["map"]) == (4, 4)
        assert np.mean(one["map"]) == pytest.approx(other["score"], abs=1e-5)
    assert (found["model_name"], found["size"]) == (name, [8, 8])
    assert found["place"] == {"field": [12, 12], "jump": [2, 2], "offset": [-5, -5]}
    data = base64.b64decode(found["picture"].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(data)).size == (8, 8)
    found = json.loads(ask(explaining, "POST", f"{path}/explain", sent)[2])
    assert [c["label"] for c in found["classes"]] == [best[0]["label"]]
    assert "picture" not in found


def test_what_can_not_be_explained_is_reported(explaining: int, port: int) -> None:
    """400: a class that the model does not have, and a model that does not return its maps, with what to do."""
    status, _, answer = ask(explaining, "POST", "/v2/models/digits/explain?class=cat", picture("PNG"))
    assert status == 400
    assert json.loads(answer)["error"].startswith("the model has no class 'cat'; expected one of: 0, 1")
    status, _, answer = ask(port, "POST", "/v2/models/small/explain", picture("PNG"))
    assert status == 400
    assert "small does not return its class maps; export it with its maps" in json.loads(answer)["error"]


@pytest.mark.parametrize("path", ["table", "diagram"])
def test_a_file_without_its_spec_has_no_table_and_no_diagram(port: int, path: str) -> None:
    """400 in JSON."""
    status, answer = ask_json(port, "GET", f"/v2/models/small/{path}")
    assert status == 400
    assert "no embedded spec" in answer["error"]


def test_the_diagram_is_that_of_export(explaining: int) -> None:
    """The bytes of `export --diagram svg`; another width on request, and 400 for what is not a width."""
    network = nin_spec.compile("nin_digits")
    for query, width in (("", 1120), ("?width=358", 358)):
        status, headers, answer = ask(explaining, "GET", f"/v2/models/digits/diagram{query}")
        assert (status, headers["content-type"]) == (200, "image/svg+xml")
        assert answer.decode() == svg(network, width)
    for wrong in ("239", "4097", "wide", "-358", ""):
        status, answer = ask_json(explaining, "GET", f"/v2/models/digits/diagram?width={wrong}")
        assert (status, answer["error"]) == (400, "width is not a number of pixels from 240 to 4096")


@pytest.mark.parametrize("spec", ["nin_digits", "nin_cifar"])
def test_a_model_of_raw_pixels_is_given_them(tmp_path: Path, spec: str) -> None:
    """Exported with --takes pixels: the scores that `nin-spec run` computes of the same file."""
    path, file = tmp_path / "pixels.onnx", tmp_path / "picture.png"
    file.write_bytes(picture("PNG", (31, 17)))
    assert execute(["export", spec, "--seed", "0", "--onnx", str(path), "--takes", "pixels"]) == 0
    session = open_session(path, "cpu", 1)
    ((_, item),) = load_inputs([file], session)
    with running(f"small={path}") as server:
        status, _, answer = ask(server.port, "POST", CLASSIFY, file.read_bytes())
    assert status == 200
    found = {p["index"]: p["score"] for p in json.loads(answer)["predictions"]}
    scores = session.run(item[None])[0]
    assert found == {k: float(scores[k]) for k in found}


def test_a_picture_is_prepared_for_the_model_that_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload while it is decoded: it is prepared again, as the new model's contract says."""
    service: Any = SimpleNamespace(repository=SimpleNamespace(now=lambda _: "new"))
    old: Any = "old"
    monkeypatch.setattr(labelling, "cost_of", lambda *_: 1)
    monkeypatch.setattr(labelling, "prepare", lambda served, *_: f"for the {served} model")
    answer: Any = asyncio.run(labelling.Classify(service).input(old, b"", Reservation(MemoryBudget())))
    assert answer == ("new", "for the new model")


def test_a_file_of_a_fixed_batch_classifies_too(tmp_path: Path) -> None:
    """Its batch is filled up with nothing: the same answer as of a file that takes any."""
    (tmp_path / "small.onnx").write_bytes(content(("N", 3, 8, 8), metadata=CARD))
    (tmp_path / "four.onnx").write_bytes(content((4, 3, 8, 8), metadata=CARD))
    with running(f"small={tmp_path / 'small.onnx'}", f"four={tmp_path / 'four.onnx'}") as server:
        found = [
            json.loads(ask(server.port, "POST", f"/v2/models/{name}/classify", picture("PNG"))[2])["predictions"]
            for name in ("small", "four")
        ]
    assert [row["label"] for row in found[0]] == [row["label"] for row in found[1]]
    assert np.allclose([row["score"] for row in found[0]], [row["score"] for row in found[1]], rtol=1e-5)


def test_an_open_size_takes_no_more_than_a_request_may_hold(tmp_path: Path) -> None:
    """A few hundred bytes may declare a picture of a gigabyte: refused before it is made one."""
    path = tmp_path / "open.onnx"
    path.write_bytes(content(("N", 3, "H", "W"), metadata=CARD))
    blank = io.BytesIO()
    Image.new("1", (1000, 500)).save(blank, "PNG")
    assert len(blank.getvalue()) < 1000
    with running(f"open={path}", "--max-body", "1") as server:
        status, answer = classified(server.port, blank.getvalue())
        assert status == 413
        assert answer == {"error": "a picture of 1000x500 is 6000000 bytes of input; the limit is 1048576"}
        status, answer = classified(server.port, picture("PNG", (31, 17)))
        assert (status, len(answer["predictions"])) == (200, 4)


def classified(port: int, body: bytes) -> tuple[int, Any]:
    """What the open model says of a picture."""
    status, _, answer = ask(port, "POST", "/v2/models/open/classify", body)
    return status, json.loads(answer)
