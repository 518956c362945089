"""nin-spec check: what the rules find, chosen, silenced, explained, and fixed in the files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from goldens import assert_golden

from nin_spec.cli import fixing
from nin_spec.diagnostics import Code

GOLDENS = Path(__file__).parent / "goldens"
Run = Callable[..., Any]

FAULTY = """\
# A spec with something of everything.
spec: 1
name: faulty
input: {channels: 3, size: 31}
classes: 10
defaults:
  norm: batch          # everywhere
blocks:
  - channels: [32, 32]
    kernel: 5
    pool: {kind: max, kernel: 2}    # nin: ignore[NIN905] it never was
  - convs: [32, {channels: 20, padding: 1}, {channels: classes, norm: none}]
    kernel: 3
head:
  dropout: 0.5
"""
TIDY = """\
# A spec with something of everything.
spec: 1
name: faulty
input: {channels: 3, size: 31}
classes: 10
defaults:
  norm: batch          # everywhere
  bias: false
blocks:
  - channels: [32, 32]
    kernel: 5
    pool: {kind: max, kernel: 2}
  - convs: [32, {channels: 20, padding: 1}, {channels: classes, norm: none, bias: true}]
    kernel: 3
head:
  dropout: 0.5
"""


@pytest.fixture(autouse=True)
def file(folder: Path) -> Path:
    """The faulty spec beside the sound one."""
    path = folder / "faulty.yaml"
    path.write_text(FAULTY)
    return path


def codes(text: str) -> list[str]:
    """The codes of a JSON report."""
    return [d["code"] for d in json.loads(text)]


# ------------------------------------------------------------------ what is reported


def test_findings_are_shown_like_errors(nin_spec: Run) -> None:
    """Place, line, caret, hint, then the verdict and what could be fixed; exit 0."""
    done = nin_spec("check", "faulty.yaml")
    assert (done.code, done.err) == (0, "")
    assert_golden(done.out, GOLDENS / "check_lint.txt")


def test_the_diff_is_shown(nin_spec: Run, file: Path) -> None:
    """What --fix --unsafe-fixes would do, nothing written, exit 1."""
    done = nin_spec("check", "faulty.yaml", "--diff", "--unsafe-fixes")
    assert done.code == 1
    assert_golden(done.out, GOLDENS / "check_diff.txt")
    assert [line.partition(":")[0] for line in done.err.splitlines()] == [
        f"would fix {code}" for code in ("NIN908", "NIN904", "NIN990", "NIN902", "NIN901")
    ]
    assert file.read_text() == FAULTY


def test_what_only_unsafe_fixes_remove_is_reported(nin_spec: Run, file: Path) -> None:
    """Behind a diff that shows none of it, and behind the fixes that were made."""
    done = nin_spec("check", str(file.name), "--diff")
    assert done.err.splitlines()[-1] == "faulty.yaml: 3 more by --unsafe-fixes"
    assert "by --fix --unsafe-fixes" in nin_spec("check", str(file.name), "--fix").out


def test_strict_fails_for_warnings(nin_spec: Run) -> None:
    """Notes are advice, and fail nothing."""
    assert nin_spec("check", "faulty.yaml", "--strict").code == 1
    assert nin_spec("check", "faulty.yaml", "--strict", "--select", "NIN910").code == 0
    assert nin_spec("check", "nin_cifar", "tiny.yaml", "--strict", "--no-lint").code == 0


def test_errors_come_before_rules(nin_spec: Run, file: Path) -> None:
    """A spec with errors exits 2 and shows these alone."""
    file.write_text(FAULTY.replace("kernel: 5", "kernal: 5"))
    done = nin_spec("check", "faulty.yaml", "--strict")
    assert done.code == 2
    assert "NIN9" not in done.out


def test_rules_are_chosen(nin_spec: Run) -> None:
    """--select takes some, --ignore leaves some out, --no-lint leaves all out; commas or again."""

    def found(*arguments: str) -> list[str]:
        return codes(nin_spec("check", "faulty.yaml", "--format", "json", *arguments).out)

    everything = found()
    assert {"NIN901", "NIN902", "NIN904", "NIN905", "NIN907", "NIN908", "NIN910", "NIN990"} <= set(everything)
    assert found("--select", "NIN904,NIN901") == ["NIN904", "NIN901"]
    assert found("--select", "NIN904", "--select", "NIN901", "--ignore", "NIN901") == ["NIN904"]
    assert found("--ignore", "NIN901, NIN990") == [c for c in everything if c not in {"NIN901", "NIN990"}]
    assert found("--no-lint") == []


def test_a_rule_that_is_none(nin_spec: Run) -> None:
    """Exit 2 with the nearest; errors can't be left out."""
    done = nin_spec("check", "faulty.yaml", "--select", "NIN94")
    assert done.code == 2
    assert "unknown rule 'NIN94'" in done.err
    assert nin_spec("check", "faulty.yaml", "--ignore", "NIN201").code == 2


def test_github_shows_notes_as_notices(nin_spec: Run) -> None:
    """Its workflow commands know errors, warnings and notices."""
    lines = nin_spec("check", "faulty.yaml", "--format", "github").out.splitlines()
    kinds = {line.partition(" file=")[0] for line in lines}
    assert kinds == {"::warning", "::notice"}


def test_overrides_leave_comments_alone(nin_spec: Run) -> None:
    """An override changes what there is to ignore: a comment is then not called unused."""
    done = nin_spec("check", "nin_cifar", "--set", "blocks.2.convs.2.activation=none")
    assert done.out == "nin_cifar: ok\n"


