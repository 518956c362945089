"""nin-spec export: a flag for each exporter found, an option for each field of its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

from nin_spec.cli.drawing import OWN_NAME, check_drawing_usage, drawing_options, drawn
from nin_spec.cli.options import (
    compile_spec,
    device_option,
    force_option,
    input_option,
    seed_option,
    set_option,
    tell,
    weigh,
    weights_option,
)
from nin_spec.cli.outputs import FILE, STDOUT, deliver, protect, require_sole
from nin_spec.cli.precision import make_smaller, precision_options, settings_of
from nin_spec.diagnostics import Diagnostic, ExportError
from nin_spec.exporter import NAME, survey
from nin_spec.precision.settings import renamed

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from nin_spec.exporter import Artifact, Exporter
    from nin_spec.model import Model
    from nin_spec.precision.settings import PrecisionSettings
    from nin_spec.runtime.providers import Device


def derived(command: click.Command) -> click.Command:
    """The command with the flags of every exporter that can be used; its help says what is wrong with the others."""
    try:
        found = survey(own_words(command))
    except ExportError:
        # The command says so when it is used; the others' help must not suffer for it.
        return command
    fields: dict[str, tuple[FieldInfo, list[str]]] = {}
    for name, exporter in found.exporters.items():
        text = next(iter((exporter.__doc__ or "").strip().splitlines()), "")
        command.params.append(
            click.Option(
                [f"--{name}", f"to_{name}"], is_flag=False, flag_value=OWN_NAME, metavar="[PATH]", type=FILE, help=text
            )
        )
        for key, field in exporter.Options.model_fields.items():
            fields.setdefault(key, (field, []))[1].append(name)
    for key, (field, names) in fields.items():
        text = f"{field.description or ''} ({', '.join(f'--{n}' for n in names)})"
        command.params.append(click.Option([f"--{key.replace('_', '-')}", key], metavar=_metavar(field), help=text))
    command.params += [refusing(name, why) for name, why in found.refused.items() if _is_free(name, command)]
    if found.refused:
        command.epilog = "\n\n".join(f"Left out: {why.message}." for why in found.refused.values())
    return command


def own_words(command: click.Command) -> set[str]:
    """What no exporter may call itself or an option: the flags and parameters of the command itself."""
    return {word for p in command.params for word in (*p.opts, *p.secondary_opts, p.name or "")} | {"--help", "-h"}


def _is_free(name: str, command: click.Command) -> bool:
    """Whether a flag of that name can be added to say why it can't be used."""
    return NAME.fullmatch(name) is not None and all(
        f"--{name}" not in (*p.opts, *p.secondary_opts) for p in command.params
    )


