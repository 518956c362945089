"""The house stands on its floors: who may import whom, and where heavy libraries may be loaded."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS = {
    "nin_spec.diagnostics": 0,
    "nin_spec.children": 0,
    "nin_spec.files": 0,
    "nin_spec.seals": 0,
    "nin_spec.language": 1,
    "nin_spec.ir": 1,
    "nin_spec.lower": 2,
    "nin_spec.words": 2,
    "nin_spec.recipe_names": 2,
    "nin_spec.passes": 2,
    "nin_spec.model": 2,
    "nin_spec.weights": 2,
    "nin_spec.analysis": 2,
    "nin_spec.network": 2,
    "nin_spec.difference": 2,
    "nin_spec.diagrams": 2,
    "nin_spec.lint": 2,
    "nin_spec.revisions": 2,
    "nin_spec.extras": 1,
    "nin_spec.pictures": 2,
    "nin_spec.torch_module": 3,
    "nin_spec.torch_layers": 3,
    "nin_spec.exporter": 3,
    "nin_spec.exporters": 4,
    "nin_spec.data": 3,
    "nin_spec.runtime": 4,
    "nin_spec.evaluation": 4,
    "nin_spec.precision": 4,
    "nin_spec.training": 4,
    "nin_spec.serving": 4,
    "nin_spec.studio": 4,
    "nin_spec.bench": 4,
    "nin_spec.api": 4,
    "nin_spec.report": 4,
    "nin_spec.importers": 4,
    "nin_spec.foreign": 0,
    "nin_spec.named": 0,
    "nin_spec.opened": 4,
    "nin_spec.cli": 4,
    "nin_spec.start": 4,
    "nin_spec.__main__": 4,
}
HEAVY = {"torch", "onnx", "onnxruntime", "numpy", "PIL", "jinja2", "safetensors"}
WARM = (
    "nin_spec.torch_",
    "nin_spec.runtime",
    "nin_spec.exporters",
    "nin_spec.weights",
    "nin_spec.pictures",
    "nin_spec.data",
    "nin_spec.evaluation",
    "nin_spec.precision",
    "nin_spec.training",
    "nin_spec.importers",
    "nin_spec.serving",
    "nin_spec.bench",
)
"""Where heavy libraries may be imported at the top of a module: no cold path comes here."""


def modules() -> list[tuple[str, Path]]:
    """Every module of the library, the exporters under their import name."""
    found = [(p, p.relative_to(ROOT)) for p in sorted(ROOT.glob("nin_spec/**/*.py")) if "exporters" not in p.parts]
    found += [(p, Path("nin_spec") / p.relative_to(ROOT)) for p in sorted(ROOT.glob("exporters/*.py"))]
    return [(".".join(r.with_suffix("").parts).removesuffix(".__init__"), p) for p, r in found]


def imports(path: Path, *, top: bool = False) -> Iterator[tuple[str, int]]:
    """The modules that a file imports, and the lines; with `top`, those outside functions and type checking."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if top and (typing_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            skipped.update(ast.walk(node))
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{a.name}", node.lineno) for a in node.names)


def home(module: str) -> str | None:
    """The entry of FLOORS that a module belongs to."""
    return next((f for f in FLOORS if module == f or module.startswith(f"{f}.")), None)


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_imports_go_down(name: str, path: Path) -> None:
    """A module imports from its own floor and those below, `language` and `ir` never from each other."""
    if name == "nin_spec":
        return
    own = home(name)
    assert own is not None, f"{name} stands on no floor"
    for target, line in imports(path):
        other = home(target)
        if other is None:
            continue
        where = f"{path.name}:{line} imports {target}"
        assert FLOORS[other] <= FLOORS[own], where
        assert {own, other} != {"nin_spec.language", "nin_spec.ir"}, where
        if own == "nin_spec.exporters":
            assert other == own or FLOORS[other] <= 3, where
        elif other == "nin_spec.exporters":
            pytest.fail(f"{where}: exporters are found by entry point")


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_heavy_libraries_stay_off_the_cold_paths(name: str, path: Path) -> None:
    """Outside the warm modules no file imports a heavy library at its top."""
    if name.startswith(WARM):
        return
    heavy = [f"{path.name}:{line}: {m}" for m, line in imports(path, top=True) if m.split(".")[0] in HEAVY]
    assert heavy == []


def test_every_module_is_looked_at() -> None:
    """The tests above see the library, the command line and the exporters."""
    names = {name for name, _ in modules()}
    assert {"nin_spec.lower", "nin_spec.cli.build", "nin_spec.exporters.onnx_file"} <= names
