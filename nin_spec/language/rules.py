"""What the grammar can't check: keys that contradict each other, and choices left open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nin_spec.diagnostics import Code, Diagnostic, Span, did_you_mean, short
from nin_spec.language.document import Path_, Table
from nin_spec.language.parts import target_of
from nin_spec.language.validate import locate

if TYPE_CHECKING:
    from nin_spec.language.schema import Block, Spec

MAX_CONVOLUTIONS = 512
CONV_ONLY = ("kernel", "stride", "padding", "dilation", "bias", "order", "init")
"""Keys of a block that apply to its convolutions."""


def check(spec: Spec, root: Table) -> Iterator[Diagnostic]:
    """Every diagnostic, in the order of the text."""
    yield from _input(spec, root)
    yield from _labels(spec, root)
    yield from _length(spec, root)
    names: dict[str, int] = {}
    for i, block in enumerate(spec.blocks):
        if block.name is not None and names.setdefault(block.name, i) != i:
            message = f"blocks.{i} has the same name as blocks.{names[block.name]}: {block.name!r}"
            yield Diagnostic(Code.CONFLICT, message, _span(root, "blocks", i, "name"))
        yield from _block(spec, block, i, root)
    yield from _pool(spec.head.pool, ("head", "pool"), root)
    yield from _recipe(spec, root)


def _span(root: Table, *path: str | int) -> Span:
    return locate(root, path)[1]


def _key_span(root: Table, *path: str | int) -> Span:
    """The key itself, where the path ends in one."""
    parent, key = locate(root, path[:-1])[0], path[-1]
    if isinstance(parent, Table) and isinstance(key, str) and key in parent.entries:
        return parent.entries[key].key_span
    return _span(root, *path)


def _input(spec: Spec, root: Table) -> Iterator[Diagnostic]:
    contract, channels = spec.input.preprocess, spec.input.channels
    for key, value in (("mean", contract.mean), ("std", contract.std)):
        if isinstance(value, list) and len(value) != channels:
            message = f"input.preprocess.{key} has {len(value)} numbers for {channels} channels"
            yield Diagnostic(Code.CONFLICT, message, _span(root, "input", "preprocess", key))
    stds = contract.std if isinstance(contract.std, list) else [contract.std]
    if any(s <= 0 for s in stds):
        message = "input.preprocess.std must be more than 0"
        yield Diagnostic(Code.OUT_OF_RANGE, message, _span(root, "input", "preprocess", "std"))
    yield from _target(spec, root)
    needed = {"gray": 1, "rgb": 3, "bgr": 3, None: channels}[contract.color]
    if needed != channels:
        message = f"input.preprocess.color {contract.color} needs {needed} channels, the input has {channels}"
        yield Diagnostic(Code.CONFLICT, message, _span(root, "input", "preprocess", "color"))


def _target(spec: Spec, root: Table) -> Iterator[Diagnostic]:
    """The centre crop must lie inside the resized picture."""
    resize = spec.input.preprocess.resize
    target, size = target_of(resize), spec.input.size
    if target is not None and (target[0] < size[0] or target[1] < size[1]):
        key = "size" if resize.kind == "stretch" else "shorter"
        shown, needed = ("x".join(map(str, pair)) for pair in (target, size))
        message = f"input.preprocess.resize.{key}: a picture of {shown} is smaller than the input, {needed}"
        hint = f"set it to {max(size)} or more, or set input.preprocess.resize: {resize.kind} for the input's own size"
        yield Diagnostic(Code.OUT_OF_RANGE, message, _span(root, "input", "preprocess", "resize", key), hint)


def _recipe(spec: Spec, root: Table) -> Iterator[Diagnostic]:
    train = spec.train
    if train is None:
        return
    sgd = train.optimizer
    if sgd.kind == "sgd" and sgd.nesterov and not sgd.momentum:
        message = "nesterov needs momentum, which is not set"
        span = _span(root, "train", "optimizer", "nesterov")
        yield Diagnostic(Code.CONFLICT, message, span, "add momentum: 0.9, or remove nesterov")
    if train.patience is not None and not train.validation:
        message = "patience needs validation: the test split must not decide when training ends"
        span = _key_span(root, "train", "patience")
        yield Diagnostic(Code.CONFLICT, message, span, "add validation: 0.1, or remove patience")
    for label in train.class_weights if spec.labels else ():
        if label not in spec.labels:
            message = f"train.class_weights: the spec has no class {short(label)!r}"
            span = _key_span(root, "train", "class_weights", label)
            yield Diagnostic(Code.CONFLICT, message, span, did_you_mean(label, spec.labels))
    if train.augment.resized_crop is not None and (train.augment.crop or train.augment.pad_and_crop):
        other = "crop" if train.augment.crop else "pad_and_crop"
        message = f"train.augment has both resized_crop and {other}, two ways to crop"
        yield Diagnostic(Code.CONFLICT, message, _key_span(root, "train", "augment", other), "keep one of them")


def _labels(spec: Spec, root: Table) -> Iterator[Diagnostic]:
    seen: dict[str, int] = {}
    for i, label in enumerate(spec.labels):
        if seen.setdefault(label, i) != i:
            message = f"the label {label!r} is given twice, first for class {seen[label]}"
            yield Diagnostic(Code.CONFLICT, message, _span(root, "classes", i))


def _length(spec: Spec, root: Table) -> Iterator[Diagnostic]:
    """The longest published NiN has about twenty convolutions; a limit keeps every pass fast."""
    total = 0
    for i, block in enumerate(spec.blocks):
        total += len(block.convs or block.channels or ())
        if total > MAX_CONVOLUTIONS:
            message = f"the network has more than {MAX_CONVOLUTIONS} convolutions"
            yield Diagnostic(Code.TOO_LARGE, message, _span(root, "blocks", i))
            return


def _block(spec: Spec, block: Block, i: int, root: Table) -> Iterator[Diagnostic]:
    path: Path_ = ("blocks", i)
    if block.channels is not None and block.convs is not None:
        message = f"blocks.{i} has both channels and convs, two spellings of one thing"
        yield Diagnostic(Code.CONFLICT, message, _key_span(root, *path, "convs"), "keep one of them")
    elif block.channels is None and block.convs is None:
        yield from _bare(block, i, root)
    else:
        yield from _convs(spec, block, i, root)
    yield from _pool(block.pool, (*path, "pool"), root)
    if block.dropout is not None and block.dropout.before_pool and block.pool.kind == "none":
        message = f"blocks.{i} sets before_pool but has no pool"
        yield Diagnostic(Code.CONFLICT, message, _span(root, *path, "dropout", "before_pool"))


def _bare(block: Block, i: int, root: Table) -> Iterator[Diagnostic]:
    for key in CONV_ONLY:
        if key in block.model_fields_set and getattr(block, key) is not None:
            message = f"blocks.{i} has {key} but no convolutions"
            hint = "set channels: [...], or remove the key"
            yield Diagnostic(Code.CONFLICT, message, _key_span(root, "blocks", i, key), hint)
    kinds = [getattr(block, k).kind for k in ("norm", "activation", "pool") if k in block.model_fields_set]
    if not any(k != "none" for k in kinds) and block.dropout is None and block.shuffle is None:
        hint = "set channels: [...], or a pool, norm, activation, shuffle or dropout alone"
        yield Diagnostic(Code.MISSING_KEY, f"blocks.{i} is empty", _span(root, "blocks", i), hint)


def _convs(spec: Spec, block: Block, i: int, root: Table) -> Iterator[Diagnostic]:
    path: Path_ = ("blocks", i)
    if block.shuffle is not None:
        message = f"blocks.{i} has convolutions, so set shuffle on one of them"
        hint = "convs: [..., {channels: ..., shuffle: ...}]"
        yield Diagnostic(Code.CONFLICT, message, _key_span(root, *path, "shuffle"), hint)
    for j, (conv, key) in enumerate(block.conv_items()):
        place = (*path, key, j)
        if j == 0 and block.kernel is None and "kernel" not in conv.model_fields_set:
            message = f"blocks.{i} does not set the kernel of its first convolution"
            yield Diagnostic(
                Code.MISSING_KEY,
                message,
                _span(root, *place),
                "add kernel: 3, or another size; 1 for a 1x1 convolution",
            )
        yield from _order(spec, block, conv, place, root)


def _order(spec: Spec, block: Block, conv: Any, place: Path_, root: Table) -> Iterator[Diagnostic]:
    """Every step of a convolution must be listed in order."""

    def effective(name: str) -> Any:
        scopes = (conv, block, spec.defaults)
        return next((getattr(s, name) for s in scopes if name in s.model_fields_set), getattr(spec.defaults, name))

    wanted = [s for s in ("norm", "activation") if effective(s).kind != "none"]
    wanted += [s for s in ("shuffle", "dropout") if getattr(conv, s) is not None]
    missing = [s for s in wanted if s not in effective("order")]
    for step in missing:
        where = ".".join(map(str, place))
        message = f"{where} has {step}, but order does not list it"
        hint = f"add {step} to order, or set {step}: none" if step in ("norm", "activation") else f"add {step} to order"
        scopes = ((place, conv), (place[:2], block), (("defaults",), spec.defaults))
        order = next((p for p, s in scopes if "order" in s.model_fields_set), place)
        yield Diagnostic(Code.CONFLICT, message, _span(root, *order, "order"), hint)


def _pool(pool: Any, path: Path_, root: Table) -> Iterator[Diagnostic]:
    """An average over padded windows has two meanings: PyTorch's and Keras's."""
    if pool.kind == "avg" and pool.count_include_pad is None and pool.padding != (0, 0, 0, 0):
        message = f"{'.'.join(map(str, path))} averages padded windows: do padded cells count in the divisor?"
        hint = "set count_include_pad: true (PyTorch's default) or false (Keras and TensorFlow)"
        yield Diagnostic(Code.AMBIGUOUS, message, _span(root, *path, "padding"), hint)
