"""Several processes on one file."""

import subprocess
import sys

import pytest
from anyio import create_task_group
from anyio.to_thread import run_sync

from jobmaster.contracts import MasterRepository, Topics
from jobmaster.models import JobQuery
from jobmaster_testing.factories import CLUSTER
from jobmaster_testing.options import unopened_master
from jobmaster_testing.probes import Seen

INSERT = """
import sys
import anyio
from jobmaster_testing.factories import make_new_job
from jobmaster_testing.options import open_master

async def main(url, count):
    async with open_master(url) as master:
        for _ in range(count):
            await master.jobs.insert([make_new_job()])

anyio.run(main, sys.argv[1], int(sys.argv[2]), backend=sys.argv[3])
"""

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def start(url: str, count: int, backend: str = "asyncio") -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-W", "error", "-c", INSERT, url, str(count), backend])


async def ended(process: "subprocess.Popen[bytes]") -> int:
    return await run_sync(process.wait)


async def test_several_processes_create_and_fill_one_file(url: str) -> None:
    processes = [start(url, 100, backend) for backend in ("asyncio", "trio", "asyncio")]

    assert [await ended(process) for process in processes] == [0, 0, 0]

    master = unopened_master(url)
    await master.open()
    try:
        assert list(await master.schema.pending()) == []
        assert sum((await master.jobs.count(CLUSTER, JobQuery())).values()) == 300
    finally:
        await master.close()


async def test_what_another_process_commits_is_notifications(master: MasterRepository, url: str) -> None:
    heard: Seen[str] = Seen()
    async with create_task_group() as group:
        group.start_soon(master.notifications.listen, [Topics.buckets("c")], heard.add, lambda: None)
        process = start(url, 1)

        await heard.count(1, timeout=30)

        assert heard.items[0] == Topics.ANY
        group.cancel_scope.cancel()
    assert await ended(process) == 0
