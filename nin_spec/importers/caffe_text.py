"""A .prototxt read without being believed: the message in it, and where each field stands.

The library's parser builds the message. It doesn't tell where a field stood, and has no limits of its own; so
the text is gone through once before, in one loop, for both.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import text_format

from nin_spec.diagnostics import Code, Diagnostic, ForeignModelError, Source, Span, nearest, short
from nin_spec.importers.caffe_proto import messages

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_FIELDS = 50_000
MAX_LINE = 4096
"""Characters of a line: the library's parser takes time by the square of them."""
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
"""Messages on where pictures lie: of no concern but for what is read."""
_TOKEN = re.compile(r"""\n|#[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[\w.+-]+|[^\s]""")
_NAME = re.compile(r"[A-Za-z_]\w*")
_OPENING, _CLOSING = frozenset("{<["), frozenset("}>]")


@dataclass
class Field:
    """A field of the text: its name, its place (from 1), and what stands in it."""

    name: str
    line: int = 1
    column: int = 1
    inside: list[Field] = field(default_factory=list)

    def span(self, source: Source) -> Span:
        """Its name in the text."""
        return Span(source, self.line, self.column, max(len(self.name), 1))


def read_text(text: str, name: str) -> tuple[Any, Field, Source]:
    """The net in a text, its outline, and the source for spans. Raises ForeignModelError with the place."""
    source = Source(name, text)
    _check_lines(source)
    outline = outline_of(source)
    net = messages.NetParameter()
    for unknown, known in _unknown(outline, net.DESCRIPTOR):
        near = nearest(unknown.name, known)
        hint = f"did you mean {near!r}?" if near else "nin-spec reads the fields of BVLC's Caffe"
        if unknown.name == "layer":
            hint = "a file of 2013: Caffe's tool upgrade_net_proto_text brings it up to date"
        raise refused(f"no field {short(unknown.name)!r} is known here", unknown.span(source), hint)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the library decodes odd escapes by an old way
            text_format.Parse(text, net, allow_unknown_field=True)
    except text_format.ParseError as error:
        raise _at(source, error) from None
    return net, outline, source


def refused(message: str, span: Span, hint: str | None = None) -> ForeignModelError:
    """What is wrong at a place of the text."""
    return ForeignModelError(Diagnostic(Code.IMPORT, message, span, hint))


def _check_lines(source: Source) -> None:
    for k, line in enumerate(source.text.split("\n"), 1):
        if len(line) > MAX_LINE:
            message = f"the line has {len(line):,} characters; the limit is {MAX_LINE:,}"
            raise refused(message, Span(source, k, 1))


def outline_of(source: Source) -> Field:
    """The fields of a text, whatever they mean. Raises ForeignModelError where it nests too deeply."""
    last = here = root = Field("")
    stack = [root]
    count, line, start = 0, 1, 0
    for match in _TOKEN.finditer(source.text):
        text, column = match[0], match.start() - start + 1
        if text == "\n":
            line, start = line + 1, match.end()
        elif text in _OPENING or text == ":":
            if here.name:
                last = here
                stack[-1].inside.append(last)
                count += 1
            if text in _OPENING:
                stack.append(last)
            _check_limits(len(stack) - 1, count, Span(source, line, column))
        elif text in _CLOSING and len(stack) > 1:
            last = stack.pop()
        if text[0] not in "\n#":
            here = Field(text if _NAME.fullmatch(text) else "", line, column)
    return root


def _check_limits(depth: int, fields: int, span: Span) -> None:
    if depth > MAX_DEPTH:
        raise refused(f"nested more than {MAX_DEPTH} deep: no net is like that", span)
    if fields > MAX_FIELDS:
        raise refused(f"more than {MAX_FIELDS:,} fields: no net is like that", span)


def _unknown(outline: Field, descriptor: Any) -> Iterator[tuple[Field, list[str]]]:
    """Fields that the format doesn't have, each with the names that it has there."""
    known = descriptor.fields_by_name
    for child in outline.inside:
        if child.name in known:
            if known[child.name].message_type is not None:
                yield from _unknown(child, known[child.name].message_type)
        elif child.name not in _UNREAD and descriptor.name not in _OPEN:
            yield child, list(known)


def _at(source: Source, error: text_format.ParseError) -> ForeignModelError:
    """The library's error in our words, at its place."""
    line, column = error.GetLine() or 1, error.GetColumn() or 1
    message = str(error).removeprefix(f"{line}:{column} : ")
    # The library quotes the whole line; the rendering shows it better.
    message = re.sub(r"^'.*': (?=\S)", "", message, flags=re.DOTALL)
    return refused(short(message, 160), Span(source, line, column))
