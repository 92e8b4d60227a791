"""Modules import only what their layer allows; the contracts stand in the root pyproject.toml."""

import subprocess
import sys
from pathlib import Path

CONFIGURATION = Path(__file__).parent.parent / "pyproject.toml"


def test_every_import_contract_is_kept() -> None:
    # In a process of its own: the linter's logging set-up would silence ours for the tests that follow.
    script = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", script, "--config", str(CONFIGURATION), "--no-cache", "--no-logo"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CONFIGURATION.parent)

    assert done.returncode == 0, done.stdout + done.stderr
