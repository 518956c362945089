"""The row `doctor`: what is on the machine, and which rows can't be run for it."""

from __future__ import annotations

import csv
import shutil
import subprocess
from typing import Any

from gpu.found import Found
from gpu.rows import Ask, Need
from nin_spec.bench.machine import machine_facts
from nin_spec.runtime.doctor import Report, diagnose

_CARD = (
    *("name", "driver_version", "memory.total", "compute_cap", "clocks.sm", "clocks.max.sm", "clocks.mem"),
    *("power.draw", "power.limit", "temperature.gpu", "pcie.link.gen.current", "utilization.gpu", "mig.mode.current"),
)
"""Of `nvidia-smi --help-query-gpu`."""
_SECONDS = 30


def doctor(ask: Ask, found: Found) -> None:
    """What `nin-spec doctor` finds, the card's own facts, and what hinders each kind of row."""
    cards = nvidia_smi(found)
    facts = machine_facts()
    found.figures |= {"cards": cards, "machine": facts}
    found.keep()
    report = diagnose()
    hindered = hindrances(ask, report)
    found.figures |= {"report": report.as_dict(), "hindrances": hindered}
    versions = {**facts["versions"], **{k: v for k, v in report.packages.items() if v}}
    found.table("Machine", ("", ""), [("cpu", f"{report.cpu.model}, {report.cpu.threads} threads"),
                                      ("python", report.python), ("platform", report.platform),
                                      ("load before", facts["load_before"]),
                                      ("onnxruntime's CUDA", report.onnxruntime_cuda),
                                      ("PyTorch's CUDA", report.torch.cuda)])  # fmt: skip
    for number, card in enumerate(cards):
        found.table(f"Card {number}", ("", ""), list(card.items()))
    found.table("Packages", ("package", "version"), sorted((k, v or "not installed") for k, v in versions.items()))
    devices = [(d.device, "works" if d.usable else d.reason, ", ".join(d.computes) or d.remedy) for d in report.devices]
    found.table("Devices", ("device", "", ""), devices)
    found.remarks += [f"{finding.message}: {finding.remedy}" for finding in report.findings]
    found.check(f"{ask.device} works in onnxruntime", hindered["onnxruntime"])
    found.check(f"{ask.device} works in PyTorch", hindered["torch"])


def hindrances(ask: Ask, report: Report) -> dict[Need, str]:
    """Why rows that need something can't be run, "" where they can."""
    reasons = {d.device: "" if d.usable else f"{d.device} can't be used: {d.reason}" for d in report.devices}
    cuda = reasons.get("cuda", "this onnxruntime has no CUDA provider")
    if ask.is_stand_in:
        return {"": "", "onnxruntime": reasons.get("cpu", "onnxruntime is missing"), "tensorrt": reasons.get("cpu", ""),
                "tf32": cuda or "a CPU has no TF32", "torch": torch_problem(ask, report)}  # fmt: skip
    tensorrt = reasons.get("tensorrt", "this onnxruntime has no TensorRT provider")
    return {"": "", "onnxruntime": cuda, "tensorrt": tensorrt, "tf32": cuda, "torch": torch_problem(ask, report)}


def torch_problem(ask: Ask, report: Report) -> str:
    """Why PyTorch can't be used on the device."""
    torch = report.torch
    if torch.error:
        return f"torch can't be used: {torch.error}"
    if ask.is_stand_in or torch.cuda_usable:
        return ""
    return "this PyTorch is built without CUDA" if torch.cuda is None else f"PyTorch (CUDA {torch.cuda}) finds no GPU"


def nvidia_smi(found: Found) -> list[dict[str, str]]:
    """The facts of each card by nvidia-smi; a remark where it can't be asked."""
    program = shutil.which("nvidia-smi")
    if program is None:
        found.remarks.append("nvidia-smi is not on the path: the card's clocks are not known")
        return []
    try:
        lines = _queried(program, _CARD) or _queried(program, _CARD[:3])
    except (OSError, subprocess.TimeoutExpired) as error:
        found.remarks.append(f"nvidia-smi can't be used: {error}")
        return []
    return lines


def _queried(program: str, fields: tuple[str, ...]) -> list[dict[str, str]]:
    """What it answers; nothing for a field that it doesn't know."""
    command = (program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader")
    done: Any = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        return []
    rows = csv.reader(done.stdout.splitlines(), skipinitialspace=True)
    return [dict(zip(fields, row, strict=False)) for row in rows]
