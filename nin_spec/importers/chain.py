"""The result of every front end: a chain of typed steps, each with its arrays and its name in the original."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nin_spec.diagnostics import Code, ForeignModelError, NinSpecError, short
from nin_spec.ir.ops import Op
from nin_spec.ir.types import ShapeError, TensorType
from nin_spec.model import Preprocessing

Array = NDArray[np.floating[Any]]
_Rule = TypeVar("_Rule")


@dataclass(frozen=True)
class Step:
    """One op with its arrays, by the names that the op gives them (`weight`, `running_mean`).

    `origin` is what messages call it, `input` and `output` are its types. `name` is the original's own name of
    the layer, a path as a rule, where it has one; `init` is how its weights began, in the language's words.
    """

    op: Op
    arrays: Mapping[str, Array] = field(repr=False)
    origin: str
    input: TensorType
    output: TensorType
    name: str = ""
    init: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Chain:
    """A network as it was found. Build one with `Chain(name, input)` and `then(...)`."""

    name: str
    input: TensorType
    steps: tuple[Step, ...] = ()
    open_size: bool = False
    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    summary: str = ""

    @property
    def output(self) -> TensorType:
        """The type of the last step's result."""
        return self.steps[-1].output if self.steps else self.input

    def then(self, op: Op, origin: str, **arrays: Array) -> Chain:
        """The chain with one more step. Raises ForeignModelError, naming `origin`, when the op or an array can't be."""
        try:
            output = op.infer(self.output)
        except ShapeError as error:
            raise refusal(origin, str(error)) from None
        wanted = {p.name: p.shape for p in op.parameters(self.output)}
        given = {name: tuple(array.shape) for name, array in arrays.items()}
        if wanted != given:
            raise refusal(origin, f"its tensors have shapes {given}, but {type(op).__name__} needs {wanted}")
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise refusal(origin, f"its {name} contains values that are NaN or infinite")
        return replace(self, steps=(*self.steps, Step(op, arrays, origin, self.output, output)))

    def called(self, name: str, init: Mapping[str, Any] | None = None) -> Chain:
        """The chain, with what the original states about its last step."""
        *before, last = self.steps
        return replace(self, steps=(*before, replace(last, name=name, init=init)))


@contextmanager
def reading(origin: str, what: str = "it can't be read") -> Iterator[None]:
    """The error boundary of an import: exceptions of rules, onnx, onnxruntime or PyTorch become errors at `origin`.

    `what` says what has failed. Our own errors pass, so that of nested boundaries the innermost names the origin.
    """
    try:
        yield
    except NinSpecError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        raise refusal(origin, short(f"{what}: {type(error).__name__}: {said}", 300)) from error


def refusal(origin: str, why: str, hint: str | None = None) -> ForeignModelError:
    """What is outside the language, at the original's own name."""
    return ForeignModelError(Code.IMPORT, f"{origin}: {why}", hint=hint)


def registry(rules: dict[str, _Rule]) -> Callable[..., Callable[[_Rule], _Rule]]:
    """A decorator that registers the rule of some operators: `@rule("Conv", "ConvTranspose")`."""

    def rule(*names: str) -> Callable[[_Rule], _Rule]:
        def register(function: _Rule) -> _Rule:
            rules.update(dict.fromkeys(names, function))
            return function

        return register

    return rule
