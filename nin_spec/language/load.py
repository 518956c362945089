"""From a path or a shipped name to a validated spec, through `extends` and overrides."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from nin_spec.diagnostics import Code, Source, Span, SpecError, did_you_mean, short
from nin_spec.language import document, family
from nin_spec.language.canonical import Canonical, canonicalise
from nin_spec.language.document import Entry, Items, Table, Value
from nin_spec.language.validate import validate
from nin_spec.named import (
    SHIPPED,
    ExportedFile,
    GitRevision,
    Named,
    RunFolder,
    ShippedSpec,
    SpecFile,
    StandardInput,
    not_a_spec,
    resolve,
    shipped_names,
)

MAX_EXTENDS = 16


def load(spec: str | Path | Named, overrides: Iterable[str] = ()) -> Canonical:
    """Read, merge, validate and complete a spec.

    `spec` is a file, the name of a shipped spec, or `-` for standard input; `overrides` are dotted
    `path=value` strings. Raises SpecError with every diagnostic.
    """
    return load_source(read(spec), overrides)


def loads(text: str, name: str = "<string>", overrides: Iterable[str] = (), *, alone: bool = False) -> Canonical:
    """The same from a text. Set `alone` for a spec embedded in a foreign file: it may not name local files."""
    source = document.decode(name, text.encode("utf-8", "surrogatepass"))
    if alone and (found := _root(source).entries.get("extends")):
        raise SpecError(Code.CONFLICT, "a spec embedded in another file can't use extends", found.node.span)
    return load_source(source, overrides)


def load_source(source: Source, overrides: Iterable[str] = ()) -> Canonical:
    """The same from a source."""
    root = _extended(source, ())
    for argument in overrides:
        root = family.override(root, argument)
    return complete(root)


def complete(root: Table) -> Canonical:
    """The spec of a merged tree. Raises SpecError with every diagnostic."""
    return canonicalise(validate(root), root)


def base_of(source: Source, reference: Entry) -> Table:
    """The merged tree of the spec that a value in a source names, by the rules of `extends`. Raises SpecError."""
    return _base(source, reference, ())


def with_labels(spec: Canonical, labels: Iterable[str]) -> Canonical:
    """The same spec with its classes named by a data set; later diagnostics still point into the text as written.

    The labels get the span of the number of classes, and every other value keeps its span. Raises SpecError for names
    that are not valid labels.
    """
    number = spec.tree.entries["classes"]
    span = number.node.span
    named = Items(tuple(Value(label, span) for label in labels), span)
    tree = Table({**spec.tree.entries, "classes": Entry(number.key_span, named)}, spec.tree.span)
    return complete(tree)


def read(spec: str | Path | Named) -> Source:
    """The source of a file, a shipped spec by name, or `-` for standard input."""
    match resolve(spec):
        case StandardInput():
            if sys.stdin is None:
                raise SpecError(Code.FILE_UNREADABLE, "standard input is closed")
            return document.decode("<stdin>", sys.stdin.buffer.read(document.MAX_BYTES + 1))
        case ShippedSpec() as shipped:
            return document.read_file(shipped.path)
        case SpecFile(path):
            return _read_file(path)
        case RunFolder() | ExportedFile() | GitRevision() as other:
            raise not_a_spec(other)


def _read_file(path: Path) -> Source:
    """The source of a file; of one that is not there, the error also names the nearest shipped spec."""
    name = str(path)
    if not _is_name(name) or os.path.lexists(path):
        return document.read_file(path)
    hint = did_you_mean(name, shipped_names()) + "  (`nin-spec list` shows them)"
    message = f"{short(name)!r} is neither a file nor a shipped spec"
    raise SpecError(Code.FILE_NOT_FOUND, message, None, hint)


def _is_name(name: str) -> bool:
    return "/" not in name and "\\" not in name and not name.endswith((".yaml", ".yml"))


def _extended(source: Source, chain: Sequence[Path]) -> Table:
    """The document's mapping, merged over the one it extends."""
    root = _root(source)
    reference = root.entries.get("extends")
    if reference is None:
        return root
    over = Table({k: e for k, e in root.entries.items() if k != "extends"}, root.span)
    return family.merge(_base(source, reference, chain), over)


def _root(source: Source) -> Table:
    """The document's mapping. Raises SpecError if it is not a mapping."""
    root = document.parse(source)
    if not isinstance(root, Table):
        hint = "a spec begins with `spec: 1` and `name: ...`"
        raise SpecError(Code.YAML_NOT_A_MAPPING, "a spec is a mapping", root.span, hint)
    return root


def _base(source: Source, reference: Entry, chain: Sequence[Path]) -> Table:
    span, value = reference.node.span, reference.node
    if not isinstance(value, Value) or not isinstance(value.value, str):
        raise SpecError(Code.WRONG_TYPE, "extends: expected a file or the name of a shipped spec", span)
    path = family.base_path(value.value, source, SHIPPED)
    base = _base_source(value.value, path, span)
    own = Path(source.name).resolve()
    if path.resolve() in (*chain, own):
        raise SpecError(Code.EXTENDS_CYCLE, f"{path} extends itself", span)
    if len(chain) >= MAX_EXTENDS:
        raise SpecError(Code.EXTENDS_CYCLE, f"more than {MAX_EXTENDS} specs extend each other", span)
    return _extended(base, (*chain, own))


def _base_source(reference: str, path: Path, span: Span) -> Source:
    try:
        return document.read_file(path, span)
    except SpecError as error:
        found = error.diagnostics[0]
        if found.code is not Code.FILE_NOT_FOUND or path.parent != SHIPPED:
            raise
        hint = did_you_mean(reference, shipped_names())
        raise SpecError(found.code, f"unknown shipped spec {short(reference)!r}", span, hint) from None
