"""Untrusted reading of a .prototxt: its message, and the position of each field.

The library's parser builds the message. It doesn't tell where a field stood, and has no limits of its own; so
the text is gone through once before (`outline.py`), in one loop, for both.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

from google.protobuf import text_format

from nin_spec.diagnostics import Code, ForeignModelError, Source, Span, short
from nin_spec.importers.caffe.forms import MOVED, check_form, hint_for
from nin_spec.importers.caffe.outline import Field, check_lines, outline_of
from nin_spec.importers.caffe.proto import messages

MAX_BYTES = 1 << 20
_UNREAD = frozenset({
    *("force_backward", "state", "debug_info", "loss_weight", "propagate_down", "blob_share_mode"),
    *("share_mode", "engine", "force_nd_im2col", "loss_param", "accuracy_param", "argmax_param"),
    *("bias_param", "clip_param", "concat_param", "contrastive_loss_param", "crop_param"),
    *("eltwise_param", "embed_param", "exp_param", "hdf5_data_param", "hdf5_output_param"),
    *("hinge_loss_param", "infogain_loss_param", "log_param", "mvn_param", "parameter_param"),
    *("power_param", "python_param", "recurrent_param", "reduction_param", "sigmoid_param"),
    *("slice_param", "spp_param", "swish_param", "tanh_param", "threshold_param", "tile_param"),
    *("window_data_param"),
})  # fmt: skip
"""Fields of the format that no import needs: they change nothing, or their layer is judged by its type."""
_OPEN = frozenset(
    {"DataParameter", "ImageDataParameter", "MemoryDataParameter", "DummyDataParameter", "TransformationParameter"}
)
"""Messages about the location of pictures: their unknown fields are ignored."""


def read_text(text: str, name: str) -> tuple[Any, Field, Source]:
    """The net in a text, its outline, and the source for spans. Raises ForeignModelError with the place."""
    source = Source(name, text)
    check_lines(source)
    outline = outline_of(source)
    check_form(outline, source)
    net = messages.NetParameter()
    for unknown, message in _unknown(outline, net.DESCRIPTOR):
        hint = hint_for(unknown, message)
        raise ForeignModelError(Code.IMPORT, f"unknown field {short(unknown.name)!r}", unknown.span(source), hint)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the library decodes odd escapes by an old way
            text_format.Parse(text, net, allow_unknown_field=True)
    except text_format.ParseError as error:
        raise _at(source, error) from None
    return net, outline, source


def _unknown(outline: Field, descriptor: Any) -> Iterator[tuple[Field, Any]]:
    """Fields that the format doesn't have, each with the message that contains it."""
    known = descriptor.fields_by_name
    for child in outline.inside:
        if child.name in known and known[child.name].message_type is not None:
            yield from _unknown(child, known[child.name].message_type)
        elif child.name in known and not (child.inside and child.name in MOVED):
            continue
        elif child.name not in _UNREAD and descriptor.name not in _OPEN:
            yield child, descriptor


def _at(source: Source, error: text_format.ParseError) -> ForeignModelError:
    """The library's error in our words, at its place."""
    line, column = error.GetLine() or 1, error.GetColumn() or 1
    message = str(error).removeprefix(f"{line}:{column} : ")
    # The library quotes the whole line; the rendering shows it better.
    message = re.sub(r"^'.*': (?=\S)", "", message, flags=re.DOTALL)
    return ForeignModelError(Code.IMPORT, short(message, 160), Span(source, line, column))
