"""nin-spec check."""

from __future__ import annotations

import json
from collections import Counter

import click

from nin_spec.cli import completing
from nin_spec.cli.console import coloured, paint, plain
from nin_spec.cli.findings import Report, chosen, examine
from nin_spec.cli.gathering import specs_in
from nin_spec.cli.help import Command
from nin_spec.cli.options import format_option, set_option
from nin_spec.diagnostics import Code, Diagnostic, Severity, did_you_mean
from nin_spec.named import is_run


def _codes(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> frozenset[str]:
    """`NIN901,NIN904`, given once or more, as codes of rules."""
    words = [word for text in texts for word in text.replace(",", " ").split()]
    if not words:
        return frozenset()
    from nin_spec.lint.rules import CODES

    for word in words:
        if word not in CODES:
            raise click.BadParameter(f"unknown rule {word!r}; {did_you_mean(word, CODES)}")
    return frozenset(words)


def _explain(context: click.Context, _parameter: click.Parameter, text: str | None) -> None:
    """Print the page of a code, and be done."""
    if text is None:
        return
    from nin_spec.lint.pages import explain

    code = next((c for c in Code if c.code == text.upper()), None)
    if code is None:
        raise click.BadParameter(f"unknown code {text!r}; {did_you_mean(text, [c.code for c in Code])}")
    click.echo(explain(code), nl=False)
    context.exit()


@click.command("check", cls=Command)
@click.argument("specs", metavar="SPEC|DIR...", nargs=-1, required=True, shell_complete=completing.specs)
@set_option
@format_option("text", "json", "github")
@click.option("--strict", is_flag=True, help="Exit 1 when there are warnings.")
@click.option("--no-lint", is_flag=True, help="Report errors only.")
@click.option(
    "--select",
    metavar="CODES",
    multiple=True,
    callback=_codes,
    shell_complete=completing.rules,
    help="Run only these rules: NIN901,NIN904.",
)
@click.option(
    "--ignore",
    metavar="CODES",
    multiple=True,
    callback=_codes,
    shell_complete=completing.rules,
    help="Skip these rules.",
)
@click.option("--fix", is_flag=True, help="Apply the fixes that do not change the function computed, in the files.")
@click.option("--unsafe-fixes", is_flag=True, help="With --fix or --diff: also the fixes that change the function.")
@click.option("--diff", is_flag=True, help="Show what --fix would change, write nothing; exit 1 if there are changes.")
@click.option(
    "--explain",
    metavar="CODE",
    shell_complete=completing.codes,
    is_eager=True,
    expose_value=False,
    callback=_explain,
    help="Explain a code, with examples, and exit.",
)
def check_command(
    specs: tuple[str, ...],
    overrides: tuple[str, ...],
    form: str,
    strict: bool,
    no_lint: bool,
    select: frozenset[str],
    ignore: frozenset[str],
    fix: bool,
    unsafe_fixes: bool,
    diff: bool,
) -> int:
    """Report errors in specs, and what is legal but probably unintended.

    SPEC is a YAML file, the name of a shipped network, or - for standard input. For DIR, every spec in it is checked.

    The exit code is 2 for errors; for warnings it is 0, or 1 with --strict. `--format github` prints the workflow
    commands that annotate a pull request. A comment `# nin: ignore[NIN901] why` silences a rule: on the line, above
    it, or at the top of the file.

    \b
      nin-spec check mine.yaml
      nin-spec check specs/                           every spec in the folder and its subfolders
      nin-spec check mine.yaml --diff                 what --fix would do
      nin-spec check mine.yaml --fix --unsafe-fixes
      nin-spec check --explain NIN901
    """
    wanted = chosen(select, ignore, no_lint=no_lint, overridden=bool(overrides))
    if (fix or diff) and (overrides or form != "text"):
        raise click.UsageError("--fix and --diff take files as they are, and print text: leave out --set and --format")
    if unsafe_fixes and not (fix or diff):
        raise click.UsageError("--unsafe-fixes needs --fix or --diff")
    if fix and (run := next((spec for spec in specs if is_run(spec)), None)):
        raise click.UsageError(f"{run} is a run folder, and --fix does not change the spec of a trained network")
    named = specs_in(specs)
    if fix or diff:
        from nin_spec.cli.fixing import fix_all

        changes, reports = fix_all(tuple(named), wanted, write=not diff, unsafe=unsafe_fixes)
    else:
        changes, reports = 0, {spec: examine(name, overrides, wanted) for spec, name in named.items()}
    show(reports, form)
    found = {d.severity for report in reports.values() for d in report.found}
    if Severity.ERROR in found:
        return 2
    return int((strict and Severity.WARNING in found) or (diff and changes > 0))


# ------------------------------------------------------------------ what is printed


def show(reports: dict[str, Report], form: str) -> None:
    """Every finding in one of the three forms; what lies in a file that several extend, once."""
    told: set[Diagnostic] = set()
    shown = {spec: _new(report.found, told) for spec, report in reports.items()}
    found = [d for new in shown.values() for d in new]
    if form == "json":
        click.echo(json.dumps([d.as_dict() for d in found], indent=2))
    elif form == "github":
        for diagnostic in found:
            click.echo(annotation(diagnostic))
    else:
        for spec, new in shown.items():
            paint("\n".join([*map(coloured, new), *map(plain, verdict(spec, reports[spec]))]))


def _new(found: list[Diagnostic], told: set[Diagnostic]) -> list[Diagnostic]:
    """Findings not yet reported for another spec, and all errors."""
    new = [d for d in found if d.severity is Severity.ERROR or d not in told]
    told.update(found)
    return new


def verdict(spec: str, report: Report) -> list[str]:
    """`mine.yaml: ok, 2 warnings, 1 note`; errors speak for themselves."""
    counts = Counter(d.severity for d in report.found)
    if counts[Severity.ERROR]:
        return []
    words = [_counted(counts[s], s.value) for s in (Severity.WARNING, Severity.NOTE) if counts[s]]
    fixes = [f"{report.safe} by --fix"] if report.safe else []
    fixes += [f"{report.unsafe} by --fix --unsafe-fixes"] if report.unsafe else []
    return [f"{spec}: {', '.join(['ok', *words])}" + (f" (fixable: {', '.join(fixes)})" if fixes else "")]


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def annotation(diagnostic: Diagnostic) -> str:
    """A GitHub workflow command, escaped as its runner expects."""
    span = diagnostic.span
    place = f" file={_property(span.source.name)},line={span.line},col={span.column}," if span else " "
    hint = f"\n{diagnostic.hint}" if diagnostic.hint else ""
    text = _data(f"{diagnostic.message}{hint}")
    command = {Severity.NOTE: "notice"}.get(diagnostic.severity, diagnostic.severity.value)
    return f"::{command}{place}title={diagnostic.code.code}::{text}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
