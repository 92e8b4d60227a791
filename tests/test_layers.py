"""Modules import only what their layer allows; the contracts stand in the root pyproject.toml."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import grimp

CONFIGURATION = Path(__file__).parent.parent / "pyproject.toml"


def test_every_import_contract_is_kept() -> None:
    # In a process of its own: the linter's logging set-up would silence ours for the tests that follow.
    script = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", script, "--config", str(CONFIGURATION), "--no-cache", "--no-logo"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CONFIGURATION.parent)

    assert done.returncode == 0, done.stdout + done.stderr


LONGEST_CHAIN = 20


def test_the_longest_chain_of_imports_is_short() -> None:
    """Whoever reads the topmost module has at most this many below it; imports for annotations do not count."""
    graph = grimp.build_graph("jobmaster", exclude_type_checking_imports=True, cache_dir=None)

    @cache
    def chain(module: str) -> tuple[str, ...]:
        below = [chain(one) for one in sorted(graph.find_modules_directly_imported_by(module))]
        return (module, *max(below, key=len, default=()))

    longest = max((chain(module) for module in sorted(graph.modules)), key=len)

    assert len(longest) <= LONGEST_CHAIN, longest
