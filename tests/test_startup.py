"""What starting imports: a command and an import take only what they need, since the rest takes a second."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "rich",
    "typer",
    "click",
    "croniter",
    "typeguard",
    "naturalcron",
    "cattrs",
    "anyio",
    "asyncio",
    "pluggy",
}
"""Packages that take a while to import."""

LISTED = "import json, sys; print(json.dumps(sorted(sys.modules)))"
COMMAND = """
import sys
from jobmaster.cli import main

sys.argv[1:] = {arguments}
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
"""


def imported(code: str) -> set[str]:
    """Return the modules that a process has imported by the end of some code."""
    command = [sys.executable, "-c", f"{code}\n{LISTED}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_the_package_imports_no_more_than_keeps_its_log_safe() -> None:
    found = imported("import jobmaster")

    assert packages(found) & HEAVY == set()
    assert {name for name in found if name.startswith("jobmaster.")} == {
        "jobmaster._logs",
        "jobmaster._path",
        "jobmaster._starting",
        "jobmaster._text",
        "jobmaster._text.logtext",
        "jobmaster._logs.ownlog",
        "jobmaster._text.printable",
        "jobmaster._text.tracebacks",
    }


@pytest.mark.parametrize(
    "names", ["Cluster, JobContext, Priority, WorkerMode, handler", "SyncScheduler", "JobMasterError", "Cron"]
)
def test_a_public_name_does_not_import_what_reads_expressions_and_checks_types(names: str) -> None:
    found = imported(f"from jobmaster import {names}")

    assert packages(found) & {"rich", "typer", "click", "croniter", "typeguard", "naturalcron"} == set()


def test_the_version_is_shown_without_the_runtime() -> None:
    found = imported(COMMAND.format(arguments=["--version"]))

    assert packages(found) & HEAVY - {"typer", "click"} == set()
    assert "typer" in packages(found)
    assert not {"jobmaster.cluster", "jobmaster.models", "jobmaster.plugins"} & found
    assert {name for name in found if name.startswith("jobmaster.cli.")} == {
        "jobmaster.cli.app",
        "jobmaster.cli.commands",
        "jobmaster.cli.exits",
        "jobmaster.cli.output",
        "jobmaster.cli.streams",
    }


def test_a_command_imports_no_other_one() -> None:
    found = imported(
        COMMAND.format(arguments=["migrate", "--sql", "--cluster", "A", "--master", "memory://"])
    )

    assert "jobmaster.cli.migrate" in found
    assert not {"jobmaster.cli.jobs", "jobmaster.cli.status", "jobmaster.cli.worker"} & found
    assert packages(found) & {"rich", "croniter", "typeguard", "naturalcron"} == set()


def test_looking_at_a_cluster_needs_no_command_line() -> None:
    found = imported("import jobmaster.inspection")

    assert packages(found) & {"rich", "typer", "click", "croniter", "typeguard", "naturalcron"} == set()
    assert not {name for name in found if name.startswith("jobmaster.cli")}


def test_a_running_cluster_has_imported_what_it_may_need() -> None:
    found = imported(
        """
import anyio
from jobmaster import Cluster

async def main():
    async with Cluster("A", "memory://start").running(workers=False):
        pass

anyio.run(main)
"""
    )

    assert packages(found) >= {"croniter", "typeguard", "naturalcron"}
