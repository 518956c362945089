"""nin-spec import."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nin_spec.cli import completing
from nin_spec.cli.help import Command
from nin_spec.cli.options import force_option, tell, weights_of
from nin_spec.cli.outputs import FILE, STDOUT, deliver, protect
from nin_spec.cli.printer import Printer, printer_option, quiet_option
from nin_spec.diagnostics import ForeignModelError, printable
from nin_spec.foreign import foreign
from nin_spec.seals import Kind, sealed

if TYPE_CHECKING:
    from nin_spec.importers.decompiler.decompile import Imported


@click.command("import", cls=Command)
@click.argument("model", metavar="MODEL", shell_complete=completing.foreign)
@click.argument("caffemodel", metavar="[WEIGHTS.caffemodel]", required=False, shell_complete=completing.files)
@click.option(
    "-o", "--output", metavar="SPEC.yaml", type=FILE, help="Write the spec there.  [default: standard output]"
)
@click.option(
    "--weights",
    metavar="FILE.safetensors",
    type=FILE,
    help="Also write the weights there.",
)
@click.option(
    "--size",
    metavar="CxHxW",
    help="Input channels and size, where the file leaves them open; also HxW, or one number for a square.",
)
@force_option
@printer_option
@quiet_option
def import_command(
    model: str,
    caffemodel: str | None,
    output: str | None,
    weights: str | None,
    size: str | None,
    printer: Printer,
    *,
    force: bool,
) -> None:
    """Convert a network of another tool into a spec, with proof.

    MODEL is an ONNX file, or the .prototxt or .caffemodel of a Caffe net.

    \b
      nin-spec import model.onnx                                    print it as a spec
      nin-spec import model.onnx -o mine.yaml --weights mine.safetensors
      nin-spec import deploy.prototxt net.caffemodel -o mine.yaml --weights mine.safetensors
      nin-spec export mine.yaml --onnx --weights mine.safetensors   and back to ONNX

    The spec is written as a person would write it: in blocks, without defaults. Before anything is written, the spec is
    compiled, given the weights of the file and exported, and must compute in onnxruntime what the file computes. What
    the language can't express, for example a residual branch or a second output, is refused with the name of the node.
    No code in the file is run.

    What the proof covers: each operator is read by a rule; a function made of several operators agrees with an op of
    the language at values from 1e-3 to 1e12 of both signs, and at the breakpoints of its constants; both networks agree
    on inputs of several scales, and of several sizes if the size is open. Larger inputs, other dtypes, training, and
    preprocessing that the file does not state are not covered. A network too large to prove is refused: pass a
    smaller --size, or export it with an open batch.

    A Caffe net is a .prototxt, a .caffemodel or both. Caffe need not be installed: the spec must compute what Caffe's
    published definitions compute, with the weights of the net, or with random weights if it has none.

    A file of `nin-spec export` carries its spec, with names, labels and preprocessing but without the recipe (train).
    That spec is used if its export equals the file, node by node; otherwise the graph is read. An int8 file is refused:
    import the float32 file that it was made from.
    """
    if weights == STDOUT and output is None:
        raise click.UsageError("the spec goes to standard output: pass -o SPEC.yaml, or a path to --weights")
    spec = None if output in {None, STDOUT} else Path(output)
    targets = {Path(path): kind for path, kind in ((spec, Kind.SPEC), (weights, Kind.WEIGHTS)) if path is not None}
    protect(targets, [model, caffemodel], force=force)
    found, remarks = bring(model, caffemodel, parse_size(size), weights_wanted=weights is not None)
    text = f"# Written by nin-spec import, from {printable(Path(model).name)}.\n{found.text}"
    tell(map(printable, remarks))  # each is one line, and a file's name may hold a line break
    files: dict[Path, bytes] = {}
    if spec is not None:
        files[spec] = sealed(text.encode(), Kind.SPEC)
    if weights is not None:
        files[Path(weights)] = weights_of(found.model)
    deliver(files, [model, caffemodel], force=force)
    if output is None:
        printer.line(text.rstrip("\n"))
    elif spec is None:
        deliver({Path(STDOUT): sealed(text.encode(), Kind.SPEC)}, [], force=force)
    else:
        printer.line(f"wrote {output} ({found.network.table.parameters:,} parameters, {found.network.hash})")
    if weights is not None:
        wrote = f"wrote {weights} ({len(found.model.weights)} tensors)"
        # Beside a spec on standard output it is a remark.
        if spec is None:
            tell([wrote])
        else:
            printer.line(wrote)
    if spec is not None:
        tell([f"next: nin-spec build {output}"])
    printer.document(
        {
            "network": {"name": found.network.card.name, "hash": found.network.hash},
            "parameters": found.network.table.parameters,
            "spec": output,
            "text": text if spec is None else None,
            "weights": weights,
            "tensors": len(found.model.weights),
            "parity": None if found.proof is None else asdict(found.proof),
            "remarks": list(remarks),
        }
    )


def bring(
    model: str, caffemodel: str | None, size: tuple[int, ...] | None, *, weights_wanted: bool
) -> tuple[Imported, list[str]]:
    """The imported model of an ONNX file or a Caffe net."""
    kinds = [Path(name).suffix.lower() for name in (model, caffemodel) if name is not None]
    if caffemodel is not None and kinds[1] != ".caffemodel":
        raise click.BadParameter(f"{caffemodel} is not a .caffemodel, and a second file must be one")
    if kinds[0] in {".prototxt", ".caffemodel"}:
        from nin_spec.importers.caffe.importing import import_caffe

        if weights_wanted and ".caffemodel" not in kinds:
            hint = f"nin-spec import {model} net.caffemodel imports both"
            raise click.BadParameter(f"{model} holds no weights to write; {hint}", param_hint="--weights")
        return import_caffe(model, caffemodel, size)
    if caffemodel is not None:
        raise click.BadParameter(f"{model} is not a .prototxt, which {caffemodel} needs")
    from nin_spec.importers.onnx.importing import import_onnx

    try:
        return import_onnx(model, size)
    except ForeignModelError as error:
        *before, last = error.diagnostics
        raise ForeignModelError([*before, replace(last, hint=last.hint or way_from(model))]) from None


def way_from(model: str) -> str | None:
    """How to get from a file that is not ONNX to one that can be imported, judging by its name."""
    path = Path(model)
    if path.suffix.lower() in {".yaml", ".yml"}:
        return f"a spec does not need an import: nin-spec build {model}"
    other = foreign(path)
    return None if other is None else f"{other.what}: {other.way_from(path)}"


def parse_size(text: str | None) -> tuple[int, ...] | None:
    """`32`, `32x48` or `3x32x48` as (height, width) or (channels, height, width)."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(?:(\d{1,5})x)?(\d{1,5})x)?(\d{1,5})", text.strip())
    numbers = [int(number) for number in match.groups() if number] if match else []
    if not numbers or min(numbers) < 1:
        raise click.BadParameter(f"{text!r} is not a size; write 32, 32x48 or 3x32x48", param_hint="--size")
    return (numbers[0], numbers[0]) if len(numbers) == 1 else tuple(numbers)
