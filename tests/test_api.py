"""The Python API: small, lazy, and at home in a notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import nin_spec


def test_importing_costs_nothing() -> None:
    """`import nin_spec` loads no library at all but the standard one."""
    code = (
        "import sys, nin_spec; print({'torch', 'onnx', 'onnxruntime', 'numpy', 'pydantic', 'yaml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    "command", [["check", "nin_cifar"], ["build", "nin_cifar"], ["list"], ["schema"], ["show", "nin_svhn"]]
)
def test_cold_commands_stay_cold(command: list[str]) -> None:
    """Commands that only read specs load no torch, onnx, onnxruntime or numpy."""
    code = (
        f"import sys; from nin_spec.cli import execute; assert execute({command!r}) == 0;"
        "print({'torch', 'onnx', 'onnxruntime', 'numpy', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("name", ["lint", "compare", "open_session", "TrainSettings", "PrecisionSettings"])
def test_a_public_name_needs_no_other_import(name: str) -> None:
    """After `import nin_spec` alone, and although a package is called `lint`."""
    code = f"import nin_spec; print(nin_spec.{name}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == {"lint": "nin_spec.lint"}.get(name, name)


def test_settings_are_called_for_what_they_set() -> None:
    """Training's and a precision's were both `Settings`, and one of them was the wrong one for `export`."""
    assert not hasattr(nin_spec, "Settings")
    network = nin_spec.compile("nin_mnist")
    assert nin_spec.compare(network, network).same_text
    assert all(found.code.code.startswith("NIN9") for found in nin_spec.lint.lint(network))


def test_every_public_name_is_there() -> None:
    """What `__all__` promises can be had, and is documented."""
    for name in nin_spec.__all__:
        assert getattr(nin_spec, name).__doc__, name
    assert set(nin_spec.__all__) <= set(dir(nin_spec))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nin_spec.nothing


def test_exporting_does_not_hide_export() -> None:
    """No module bears the name of a function: the name stays the function after everything is imported."""
    nin_spec.compile("nin_mnist").initialise()
    for name in nin_spec.__all__:
        assert not (Path(nin_spec.__file__).parent / f"{name}.py").exists(), name


def test_a_notebook_shows_spec_table_and_graph() -> None:
    """Each as HTML, with nothing in it taken for markup."""
    network = nin_spec.compile(nin_spec.load("nin_cifar", ['summary="<b>&"']))
    assert "966,986" in network._repr_html_()
    assert "<td" in network.table._repr_html_()
    assert "Conv2d" in network.graph._repr_html_()
    assert "&lt;b&gt;&amp;" in network.spec._repr_html_()


def test_overrides_belong_to_loading() -> None:
    """A loaded spec is what it is."""
    with pytest.raises(ValueError, match="pass them to load"):
        nin_spec.compile(nin_spec.load("nin_cifar"), ["blocks.0.kernel=3"])
