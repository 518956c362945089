"""Pictures in, labels out: classification without tensors, and the class maps behind it."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from nin_spec.diagnostics import InputError, NinSpecError, ParityError
from nin_spec.explanation.result import Outputs, explanation_of, no_maps
from nin_spec.model import Preprocessing
from nin_spec.pictures import (
    FORMATS,
    PictureTooLargeError,
    Pixels,
    Shape,
    data_uri,
    decode,
    frame_of,
    memory_of,
    preprocess,
    raw,
    read_header,
    to_frame,
)
from nin_spec.runtime.classify import probabilities_of
from nin_spec.serving.batcher import Caller
from nin_spec.serving.errors import BadRequestError, FailedError, OverloadedError, ServingError, TooLargeError
from nin_spec.serving.limits import Reservation
from nin_spec.serving.models import Served
from nin_spec.serving.protocol import InferRequest, InferResponse, Tensor
from nin_spec.serving.service import Service
from nin_spec.serving.tensors import Array

if TYPE_CHECKING:
    from nin_spec.network import Network

MOST_CLASSES = 65536
"""Limit of classes that a client can request."""
MAPS = "maps"
"""The output with the class maps."""
NARROWEST, WIDEST = 240, 4096
"""Limits of a diagram's width in pixels."""
_DECODERS, _WAITING = 2, 64


class Prepared(NamedTuple):
    """A picture as the network sees it, (height, width, 1 or 3), and as an input of the model, without a batch axis."""

    pixels: Pixels
    x: Array

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return int(self.pixels.nbytes + self.x.nbytes)


@dataclass(eq=False)
class Classify:
    """POST .../classify. Pictures are decoded in separate threads, and run together with other requests' tensors."""

    service: Service

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(_DECODERS, "pictures")
        self._waiting = 0

    async def __call__(
        self, served: Served, given: Prepared, best: int, caller: Caller | None = None
    ) -> dict[str, Any]:
        """The best classes of one picture, preprocessed by `input`. Raises ServingError."""
        response = await self._run(served, given, caller)
        scores = _output(served, response, served.engine.session.output_name).ravel()
        return {
            "model_name": served.name,
            "model_version": served.version,
            "predictions": predictions(served, scores, best),
        }

    async def explain(
        self, served: Served, given: Prepared, wanted: Sequence[str], caller: Caller | None = None, *, picture: bool
    ) -> dict[str, Any]:
        """The class maps of one picture, preprocessed by `input`; with the `picture` as the network sees it if asked.

        Raises ServingError, also for a model without class maps and an unknown class.
        """
        if MAPS not in {spec.name for spec in served.engine.outputs}:
            raise BadRequestError(_told(no_maps(served.name)))
        response = await self._run(served, given, caller)
        scores, maps = (_output(served, response, name) for name in ("scores", MAPS))
        found = Outputs(scores, maps, served.engine.session.precision)
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(self._threads, _explained, served, given.pixels, found, wanted, picture)
        return {"model_name": served.name, "model_version": served.version, **data}

    async def _run(self, served: Served, given: Prepared, caller: Caller | None) -> InferResponse:
        request = InferRequest((Tensor(served.engine.session.input_name, _batch(served, given.x)),))
        return await self.service.infer(served, request, caller)

    async def input(self, served: Served, picture: bytes, reservation: Reservation) -> tuple[Served, Prepared]:
        """The picture as the model's input, without the batch axis, and the model: a reload may have replaced it.

        The memory for decoding is reserved meanwhile. Raises ServingError, also for a picture whose input is larger
        than the limit of a body.
        """
        while True:
            x = await self._decoded(served, picture, reservation)
            if (current := self.service.repository.now(served)) is served:
                return served, x
            served = current

    async def _decoded(self, served: Served, picture: bytes, reservation: Reservation) -> Prepared:
        if self._waiting >= _WAITING:
            raise OverloadedError("too many pictures are waiting to be decoded", retry_after=1)
        self._waiting += 1
        loop = asyncio.get_running_loop()
        try:
            cost = await loop.run_in_executor(self._threads, cost_of, served, picture, reservation.budget.body)
            reservation.reserve(cost)
            try:
                return await loop.run_in_executor(self._threads, prepare, served, picture)
            finally:
                reservation.return_(cost)
        finally:
            self._waiting -= 1

    async def table(self, model: str, version: str) -> dict[str, Any]:
        """The shape table of a model with an embedded spec. Raises ServingError."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _table, self._spec(model, version))

    async def diagram(self, model: str, version: str, width: int) -> str:
        """The SVG of `nin-spec export --diagram svg` for the same, about `width` pixels wide. Raises ServingError."""
        spec = self._spec(model, version)
        return await asyncio.get_running_loop().run_in_executor(self._threads, _diagram, spec, width)

    def _spec(self, model: str, version: str) -> str:
        spec = self.service.repository.find(model, version).engine.info.spec
        if not spec:
            raise BadRequestError("the file has no embedded spec")
        return spec


def _batch(served: Served, x: Array) -> Array:
    """A batch of one, padded with zeros to the file's fixed size."""
    rows = max(served.engine.inputs[0].shape[0], 1)
    if rows == 1:
        return x[None]
    batch = np.zeros((rows, *x.shape), x.dtype)
    batch[0] = x
    return batch


def _output(served: Served, response: InferResponse, name: str) -> Array:
    """The first row of an output."""
    names = [spec.name for spec in served.engine.outputs]
    row: Array = response.outputs[names.index(name)].array[0]
    return row


