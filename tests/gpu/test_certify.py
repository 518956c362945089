"""`make gpu`: what a row costs that goes wrong, and a whole run with the CPU in the GPU's place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from gpu import odd, wheels
from gpu.__main__ import chosen, options
from gpu.certify import Certification, Outcome, judged
from gpu.found import Found
from gpu.rows import ROWS, TOTAL, Ask, Row

linux = pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux")
ASK = Ask("cpu", quick=True, folder="")
HERE = Path(__file__).parent


def run(*arguments: str, code: int = 0) -> dict[str, Any]:
    """`python tests/gpu --quick` on the CPU, and gpu.json in the folder after --out."""
    command = [sys.executable, str(HERE), "--device", "cpu", "--quick", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((Path(arguments[1]) / "gpu.json").read_text())
    return found


@pytest.fixture(scope="module")
def odd_pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], str]:
    """The rows of a run in which nearly everything goes wrong, and its page."""
    out = tmp_path_factory.mktemp("odd")
    environment = wheels.environment(out)
    subprocess.run([sys.executable, "-m", "gpu.odd", str(out)], check=True, env=environment, capture_output=True)
    return json.loads((out / "gpu.json").read_text())["rows"], (out / "gpu.md").read_text()


def test_each_row_that_goes_wrong_costs_itself_alone(odd_pages: tuple[list[dict[str, Any]], str]) -> None:
    """It raises, hangs, dies, or lacks a package: a line for each, and all others run."""
    rows, _ = odd_pages
    found = {row["name"].partition("-")[2]: (row["status"], row["reason"]) for row in rows}
    assert [row["name"] for row in rows] == [row.name for row in odd.ROWS]
    assert found["works"] == found["leaves"] == ("done", "")
    assert found["misses"] == ("missed", "the sky is green: it is blue")
    assert found["raises"] == ("failed", "ValueError: a typo")
    assert found["refuses"][0] == "failed"
    assert found["refuses"][1].endswith("no such file.onnx can't be used: it does not exist")
    assert found["lacks"] == ("skipped", "the package no_such_package is not installed")
    assert found["misspells"] == ("failed", "ModuleNotFoundError: No module named 'nin_spec.no_such_module'")
    assert found["lacks_an_extra"][0] == "skipped"
    assert "this needs no_such_package, which is not installed" in found["lacks_an_extra"][1]
    assert found["dies"] == ("failed", "it was killed by SIGSEGV")
    assert found["hangs"] == ("failed", "it did not end within 3 s, and was stopped")


@linux
def test_nothing_that_a_row_has_started_outlives_it(odd_pages: tuple[list[dict[str, Any]], str]) -> None:
    """Workers have sessions of their own, and may hang with the GPU's memory in their hands."""
    workers = [row["figures"]["worker"] for row in odd_pages[0] if "worker" in row.get("figures", {})]
    assert len(workers) == 2
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_what_a_row_has_found_outlives_it(odd_pages: tuple[list[dict[str, Any]], str]) -> None:
    """Figures, tables and the end of its log stand on the page, though it raised or was stopped."""
    rows, text = odd_pages
    assert next(row for row in rows if "raises" in row["name"])["figures"] == {"before": 1}
    assert "| what | n |\n| --- | --- |\n| one &#124; two | 42 |" in text
    assert "- it holds: holds\n- the sky is green: MISSED (it is blue)" in text
    assert "\nA remark.\n" in text
    assert "raise ValueError" in text
    assert "| a row that dies | failed |" in text
    assert "A stand-in: the CPU ran the same code" in text
    assert "3 of 11 rows done" in text


def test_a_row_without_time_or_device_is_skipped() -> None:
    """By the clock, and by what `doctor` found; without its report a row is tried."""
    row = Row("a", "a", "odd:works", 60, "tensorrt")
    late = Certification(ASK, time.monotonic() + 5, {})
    assert late._outcome(row).reason.startswith("no time left: 5 s, and it is not begun with less than 10 s")
    doctor = Row("doctor", "", "", 1)
    report = {"figures": {"hindrances": {"tensorrt": "the driver is too old"}}}
    hindered = Certification(ASK, 0, {}, [Outcome(doctor, "done", found=report)])
    assert hindered._outcome(row) == Outcome(row, "skipped", "the driver is too old")
    assert Certification(ASK, 0, {}, [Outcome(doctor, "failed")])._hindrance(row) == ""


@pytest.mark.parametrize(
    ("code", "said", "outcome"),
    [
        (0, [], ("done", "")),
        (3, [], ("failed", "it exited with status 3")),
        (1, ["Traceback", "KeyError: 'a'"], ("failed", "KeyError: 'a'")),
        (None, ["anything"], ("failed", "it did not end within 9 s, and was stopped")),
    ],
)
def test_how_a_process_ends_is_judged(code: int | None, said: Sequence[str], outcome: tuple[str, str]) -> None:
    """By its status, the end of its log, and the clock."""
    assert judged(code, 9, {}, said) == outcome


