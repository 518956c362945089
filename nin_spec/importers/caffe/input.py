"""The input of a Caffe net: its size, if its files have it, and the preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nin_spec.importers.caffe.file import Layer, Net, located
from nin_spec.importers.caffe.wiring import Wiring
from nin_spec.importers.chain import refusal
from nin_spec.importers.recognise import rounded
from nin_spec.model import Preprocessing

Size = tuple[int | None, int | None, int | None]
"""Channels, height and width, None where unknown."""
MAX_SIDE = 65_536


def picture_of(net: Net, wiring: Wiring, asked: Size, channels: int | None) -> tuple[int, int, int]:
    """Channels, height and width.

    `asked` is the user's value, `channels` that of the weights. Raises ForeignModelError if they are unknown or
    contradictory.
    """
    told = _told(net, wiring)
    origin = wiring.source.origin if wiring.source else f"input {wiring.picture!r}"
    span = wiring.source.span if wiring.source else None
    found = []
    axes = zip(("channels", "height", "width"), told, asked, (channels, None, None), strict=True)
    for what, own, said, other in axes:
        if own is not None and said is not None and own != said:
            raise located(refusal(origin, f"its {what} is {own}, but {said} was requested"), span)
        number = own or said or other
        if number is None:
            hint = "pass the size of its input: --size 3x32x32 is channels, height and width"
            raise located(refusal(origin, f"the {what} of its input is unknown", hint), span)
        if not 1 <= number <= MAX_SIDE:
            raise located(refusal(origin, f"a picture whose {what} is {number:,}"), span)
        found.append(number)
    return found[0], found[1], found[2]


def _told(net: Net, wiring: Wiring) -> Size:
    """The size of a picture as far as the net declares it."""
    layer = wiring.source
    if layer is None:
        return _of_dims(net.inputs[wiring.picture], f"input {wiring.picture!r}")
    if layer.type == "Input":
        shapes = layer.param("input_param").shape
        return _of_dims(tuple(shapes[0].dim) if shapes else (), layer.origin)
    if layer.type == "DummyData":
        data = layer.param("dummy_data_param")
        dims = (1, *[next(iter(n), 0) for n in (data.channels, data.height, data.width)])
        return _of_dims(tuple(data.shape[0].dim) if data.shape else dims, layer.origin)
    return _of_data(layer)


def _of_dims(dims: tuple[int, ...], origin: str) -> Size:
    """Channels, height and width of a blob's shape, None for 0 or for no shape."""
    if not dims:
        return None, None, None
    if len(dims) != 4:
        raise refusal(origin, f"a blob of shape {dims} is not a batch of pictures (N, C, H, W)")
    return dims[1] or None, dims[2] or None, dims[3] or None


def _of_data(layer: Layer) -> Size:
    """The picture size that a data layer states: the crop, else the size of its pictures."""
    transform = transform_of(layer)
    channels = len(transform["mean_value"]) if len(transform["mean_value"]) > 1 else None
    height = width = None
    if layer.type == "MemoryData":
        data = layer.param("memory_data_param")
        channels, height, width = data.channels or None, data.height or None, data.width or None
    if layer.type == "ImageData":
        data = layer.param("image_data_param")
        channels, height, width = 3 if data.is_color else 1, data.new_height or None, data.new_width or None
    crop = transform["crop_size"] or None
    return channels, crop or height, crop or width


def transform_of(layer: Layer) -> Mapping[str, Any]:
    """`transform_param`, or what stood in the data layer's own parameters before there was one."""
    own = {"Data": "data_param", "ImageData": "image_data_param"}.get(layer.type)
    places = [layer.param("transform_param"), *([layer.param(own)] if own else [])]
    found: dict[str, Any] = {"scale": 1.0, "mean_file": "", "crop_size": 0, "mean_value": []}
    for place in reversed(places):
        found |= {f.name: value for f, value in place.ListFields() if f.name in found}
    return found


def contract_of(wiring: Wiring, channels: int) -> tuple[Preprocessing | None, list[str]]:
    """The preprocessing that the net's own data layer does, and what a person should check.

    Caffe takes the mean away first and scales then; its tools store colours as blue, green, red.
    """
    layer = wiring.source
    if layer is None or layer.type in {"Input", "DummyData"}:
        return None, ["the file doesn't declare its preprocessing: check input.preprocess"]
    transform = transform_of(layer)
    scale = rounded(transform["scale"])
    means = [rounded(mean * scale) for mean in transform["mean_value"]] or [0.0]
    if len(means) not in {1, channels}:
        raise located(refusal(layer.origin, f"{len(means)} values of mean_value for {channels} channels"), layer.span)
    color: Any = {1: "gray", 3: "bgr"}.get(channels, "rgb")
    crops, target = bool(transform["crop_size"]), _stretched(layer)
    contract = Preprocessing(
        scale=scale,
        mean=tuple(means * channels)[:channels],
        std=(1.0,) * channels,
        color=color,
        resize="crop" if crops and target is None else "stretch",
        target=target if crops else None,
    )
    remarks = ["colours are assumed to be blue, green, red, like in Caffe's tools: check input.preprocess"]
    if transform["mean_file"]:
        remarks.append(f"the mean in {transform['mean_file']} is not read: write it as input.preprocess.mean")
    remarks = remarks if channels == 3 else remarks[1:]
    if crops and target is None:
        size = transform["crop_size"]
        remarks.append(
            f"the size of the pictures before the crop to {size} is not in the file: check preprocess.resize"
        )
    return contract, remarks


def _stretched(layer: Layer) -> tuple[int, int] | None:
    """(height, width) that the layer stretches pictures to before it crops; None if it does not."""
    if layer.type != "ImageData":
        return None
    data = layer.param("image_data_param")
    return (data.new_height, data.new_width) if data.new_height and data.new_width else None
