"""What can be measured: a model in memory, a run folder, an ONNX file. Each is written to files for workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from nin_spec.analysis.shapes import analyse
from nin_spec.bench.contenders import Entry, Job
from nin_spec.diagnostics import Code, Diagnostic, InputError
from nin_spec.model import Model
from nin_spec.passes.temperature import temperature_of

if TYPE_CHECKING:
    from nin_spec.runtime.providers import Device

Shape = tuple[int, ...]


@dataclass(frozen=True)
class BenchSubject:
    """What is measured. `file` is the ONNX file or its bytes; `shape` is the input (C, H, W).

    `model` is None if the PyTorch contenders are not possible, and `no_model` says why. `batch` is the file's fixed
    batch size, None for any; `macs` are per image, None if unknown. `passes` are those applied to the model, None for a
    spec's own; `output` is the file's declared output kind. `temperature` is what its scores are divided by.
    """

    name: str
    file: Path | bytes = field(repr=False)
    shape: Shape
    dtype: str
    model: Model | None = field(default=None, repr=False)
    no_model: str = ""
    hash: str = ""
    batch: int | None = None
    macs: int | None = None
    passes: tuple[str, ...] | None = None
    output: str | None = None
    temperature: float | None = None

    def lay_out(self, folder: Path, batches: Sequence[int]) -> None:
        """Write the files for workers into a folder: the file, the spec and its weights, the inputs."""
        if isinstance(self.file, bytes):
            (folder / "model.onnx").write_bytes(self.file)
        if self.model is not None:
            from nin_spec.weights import save

            (folder / "model.yaml").write_text(self.model.card.spec, encoding="utf-8")
            save(folder / "model.safetensors", self.model.weights)
        for batch in batches:
            np.save(folder / f"inputs-{batch}.npy", self.inputs(batch), allow_pickle=False)

    def inputs(self, batch: int) -> NDArray[np.float32]:
        """The same standard normal images for every contender, (batch, C, H, W)."""
        return np.random.default_rng(batch).standard_normal((batch, *self.shape), dtype=np.float32)

    def job(self, entry: Entry, folder: Path, device: str, threads: int) -> Job:
        """The job of an entry's worker."""
        own = str(folder / "model.onnx") if isinstance(self.file, bytes) else str(self.file.resolve())
        file = str(folder / "peer.onnx") if entry.contender.source == "peer file" else entry.file or own
        has = self.model is not None
        return Job(
            runner=entry.contender.runner,
            file=file,
            device=device,
            threads=threads,
            precision=entry.precision,
            spec=str(folder / "model.yaml") if has else "",
            weights=str(folder / "model.safetensors") if has else "",
            dtype=self.dtype,
            passes=self.passes,
            output=self.output,
            temperature=self.temperature,
            options=entry.options,
        )


def bench_model(model: Model, **options: Any) -> BenchSubject:
    """A model, exported in memory by the ONNX exporter's `options`. Raises ExportError."""
    from nin_spec.exporter import make

    (data,) = make(model, "onnx", options).files.values()
    batch = options.get("batch")
    return BenchSubject(
        name=model.card.name,
        file=data,
        shape=model.graph.input.shape,
        dtype=str(options.get("dtype", "float32")),
        model=model,
        hash=model.card.hash,
        batch=batch if isinstance(batch, int) else None,
        macs=analyse(model.graph).macs,
        temperature=temperature_of(model.graph),
    )


def bench_file(path: Path, device: Device) -> BenchSubject:
    """An ONNX file, of ours or another tool's. Raises InputError, DeviceError."""
    from nin_spec.evaluation.subjects import embedded_model, input_shape
    from nin_spec.runtime.session import open_session

    session = open_session(path, device, 1)  # with one thread, so that none remains to disturb the measurement
    if session.dtype.kind != "f" or session.takes_pixels:
        message = (
            f"{path} can't be measured: its input is raw pixels or {session.dtype}, but the bench passes float tensors"
        )
        raise InputError(Code.MODEL_UNREADABLE, message, hint="export it without --takes pixels")
    found = embedded_model(path, session)
    return BenchSubject(
        name=session.metadata.name or path.stem,
        file=path,
        shape=cast("Shape", input_shape(path, session, found.network)),
        dtype=str(session.dtype),
        model=found.model,
        no_model=found.why,
        hash=session.metadata.hash,
        batch=session.input_shape[0],
        macs=None if found.network is None else found.network.table.macs,
        passes=session.metadata.passes,
        output=session.metadata.output,
        temperature=session.metadata.temperature,
    )


def refuse_misfits(subject: BenchSubject, entries: Sequence[Entry], batches: Sequence[int]) -> None:
    """Raise InputError for problems known in advance: a peer without a model, an unsupported batch size."""
    wrong = []
    if subject.batch is not None and set(batches) != {subject.batch}:
        message = f"{subject.name} takes only batches of {subject.batch}"
        wrong.append(
            Diagnostic(
                Code.BENCH_CONTENDER, message, hint=f"pass --batch {subject.batch}, or export it with an open batch"
            )
        )
    for entry in entries:
        if subject.model is None and entry.contender.source in {"weights", "peer file"}:
            message = f"{entry.label} needs the network in PyTorch, which is not available: {subject.no_model}"
            hint = "pass the SPEC with --weights, or remove this contender"
            wrong.append(Diagnostic(Code.BENCH_CONTENDER, message, hint=hint))
    if wrong:
        raise InputError(wrong)
    for entry in entries:
        entry.contender.check()
