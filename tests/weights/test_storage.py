"""Weights survive a file, and no hostile file survives us."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save as to_safetensors
from safetensors.torch import save_file
from weight_files import (
    assert_same,
    foreign,
    refused,
    small,
    take,
    values,
)

from nin_spec.diagnostics import Code, ExportError, WeightsError
from nin_spec.ir import ops
from nin_spec.ir.graph import Graph
from nin_spec.ir.types import DType, TensorType
from nin_spec.weights import load, save
from nin_spec.weights.storage import read


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_saved_is_loaded(tmp_path: Path, dtype: DType) -> None:
    """Every bit of every tensor, and nothing is renamed."""
    graph = small(dtype)
    save(tmp_path / "w.safetensors", values(graph), {"nin_spec.name": "small"})
    adoption = load(tmp_path / "w.safetensors", graph)
    assert_same(adoption.weights, values(graph))
    assert not adoption.renamed
    assert adoption.mapping == tuple((n, n) for n in graph.parameters())
    assert adoption.remarks == ()


def test_a_saved_file_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    """Whatever the process: another interpreter writes the metadata in the same order."""
    code = (
        "import sys, numpy as np; from pathlib import Path; from nin_spec.weights import save;"
        "save(Path(sys.argv[1]), {'a.weight': np.ones(3, 'f4')}, {k: k for k in 'vwxyz'})"
    )
    for i in range(4):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / f"{i}")], check=True)
    assert len({(tmp_path / f"{i}").read_bytes() for i in range(4)}) == 1


def test_saved_files_are_readable_by_others(tmp_path: Path) -> None:
    """By the safetensors library, with the metadata."""
    from safetensors import safe_open

    save(tmp_path / "w.safetensors", values(small()), {"nin_spec.name": "small"})
    with safe_open(tmp_path / "w.safetensors", framework="numpy") as file:
        assert file.metadata() == {"nin_spec.name": "small"}
        assert_same({name: file.get_tensor(name) for name in values(small())}, values(small()))


def test_tensors_are_read_in_a_fixed_order(tmp_path: Path) -> None:
    """Messages list them, and the library returns them in an order that varies by process."""
    names = [f"t{k:02}" for k in range(40)]
    (tmp_path / "w.safetensors").write_bytes(to_safetensors({name: np.zeros(1, "f4") for name in reversed(names)}))
    assert list(read(tmp_path / "w.safetensors").states[0].tensors) == names


def test_saving_into_nowhere_is_refused(tmp_path: Path) -> None:
    """A missing folder is an ExportError, and nothing is left behind."""
    with pytest.raises(ExportError, match="does not exist"):
        save(tmp_path / "nowhere" / "w.safetensors", values(small()), {})
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_function_are_remarked(tmp_path: Path) -> None:
    """Tensors that fit may be another spec's: the hash in the file tells."""
    save(tmp_path / "w.safetensors", values(small()), {"nin_spec.hash": "nin1:another"})
    (remark,) = load(tmp_path / "w.safetensors", small()).remarks
    assert "nin1:another" in remark


# ------------------------------------------------------------------ hostile files


