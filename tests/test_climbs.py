"""The way of an export goes down the floors: a call back up is counted, and each has its reason."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest
from test_floors import HEIGHT, home

from nin_spec.cli import execute

Climbs = set[tuple[str, str]]


def module_of(frame: FrameType) -> str | None:
    """The module of ours in which a frame runs; None for others, and while a module is imported."""
    name = frame.f_globals.get("__name__", "")
    return name if name.startswith("nin_spec.") and frame.f_code.co_name != "<module>" else None


def climb_of(callee: FrameType) -> tuple[str, str] | None:
    """The modules of a call from a floor to a higher one: what libraries do between the two is not ours.

    A generator expression that is handed down is data, though it runs where it is read.
    """
    to, frame = None if callee.f_code.co_name == "<genexpr>" else module_of(callee), callee.f_back
    while to is not None and frame is not None and "importlib" not in frame.f_code.co_filename:
        if (caller := module_of(frame)) is not None:
            higher = HEIGHT[home(to) or ""] > HEIGHT[home(caller) or ""]
            return (caller, to) if higher else None
        frame = frame.f_back
    return None


def climbs_of(*arguments: str) -> Climbs:
    """The climbs of a command."""
    found: Climbs = set()

    def look(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and (climb := climb_of(frame)) is not None:
            found.add(climb)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        code = execute([*arguments])
    finally:
        sys.setprofile(before)
    assert code == 0
    return found


@pytest.mark.parametrize("weights", [("--seed", "1"), ("--weights", "w.safetensors")])
def test_an_export_climbs_only_to_the_exporter(
    weights: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exporters are found by entry point, so that those of other packages are peers: the one call up that there is."""
    monkeypatch.chdir(tmp_path)
    assert execute(["build", "nin_digits", "-o", "w.safetensors"]) == 0
    climbs = climbs_of("export", "nin_digits", "--onnx", *weights)
    assert climbs == {("nin_spec.exporter", "nin_spec.exporters.onnx_file")}
