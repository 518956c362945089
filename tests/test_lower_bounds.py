"""What the package asks of others: lower bounds that were tested, and upper bounds where private parts are used."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator

import pytest
import torch
from lower_bounds import COMMAND, ROOT, TABLE, lower_bounds, lowest, requirements
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from test_floors import modules

PINNED = {
    canonicalize_name(name): Version(version)
    for name, _, version in (
        line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
}
"""The versions of constraints.txt."""

PRIVATE = {
    "uvicorn._types.ASGI3Application": "uvicorn",
    "super()._start_asgi_task": "uvicorn",
    "torch._ops": "torch",
    "node.target._schema": "torch",
    "target._schema": "torch",
    "torch._int_mm": "torch",
    "torch.utils._pytree.tree_leaves": "torch",
    "_tools": "mnn",  # which no extra brings: bench compares it where a person has installed it
}
"""What the library takes of other packages that begins with an underscore, and of which."""
BOUNDED = {*PRIVATE.values(), "nicegui"}
"""Packages with an upper bound: those, and NiceGUI, whose own copy of CodeMirror the editor talks to."""


@pytest.mark.skipif(not TABLE.exists(), reason=f"no whole run of `{COMMAND}` has written {TABLE.name} yet")
def test_every_lower_bound_was_tested() -> None:
    """The table is of the bounds that pyproject.toml has now, no more and no less."""
    table, (here, elsewhere) = json.loads(TABLE.read_text()), lower_bounds()
    tested = {name: Version(Version(version).public) for name, version in table["installed"].items()}
    stated = {name: Version(bound) for name, bound in here.items()}
    untested = sorted(name for name in stated if tested.get(name) != stated[name])
    assert not untested, f"{', '.join(untested)}: {TABLE.name} has no such bound; run `{COMMAND}`, which writes it"
    assert tested.keys() == stated.keys(), f"{TABLE.name} has packages that are not asked for; run `{COMMAND}`"
    assert table["not_tested"].keys() == elsewhere.keys()
    assert table["tests"]["passed"] > 0


def test_a_package_has_one_lower_bound_on_all_platforms() -> None:
    """What one platform's is not tested here is the version that another's is."""
    here, elsewhere = lower_bounds()
    assert {"onnxruntime", "onnxruntime-gpu"} <= here.keys() | elsewhere.keys()
    either = {**here, **elsewhere}
    assert either["onnxruntime"] == either["onnxruntime-gpu"]
    assert here.keys().isdisjoint(elsewhere)


@pytest.mark.parametrize("text", ["click", "click<9", "click>=8,>=8.2"])
def test_a_requirement_without_one_lower_bound_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="one lower bound"):
        lowest(Requirement(text))


def test_the_pinned_versions_are_within_the_bounds() -> None:
    """constraints.txt holds one version of each package, and pyproject.toml allows it."""
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        if name in PINNED:
            assert requirement.specifier.contains(PINNED[name]), f"constraints.txt: {name} {PINNED[name]}"


def private_uses() -> Iterator[tuple[str, str]]:
    """What the library takes that begins with an underscore and is not its own or of the standard library; where.

    Names that end with one too are protocols, such as `_repr_html_`; `self` and `cls` are ours.
    """
    for module, path in modules():
        if path.name.endswith("_pb2.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in {"self", "cls"}:
                names = [ast.unparse(node)] if _private(node.attr) else []
            elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("nin_spec"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                if any(map(_private, name.split("."))) and name.partition(".")[0] not in sys.stdlib_module_names:
                    yield name, module


def _private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("_")


def test_private_parts_are_known_and_their_packages_bounded_above() -> None:
    """Each is listed with its package, which may not be of a version that nobody has looked at."""
    found = dict(private_uses())
    assert found.keys() == PRIVATE.keys(), [f"{found[name]}: {name}" for name in found.keys() - PRIVATE.keys()]
    for requirement in requirements():
        if canonicalize_name(requirement.name) in BOUNDED:
            assert any(each.operator == "<" for each in requirement.specifier), f"{requirement} has no upper bound"


def test_the_private_parts_of_torch_are_there() -> None:
    """An operator tells its arguments, their names and their defaults, by its schema."""
    operator, moved = torch.ops.aten.avg_pool2d.default, "nin_spec/importers reads an operator's schema by it"
    assert isinstance(operator, torch._ops.OpOverload), f"torch {torch.__version__} moved OpOverload: {moved}"
    assert hasattr(operator, "_schema"), f"torch {torch.__version__} has no OpOverload._schema: {moved}"
    given = {a.name: a.default_value for a in operator._schema.arguments if a.has_default_value()}
    assert given["ceil_mode"] is False, f"torch {torch.__version__} has another schema: {moved}"
