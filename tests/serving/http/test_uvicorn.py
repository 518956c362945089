"""What the server takes of uvicorn that uvicorn does not promise to keep: it is there, and does what it did."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from nin_spec.serving.http import connection

UVICORN = version("uvicorn")
CURE = "compare nin_spec/serving/http/connection.py with it, run the tests of serving, then allow it in pyproject.toml"
HOLDERS: dict[str, type[Any]] = {
    "self": HttpToolsProtocol,
    "super()": HttpToolsProtocol,
    "cycle": RequestResponseCycle,
    "self.cycle": RequestResponseCycle,
    "self._turn": RequestResponseCycle,
    "self.flow": FlowControl,
    "self.server_state": ServerState,
}
"""What connection.py calls an object of uvicorn's, and its class."""
IMITATED: list[tuple[Callable[..., Any], str]] = [
    (HttpToolsProtocol.on_headers_complete, "1ea8589acfad92d8"),
    (HttpToolsProtocol.on_response_complete, "64e254f28e389e76"),
    (HttpToolsProtocol._start_asgi_task, "9c08c2571ae9b038"),
    (RequestResponseCycle.send, "abdd8601b326a8da"),
]
"""Methods whose work connection.py does itself or counts on, and the digest of each that it was written against."""


def names_of(kind: type[Any]) -> set[str]:
    """What objects of a class have: of the class, and what its own `__init__` sets."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    stored = {
        ast.unparse(node).removeprefix("self.")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    return {*dir(kind), *stored, *getattr(kind, "__dataclass_fields__", {})}


def taken() -> Iterator[tuple[str, str]]:
    """What connection.py takes of uvicorn's objects, by what it calls the object; not what it defines itself."""
    tree = ast.parse(Path(connection.__file__).read_text())
    ours = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Connection")
    defined = {node.name for node in ours.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    defined |= {
        name.id
        for node in ours.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for name in ast.walk(node.targets[0] if isinstance(node, ast.Assign) else node.target)
        if isinstance(name, ast.Name)
    }
    for node in ast.walk(ours):
        if isinstance(node, ast.Attribute) and (holder := ast.unparse(node.value)) in HOLDERS:
            stored_here = holder == "self" and (node.attr in defined or node.attr == "_exit")
            if not stored_here:
                yield holder, node.attr


@pytest.mark.floors
@pytest.mark.parametrize(("holder", "name"), sorted(set(taken())))
def test_what_is_taken_of_uvicorn_is_there(holder: str, name: str) -> None:
    """By name, wherever connection.py reads or sets it."""
    kind = HOLDERS[holder]
    assert name in names_of(kind), f"uvicorn {UVICORN} has no {kind.__name__}.{name}: {CURE}"


@pytest.mark.floors
@pytest.mark.parametrize(("method", "digest"), IMITATED, ids=lambda v: getattr(v, "__qualname__", ""))
def test_what_is_imitated_of_uvicorn_is_as_it_was(method: Callable[..., Any], digest: str) -> None:
    """Its source, as connection.py was written against it."""
    found = hashlib.sha256(inspect.getsource(method).encode()).hexdigest()[:16]
    assert found == digest, f"uvicorn {UVICORN} has another {method.__qualname__} ({found}): {CURE}"


def test_the_names_are_found() -> None:
    """The tests above see what they are about."""
    found = set(taken())
    assert {("super()", "_start_asgi_task"), ("self", "pipeline"), ("self.flow", "write_paused")} <= found
    assert ("self", "part") not in found
