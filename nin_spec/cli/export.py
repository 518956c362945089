"""nin-spec export: the requested files are checked, made, proved, and then written, all or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_spec.cli import completing
from nin_spec.cli.drawing import Drawings, drawing_options, drawn
from nin_spec.cli.exporter_flags import OWN_NAME, Target, derived, own_words, paths_of, targets_of
from nin_spec.cli.help import Command
from nin_spec.cli.options import (
    device_option,
    force_option,
    input_option,
    open_spec,
    seed_option,
    set_option,
    tell,
    warn,
    weigh,
    weights_option,
)
from nin_spec.cli.outputs import STDOUT, deliver, protect, require_sole
from nin_spec.cli.precision import Reduction, make_smaller, precision_options, settings_of
from nin_spec.cli.printer import Printer, printer_option, quiet_option
from nin_spec.exporter import Proof, survey
from nin_spec.precision.settings import renamed
from nin_spec.provider_gaps import written_for

if TYPE_CHECKING:
    from nin_spec.exporter import Artifact, Exporter
    from nin_spec.model import Model
    from nin_spec.network import Network
    from nin_spec.precision.settings import Precision, PrecisionSettings
    from nin_spec.runtime.parity import ParityReport
    from nin_spec.runtime.providers import Device
    from nin_spec.training.folder import Run


@dataclass(frozen=True, slots=True)
class Proving:
    """On which devices files are proved, the CPU if none is named, and with which options; not at all if `skipped`."""

    devices: tuple[Device, ...]
    options: Mapping[str, str]
    skipped: bool


@click.command("export", cls=Command)
@click.argument("spec", metavar="SPEC|RUNDIR", required=False, shell_complete=completing.specs)
@set_option
@input_option
@weights_option
@seed_option
@force_option
@precision_options
@drawing_options
@click.option("--explain", is_flag=True, help="List what each pass changed, by line of the spec, and what that saves.")
@click.option("--no-parity", is_flag=True, help="Do not compare the exported file with the nn.Module.")
@click.option(
    "--device",
    "devices",
    metavar="NAME",
    shell_complete=completing.devices,
    multiple=True,
    help="Prove parity on this device; may be repeated.  [default: cpu]",
)
@device_option
@printer_option
@quiet_option
def export_command(
    spec: str | None,
    printer: Printer,
    overrides: tuple[str, ...],
    size: str | None,
    weights: str | None,
    seed: int,
    force: bool,
    precision: Precision,
    max_drop: str | None,
    data: str | None,
    calibrate: int | None,
    limit: int | None,
    diagram: str | None,
    output: str | None,
    report: str | None,
    explain: bool,
    no_parity: bool,
    devices: tuple[Device, ...],
    options: dict[str, str],
    **of_exporters: str | None,
) -> None:
    """Write a network as ONNX, PyTorch source, a diagram or a report.

    SPEC is compiled; RUNDIR provides the network of a run and its trained weights. Several forms can be written at
    once.

    \b
      nin-spec export runs/nin_digits --onnx                trained weights, labels, preprocessing
      nin-spec export nin_cifar --onnx                      writes nin_cifar.onnx
      nin-spec export my.yaml --onnx out/model.onnx --weights trained.safetensors
      nin-spec export my.yaml --onnx --weights checkpoint.pt --opset 19 --batch 1
      nin-spec export nin_cifar --onnx --takes pixels --outputs probabilities,top5
      nin-spec export nin_cifar --onnx --target triton==24.10 --explain
      nin-spec export nin_cifar --source                    writes nin_cifar.py
      nin-spec export runs/nin_digits --page --runtime-files onnxruntime-web-1.30.0.tgz
      nin-spec export nin_cifar --diagram svg               writes nin_cifar.svg, drawn to scale
      nin-spec export runs/nin_digits --report              writes nin_digits.html, a page about the run

    Before an ONNX file is written, it is run in onnxruntime and compared with the nn.Module in float64. If it computes
    something else, nothing is written, the first node that differs is named with its line in the spec, and the exit
    code is 1. Batches of 1, 2 and 7 are compared as far as they fit in memory; if none does, the exit code is 2, and
    --no-parity writes the file unproved.

    \b
      nin-spec export runs/nin_digits --onnx --precision int8                writes nin_digits.int8.onnx
      nin-spec export nin_cifar --onnx --weights w.safetensors --precision int8 --data cifar-10-batches-bin
      nin-spec export runs/nin_digits --onnx --precision float16 --max-drop 0.1%

    int8 is for CPUs. It is calibrated on the training split, and its accuracy is compared with that of float32 on the
    test split, or the recipe's validation split. If it loses more than --max-drop, the layers that lose most are kept
    in float32, one after another, until the loss is within the budget; if it never is, nothing is written and the exit
    code is 1. float16 is for GPUs: half the size, but no faster on x86 CPUs. bfloat16 writes a float32 file that asks
    its session to compute in bfloat16 (--device openvino).
    """
    found = survey(_OWN)
    warn(why.message for why in found.refused.values())
    paths = paths_of(found.exporters, of_exporters)
    spec = _require_spec(spec, paths)
    drawings, proving = Drawings(diagram, output, report), Proving(devices, options, no_parity)
    idle = {"--weights": weights, "--device": devices, "--explain": explain, "--no-parity": no_parity}
    _require_something(found.exporters, paths, drawings, [flag for flag, value in idle.items() if value])
    targets = targets_of(found.exporters, paths, _for_devices(of_exporters, devices, found.exporters, paths))
    reduction = Reduction(precision, max_drop, data, calibrate, limit)
    _check_proof(targets, proving, reduction)
    settings = settings_of(reduction, devices, options, exports_onnx="onnx" in targets)
    # What can be refused is refused before the work, and everything is made and proved before anything is written.
    _check_paths(paths, drawings)
    subject, inputs = open_spec(spec, overrides, size), [spec, weights, *(p for t in targets.values() for p in t.reads)]
    pictures = drawn(subject, drawings)
    protect(pictures, inputs, force=force)
    require_sole([*pictures, *map(Path, paths.values())])
    made: dict[str, Artifact] = {}
    facts: dict[str, dict[str, Any]] = {}
    if targets:
        model, settings = _model(subject, weights, seed), _with_data(settings, subject)
        made = _made(model, targets, settings)
        for name, artifact in made.items():
            protect(placed(name, artifact, paths[name]), inputs, force=force)
        for name, artifact in made.items():
            made[name], facts[name] = _proved(model, name, artifact, settings, proving, printer, explain=explain)
    files = _laid_out(made, paths, pictures)
    deliver(files, inputs, force=force)
    _conclude(subject, files, facts, printer)


# ------------------------------------------------------------------ what was asked for


def _require_spec(spec: str | None, paths: Mapping[str, str]) -> str:
    if spec is not None:
        return spec
    misread = next((path for path in paths.values() if path != OWN_NAME), None)
    hint = f"; {misread!r} was read as the path to write to: put SPEC first" if misread else ""
    raise click.UsageError(f"SPEC is missing{hint}")


def _require_something(
    exporters: Mapping[str, Exporter], paths: Mapping[str, str], drawings: Drawings, idle: Sequence[str]
) -> None:
    """Refuse to write nothing, and what would do nothing: -o without a diagram, `idle` flags without an export."""
    if not (paths or drawings.asked):
        *others, last = (f"--{name}" for name in (*exporters, "diagram", "report"))
        wanted = f"{', '.join(others)} or {last}"
        raise click.UsageError(f"nothing to write: pass {wanted}")
    drawings.check(paths)
    if idle and not paths:
        raise click.UsageError(f"{idle[0]} requires {' or '.join(f'--{name}' for name in exporters)}")


def _for_devices(
    words: Mapping[str, str | None], devices: Sequence[Device], exporters: Mapping[str, Exporter], paths: Iterable[str]
) -> Mapping[str, str | None]:
    """The exporters' options, with files written for the devices that they are proved on, unless others are named."""
    takes = any("lower_for" in exporters[name].Options.model_fields for name in paths)
    if not takes or words.get("lower_for") is not None:
        return words
    return {**words, **{key: ",".join(named) for key, named in written_for(*devices).items()}}


