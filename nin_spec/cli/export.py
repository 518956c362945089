"""nin-spec export: a flag for each exporter found, an option for each field of its options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

from nin_spec.cli.options import (
    compile_spec,
    device_option,
    force_option,
    input_option,
    protect,
    seed_option,
    set_option,
    tell,
    weigh,
    weights_option,
)
from nin_spec.diagnostics import ExportError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from nin_spec.exporter import Exporter
    from nin_spec.model import Model
    from nin_spec.runtime.providers import Device

_OWN_NAME = "."
"""The value of a flag given without a path: the artifact's own name, here."""


def derived(command: click.Command) -> click.Command:
    """The command with the flags of every exporter."""
    from nin_spec.exporter import discover

    fields: dict[str, tuple[FieldInfo, list[str]]] = {}
    try:
        exporters = discover()
    except ExportError:
        # The command says so when it is used; the others' help must not suffer for it.
        return command
    for name, exporter in exporters.items():
        text = (exporter.__doc__ or "").strip().splitlines()[0]
        command.params.append(
            click.Option([f"--{name}", f"to_{name}"], is_flag=False, flag_value=_OWN_NAME, metavar="[PATH]", help=text)
        )
        for key, field in exporter.Options.model_fields.items():
            fields.setdefault(key, (field, []))[1].append(name)
    for key, (field, names) in fields.items():
        text = f"{field.description or ''} ({', '.join(f'--{n}' for n in names)})"
        command.params.append(click.Option([f"--{key.replace('_', '-')}", key], metavar=_metavar(field), help=text))
    return command


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
      nin-spec export nin_cifar --source                    writes nin_cifar.py

    An ONNX file is run in onnxruntime and compared with the nn.Module in float64 before it is written.
    If it computes something else, the command names the first node that differs and its line in the
    spec, writes nothing, and exits 1.
    """
    from nin_spec import api
    from nin_spec.exporter import destinations, discover, write
    from nin_spec.files import check_target

    exporters = discover()
    targets = {name: given[f"to_{name}"] for name in exporters if given.get(f"to_{name}") is not None}
    spec = _check_usage(spec, exporters, targets, given)
    # What can be refused is refused before the work, and everything is made and proved before anything is written.
    for name, path in targets.items():
        api.check_options(exporters[name], chosen(exporters[name], given))
        if path != _OWN_NAME and not Path(path).is_dir():
            check_target(Path(path))
    model = _model(spec, overrides, size, given)
    made = {name: api.make(model, name, chosen(exporters[name], given)) for name in targets}
    folders = {name: None if path == _OWN_NAME else Path(path) for name, path in targets.items()}
    for name, artifact in made.items():
        protect(destinations(artifact, folders[name]), [spec, given["weights"]], force=given["force"])
    for artifact in made.values():
        tell(artifact.remarks)
        devices: tuple[Device, ...] = given["devices"] or ("cpu",)
        for device in () if given["no_parity"] else devices:
            for report in api.prove(model, artifact, device, options=given["options"]):
                click.echo(str(report))
    for name, artifact in made.items():
        for written in write(artifact, folders[name]):
            click.echo(f"wrote {written} ({written.stat().st_size:,} bytes)")


def _model(spec: str, overrides: tuple[str, ...], size: str | None, given: dict[str, Any]) -> Model:
    """The model that the arguments name: a spec with weights, or a run's."""
    from nin_spec.training.folder import is_run, open_run

    if not is_run(spec):
        return weigh(compile_spec(spec, overrides, size), given["weights"], given["seed"])
    if overrides or size:
        raise click.UsageError(f"{spec} is a run folder, trained as it is: --set and --input need a SPEC")
    run = open_run(spec)
    if given["weights"] is not None:
        return weigh(run.network, given["weights"], given["seed"])
    tell(run.remarks)
    return run.model()


def _check_usage(
    spec: str | None, exporters: dict[str, Exporter], targets: dict[str, str], given: dict[str, Any]
) -> str:
    """SPEC, when what was given makes sense together."""
    if spec is None:
        misread = next((path for path in targets.values() if path != _OWN_NAME), None)
        hint = f"; {misread!r} was read as the path to write to: put SPEC first" if misread else ""
        raise click.UsageError(f"SPEC is missing{hint}")
    if not targets:
        raise click.UsageError("say what to write: " + ", ".join(f"--{name}" for name in exporters))
    if given["options"] and (given["no_parity"] or len(given["devices"]) > 1):
        raise click.UsageError("--device-option belongs to the proof on one --device")
    # An option of an exporter that is not asked for would do nothing, in silence.
    options = {key for name in targets for key in exporters[name].Options.model_fields}
    for name, exporter in exporters.items():
        for key in exporter.Options.model_fields:
            if given.get(key) is not None and key not in options:
                raise click.UsageError(f"--{key.replace('_', '-')} belongs to --{name}")
    return spec


def chosen(exporter: Exporter, given: dict[str, Any]) -> dict[str, Any]:
    """The exporter's options as given on the command line, numbers as numbers."""
    found = {key: given[key] for key in exporter.Options.model_fields if given.get(key) is not None}
    return {key: int(v) if v.isascii() and v.isdigit() and len(v) < 10 else v for key, v in found.items()}


export_command = derived(export_command)
