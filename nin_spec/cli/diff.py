"""nin-spec diff."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from nin_spec.cli import completing
from nin_spec.cli.help import Command
from nin_spec.cli.options import format_option

if TYPE_CHECKING:
    from nin_spec.difference import Difference
    from nin_spec.network import Network
    from nin_spec.training.folder import Run


@click.command("diff", cls=Command)
@click.argument("before", metavar="SPEC|RUNDIR|REV:FILE", shell_complete=completing.specs)
@click.argument("after", metavar="SPEC|RUNDIR|REV:FILE", shell_complete=completing.specs)
@format_option("table", "json")
@click.option("--all", "everything", is_flag=True, help="Also show layers that are the same.")
@click.option("--exit-code", is_flag=True, help="Exit 1 when the functions differ.")
def diff_command(before: str, after: str, form: str, everything: bool, exit_code: bool) -> int:
    """Show how two networks, or two runs, differ.

    Networks are compared layer by layer. The first line says whether they compute the same function.

    \b
      nin-spec diff nin_cifar nin_cifar_author
      nin-spec diff HEAD~1:specs/mine.yaml specs/mine.yaml      a revision of git, and the file now
      nin-spec diff runs/nin_cifar nin_cifar                    what was trained, and the spec now
      nin-spec diff runs/nin_cifar runs/nin_cifar-2             two runs: data, versions and result, too

    A layer is marked ~ if it changed, - if it was removed, + if it was added, and > if it is the same but its input
    changed. Two specs of the same function have the same semantic hash.

    Of two runs, the recipe, settings, data and versions that differ are listed, and the results stand side by side:
    accuracy by split, best epoch, parameters, MACs and the time of training.
    """
    from nin_spec.difference import compare
    from nin_spec.opened import network_of, run_of

    sides = side(before), side(after)
    first, second = map(run_of, sides)
    if first is not None and second is not None:
        return _of_runs(first, second, form, everything=everything, exit_code=exit_code)
    difference = compare(*map(network_of, sides))
    if form == "json":
        click.echo(json.dumps(difference.as_dict(), indent=2, ensure_ascii=False))
    else:
        show(difference, before, after, everything=everything)
    return int(exit_code and not difference.same_function)


def side(name: str) -> Network | Run:
    """A network or a run, or the network of a file as it was in a revision of git. Raises SpecError, TrainingError."""
    from nin_spec.named import GitRevision, resolve
    from nin_spec.opened import network_at, opened

    named = resolve(name)
    return network_at(named) if isinstance(named, GitRevision) else opened(named)


def _of_runs(before: Run, after: Run, form: str, *, everything: bool, exit_code: bool) -> int:
    from nin_spec.cli.diff_runs import lines_of
    from nin_spec.training.run_difference import compare_runs, in_recipe

    found = compare_runs(before, after)
    if form == "json":
        click.echo(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
    else:
        show(found.network, str(before.path), str(after.path), everything=everything, elsewhere=in_recipe)
        click.echo("\n".join(lines_of(found)))
    return int(exit_code and not found.network.same_function)


# ------------------------------------------------------------------ the answer


def show(
    difference: Difference,
    before: str,
    after: str,
    *,
    everything: bool,
    elsewhere: Callable[[str], bool] = lambda _: False,
) -> None:
    """The verdict, the layers, the totals, and the other values that differ, unless they are shown elsewhere."""
    from nin_spec.difference import HEADERS, RIGHT
    from nin_spec.printing import changed, columns

    click.echo(f"- {before}\n+ {after}\n{difference.verdict}")
    rows = [change.cells() for change in (difference.changes if everything else difference.shown)]
    if rows:
        click.echo()
        click.echo("\n".join(columns([HEADERS, *rows], right=RIGHT)))
    click.echo()
    click.echo("\n".join(columns(difference.totals(), right={1, 3, 4})))
    others = [value for value in difference.elsewhere() if not elsewhere(value[0])]
    if others:
        click.echo()
        click.echo("\n".join(f"  {changed(*value)}" for value in others))