def _check_proof(targets: Mapping[str, Target], proving: Proving, reduction: Reduction) -> None:
    """Devices are for a proof: refused where there is none, like a precision that a file won't have. UsageError."""
    measured = reduction.precision != "float32"
    others = [f"--{name}" for name, t in targets.items() if name != "onnx" and t.exporter.proof is Proof.PARITY]
    if measured and others:
        raise click.UsageError(
            f"--precision is for --onnx, and the model of {others[0]} is float32: export it by itself"
        )
    proved = any(t.exporter.proof is Proof.PARITY for t in targets.values()) and (measured or not proving.skipped)
    if proving.options and (not proved or len(proving.devices) > 1):
        raise click.UsageError("--device-option requires exactly one --device, for the proof of an ONNX file")
    if proving.devices and not proved:
        raise click.UsageError("--device requires the proof of an ONNX file, and none is proved")


def _check_paths(paths: Mapping[str, str], drawings: Drawings) -> None:
    from nin_spec.files import check_target

    exported = [path for path in paths.values() if path in {OWN_NAME, STDOUT} or not Path(path).is_dir()]
    for path in (*exported, drawings.output, drawings.report):
        if path not in {None, OWN_NAME, STDOUT}:
            check_target(Path(str(path)))


# ------------------------------------------------------------------ made and proved


