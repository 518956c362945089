"""What the shell completes an argument or option with; no completion loads torch, onnx or onnxruntime.

Each function is the `shell_complete` of a parameter of click's: it gives what the text so far can become.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem

from nin_spec.named import is_run, shipped_names

if TYPE_CHECKING:
    import click

    Items = list[CompletionItem[str]]
    Completer = Callable[[click.Context, click.Parameter, str], Items]

SPECS = (".yaml", ".yml")
MODELS = (".onnx",)
RUNS = Path("runs")
"""Where `nin-spec train` puts its run folders unless -o says otherwise."""


def specs(_context: click.Context, _parameter: click.Parameter, text: str) -> Items:
    """Shipped names, and the specs and run folders nearby."""
    return _names(text, [*shipped_names(), *_nearby(SPECS)])


def sweeps(_context: click.Context, _parameter: click.Parameter, text: str) -> Items:
    """The sweep files nearby, and the sweep folders below `sweeps`."""
    folders = [str(path.parent) for path in sorted(Path("sweeps").glob("*/sweep.json"))]
    files = [str(path) for suffix in SPECS for path in sorted(Path().glob(f"*.sweep{suffix}"))]
    return _names(text, [*files, *folders])


def models(_context: click.Context, _parameter: click.Parameter, text: str) -> Items:
    """The exported models and run folders nearby."""
    return _names(text, _nearby(MODELS))


def subjects(_context: click.Context, _parameter: click.Parameter, text: str) -> Items:
    """Specs and models alike."""
    return _names(text, [*shipped_names(), *_nearby((*SPECS, *MODELS))])


def weights(_context: click.Context, _parameter: click.Parameter, text: str) -> Items:
    """The weights files and run folders nearby."""
    return _names(text, _nearby((".safetensors", ".pt", ".pth")))


def files(_context: click.Context, _parameter: click.Parameter, text: str) -> Items:
    """Any file, as the shell completes it."""
    return [CompletionItem(text, type="file")]


def devices(_context: click.Context, _parameter: click.Parameter, text: str) -> Items:
    """The devices that onnxruntime may have here, plug-ins among them."""
    from nin_spec.runtime.providers import find_providers

    return _items(text, ["auto", *find_providers()])


def rules(_context: click.Context, _parameter: click.Parameter, text: str) -> Items:
    """The codes of the rules, after a comma too."""
    from nin_spec.lint.rules import CODES

    return _listed(text, {code: meaning for code, meaning in _meanings().items() if code in CODES})


def codes(_context: click.Context, _parameter: click.Parameter, text: str) -> Items:
    """Every code, with its meaning."""
    return _items(text.upper(), _meanings())


def datasets(_context: click.Context, _parameter: click.Parameter, text: str) -> Items:
    """The data sets known by name."""
    from nin_spec.data.catalog import ENTRIES

    return _items(text, {entry.name: entry.title for entry in ENTRIES})


def datasets_or_folders(context: click.Context, parameter: click.Parameter, text: str) -> Items:
    """The data sets known by name, else the folders that the shell finds."""
    return datasets(context, parameter, text) or [CompletionItem(text, type="dir")]


def foreign(_context: click.Context, _parameter: click.Parameter, text: str) -> Items:
    """The models of other tools nearby."""
    return _names(text, _nearby((*MODELS, ".prototxt", ".caffemodel"), runs=False))


def overrides(_context: click.Context, _parameter: click.Parameter, text: str) -> Items:
    """The keys of a spec that `--set` may change: `train.epochs=`."""
    from nin_spec.cli.misplaced import settable

    return _items(text, [f"{path}=" for path in settable()])


def any_of(words: Iterable[str]) -> Completer:
    """One of these words."""
    known = tuple(words)
    return lambda _context, _parameter, text: _items(text, known)


def list_of(words: Iterable[str]) -> Completer:
    """Some of these words, with commas between them."""
    known = dict.fromkeys(words, "")
    return lambda _context, _parameter, text: _listed(text, known)


# ------------------------------------------------------------------ what they share


def _items(text: str, words: Iterable[str] | dict[str, str]) -> Items:
    meanings = words if isinstance(words, dict) else dict.fromkeys(words, "")
    return [CompletionItem(word, help=meaning or None) for word, meaning in meanings.items() if word.startswith(text)]


def _names(text: str, names: Iterable[str]) -> Items:
    """The names that begin so; where none does, the shell completes a path."""
    return _items(text, names) or [CompletionItem(text, type="file")]


def _listed(text: str, words: dict[str, str]) -> Items:
    """The words for the last one of a list."""
    before, comma, last = text.rpartition(",")
    given = before.split(",")
    left = {word: meaning for word, meaning in words.items() if word not in given}
    return [CompletionItem(f"{before}{comma}{item.value}", help=item.help) for item in _items(last, left)]


def _nearby(suffixes: tuple[str, ...], *, runs: bool = True) -> Iterator[str]:
    """The files of a kind and the run folders in the working folder, and the run folders below `runs`."""
    for folder in (Path(), RUNS):
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            if (runs and is_run(path)) or (folder == Path() and path.suffix.lower() in suffixes):
                yield str(path)


def _meanings() -> dict[str, str]:
    from nin_spec.diagnostics import Code

    return {code.code: code.meaning for code in Code}
