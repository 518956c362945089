"""nin-spec doctor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from nin_spec.cli.help import Command
from nin_spec.cli.options import format_option

if TYPE_CHECKING:
    from nin_spec.runtime.doctor import Report

_SOFTWARE = ", a software adapter: it computes on the CPU, and auto never uses it"


@click.command("doctor", cls=Command)
@format_option("text", "json")
def doctor_command(form: str) -> int:
    """Show versions, and which devices work here.

    Each device is tested by running a small model. The exit code is 1 if not even the CPU works.
    """
    from nin_spec.runtime.doctor import diagnose

    report = diagnose()
    if form == "json":
        click.echo(json.dumps(report.as_dict(), indent=2))
    else:
        show(report)
    return 0 if report.ok else 1


def show(report: Report) -> None:
    """The report, one line per fact, with fixes below the problems."""
    line("nin-spec", report.nin_spec)
    line("python", report.python)
    line("platform", report.platform)
    for name, version in report.packages.items():
        line(name, version or "not installed")
    features = " ".join(report.cpu.features) if report.cpu.features else "features not listed here"
    line("cpu", f"{report.cpu.model}, {report.cpu.threads} threads, {features}")
    click.echo()
    for device in report.devices:
        works = f"works, in {', '.join(device.computes)}" if device.computes else "works"
        if device.adapter:
            works += f", on {device.adapter}{_SOFTWARE if device.software else ''}"
        line(device.device, works if device.usable else f"can't be used: {device.reason}")
        if device.remedy:
            line("", f"-> {device.remedy}")
    for finding in report.findings:
        click.echo(f"\n{finding.message}\n  -> {finding.remedy}")


def line(label: str, text: str) -> None:
    """Print a label and its value."""
    click.echo(f"{label:<16} {text}")