def _model(subject: Network | Run, weights: str | None, seed: int) -> Model:
    """The model of a spec with weights, or a run's."""
    from nin_spec.opened import network_of, run_of

    run = run_of(subject)
    if run is None or weights is not None:
        return weigh(network_of(subject), weights, seed)
    tell(run.remarks)
    return run.model()


def _with_data(settings: PrecisionSettings, subject: Network | Run) -> PrecisionSettings:
    """Measured on the data set where a run found it, unless --data is set."""
    from nin_spec.opened import run_of

    run = run_of(subject)
    return settings if run is None or settings.data is not None else replace(settings, data=run.location)


def _made(model: Model, targets: Mapping[str, Target], settings: PrecisionSettings) -> dict[str, Artifact]:
    """Every artifact; of the ONNX file in another precision still the float32 one, under the name that it will have."""
    from nin_spec.exporter import artifact_of

    made = {name: artifact_of(target.exporter, model, target.options) for name, target in targets.items()}
    if settings.precision != "float32":
        made["onnx"] = renamed(made["onnx"], settings.precision)
    return made


def _proved(
    model: Model,
    name: str,
    artifact: Artifact,
    settings: PrecisionSettings,
    proving: Proving,
    printer: Printer,
    *,
    explain: bool,
) -> tuple[Artifact, dict[str, Any]]:
    """The artifact, proved and in the precision asked for, and the facts about it, printed too."""
    from nin_spec.passes.changes import explanation, explanation_as_dict

    tell(artifact.remarks)
    facts: dict[str, Any] = {"remarks": list(artifact.remarks)}
    if explain:
        printer.line(explanation(artifact.passes))
        facts |= explanation_as_dict(artifact.passes)
    smaller = name == "onnx" and settings.precision != "float32"
    reports = _prove(model, artifact, ("cpu",) if smaller else proving.devices, proving, printer)
    facts["parity"] = [report.as_dict() for report in reports]
    if not smaller:
        return artifact, facts
    made, more = make_smaller(model, artifact, settings, proving.devices, printer, parity=not proving.skipped)
    return made, {**facts, **more, "parity": [*facts["parity"], *more["parity"]], "precision": settings.precision}


def _prove(
    model: Model, artifact: Artifact, devices: Sequence[Device], proving: Proving, printer: Printer
) -> list[ParityReport]:
    """The parity of the artifact on each device, also printed; empty if not requested."""
    from nin_spec import api

    asked = proving.devices or ("cpu",)
    reports: list[ParityReport] = []
    for device in () if proving.skipped else devices or ("cpu",):
        options = proving.options if device in asked else None
        reports += api.prove(model, artifact, device, options=options)
    for report in reports:
        printer.line(str(report))
    return reports


# ------------------------------------------------------------------ written


def _conclude(
    subject: Network | Run, files: Mapping[Path, bytes], facts: Mapping[str, Mapping[str, Any]], printer: Printer
) -> None:
    """Print what was written."""
    from nin_spec.opened import network_of

    card = network_of(subject).card
    written = [(path, len(content)) for path, content in files.items() if path != Path(STDOUT)]
    for path, size in written:
        printer.line(f"wrote {path} ({size:,} bytes)")
    printer.document(
        {
            "network": {"name": card.name, "hash": card.hash},
            "files": [{"path": str(path), "bytes": size} for path, size in written],
            "exports": facts,
        }
    )


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


def _laid_out(
    made: Mapping[str, Artifact], paths: Mapping[str, str], pictures: Mapping[Path, bytes]
) -> dict[Path, bytes]:
    """Every file, by its path, in folders that are there. Raises UsageError for two of one path."""
    from nin_spec.exporter import make_room

    files = dict(pictures)
    for name, artifact in made.items():
        found = placed(name, artifact, paths[name])
        if twice := files.keys() & found.keys():
            raise click.UsageError(f"two files would be written to {min(twice)}")
        if paths[name] != STDOUT:
            make_room(found, _folder(paths[name]))
        files |= found
    return files


_OWN = own_words(export_command)
export_command = derived(export_command)
