"""nin-spec: a specification language and model compiler for Network-in-Network image classifiers.

In the order in which a spec is processed:

    language/        text -> nodes with positions -> validated Spec -> canonical form
    specs/           the bundled networks
    words.py         the language's words for ops
    lower.py         Spec -> Graph; recipe_names.py names the graph's parameters in a recipe
    ir/, passes/     the typed chain of ops, and its rewrites
    network.py       all of that: a compiled spec
    analysis/        the shape table, and its printed forms
    difference.py    two networks side by side
    citing.py        what to cite for a network
    revisions.py     a spec at a git revision
    lint/            rules for what is legal but probably unintended
    weights/         initialisation (schemes.py), safetensors, adoption of foreign state dicts
    model.py         Graph, weights and card: what is exported
    provider_gaps.py what onnxruntime's providers lack or compute wrongly
    torch_module.py  Model -> nn.Module, with torch_layers.py for what PyTorch lacks
    exporter.py      finds exporters, and writes their files
    exporters/       Model -> files: ONNX, PyTorch source, a Triton repository, a KServe manifest
    api.py           export: make, prove, write
    named.py         what a person named: a spec, a run folder, a file; foreign.py knows other tools' files
    opened.py        what that opens to: a network, a run, a model
    importers/       networks of other tools -> specs, with proof
    data/            data sets: read, checked, split, fetched
    starting.py      a first spec for a folder of pictures
    pictures.py      preprocessing of pictures, the same in training and serving
    training/        runs a recipe, into a run folder
    evaluation/      accuracy, through torch and onnxruntime
    explanation/     class maps on pictures: what a network looks at
    precision/       a float32 file -> float16, bfloat16, int8, within a budget
    runtime/         onnxruntime sessions, parity, doctor
    sweeps/          a family of networks, trained within a budget
    conformance/     whether a device computes what the language means
    bench/           speed, compared to other runtimes and the machine's peak
    serving/         models behind the Open Inference Protocol
    diagrams/        a network drawn, and charts of trainings, evaluations and benches
    report/          an HTML report on a network or a run
    browser/         a page that classifies in the browser
    studio/          a local web page to edit a spec
    guide/           a Markdown page per topic, printed by `nin-spec guide`
    notebook/        how a notebook shows a result
    cli/             the command line, started by start.py and __main__.py; interrupts.py has its Ctrl-C

Everywhere: diagnostics.py says what is wrong and where, files.py writes whole files, seals.py tells which files still
are what nin-spec wrote, extras.py asks for packages that an extra brings, children.py starts Python processes,
processes.py asks those that work for a command, printing.py aligns columns, latex.py escapes text for LaTeX,
rendering.py fills in templates, wire_format.py reads Protocol Buffers, option_values.py lists in options.

    >>> import nin_spec
    >>> network = nin_spec.compile("nin_cifar")
    >>> network.table.parameters
    966986
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # `typing` takes longer to load than all of this, and Ctrl-C is a traceback until the end of it
if TYPE_CHECKING:
    from typing import Any

    from nin_spec import lint as lint
    from nin_spec.api import export as export
    from nin_spec.diagnostics import NinSpecError as NinSpecError
    from nin_spec.difference import compare as compare
    from nin_spec.evaluation import calibrate as calibrate
    from nin_spec.evaluation import evaluate as evaluate
    from nin_spec.explanation import explain as explain
    from nin_spec.importers.caffe.importing import import_caffe as import_caffe
    from nin_spec.importers.onnx.importing import import_onnx as import_onnx
    from nin_spec.importers.torch.importing import import_module as import_module
    from nin_spec.language.load import load as load
    from nin_spec.language.load import loads as loads
    from nin_spec.model import Model as Model
    from nin_spec.network import Network as Network
    from nin_spec.opened import compile as compile  # noqa: A004 the field's word
    from nin_spec.precision.settings import PrecisionSettings as PrecisionSettings
    from nin_spec.runtime.session import open_session as open_session
    from nin_spec.sweeps.begin import sweep as sweep
    from nin_spec.torch_module import build_module as build_module
    from nin_spec.training.begin import train as train
    from nin_spec.training.folder import open_run as open_run
    from nin_spec.training.settings import TrainSettings as TrainSettings

__version__ = "0.2.0.dev0"
"""The version (PEP 440), used by the package's metadata and in every file that is written."""

# Loaded on first use, so that `import nin_spec` is fast.
_HOMES = {
    "NinSpecError": "nin_spec.diagnostics",
    "load": "nin_spec.language.load",
    "loads": "nin_spec.language.load",
    "compile": "nin_spec.opened",
    "Network": "nin_spec.network",
    "Model": "nin_spec.model",
    "build_module": "nin_spec.torch_module",
    "compare": "nin_spec.difference",
    "export": "nin_spec.api",
    "PrecisionSettings": "nin_spec.precision.settings",
    "open_session": "nin_spec.runtime.session",
    "train": "nin_spec.training.begin",
    "open_run": "nin_spec.training.folder",
    "TrainSettings": "nin_spec.training.settings",
    "sweep": "nin_spec.sweeps.begin",
    "evaluate": "nin_spec.evaluation",
    "calibrate": "nin_spec.evaluation",
    "explain": "nin_spec.explanation",
    "import_caffe": "nin_spec.importers.caffe.importing",
    "import_onnx": "nin_spec.importers.onnx.importing",
    "import_module": "nin_spec.importers.torch.importing",
}
# A package with a function of the same name: `nin_spec.lint.lint(network)`. Importing the package would hide the
# function.
_PACKAGES = ("lint",)

__all__ = [
    "Model",
    "Network",
    "NinSpecError",
    "PrecisionSettings",
    "TrainSettings",
    "build_module",
    "calibrate",
    "compare",
    "compile",
    "evaluate",
    "explain",
    "export",
    "import_caffe",
    "import_module",
    "import_onnx",
    "lint",
    "load",
    "loads",
    "open_run",
    "open_session",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"nin_spec.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'nin_spec' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
