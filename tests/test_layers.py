"""Modules import only what their layer allows; the contracts stand in the root pyproject.toml."""

import subprocess
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest

from jobmaster import Cluster, JobContext, handler
from jobmaster_sqlite.driver import SqliteDriver

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


MOST_FRAMES = 9


@handler("Layers")
async def nothing_much(job: JobContext) -> None: ...


@pytest.mark.anyio
async def test_few_calls_lie_between_a_scheduling_call_and_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted from `once_now` to the driver's `run`, both included."""
    ways: list[list[str]] = []
    run = SqliteDriver.run

    async def noting(driver: SqliteDriver, *args: Any, **options: Any) -> Any:
        names = [frame.name for frame in traceback.extract_stack()[:-1]]
        if "once_now" in names:
            ways.append([*names[names.index("once_now") :], "run"])
        return await run(driver, *args, **options)

    cluster = Cluster.standalone("Layers-1", f"sqlite:///{tmp_path}/layers.db").add_handlers(nothing_much)
    async with cluster.running() as runtime:
        await runtime.scheduler.once_now(nothing_much, {"number": 1})  # reads the buckets first
        monkeypatch.setattr(SqliteDriver, "run", noting)
        await runtime.scheduler.once_now(nothing_much, {"number": 2})

    assert ways
    assert max(map(len, ways)) <= MOST_FRAMES, ways
