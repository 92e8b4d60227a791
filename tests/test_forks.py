"""Processes that fork: before they use a cluster, while it runs, and in its handlers.

Each test is a program of its own, since a child has one thread of its parent's, and none of pytest's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobmaster_testing.servers import postgres_url

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform"),
]

START = """
import multiprocessing, os, signal, sys, threading, time
from pathlib import Path
import anyio
from jobmaster import Cluster, JobDefinition, NotRunningError, handler
from jobmaster.cluster import find_runtime

URL, BACKEND = sys.argv[1:]
NOTE = JobDefinition("Note")

def cluster():
    return Cluster.standalone("Forks", URL).configure(stop_grace=5)

def in_child(work):
    # Return the exit code of a child that does some work; it may take 20 seconds.
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            work()
        except BaseException as error:
            print("child:", type(error).__name__, error, flush=True)
            os._exit(9)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def refused(call):
    try:
        call()
    except NotRunningError as error:
        return str(error)
    return "not refused"
"""


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


def run(folder: Path, program: str, url: str, backend: str = "asyncio") -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(START + program)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "program.py", url, backend]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False)


def passes(folder: Path, program: str, url: str, backend: str = "asyncio") -> str:
    done = run(folder, program, url, backend)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def any_url(request: pytest.FixtureRequest, url: str) -> str:
    return url if request.param == "sqlite" else postgres_url()


def test_a_scheduler_opened_before_a_fork_says_where_to_open_it(tmp_path: Path, url: str) -> None:
    said = passes(
        tmp_path,
        """
with cluster().sync_scheduler() as scheduler:
    scheduler.once_now(NOTE)
    def use():
        print(refused(lambda: scheduler.once_now(NOTE)), flush=True)
        print(refused(lambda: scheduler.job("1")), flush=True)
        scheduler.__exit__(None, None, None)
        with cluster().sync_scheduler() as own:
            assert own.once_now(NOTE).created
    assert in_child(use) == 0
    assert scheduler.once_now(NOTE).created
""",
        url,
    )
    assert said.count("open cluster.sync_scheduler() after the fork") == 2


def test_a_child_that_never_closes_what_it_inherited_ends(tmp_path: Path, any_url: str) -> None:
    passes(
        tmp_path,
        """
scheduler = cluster().sync_scheduler().__enter__()
child = os.fork()
if child == 0:
    signal.alarm(20)
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
assert scheduler.once_now(NOTE).created
scheduler.__exit__(None, None, None)
""",
        any_url,
    )


def test_a_cluster_configured_before_a_fork_runs_in_parent_and_child(
    tmp_path: Path, any_url: str, backend: str
) -> None:
    passes(
        tmp_path,
        """
done = []

@handler("Work")
async def work(job):
    done.append(os.getpid())

made = cluster().add_worker(parallelism=0.1).debug_jsonl("logs")

async def life():
    async with made.running() as runtime:
        receipts = [await runtime.scheduler.once_now(work) for _ in range(3)]
        for receipt in receipts:
            await runtime.jobs.wait(receipt.job_id, 10)

def use():
    made.configure(stop_grace=3)
    anyio.run(life, backend=BACKEND)
    made.sync_scheduler().__enter__().once_now(NOTE)

async def main():
    async with made.running():
        assert await anyio.to_thread.run_sync(in_child, use) == 0
        async with made.running(workers=False) as runtime:
            assert await runtime.jobs.count() >= 4

async def look():
    async with made.running(workers=False) as runtime:
        assert await runtime.jobs.count() >= 7

assert in_child(use) == 0
anyio.run(main, backend=BACKEND)
anyio.run(life, backend=BACKEND)
files = list(Path("logs").iterdir())
assert len(files) == 3, files
for file in files:
    assert "Work" in file.read_text() or file.name.endswith(f"{os.getpid()}.jsonl")
""",
        any_url,
        backend,
    )


def test_ids_are_made_in_a_child_although_a_thread_made_one_when_it_forked(tmp_path: Path, url: str) -> None:
    passes(
        tmp_path,
        """
from jobmaster import ids, notifications
from jobmaster.notifications import NotificationHub

hub = NotificationHub()
ids._lock.acquire()
hub._lock.acquire()
def use():
    ids.new_id()
    hub.tell(["topic"])
assert in_child(use) == 0
""",
        url,
    )


HANDLERS = """
@handler("Thread", max_retries=0)
def in_thread(job):
    if os.fork() == 0:
        {thread_end}

@handler("Loop", max_retries=0)
async def in_loop(job):
    if os.fork() == 0:
        {loop_end}

@handler("Process", max_retries=0)
def process(job):
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
    child.start()
    child.terminate()
    child.join(10)
    assert child.exitcode == -signal.SIGTERM, child.exitcode

