"""Every file that JobMaster makes: where in the code, and that it is its owner's alone."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobmaster import Cluster, JobContext, handler

ROOT = Path(__file__).parents[1]

MAKING = {
    *("open", "fdopen", "mkdir", "makedirs", "mkfifo", "mknod", "write_text", "write_bytes", "touch"),
    *(
        "mkdtemp",
        "mkstemp",
        "TemporaryDirectory",
        "NamedTemporaryFile",
        "TemporaryFile",
        "SpooledTemporaryFile",
    ),
    *(
        "symlink",
        "symlink_to",
        "link",
        "hardlink_to",
        "rename",
        "renames",
        "copyfile",
        "copytree",
    ),
    *("FileHandler", "RotatingFileHandler", "TimedRotatingFileHandler", "WatchedFileHandler"),
}
"""Names of functions of the standard library that make a file, a folder or a link."""

PLACES = {
    "jobmaster/cli/demo/command.py mkdtemp": "the demo's file, if kept: a folder that Python makes for its owner alone",
    "jobmaster/cli/demo/command.py TemporaryDirectory": "the same, if it is not kept",
    "jobmaster/cli/streams.py open": "the null device",
    "jobmaster/_logs/debuglog.py fdopen": "a descriptor from files.py",
    "jobmaster/_process/files.py mkdir": "the folder of the debug log",
    "jobmaster/_process/files.py open": "the debug log, and databases before SQLite opens them",
    "jobmaster_sqlite/connection.py connect": "the database, and what SQLite lays beside it with the same mode",
    "jobmaster_testing/servers.py mkdtemp": "a PostgreSQL or NATS server for tests",
    "jobmaster_testing/servers.py write_text": "the configuration of a NATS server for tests",
}
"""Where files are made, and which."""


def calls(path: Path) -> Iterator[str]:
    """Yield the names of functions that are called to make something."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        last = name.rpartition(".")[2]
        is_plain = name in {
            last,
            f"os.{last}",
            f"shutil.{last}",
            f"tempfile.{last}",
            f"logging.handlers.{last}",
        }
        is_of_path = last in {
            "mkdir",
            "write_text",
            "write_bytes",
            "touch",
            "symlink_to",
            "hardlink_to",
            "rename",
        }
        if name == "sqlite3.connect" or (last in MAKING and (is_plain or is_of_path)):
            yield last


def test_every_place_that_makes_a_file_is_known() -> None:
    found = {
        f"{path.relative_to(source)} {name}"
        for source in ROOT.glob("*/src")
        for path in source.rglob("*.py")
        for name in calls(path)
    }

    assert found == set(PLACES)


def below(folder: Path) -> list[Path]:
    return list(folder.rglob("*"))


@handler("Files.Work")
async def work(job: JobContext) -> None: ...


@pytest.mark.anyio
async def test_all_of_a_clusters_files_are_their_owners(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cluster = Cluster("Files-1", f"sqlite:///{tmp_path}/jobs.db").add_handlers(work)
        cluster.add_agent("A", f"sqlite:///{tmp_path}/agent.db").add_worker(agent="A")
        cluster.archive_to(f"sqlite:///{tmp_path}/archive.db").debug_jsonl(tmp_path / "debug" / "log")
        async with cluster.running() as runtime:
            receipt = await runtime.scheduler.once_now(work)
            await runtime.jobs.wait(receipt.job_id, timeout=10)
            made = {path: path.stat().st_mode & 0o777 for path in below(tmp_path)}
    finally:
        os.umask(before)

    assert {path.name for path in made} >= {
        "jobs.db",
        "jobs.db-wal",
        "jobs.db-shm",
        "agent.db",
        "agent.db-wal",
        "log",
    }
    assert {oct(mode) for path, mode in made.items() if path.is_dir()} == {"0o700"}
    assert {oct(mode) for path, mode in made.items() if path.is_file()} == {"0o600"}