def _explained(
    served: Served,
    pixels: Pixels,
    found: Outputs,
    wanted: Sequence[str],
    picture: bool,  # noqa: FBT001 in a thread
) -> dict[str, Any]:
    """The explanation as plain data. Raises ServingError."""
    try:
        data = explanation_of("", pixels, found, served.engine.info, wanted).as_dict()
    except ParityError as error:
        raise FailedError(error.diagnostics[0].message) from None
    except InputError as error:
        raise BadRequestError(_told(error)) from None
    del data["picture"]
    return {**data, "picture": data_uri(pixels)} if picture else data


def _told(error: NinSpecError) -> str:
    (found,) = error.diagnostics
    return f"{found.message}; {found.hint}" if found.hint else found.message


def count_of(top: str) -> int:
    """The number of classes that a client requests. Raises BadRequestError."""
    if not (top.isascii() and top.isdigit() and len(top) <= 9 and 1 <= int(top) <= MOST_CLASSES):
        raise BadRequestError("top is not a number of classes")
    return int(top)


def width_of(text: str) -> int:
    """The width of a diagram that a client requests, in pixels. Raises BadRequestError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and NARROWEST <= int(text) <= WIDEST):
        raise BadRequestError(f"width is not a number of pixels from {NARROWEST} to {WIDEST}")
    return int(text)


def cost_of(served: Served, picture: bytes, most: int) -> int:
    """Bytes of memory to preprocess a picture, from its header.

    For an open size the picture's size counts, which a small file may declare: `most` limits the array. Raises
    ServingError if it is not a picture, or the model takes none.
    """
    shape, contract = _pictured(served)
    if not picture:
        raise BadRequestError("the body is empty: send a picture, for example with curl --data-binary @FILE")
    with _refusing(picture):
        own = read_header(io.BytesIO(picture))
        frame = frame_of(shape, contract, own)
        size = shape[0] * frame.height * frame.width * served.engine.session.dtype.itemsize
        if size > most:
            raise TooLargeError(f"a picture of {own[0]}x{own[1]} is {size} bytes of input; the limit is {most}")
        return memory_of(io.BytesIO(picture), frame)


def prepare(served: Served, picture: bytes) -> Prepared:
    """A picture as one input of the model, by the file's preprocessing. Raises ServingError."""
    session, (shape, contract) = served.engine.session, _pictured(served)
    with _refusing(picture):
        image = decode(io.BytesIO(picture))
        pixels = to_frame(image, frame_of(shape, contract, image.size))
        if session.takes_pixels:
            return Prepared(pixels, raw(pixels[None], contract, session.dtype)[0])
        return Prepared(pixels, preprocess(pixels, contract, shape[0], session.dtype))


def _pictured(served: Served) -> tuple[Shape, Preprocessing]:
    """The shape of the model's picture, and its preprocessing. Raises BadRequestError if it takes none."""
    session, contract = served.engine.session, served.engine.info.preprocessing
    if contract is None:
        raise BadRequestError("the model doesn't declare its preprocessing; send tensors to infer")
    match session.picture:
        case ((1 | 3) as channels, height, width):
            pass
        case _:
            raise BadRequestError("the model's input is not a picture of 1 or 3 channels; send tensors to infer")
    if len(session.output_shape) < 2:
        raise BadRequestError("the model's output is not one score per class; send tensors to infer")
    return (channels, height, width), contract


@contextlib.contextmanager
def _refusing(picture: bytes) -> Iterator[None]:
    """Map a decoder's exceptions to errors about the picture, or about memory."""
    try:
        yield
    except ServingError:
        raise
    except MemoryError:
        raise OverloadedError("there is not enough memory to decode the picture", retry_after=1) from None
    except (PictureTooLargeError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLargeError(f"the picture is too large: {error}") from None
    except NinSpecError as error:
        raise BadRequestError(error.diagnostics[0].message) from None
    except UnidentifiedImageError:
        sent = "a form, not the picture itself" if picture.startswith(b"--") else "not a picture that can be decoded"
        hint = "send one with curl --data-binary @FILE"
        raise BadRequestError(f"the body is {sent} ({', '.join(FORMATS)}): {hint}") from None
    except Exception as error:  # noqa: BLE001 a decoder may raise anything on a damaged file
        known = ", ".join(FORMATS)
        raise BadRequestError(f"the body is not a picture that can be decoded ({known}): {str(error)[:200]}") from None


def predictions(served: Served, scores: Array, best: int) -> list[dict[str, Any]]:
    """The best classes, best first; equal scores: lower index first."""
    info = served.engine.info
    probabilities = probabilities_of(scores, info.output)
    labels = info.labels
    order = np.argsort(-scores, kind="stable")[:best]
    return [
        {
            "rank": rank,
            "index": int(k),
            "label": labels[k] if labels else str(k),
            "score": _finite(scores[k]),
            "probability": None if probabilities is None else _finite(probabilities[k]),
        }
        for rank, k in enumerate(order, start=1)
    ]


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


@lru_cache(maxsize=16)
def _network(spec: str) -> Network:
    """The network of the spec in a file."""
    from nin_spec.language.load import loads
    from nin_spec.network import compile as compile_network

    try:
        return compile_network(loads(spec, "the file's spec", alone=True))
    except NinSpecError as error:
        raise BadRequestError(f"the file's spec can't be compiled: {error.diagnostics[0].message}") from None


@lru_cache(maxsize=16)
def _table(spec: str) -> dict[str, Any]:
    """The table of `nin-spec build --format json`."""
    return _network(spec).table.as_dict()


@lru_cache(maxsize=32)
def _diagram(spec: str, width: int) -> str:
    """The drawing of `nin-spec export --diagram svg`."""
    from nin_spec.diagrams import svg

    return svg(_network(spec), width)
