"""nin-spec import."""

from __future__ import annotations

import re
from pathlib import Path

import click

from nin_spec.cli.options import force_option, protect, tell


@click.command("import")
@click.argument("model", metavar="MODEL.onnx")
@click.option("-o", "--output", metavar="SPEC.yaml", help="Write the spec there.  [default: standard output]")
@click.option("--weights", metavar="FILE.safetensors", help="Also write the weights there, under our names.")
@click.option(
    "--size", metavar="HxW", help="The picture's size, where the file leaves it open; one number is a square."
)
@force_option
def import_command(model: str, output: str | None, weights: str | None, size: str | None, force: bool) -> None:
    """Bring a network of another tool into the language, with proof.

    \b
      nin-spec import model.onnx                                    look at it as a spec
      nin-spec import model.onnx -o mine.yaml --weights mine.safetensors
      nin-spec export mine.yaml --onnx --weights mine.safetensors   and out again

    The spec is what a person would have written: blocks, and nothing that goes without saying. Before
    anything is written, it is compiled, given the file's weights, exported, and must compute in
    onnxruntime what the file computes. What the language can't say, such as a residual branch or a
    second output, is refused with the node's name. No code of the file is run.

    A file that carries its own spec, as those of `nin-spec export` do, gives that spec back.
    """
    from nin_spec.files import write_atomic
    from nin_spec.importers.onnx_import import import_onnx
    from nin_spec.weights import save

    targets = [Path(path) for path in (output, weights) if path is not None]
    protect(targets, [model], force=force)
    found, remarks = import_onnx(model, parse_size(size))
    text = f"# Written by nin-spec import, from {Path(model).name}.\n{found.text}"
    tell(remarks)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_atomic(Path(output), text.encode())
        click.echo(f"wrote {output} ({found.network.table.parameters:,} parameters, {found.network.hash})")
    if weights is not None:
        card = found.model.card
        facts = {"name": card.name, "hash": card.hash, "weights": card.weights}
        save(Path(weights), found.model.weights, {f"nin_spec.{key}": value for key, value in facts.items()})
        click.echo(f"wrote {weights} ({len(found.model.weights)} tensors)")
    if output is not None:
        tell([f"next: nin-spec build {output}"])


def parse_size(text: str | None) -> tuple[int, int] | None:
    """`32` or `32x48` as (height, width)."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text.strip())
    if match is None or int(match[1]) < 1 or int(match[2] or 1) < 1:
        raise click.BadParameter(f"{text!r} is not a size; write 32 or 32x48", param_hint="--size")
    return int(match[1]), int(match[2] or match[1])
