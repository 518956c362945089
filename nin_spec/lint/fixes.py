"""The text edits of each fix, and which layers it may change.

A fix is safe if the network can still learn and compute the same functions: removing a bias that batch norm cancels, or
a comment that suppresses nothing. Other fixes change the function, and are applied only on request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from nin_spec.diagnostics import Code
from nin_spec.ir import ops
from nin_spec.ir.types import Padding
from nin_spec.language.document import Path_, Table, Value
from nin_spec.lint.edits import Edit, Editor, Unfixable, index_of
from nin_spec.lint.finding import Finding, Subject, layer_of, path_of
from nin_spec.lint.ignores import ignores_of


@dataclass(frozen=True, slots=True)
class Fix:
    """`ops` maps layers to their new ops; otherwise only values under `keys` may change."""

    edits: tuple[Edit, ...]
    ops: Mapping[str, ops.Op | None] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()


def fix_of(subject: Subject, finding: Finding) -> Fix | None:
    """The fix of a finding, or None if there is none or the spec's own text can't be edited."""
    if finding.code not in FIXES:
        return None
    try:
        return FIXES[finding.code](_Fixer(subject, finding))
    except Unfixable:
        return None


def is_safe(code: Code) -> bool:
    """Whether the fix of a rule preserves what the network can compute."""
    return code in (Code.USELESS_BIAS, Code.UNUSED_IGNORE)


@dataclass(frozen=True)
class _Fixer:
    subject: Subject
    finding: Finding

    @property
    def editor(self) -> Editor:
        return Editor(self.subject.network.spec.root.source)

    def op(self) -> ops.Op:
        """The layer of the finding."""
        return next(n.op for n in self.subject.nodes if n.name == self.finding.layers[0])

    def of_layer(self, path: Path_, key: str, text: str) -> Iterator[Edit]:
        """Set `key: text` on a layer; one that was only a width becomes a mapping."""
        item = self.subject.written(path)
        if isinstance(item, Table):
            yield self.editor.set_key(item, key, text)
        elif isinstance(item, Value):
            word = "units" if path[0] == "head" else "channels"
            yield self.editor.replace(item.span, f"{{{word}: {item.value}, {key}: {text}}}")
            if self.subject.spelt(path)[2] == "channels":
                block = self._table(path[:2])
                yield self.editor.replace(block.entries["channels"].key_span, "convs")
        else:
            raise Unfixable

    def _table(self, path: Path_) -> Table:
        found = self.subject.written(path)
        if not isinstance(found, Table):
            raise Unfixable
        return found

    # -------------------------------------------------------------- one for each rule

    def plain_scores(self) -> Fix:
        """NIN901 and NIN909: no activation on the scores."""
        layer = layer_of(self.finding.path)
        edits = self.of_layer(layer, "activation", "none")
        return Fix(tuple(edits), {self.finding.layers[0]: None}, frozenset({"activation", "order"}))

    def no_padding(self) -> Fix:
        """NIN902: a 1x1 convolution is not padded."""
        op, path = self.op(), self.finding.path
        said = self.subject.written((*path, "padding")) or self.subject.written((*path[:2], "padding"))
        if not isinstance(op, ops.Conv2d) or op.kernel_size != (1, 1) or not isinstance(said, Value):
            raise Unfixable
        edit = self.editor.replace(said.span, "0")
        after = {self.finding.layers[0]: replace(op, padding=Padding())}
        return Fix((edit,), after, frozenset({"padding"}))

    def round_up(self) -> Fix:
        """NIN904: the pool includes the last rows and columns."""
        op = self.op()
        if not isinstance(op, ops.Pool2d):
            raise Unfixable
        edit = self.editor.set_key(self._table(self.finding.path), "ceil_mode", "true")
        after = {self.finding.layers[0]: replace(op, ceil_mode=True)}
        return Fix((edit,), after, frozenset({"ceil_mode"}))

    def no_bias(self) -> Fix:
        """NIN908: `bias: false` beside the norm, and `bias: true` for layers that would otherwise lose theirs."""
        meant = {n.name: n for n in self.subject.nodes if n.name in self.finding.layers}
        turned = [table for name in meant if (table := self._scope(path_of(name), "bias", "norm")) is not None]
        edits: list[Edit] = []
        for name in meant:
            edits += self._set_bias(path_of(name), self._scope(path_of(name), "bias", "norm"), "false")
        for node, op in self.subject.convolutions():
            if op.bias and node.name not in meant and self._inherits(path_of(node.name), turned):
                beside = self._scope(path_of(node.name), "norm")
                here = None if any(beside is table for table in turned) else beside
                edits += self._set_bias(path_of(node.name), here, "true")
        after = {name: _without_bias(node.op) for name, node in meant.items()}
        return Fix(tuple(dict.fromkeys(edits)), after, frozenset({"bias"}))

    def _set_bias(self, path: Path_, scope: Table | None, text: str) -> Iterator[Edit]:
        """Set bias in the scope, beside its norm, or on the layer itself if there is no scope."""
        if scope is None:
            yield from self.of_layer(path, "bias", text)
        else:
            yield self.editor.set_key(scope, "bias", text, "norm" if "norm" in scope.entries else None)

    def _scope(self, path: Path_, *keys: str) -> Table | None:
        """The nearest mapping that sets one of the keys of a layer: its own, its block's, or `defaults`."""
        scopes = [path] if path[0] == "head" else [path, path[:2], ("defaults",)]
        tables = (self.subject.written(scope) for scope in scopes)
        return next((t for t in tables if isinstance(t, Table) and t.entries.keys() & set(keys)), None)

    def _inherits(self, path: Path_, turned: list[Table]) -> bool:
        """Whether a layer inherits its bias from a scope that is now false."""
        for scope in (path, path[:2], ("defaults",)):
            table = self.subject.written(scope)
            if any(table is t for t in turned):
                return True
            if isinstance(table, Table) and "bias" in table.entries:
                return False
        return False

    def no_comment(self) -> Fix:
        """NIN990: remove the code from its comment; with the last code, remove the whole comment."""
        source, span = self.finding.span.source, self.finding.span
        line, at = source.line(span.line), index_of(source.text, span.line, 1)
        left = [i.code for i in ignores_of(source) if i.span.line == span.line and i.span != span]
        if left:
            start, end = line.rindex("[", 0, span.column) + 1, line.index("]", span.column)
            return Fix((Edit(at + start, at + end, ", ".join(left)),))
        start = len(line[: line.rindex("#", 0, span.column)].rstrip())
        end = len(line) + (0 if start else len(_end(source.text, at + len(line))))
        return Fix((Edit(at + start, at + end, ""),))


def _without_bias(op: ops.Op) -> ops.Op:
    if not isinstance(op, ops.Conv2d | ops.Linear):
        raise Unfixable
    return replace(op, bias=False)


def _end(text: str, at: int) -> str:
    """The end of the line at an index."""
    return "\r\n" if text.startswith("\r\n", at) else text[at : at + 1]


FIXES: dict[Code, Callable[[_Fixer], Fix]] = {
    Code.SCORE_ACTIVATION: _Fixer.plain_scores,
    Code.PADDED_POINTS: _Fixer.no_padding,
    Code.POOL_DROPS: _Fixer.round_up,
    Code.USELESS_BIAS: _Fixer.no_bias,
    Code.TWO_SOFTMAXES: _Fixer.plain_scores,
    Code.UNUSED_IGNORE: _Fixer.no_comment,
}
"""The fix of each rule that has one."""
