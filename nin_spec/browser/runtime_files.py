"""The files of onnxruntime-web that a page holds: read from the npm package, and used only if their hashes are known.

Nothing is downloaded. They are read from the archive that `npm pack onnxruntime-web@1.30.0` makes, or from a folder,
for example `node_modules/onnxruntime-web`.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from nin_spec.diagnostics import Code, ExportError

Compute = Literal["wasm", "webgpu"]


@dataclass(frozen=True, slots=True)
class Release:
    """A release of onnxruntime-web: for each way to compute, its script and its WebAssembly, each with its SHA-256."""

    version: str
    files: Mapping[Compute, Mapping[str, str]]


RELEASES = (
    Release(
        "1.30.0",
        {
            "wasm": {
                "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
                "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
            },
            "webgpu": {
                "ort.webgpu.bundle.min.mjs": "0730816731ce2cdfb06f273da065d4a1c7091eb9d1756a83b2916c8a89d015e2",
                "ort-wasm-simd-threaded.asyncify.wasm": (
                    "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da"
                ),
            },
        },
    ),
)
"""The releases that pages were tested with, the newest first."""

_EXPORTS = re.compile(r"export\{([^{}]*)\};?\s*$")
_SOURCE_MAP = re.compile(r"\n//# sourceMappingURL=\S+\s*$")
_NAMES = ("InferenceSession", "Tensor", "env")


@dataclass(frozen=True, slots=True)
class Runtime:
    """A script that ends with `const ort = ...`, for the start of a module, and the WebAssembly that it loads."""

    version: str
    script: str
    wasm: bytes


def read_runtime(place: Path | None, compute: Compute) -> Runtime:
    """The runtime in a folder or an archive of npm. Raises ExportError for a missing, unknown or changed file."""
    newest = RELEASES[0].version
    hint = f"npm pack onnxruntime-web@{newest}, and pass --runtime-files onnxruntime-web-{newest}.tgz"
    if place is None:
        raise ExportError(Code.EXPORT_OPTION, "a page needs the files of onnxruntime-web", hint=hint)
    if not place.exists():
        raise ExportError(Code.EXPORT_OPTION, f"{place} does not exist", hint=hint)
    found = _members(place, {name for release in RELEASES for name in release.files[compute]})
    for release in RELEASES:
        script, wasm = release.files[compute]
        if all(sha256(found.get(name, b"")).hexdigest() == known for name, known in release.files[compute].items()):
            return Runtime(release.version, _as_module(found[script].decode()), found[wasm])
    if not found:
        raise ExportError(Code.EXPORT_OPTION, f"{place} has no files of onnxruntime-web", hint=hint)
    known = ", ".join(release.version for release in RELEASES)
    message = f"{', '.join(sorted(found))} in {place}: not those of a known release ({known})"
    raise ExportError(Code.EXPORT_OPTION, message, hint=hint)


def _members(place: Path, names: set[str]) -> dict[str, bytes]:
    """The files of these names in an archive of npm, or in a folder and its dist/. Raises ExportError."""
    try:
        if place.is_dir():
            paths = (folder / name for folder in (place, place / "dist") for name in names)
            return {path.name: path.read_bytes() for path in paths if path.is_file()}
        with tarfile.open(place) as archive:
            wanted = {f"package/dist/{name}": name for name in names}
            files = {wanted[m.name]: archive.extractfile(m) for m in archive if m.name in wanted and m.isfile()}
            return {name: file.read() for name, file in files.items() if file is not None}
    except (OSError, tarfile.TarError, EOFError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ExportError(Code.EXPORT_OPTION, f"{place} can't be read: {why}") from None


def _as_module(text: str) -> str:
    """The bundle with its exports as an object `ort`: a script within a page can't be imported by its name."""
    text = _SOURCE_MAP.sub("", text)
    exports = _EXPORTS.search(text)
    if exports is None:
        raise ValueError("the bundle of a known release ends with its exports")
    local = {name: own for own, name in (part.split(" as ") for part in exports[1].split(","))}
    chosen = ",".join(f"{name}:{local[name]}" for name in _NAMES)
    return f"{text[: exports.start()]}\nconst ort = {{{chosen}}};\n"
