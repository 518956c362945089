"""nin-spec diff."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from nin_spec.cli import completing
from nin_spec.cli.help import Command
from nin_spec.cli.options import format_option

if TYPE_CHECKING:
    from nin_spec.analysis.tables import Row
    from nin_spec.difference import Change, Difference
    from nin_spec.network import Network

_MARKS = {"same": " ", "changed": "~", "removed": "-", "added": "+"}


@click.command("diff", cls=Command)
@click.argument("before", metavar="SPEC|RUNDIR|REV:FILE", shell_complete=completing.specs)
@click.argument("after", metavar="SPEC|RUNDIR|REV:FILE", shell_complete=completing.specs)
@format_option("table", "json")
@click.option("--all", "everything", is_flag=True, help="Also show layers that are the same.")
@click.option("--exit-code", is_flag=True, help="Exit 1 when the functions differ.")
def diff_command(before: str, after: str, form: str, everything: bool, exit_code: bool) -> int:
    """Show how two networks differ, layer by layer.

    The first line says whether they compute the same function.

    \b
      nin-spec diff nin_cifar nin_cifar_author
      nin-spec diff HEAD~1:specs/mine.yaml specs/mine.yaml      a revision of git, and the file now
      nin-spec diff runs/nin_cifar nin_cifar                    what was trained, and the spec now

    A layer is marked ~ if it changed, - if it was removed, + if it was added, and > if it is the same but its input
    changed. Two specs of the same function have the same semantic hash.
    """
    from nin_spec.difference import compare

    difference = compare(compiled(before), compiled(after))
    if form == "json":
        click.echo(json.dumps(difference.as_dict(), indent=2))
    else:
        show(difference, before, after, everything=everything)
    return int(exit_code and not difference.same_function)


def compiled(name: str) -> Network:
    """The network of a spec or a run, or of a file as it was in a revision of git. Raises SpecError."""
    from nin_spec.named import GitRevision, resolve
    from nin_spec.opened import compile as compile_network
    from nin_spec.opened import network_at

    named = resolve(name)
    return network_at(named) if isinstance(named, GitRevision) else compile_network(named)


# ------------------------------------------------------------------ the answer


def show(difference: Difference, before: str, after: str, *, everything: bool) -> None:
    """The verdict, the layers, the totals, and the other values that differ."""
    from nin_spec.printing import columns

    click.echo(f"- {before}\n+ {after}\n{verdict(difference)}")
    rows = [cells(c) for c in difference.changes if everything or c.kind != "same" or c.follows]
    if rows:
        click.echo()
        header = ("", "layer", "does", "output", "parameters", "MACs", "field")
        click.echo("\n".join(columns([header, *rows], right={4, 5})))
    a, b = difference.before.table, difference.after.table
    click.echo()
    totals = [("parameters", a.parameters, b.parameters), ("MACs", a.macs, b.macs)]
    totals += [
        ("weights, bytes", a.weight_bytes, b.weight_bytes),
        ("peak activations, bytes", a.peak_memory, b.peak_memory),
    ]
    click.echo("\n".join(columns([_total(*line) for line in totals], right={1, 3, 4})))
    others = [(p, v, w) for p, v, w in difference.values() if not p.startswith(("blocks", "head"))]
    if others:
        click.echo()
        click.echo("\n".join(f"  {path}: {_text(v)} -> {_text(w)}" for path, v, w in others))


def verdict(difference: Difference) -> str:
    """In one sentence, whether they are the same."""
    if difference.same_text:
        return "the same network, written the same way"
    if difference.same_function:
        return f"the same function ({difference.before.hash}), but the specs differ"
    return f"two functions: {difference.before.hash} and {difference.after.hash}"


def cells(change: Change) -> tuple[str, ...]:
    """A layer as people read it: one value where both agree, else `before -> after`."""
    a, b = change.before, change.after
    mark = ">" if change.follows else _MARKS[change.kind]

    def of(value: Any) -> str:
        sides = [value(row) for row in (a, b) if row is not None]
        return " -> ".join(dict.fromkeys(sides))

    from nin_spec.printing import pair

    return (
        mark,
        of(lambda r: r.name),
        of(_does),
        of(lambda r: "x".join(map(str, r.output_shape))),
        of(lambda r: f"{r.parameters:,}"),
        of(lambda r: f"{r.macs:,}"),
        of(lambda r: pair(r.receptive_field)),
    )


def _does(row: Row) -> str:
    return f"{row.op} {row.detail}".strip()


def _total(name: str, a: int, b: int) -> tuple[str, ...]:
    change = "" if a == b else f"{b - a:+,}"
    share = "" if a == b or not a else f"{(b - a) / a:+.1%}"
    return (name, f"{a:,}", "->" if a != b else "", f"{b:,}" if a != b else "", change, share)


def _text(value: Any) -> str:
    return "(not set)" if value is None else json.dumps(value, ensure_ascii=False)