def refusing(name: str, why: Diagnostic) -> click.Option:
    """The flag of an exporter that can't be used: it says so."""

    def refuse(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise ExportError(why)

    return click.Option(
        [f"--{name}"], is_flag=False, flag_value=OWN_NAME, hidden=True, expose_value=False, callback=refuse
    )


def _metavar(field: FieldInfo) -> str:
    words = [w for w in _words(field.annotation) if w]
    return "|".join(words) or key_type(field)


def key_type(field: FieldInfo) -> str:
    """What an option without fixed words takes."""
    return "N" if int in (field.annotation, *get_args(field.annotation)) else "VALUE"


def _words(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(a) for a in get_args(annotation)]
    found = [w for a in get_args(annotation) for w in _words(a)]
    return [*found, "N"] if found and int in get_args(annotation) else found


@click.command("export")
@click.argument("spec", metavar="SPEC|RUNDIR", required=False)
@set_option
@input_option
@weights_option
@seed_option
@force_option
@precision_options
@drawing_options
@click.option("--explain", is_flag=True, help="List what each pass did to the graph, by line, and what that saves.")
@click.option("--no-parity", is_flag=True, help="Do not prove the exported file against the nn.Module.")
@click.option(
    "--device",
    "devices",
    metavar="NAME",
    multiple=True,
    help="Prove parity on this device; may be repeated.  [default: cpu]",
)
@device_option
def export_command(spec: str | None, overrides: tuple[str, ...], size: str | None, **given: Any) -> None:
    """Compile SPEC, or take what `nin-spec train` made of it, and write it in one or more forms.

    \b
      nin-spec export runs/nin_digits --onnx                trained weights, labels, preprocessing
      nin-spec export nin_cifar --onnx                      writes nin_cifar.onnx
      nin-spec export my.yaml --onnx out/model.onnx --weights trained.safetensors
      nin-spec export my.yaml --onnx --weights checkpoint.pt --opset 19 --batch 1
      nin-spec export nin_cifar --onnx --takes pixels --outputs probabilities,top5
      nin-spec export nin_cifar --onnx --target triton==24.10 --explain
      nin-spec export nin_cifar --source                    writes nin_cifar.py
      nin-spec export nin_cifar --diagram svg               the network to scale, nin_cifar.svg
      nin-spec export runs/nin_digits --report              a page on the run, nin_digits.html

    An ONNX file is run in onnxruntime and compared with the nn.Module in float64 before it is written.
    If it computes something else, the command names the first node that differs and its line in the
    spec, writes nothing, and exits 1. Batches of 1, 2 and 7 are compared as far as they fit in memory; if
    none does, the command exits 2, and --no-parity exports the file unproved.

    \b
      nin-spec export runs/nin_digits --onnx --precision int8                writes nin_digits.int8.onnx
      nin-spec export nin_cifar --onnx --weights w.safetensors --precision int8 --data cifar-10-batches-bin
      nin-spec export runs/nin_digits --onnx --precision float16 --max-drop 0.1%

    int8 is for CPUs: calibrated on pictures of the training part, and measured on those of the test part
    (or the recipe's validation share) beside float32. Where it loses more than --max-drop, the layers that
    lose most are found and left in float, one after another, until the budget holds; if none will do, nothing
    is written and the command exits 1. float16 is for GPUs, half the size and no faster on x86 CPUs.
    bfloat16 stays a float32 file, which asks its session to compute in bfloat16 (--device openvino).
    """
    from nin_spec import api
    from nin_spec.files import check_target

    found = survey(_OWN)
    exporters = dict(found.exporters)
    tell(f"warning: {why.message}" for why in found.refused.values())
    targets = {name: given[f"to_{name}"] for name in exporters if given.get(f"to_{name}") is not None}
    spec = given["spec"] = _check_usage(spec, exporters, targets, given)
    settings = settings_of(given, targets)
    # What can be refused is refused before the work, and everything is made and proved before anything is written.
    for name, path in targets.items():
        api.check_options(exporters[name], chosen(exporters[name], given))
        if path not in {OWN_NAME, STDOUT} and not Path(path).is_dir():
            check_target(Path(path))
    for path in (given["output"], given["report"]):
        if path not in {None, OWN_NAME, STDOUT}:
            check_target(Path(path))
    pictures = drawn(spec, overrides, size, given)
    protect(pictures, [spec, given["weights"]], force=given["force"])
    require_sole([*pictures, *map(Path, targets.values())])
    made = _made(_model(spec, overrides, size, given), given, targets, settings, exporters) if targets else {}
    _write({name: (artifact, targets[name]) for name, artifact in made.items()}, pictures, given)


def _made(
    model: Model,
    given: dict[str, Any],
    targets: dict[str, str],
    settings: PrecisionSettings,
    exporters: Mapping[str, Exporter],
) -> dict[str, Artifact]:
    """Every artifact, proved, once it is known that each can be written."""
    from nin_spec import api
    from nin_spec.passes.changes import explanation

    made = {name: api.make(model, name, chosen(exporters[name], given)) for name in targets}
    _check_proof(given, proved=any(file.endswith(".onnx") for artifact in made.values() for file in artifact.files))
    if settings.precision != "float32":
        settings = replace(settings, data=settings.data or location_of(given["spec"]))
        made["onnx"] = renamed(made["onnx"], settings.precision)
    for name, artifact in made.items():
        protect(placed(name, artifact, targets[name]), [given["spec"], given["weights"]], force=given["force"])
    for name, artifact in made.items():
        tell(artifact.remarks)
        if given["explain"]:
            click.echo(explanation(artifact.passes))
        smaller = name == "onnx" and settings.precision != "float32"
        prove(model, artifact, ("cpu",) if smaller else given["devices"], given)
        if smaller:
            parity = not given["no_parity"]
            made[name] = make_smaller(model, artifact, settings, given["devices"], parity=parity)
    return made


def placed(name: str, artifact: Artifact, target: str) -> dict[Path, bytes]:
    """Where an artifact's files go, and their bytes. Raises UsageError for several that would go to standard output."""
    from nin_spec.exporter import destinations

    if target != STDOUT:
        return destinations(artifact, _folder(target))
    files = destinations(artifact, None)
    if len(files) > 1:
        raise click.UsageError(f"--{name} writes {len(files)} files, and - is standard output: pass a folder")
    return {Path(STDOUT): data for data in files.values()}


def _folder(target: str) -> Path | None:
    return None if target == OWN_NAME else Path(target)


def _write(made: dict[str, tuple[Artifact, str]], pictures: dict[Path, bytes], given: dict[str, Any]) -> None:
    """Write the files of every artifact and what was drawn, all or none, and say so."""
    from nin_spec.exporter import make_room

    files = dict(pictures)
    for name, (artifact, target) in made.items():
        found = placed(name, artifact, target)
        if twice := files.keys() & found.keys():
            raise click.UsageError(f"two files can't both be {min(twice)}")
        if target != STDOUT:
            make_room(found, _folder(target))
        files |= found
    deliver(files, [given["spec"], given["weights"]], force=given["force"])
    for path, data in files.items():
        if path != Path(STDOUT):
            click.echo(f"wrote {path} ({len(data):,} bytes)")


def _model(spec: str, overrides: tuple[str, ...], size: str | None, given: dict[str, Any]) -> Model:
    """The model that the arguments name: a spec with weights, or a run's."""
    from nin_spec.named import is_run
    from nin_spec.training.folder import open_run

    if not is_run(spec):
        return weigh(compile_spec(spec, overrides, size), given["weights"], given["seed"])
    if overrides or size:
        raise click.UsageError(f"{spec} is a run folder, whose spec can't be changed: --set and --input need a SPEC")
    run = open_run(spec)
    if given["weights"] is not None:
        return weigh(run.network, given["weights"], given["seed"])
    tell(run.remarks)
    return run.model()


def prove(model: Model, artifact: Artifact, devices: Sequence[Device], given: dict[str, Any]) -> None:
    """The parity of the artifact on each device, told, unless it was not asked for."""
    from nin_spec import api

    asked = given["devices"] or ("cpu",)
    for device in () if given["no_parity"] else devices or ("cpu",):
        options = given["options"] if device in asked else None
        for report in api.prove(model, artifact, device, options=options):
            click.echo(str(report))


def location_of(spec: str) -> Path | None:
    """Where a run folder found its data set; None for the place where it is fetched to."""
    from nin_spec.named import is_run
    from nin_spec.training.folder import open_run

    return open_run(spec).location if is_run(spec) else None


def _check_usage(
    spec: str | None, exporters: dict[str, Exporter], targets: dict[str, str], given: dict[str, Any]
) -> str:
    """SPEC, when what was given makes sense together."""
    if spec is None:
        misread = next((path for path in targets.values() if path != OWN_NAME), None)
        hint = f"; {misread!r} was read as the path to write to: put SPEC first" if misread else ""
        raise click.UsageError(f"SPEC is missing{hint}")
    drawing = given["diagram"] is not None or given["report"] is not None
    if not (targets or drawing):
        raise click.UsageError("say what to write: " + ", ".join(f"--{n}" for n in (*exporters, "diagram", "report")))
    check_drawing_usage(given, list(exporters), exporting=bool(targets))
    unproved = given["no_parity"] and given["precision"] == "float32"
    _check_proof(given, proved=bool(set(targets) - _UNPROVED) and not unproved)
    # An option of an exporter that is not asked for would do nothing, in silence.
    options = {key for name in targets for key in exporters[name].Options.model_fields}
    for name, exporter in exporters.items():
        for key in exporter.Options.model_fields:
            if given.get(key) is not None and key not in options:
                raise click.UsageError(f"--{key.replace('_', '-')} belongs to --{name}")
    return spec


_UNPROVED = {"kserve", "source"}
"""Exporters of ours that write no ONNX file; what one of another package makes is seen once it is made."""


def _check_proof(given: dict[str, Any], *, proved: bool) -> None:
    """Devices are for a proof: refused where there is none. Raises UsageError."""
    if given["options"] and (not proved or len(given["devices"]) > 1):
        raise click.UsageError("--device-option belongs to the proof on one --device")
    if given["devices"] and not proved:
        raise click.UsageError("--device belongs to the proof of an ONNX file, and none is made")


def chosen(exporter: Exporter, given: dict[str, Any]) -> dict[str, Any]:
    """The exporter's options as given on the command line, numbers as numbers."""
    found = {key: given[key] for key in exporter.Options.model_fields if given.get(key) is not None}
    return {key: int(v) if v.isascii() and v.isdigit() and len(v) < 10 else v for key, v in found.items()}


_OWN = own_words(export_command)
export_command = derived(export_command)