class Attack:
    """Pickled, a call that runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch OWNED",)


@pytest.mark.parametrize("old", [False, True])
def test_code_in_a_checkpoint_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, old: bool) -> None:
    """It is refused, and the message does not advise to trust the file."""
    monkeypatch.chdir(tmp_path)
    state = {**{n: torch.from_numpy(a) for n, a in foreign(small()).items()}, "x": Attack()}
    torch.save(state, "evil.pt", _use_new_zipfile_serialization=not old)
    with refused(Code.WEIGHTS_UNREADABLE, "never run") as caught:
        load(Path("evil.pt"), small())
    assert "weights_only" not in str(caught.value)
    Path("raw.pt").write_bytes(pickle.dumps(Attack(), protocol=2))
    with refused(Code.WEIGHTS_UNREADABLE, "raw.pt can't be used"):
        load(Path("raw.pt"), small())
    assert not Path("OWNED").exists()


def header(size: int, text: bytes = b"{}") -> bytes:
    """The start of a safetensors file that claims a header of `size` bytes."""
    return size.to_bytes(8, "little") + text


def zip_of(**files: bytes) -> bytes:
    """A zip archive."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1234567",
        header(1 << 40),
        header((1 << 64) - 1),
        header(2, b"[]"),
        header(4, b"null"),
        header(50_000_000, b"{" * 1000),
        header(15, b'{"a":{"b":"c"}}'),
        to_safetensors(values(small()))[:-5],
        to_safetensors(values(small())) + b"more",
        zip_of(readme=b"hello"),
        zip_of(),
        b"PK\x03\x04",
        b"\x80\x02.",
        b"\x80\x02",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"spec: 1\nname: tiny\n",
    ],
    ids=lambda d: repr(d[:10]),  # without the time of a zip archive: the workers of a run name a test alike
)
def test_files_of_another_kind_are_refused(data: bytes, tmp_path: Path) -> None:
    """Truncated, oversized, empty, or something else altogether."""
    (tmp_path / "w").write_bytes(data)
    with refused(Code.WEIGHTS_UNREADABLE, "can't be used"):
        load(tmp_path / "w", small())


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder, a pipe (which would wait for ever)."""
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("missing", "does not exist"), (".", "not a regular file"), ("pipe", "not a regular file")):
        with refused(Code.WEIGHTS_UNREADABLE, why):
            load(tmp_path / name, small())


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {"epoch": 3}, {}, {1: torch.zeros(3)}, {"a": "text"}])
def test_a_checkpoint_without_tensors_is_refused(content: Any, tmp_path: Path) -> None:
    """Whatever else torch.save can hold."""
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"w\.pt"):
        load(tmp_path / "w.pt", small())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tensor_that_only_claims_to_be_large_is_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    """One number that says it is 10^12: refused by its shape, before memory is taken."""
    state: dict[str, Any] = {n: torch.from_numpy(a) for n, a in foreign(small()).items()}
    torch.save({**state, "mix1.weight": torch.zeros(1, dtype=dtype).expand(10**12)}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"mix1"):
        load(tmp_path / "w.pt", small())


@pytest.mark.parametrize("name", [".weight", "..weight", "weight", "", ".", "a..weight", "\x1b[2J.weight"])
def test_odd_names_are_only_names(name: str) -> None:
    """A match is by shape here; a last part that is not a role is refused."""
    graph = Graph("g", TensorType((3, 8, 8))).then("a", ops.Conv2d(8, (3, 3), bias=False))
    (array,) = values(graph).values()
    if name.endswith("weight"):
        assert take({name: array}, graph).mapping == ((name, "a.weight"),)
    else:
        with refused(Code.WEIGHTS_MISMATCH, "does not fit"):
            take({name: array}, graph)


@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_damaged_files_are_refused_or_read(kind: str, tmp_path: Path) -> None:
    """Bytes changed at random give a WeightsError, or weights that fit; never another exception."""
    tensors = {n: torch.from_numpy(a) for n, a in foreign(small()).items()}
    path = tmp_path / "w"
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "zip")
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole)
        for at in random.integers(0, min(len(whole), 3000), random.integers(1, 6)):
            damaged[at] = random.integers(0, 256)
        path.write_bytes(damaged[: random.integers(1, len(whole))] if random.random() < 0.2 else damaged)
        try:
            adoption = load(path, small())
        except WeightsError:
            continue
        assert list(adoption.weights) == list(small().parameters())


@pytest.mark.parametrize(
    ("change", "said"), [(torch.Tensor.to_sparse, "is sparse"), (lambda t: t.to("meta"), "is on the device meta")]
)
def test_a_tensor_of_another_form_is_reported(tmp_path: Path, change: Any, said: str) -> None:
    """A sparse one and one without numbers hold floating-point numbers by their type, which is not the fault."""
    graph = small("float32")
    tensors = {name: torch.from_numpy(array) for name, array in values(graph).items()}
    first = next(iter(tensors))
    torch.save({**tensors, first: change(tensors[first])}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=f"{first} {said}"):
        load(tmp_path / "w.pt", graph)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Namespace(lr=0.1), "an object (argparse.Namespace)"),
        (np.zeros(3), "a NumPy array or scalar (numpy"),
        (np.float64(1), "a NumPy array or scalar (numpy"),
    ],
)
def test_what_a_checkpoint_holds_besides_tensors_is_named(value: Any, told: str, tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.zeros(1)}, "args": value}, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match="it contains more than tensors: ") as caught:
        read(tmp_path / "net.pt")
    assert told in str(caught.value)


def test_a_url_is_refused_as_one() -> None:
    with pytest.raises(
        WeightsError, match=r"https://example\.org/net\.pt can't be used: it is a URL, and only local files are read"
    ):
        read(Path("https://example.org/net.pt"))
