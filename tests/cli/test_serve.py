"""nin-spec serve: what it refuses before it listens; tests/serving has the server itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from nin_spec.cli import execute


@pytest.mark.parametrize("where", ["file", "variable"])
def test_a_token_is_one_line(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A header can't hold two: such a server would refuse everybody, and say nothing of why."""
    monkeypatch.delenv("NIN_SPEC_TOKEN", raising=False)
    file = tmp_path / "token"
    file.write_text("one\ntwo\n")
    if where == "variable":
        monkeypatch.setenv("NIN_SPEC_TOKEN", "one\ntwo\n")
    given = ["--token-file", str(file)] if where == "file" else []
    assert execute(["serve", "missing.onnx", *given]) == 2
    said = capsys.readouterr().err
    assert f"{file if where == 'file' else 'NIN_SPEC_TOKEN'} must hold exactly one token" in said


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_an_empty_variable_is_not_a_token(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if it were not set: a server that is open to others is still refused."""
    monkeypatch.setenv("NIN_SPEC_TOKEN", text)
    assert execute(["serve", "missing.onnx", "--host", "0.0.0.0"]) == 2  # noqa: S104 refused
    assert "anyone could send requests" in capsys.readouterr().err
