"""The house stands on its floors: who may import whom, and where heavy libraries may be loaded."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS = (
    ("rendering",),
    ("notebook",),
    ("children", "diagnostics", "foreign", "guide", "interrupts", "seals", "wire_format"),
    ("extras", "files", "latex", "named", "option_values", "printing", "processes"),
    ("ir", "language"),
    ("analysis", "model", "provider_gaps", "recipe_names", "revisions", "schemes", "torch_layers", "words"),
    ("diagrams", "lower", "passes", "pictures", "torch_module"),
    ("data", "exporter", "weights"),
    ("exporters", "network", "runtime", "starting"),
    ("citing", "difference", "lint"),
    ("browser", "studio", "training"),
    ("evaluation", "opened"),
    ("bench", "explanation", "precision", "serving"),
    ("api", "conformance", "importers", "report", "serving.grpc", "serving.http"),
    ("importers.decompiler", "serving.server", "sweeps"),
    ("importers.caffe", "importers.onnx", "importers.torch"),
    ("cli",),
    ("start",),
    ("__main__",),
)
"""From the ground up: modules of nin_spec, and packages with what is in them but for packages named by themselves."""
HEAVY = {"torch", "onnx", "onnxruntime", "numpy", "PIL", "jinja2", "safetensors"}
WARM = (
    "nin_spec.torch_",
    "nin_spec.runtime",
    "nin_spec.exporters",
    "nin_spec.weights",
    "nin_spec.pictures",
    "nin_spec.data",
    "nin_spec.evaluation",
    "nin_spec.explanation",
    "nin_spec.precision",
    "nin_spec.training",
    "nin_spec.importers",
    "nin_spec.serving",
    "nin_spec.bench",
    "nin_spec.conformance.place",
    "nin_spec.conformance.trial",
    "nin_spec.conformance.worker",
)
"""Where heavy libraries may be imported at the top of a module: no cold path comes here."""


def modules() -> list[tuple[str, Path]]:
    """Every module of the library, the exporters under their import name."""
    found = [(p, p.relative_to(ROOT)) for p in sorted(ROOT.glob("nin_spec/**/*.py")) if "exporters" not in p.parts]
    found += [(p, Path("nin_spec") / p.relative_to(ROOT)) for p in sorted(ROOT.glob("exporters/*.py"))]
    return [(".".join(r.with_suffix("").parts).removesuffix(".__init__"), p) for p, r in found]


NAMES = {name for name, _ in modules()}


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
            inside = [f"{node.module}.{a.name}" for a in node.names]
            yield from ((name if name in NAMES else node.module, node.lineno) for name in inside)


HEIGHT = {f"nin_spec.{name}": height for height, floor in enumerate(FLOORS) for name in floor}


def home(module: str) -> str | None:
    """The module or package of FLOORS that a module belongs to, the innermost."""
    while module not in HEIGHT:
        module, _, last = module.rpartition(".")
        if not last:
            return None
    return module


def ours(path: Path) -> dict[str, int]:
    """The modules of nin_spec that a file imports anywhere, each with a line; `nin_spec` itself is for its version."""
    return {target: line for target, line in imports(path) if target in NAMES - {"nin_spec"}}


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_imports_go_down(name: str, path: Path) -> None:
    """A module imports from its own package, and from floors below: never sideways, never up."""
    if name == "nin_spec":
        return
    own = home(name)
    assert own is not None, f"{name} stands on no floor"
    for target, line in ours(path).items():
        other = home(target)
        assert other is not None, f"{target} stands on no floor"
        where = f"{path.name}:{line} imports {target}"
        assert other == own or HEIGHT[other] < HEIGHT[own], where
        assert other == own or other != "nin_spec.exporters", f"{where}: exporters are found by entry point"


def test_no_circle() -> None:
    """No file imports, by way of others, itself: not in a function and not for type checkers either."""
    graph = {name: set(ours(path)) - {name} for name, path in modules() if name != "nin_spec"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" is imported by ".join(error.args[1]))


def test_every_floor_has_its_modules() -> None:
    """What was moved or removed leaves no name behind."""
    assert HEIGHT.keys() == {home(name) for name in NAMES} - {None}


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