def test_the_command_line_names_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown one is an error, and a folder of wheels must be there."""
    assert (options([]).device, options([]).seconds) == ("cuda", TOTAL)
    assert TOTAL <= 480
    for wrong in (["--only", "doctor,grahps"], ["--wheels", "no such folder"], ["--device", "tpu"]):
        with pytest.raises(SystemExit) as caught:
            options(wrong)
        assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "grahps: rows are doctor, prove-float32, int8, graphs" in said
    assert "no such folder is not a folder" in said


def test_what_is_not_finite_is_text(tmp_path: Path) -> None:
    """A score that is NaN must not make the page unreadable for programs."""
    found = Found(tmp_path / "row.json", figures={"differences": [(1, float("inf")), (8, float("nan"))], "n": 0.5})
    found.keep()
    assert json.loads(found.path.read_text())["figures"] == {"differences": [[1, "inf"], [8, "nan"]], "n": 0.5}


def test_few_rows_take_longer_each() -> None:
    """Those asked for, and `doctor`, share the time; all rows have their own limits."""
    assert chosen([], TOTAL) == list(ROWS)
    rows = chosen(["int8"], 390)
    assert [(row.name, round(row.seconds)) for row in rows] == [("doctor", 300), ("int8", 90)]


# ------------------------------------------------------------------ wheels


def wheel(folder: Path, name: str, *, broken: bool = False) -> Path:
    """A wheel with one module, or only its name."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    if broken:
        path.write_bytes(b"no zip")
        return path
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "VALUE = 7\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: no-such-package\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{part},,\n" for part in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(part, content)
    return path


def test_wheels_are_installed_beside_the_python_that_is_there(tmp_path: Path) -> None:
    """One that pip refuses is reported, and the others are there; nothing is fetched, though one needs another."""
    folder, site = tmp_path / "wheels", tmp_path / "site"
    folder.mkdir()
    end = time.monotonic() + 300
    assert wheels.install(folder, site, end) == [f"{folder} has no wheels"]
    wheel(folder, "good_package")
    wheel(folder, "bad_package", broken=True)
    (remark,) = wheels.install(folder, site, end)
    assert remark.startswith("bad_package-1.0-py3-none-any.whl: ERROR: ")
    code = "import good_package; print(good_package.VALUE)"
    environment = wheels.environment(site)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "7\n"
    assert wheels.install(folder, site, time.monotonic()) == [
        f"{name}-1.0-py3-none-any.whl: no time left to install it" for name in ("bad_package", "good_package")
    ]


def test_a_checkout_that_is_not_installed_has_its_exporters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the metadata that an installation would write; where it is installed, nothing is written."""
    wheels.register(tmp_path / "installed")
    assert not (tmp_path / "installed").exists()

    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(wheels, "distribution", missing)
    wheels.register(tmp_path)
    code = (
        "from importlib.metadata import distribution as d; "
        "print(d('nin-spec').locate_file(''), [e.value for e in d('nin-spec').entry_points])"
    )
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=wheels.environment(tmp_path))
    assert done.stdout.startswith(str(tmp_path))
    assert "nin_spec.exporters.onnx_file:OnnxExporter" in done.stdout


def test_a_python_without_packages_says_which(tmp_path: Path) -> None:
    """Row by row, in pages that need none of them; the exit code is 1, because nothing was done."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin") / "python"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [str(python), str(HERE), "--device", "cpu", "--out", str(tmp_path), "--only", "graphs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert [(row["name"], row["status"]) for row in rows] == [("doctor", "skipped"), ("graphs", "skipped")]
    assert all(row["reason"].startswith("the package ") for row in rows), rows
    assert "0 of 2 rows done" in (tmp_path / "gpu.md").read_text()


# ------------------------------------------------------------------ the stand-in


EVERY_FUNCTION = ("prove-float32", "int8", "graphs", "speed-nin_cifar", "training", "prove-tf32", "tensorrt-nin_digits")


def test_each_function_is_that_of_a_row() -> None:
    """Those below are all."""
    assert {row.call for row in ROWS} == {row.call for row in ROWS if row.name in {"doctor", *EVERY_FUNCTION}}


@pytest.mark.parametrize(
    "only",
    [pytest.param(("graphs", "prove-tf32"), id="few"), pytest.param(EVERY_FUNCTION, id="all", marks=pytest.mark.long)],
)
def test_a_cpu_stands_in_for_the_gpu(tmp_path: Path, only: tuple[str, ...]) -> None:
    """Every function of every row is run, so that the first minute on a GPU is not spent on a typo."""
    found = run("--out", str(tmp_path), "--only", ",".join(only))
    status = {row["name"]: (row["status"], row["reason"]) for row in found["rows"]}
    reason = status.pop("prove-tf32")
    if reason[0] == "skipped":  # by the doctor's reason against CUDA
        assert "can't be used" in reason[1] or "has no CUDA" in reason[1] or "no TF32" in reason[1]
    assert set(status.values()) == {("done", "")}, status
    assert found["complete"]
    assert found["stand_in"]