def test_what_a_family_shares_is_shown_once(nin_spec: Run) -> None:
    """A finding in a base is reported with the first spec that extends it, and counted for each."""
    done = nin_spec("check", "seed_fashion_mnist", "seed_fashion_mnist_lazy")
    assert done.out.count("NIN901") == 1
    assert done.out.count(": ok, 4 warnings, 1 note\n") == 2


# ------------------------------------------------------------------ --explain


def test_a_rule_explains_itself(nin_spec: Run) -> None:
    """Reason, examples, source, and how to silence it; no SPEC is needed."""
    done = nin_spec("check", "--explain", "nin904")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("NIN904: a pool that leaves out the last rows or columns\n")
    for words in ("Instead of", "write", "Source:", "# nin: ignore[NIN904]"):
        assert words in done.out


def test_a_code_that_is_none_explains_nothing(nin_spec: Run) -> None:
    """Exit 2 with the nearest."""
    done = nin_spec("check", "--explain", "NIN9044")
    assert done.code == 2
    assert "did you mean 'NIN904'?" in done.err


@pytest.mark.parametrize("code", Code, ids=lambda c: c.code)
def test_every_code_explains_itself(code: Code, nin_spec: Run) -> None:
    """At least by what it stands for."""
    assert nin_spec("check", "--explain", code.code).out.startswith(f"{code.code}: {code.meaning}\n")


# ------------------------------------------------------------------ --fix


def test_fix_puts_right_what_is_safe(nin_spec: Run, file: Path) -> None:
    """The file is written, its comments and layout kept; the rest is reported."""
    done = nin_spec("check", "faulty.yaml", "--fix")
    assert done.code == 0
    assert file.read_text() == TIDY
    assert "+  bias: false" in done.out
    assert "fixed NIN908:" in done.err
    assert codes(nin_spec("check", "faulty.yaml", "--format", "json").out).count("NIN904") == 1


def test_fix_again_changes_nothing(nin_spec: Run, file: Path) -> None:
    """Done is done: not even the file's time changes."""
    nin_spec("check", "faulty.yaml", "--fix", "--unsafe-fixes")
    text, before = file.read_text(), file.stat()
    done = nin_spec("check", "faulty.yaml", "--fix", "--unsafe-fixes")
    assert "fixed" not in done.out + done.err
    assert (file.read_text(), file.stat().st_mtime_ns, file.stat().st_ino) == (text, before.st_mtime_ns, before.st_ino)
    assert nin_spec("check", "faulty.yaml", "--diff", "--unsafe-fixes").code == 0


def test_fix_takes_chosen_rules(nin_spec: Run, file: Path) -> None:
    """--select and --ignore hold for fixes too."""
    nin_spec("check", "faulty.yaml", "--fix", "--select", "NIN990")
    assert file.read_text() == FAULTY.replace("    # nin: ignore[NIN905] it never was", "")


def test_every_file_is_fixed(nin_spec: Run, file: Path, folder: Path) -> None:
    """One with errors keeps no other from it."""
    (folder / "broken.yaml").write_text("spec: 1\n")
    done = nin_spec("check", "broken.yaml", "faulty.yaml", "--fix")
    assert done.code == 2
    assert file.read_text() == TIDY
    assert (folder / "broken.yaml").read_text() == "spec: 1\n"


def test_marks_and_line_ends_stay(nin_spec: Run, file: Path) -> None:
    """A byte order mark, CR LF, and the mode of the file."""
    file.write_bytes(BOM_UTF8 + FAULTY.replace("\n", "\r\n").encode())
    file.chmod(0o640)
    nin_spec("check", "faulty.yaml", "--fix")
    assert file.read_bytes() == BOM_UTF8 + TIDY.replace("\n", "\r\n").encode()
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_file_changed_meanwhile_is_left_alone(nin_spec: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody wrote between reading and writing is not lost."""
    tell = fixing.tell

    def interfere(*arguments: Any) -> None:
        file.write_text(FAULTY + "# mine\n")
        tell(*arguments)

    monkeypatch.setattr(fixing, "tell", interfere)
    done = nin_spec("check", "faulty.yaml", "--fix")
    assert done.code == 2
    assert "was changed while it was read" in done.err
    assert file.read_text() == FAULTY + "# mine\n"


def test_a_file_gone_meanwhile(nin_spec: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not brought back."""
    monkeypatch.setattr(fixing, "tell", lambda *_: file.unlink())
    assert nin_spec("check", "faulty.yaml", "--fix").code == 2
    assert not file.exists()


def test_a_disk_that_refuses(nin_spec: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A diagnostic, and the file as it was, with nothing beside it."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    done = nin_spec("check", "faulty.yaml", "--fix")
    assert done.code == 2
    assert "No space left on device" in done.err
    assert file.read_text() == FAULTY
    assert sorted(p.name for p in file.parent.iterdir()) == ["faulty.yaml", "tiny.yaml"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["nin_cifar", "--fix"],
        ["faulty.yaml", "nin_cifar", "--fix"],
        ["-", "--diff"],
        ["faulty.yaml", "--fix", "--set", "input.size=32"],
        ["faulty.yaml", "--fix", "--format", "json"],
        ["faulty.yaml", "--unsafe-fixes"],
    ],
)
def test_fixes_are_for_files(arguments: list[str], nin_spec: Run, file: Path) -> None:
    """Not for shipped networks, standard input or overridden specs; exit 2."""
    done = nin_spec("check", *arguments)
    assert done.code == 2
    assert "Usage" in done.err
    assert file.read_text() == FAULTY


def test_fixing_stays_cold(folder: Path) -> None:
    """Rules and fixes load no heavy library."""
    code = (
        "import sys; from nin_spec.cli import execute; execute(['check', 'faulty.yaml', '--fix', '--unsafe-fixes']);"
        "print({'torch', 'onnx', 'onnxruntime', 'numpy', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"