import logging
logging.basicConfig(level="INFO", format="%(process)d %(message)s")
cluster = cluster().add_worker(name="w1", parallelism=0.1).add_handlers(in_thread, in_loop, process)

async def main():
    async with cluster.running() as runtime:
        receipt = await runtime.scheduler.once_now({name})
        others = [await runtime.scheduler.once_after(process, 3600) for _ in range(3)]
        job = await runtime.jobs.wait(receipt.job_id, 20)
        print(job.status.value, *(attempt.error.text if attempt.error else "" for attempt in job.attempts))
        while True:
            try:
                _, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if _ :
                print("child", os.waitstatus_to_exitcode(status))
            await anyio.sleep(0.05)
        assert (await runtime.jobs.wait((await runtime.scheduler.once_now(process)).job_id, 20)).status == "succeeded"

print("parent", os.getpid(), file=sys.stderr)
anyio.run(main, backend=BACKEND)
"""


@pytest.mark.parametrize(
    ("end", "code"), [("sys.exit(5)", 5), ("return", 0), ("raise ValueError('in the child')", 1)]
)
def test_a_plain_handler_that_forks_has_a_child_that_ends(
    tmp_path: Path, url: str, end: str, code: int
) -> None:
    program = (
        HANDLERS.replace("{thread_end}", end).replace("{loop_end}", "pass").replace("{name}", "in_thread")
    )

    _check_no_second_life(run(tmp_path, program, url), code)


@pytest.mark.parametrize(("end", "code"), [("sys.exit(5)", 5), ("await anyio.sleep(30)", 1)])
def test_a_child_never_runs_the_event_loop_of_its_parent(
    tmp_path: Path, any_url: str, backend: str, end: str, code: int
) -> None:
    program = HANDLERS.replace("{thread_end}", "pass").replace("{loop_end}", end).replace("{name}", "in_loop")

    _check_no_second_life(run(tmp_path, program, any_url, backend), code)


def _check_no_second_life(done: subprocess.CompletedProcess[str], code: int) -> None:
    """See that the handler's child ended with its code, and that nothing of the worker went on in it."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["succeeded", "child", str(code)]
    [parent] = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("parent ")]
    logged = [line for line in done.stderr.splitlines() if "worker w1" in line or "cluster" in line]
    assert {line.split()[0] for line in logged} <= {parent, "jobmaster:"}, done.stderr


def test_a_child_that_leaves_the_block_ends_and_the_parent_goes_on(
    tmp_path: Path, any_url: str, backend: str
) -> None:
    said = passes(
        tmp_path,
        """
made = cluster().add_worker()

async def main():
    async with made.running() as runtime:
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            sys.exit(7)
        status = await anyio.to_thread.run_sync(os.waitpid, child, 0)
        print(os.waitstatus_to_exitcode(status[1]))
        await runtime.scheduler.once_now(NOTE)
        print([worker.status.value for worker in await runtime.list_workers()][0])

anyio.run(main, backend=BACKEND)
""",
        any_url,
        backend,
    )
    assert said.split() == ["7", "active"]


def test_a_child_takes_nothing_from_the_event_loop_of_its_parent(
    tmp_path: Path, url: str, backend: str
) -> None:
    """What is ready when the child's loop makes its last step is left to the parent's loop, which is still asleep."""
    passes(
        tmp_path,
        """
from jobmaster.loops import loop_caller

async def main():
    async with cluster().running():
        woken, wake = anyio.Event(), loop_caller()
        ready, tell = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            os.read(ready, 1)
            sys.exit(7)
        thread = threading.Thread(target=wake, args=[woken.set])
        thread.start()
        thread.join()
        os.write(tell, b"1")
        os.waitpid(child, 0)
        with anyio.fail_after(10):
            await woken.wait()

anyio.run(main, backend=BACKEND)
""",
        url,
        backend,
    )


def test_nothing_that_a_child_writes_is_lost_when_its_parent_closes_the_file(
    tmp_path: Path, url: str
) -> None:
    passes(
        tmp_path,
        """
with cluster().sync_scheduler() as scheduler:
    scheduler.once_now(NOTE)
    wrote, told = os.pipe()
    closed, close = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        own = cluster().sync_scheduler().__enter__()
        own.once_now(NOTE)
        os.write(told, b"1")
        os.read(closed, 1)
        own.once_now(NOTE)
        os._exit(0)
    os.read(wrote, 1)
os.write(close, b"1")
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

async def look():
    async with cluster().running(workers=False) as runtime:
        return await runtime.jobs.count()

assert anyio.run(look) == 3
""",
        url,
    )
