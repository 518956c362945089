"""The command line before it comes to a command."""

from __future__ import annotations

import pytest

from nin_spec.cli import COMMANDS, execute


@pytest.mark.floors
def test_without_arguments_the_commands_are_listed_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was asked for, so nothing was done."""
    assert execute([]) == 2
    printed = capsys.readouterr()
    assert all(f"  {name} " in printed.out + printed.err for name in COMMANDS)
