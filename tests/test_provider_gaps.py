"""The table of what providers lack: each row is still true, has a lowering or none on purpose, and is in the guide."""

from __future__ import annotations

import pytest
from webgpu_machine import ask

from nin_spec.guide import markdown
from nin_spec.provider_gaps import GAPS, Gap


def row(gap: Gap) -> str:
    """A row of the guide's table."""
    return f"| {gap.device} | {gap.seen} | {gap.what} | {gap.instead or 'it is refused'} |"


def test_the_guide_has_the_table() -> None:
    """Every row, and no other."""
    lines = markdown("devices").splitlines()
    start = lines.index("| --- | --- | --- | --- |") + 1
    end = next(k for k in range(start, len(lines)) if not lines[k].startswith("|"))
    assert lines[start:end] == [row(gap) for gap in GAPS]


@pytest.mark.floors
@pytest.mark.parametrize("device", ["cpu", "webgpu"])
def test_each_row_is_still_true(device: str) -> None:
    """Its graph is refused, or computed elsewhere, or wrongly; else the row and its lowering can be removed."""
    rows = [gap for gap in GAPS if gap.device == device]
    for gap, told in zip(rows, ask([{"graph": gap.graph} for gap in rows], device), strict=True):
        gone = f"the gap {gap.name!r} of {device} is gone: remove its row, and its lowering"
        match gap.kind:
            case "missing":
                assert "refused" in told or told["elsewhere"], gone
            case "wrong":
                assert told["elsewhere"] == [], told
                assert told["difference"] > 1e-2, gone


def test_every_device_with_rows_is_asked() -> None:
    """By the test above; openvino by runtime/test_openvino.py, where onnxruntime has it built in."""
    assert {gap.device for gap in GAPS} == {"cpu", "openvino", "webgpu"}
    assert all(gap.seen and gap.what for gap in GAPS)
