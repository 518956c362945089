"""onnxruntime-web's files: known by their hashes, from a folder or npm's archive, and never from elsewhere."""

from __future__ import annotations

import io
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from nin_spec.browser import runtime_files
from nin_spec.browser.runtime_files import RELEASES, Release, read_runtime
from nin_spec.cli import execute
from nin_spec.diagnostics import ExportError

SCRIPT = (
    b"var a=1,b=2,c=3;export{a as InferenceSession,b as env,c as Tensor,a as default};\n//# sourceMappingURL=x.map\n"
)
WASM = b"\0asm of a test"
FILES = {"s.mjs": SCRIPT, "r.wasm": WASM}


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release of two small files."""
    known = {name: sha256(data).hexdigest() for name, data in FILES.items()}
    monkeypatch.setattr(runtime_files, "RELEASES", (Release("9.9.9", {"wasm": known, "webgpu": known}),))


def folder(place: Path, files: dict[str, bytes]) -> Path:
    """A folder with these files."""
    place.mkdir(parents=True)
    for name, data in files.items():
        (place / name).write_bytes(data)
    return place


def archive(path: Path) -> Path:
    """The archive that `npm pack` writes."""
    with tarfile.open(path, "w:gz") as made:
        for name, data in FILES.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.usefixtures("release")
def test_the_files_are_found(tmp_path: Path) -> None:
    """In a folder, in its dist/, and in an archive; the script ends with its exports as an object."""
    folder(tmp_path / "flat", FILES)
    folder(tmp_path / "package" / "dist", FILES)
    archive(tmp_path / "a.tgz")
    found = {read_runtime(tmp_path / name, "wasm") for name in ("flat", "package", "a.tgz")}
    (one,) = found
    assert (one.version, one.wasm) == ("9.9.9", WASM)
    assert one.script == "var a=1,b=2,c=3;\nconst ort = {InferenceSession:a,Tensor:c,env:b};\n"


@pytest.mark.usefixtures("release")
def test_others_are_refused(tmp_path: Path) -> None:
    """Missing, changed, not there at all, or not an archive; the hint is the command that gets them."""
    changed = folder(tmp_path / "changed", {**FILES, "r.wasm": WASM + b"!"})
    part = folder(tmp_path / "part", {"s.mjs": SCRIPT})
    noise = tmp_path / "noise.tgz"
    noise.write_bytes(b"no archive")
    cases = [
        (None, "a page needs the files of onnxruntime-web"),
        (tmp_path / "absent", "does not exist"),
        (folder(tmp_path / "empty", {}), "has no files of onnxruntime-web"),
        (changed, "not those of a known release (9.9.9)"),
        (part, "not those of a known release (9.9.9)"),
        (noise, "can't be read"),
    ]
    for place, why in cases:
        with pytest.raises(ExportError) as caught:
            read_runtime(place, "wasm")
        (found,) = caught.value.diagnostics
        assert why in found.message
        assert place is noise or "npm pack onnxruntime-web@9.9.9" in str(found.hint)


@pytest.mark.usefixtures("release")
def test_the_archive_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command reads it: not even with --force."""
    monkeypatch.chdir(tmp_path)
    before = archive(Path("a.tgz")).read_bytes()
    command = ["export", "nin_digits", "--no-parity", "--page", "a.tgz", "--runtime-files", "a.tgz", "--force"]
    assert execute(command) == 2
    assert "a.tgz is an input of this command" in capsys.readouterr().err
    assert Path("a.tgz").read_bytes() == before


def test_the_table_has_both_ways_to_compute() -> None:
    """Of each release a script, then its WebAssembly, with hashes of their own."""
    for known in RELEASES:
        assert set(known.files) == {"wasm", "webgpu"}
        hashes = [value for files in known.files.values() for value in files.values()]
        assert len(set(hashes)) == len(hashes) == 4
        for files in known.files.values():
            assert [Path(name).suffix for name in files] == [".mjs", ".wasm"]
            assert all(len(value) == 64 for value in files.values())
