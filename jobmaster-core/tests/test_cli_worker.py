"""`jobmaster worker` as a process of its own: start, signals, graceful stop."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import anyio
import pytest
from attrs import define, field

from jobmaster import AttemptOutcome, Cluster, JobDefinition, JobRecord, JobStatus
from jobmaster._starting import is_worker_command
from jobmaster.cli import ExitCode

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

PATIENCE = 20.0

APP = """
import asyncio
import time
from pathlib import Path

import anyio
from jobmaster import Cluster, handler

@handler("Gate", timeout=None)
async def gate(job):
    Path("started").touch()
    while not Path("open").exists():
        await anyio.sleep(0.01)

@handler("Deaf", timeout=None)
def deaf(job):
    Path("started").touch()
    time.sleep(120)

@handler("Blocking", timeout=None)
async def blocking(job):
    Path("started").touch()
    time.sleep(120)

@handler("Thread", timeout=None)
async def thread(job):
    Path("started").touch()
    await asyncio.to_thread(time.sleep, 120)

cluster = Cluster.standalone("Worker-1", "sqlite:///jobs.db").configure(store_timeout=0.3)
"""

SLOW_TO_IMPORT = """
import time
from pathlib import Path
Path("importing").touch()
time.sleep(60)
"""

IMPATIENT = """
from app import cluster
from jobmaster.cli import serving
serving.LAST_RESORT = 0.3
"""


AS_A_MODULE = (sys.executable, "-m", "jobmaster.cli")
AS_A_SCRIPT = (str(Path(sys.executable).parent / "jobmaster"),)


def eventually(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@define
class Process:
    """A worker process in a folder of its own."""

    folder: Path
    native: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def cluster(self) -> Cluster:
        return Cluster.standalone("Worker-1", f"sqlite:///{self.folder}/jobs.db")

    def start(self, *options: str, app: str = "app:cluster") -> None:
        self.run(*AS_A_MODULE, "worker", app, *options)

    def run(self, *command: str) -> None:
        with (self.folder / "log").open("wb") as log:
            self.native = subprocess.Popen(command, cwd=self.folder, stderr=log, stdout=log)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def wait_for_log(self, text: str) -> None:
        eventually(lambda: text in self.log or self.ended, f"no {text!r}")
        assert text in self.log

    @property
    def ended(self) -> bool:
        return self.native is not None and self.native.poll() is not None

    def wait_for_file(self, name: str) -> None:
        eventually((self.folder / name).exists, f"no file {name!r}; log: {self.log}")

    def signal(self, number: signal.Signals) -> None:
        assert self.native
        self.native.send_signal(number)

    def code(self) -> int:
        assert self.native
        return self.native.wait(PATIENCE)

    def end(self) -> None:
        if self.native is not None:
            with suppress(ProcessLookupError):
                self.native.kill()
            self.native.wait()

    def schedule(self, definition_id: str, count: int = 1) -> None:
        async def work() -> None:
            definition = JobDefinition(definition_id, timeout=None)
            async with self.cluster.running(workers=False) as runtime:
                for _ in range(count):
                    await runtime.scheduler.once_now(definition)

        anyio.run(work)

    def jobs(self) -> list[JobRecord]:
        """Return all jobs with their attempts, the oldest first."""

        async def work() -> list[JobRecord]:
            async with self.cluster.running(workers=False) as runtime:
                found = await runtime.jobs.query()
                return [await runtime.jobs.get(job.id) for job in reversed(found)]

        return anyio.run(work)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Process]:
    (tmp_path / "app.py").write_text(APP)
    process = Process(tmp_path)
    yield process
    process.end()


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> Sequence[str]:
    return "--backend", request.param


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_job_may_finish_and_waiting_ones_go_back(
    worker: Process, backend: Sequence[str], number: signal.Signals
) -> None:
    worker.schedule("Gate", 3)
    worker.start("--name", "w1", "--parallelism", "0.01", *backend)
    worker.wait_for_file("started")

    worker.signal(number)
    worker.wait_for_log(f"received {number.name}: stopping")
    eventually(lambda: statuses(worker)[1:] == [JobStatus.HELD_ON_MASTER] * 2, "waiting jobs stay")
    (worker.folder / "open").touch()

    assert worker.code() == ExitCode.OK
    first, *others = worker.jobs()
    assert first.status is JobStatus.SUCCEEDED
    assert [(attempt.outcome, attempt.worker) for attempt in first.attempts] == [
        (AttemptOutcome.SUCCEEDED, "w1")
    ]
    assert [(job.status, job.retries, job.attempts) for job in others] == [
        (JobStatus.HELD_ON_MASTER, 0, [])
    ] * 2
    assert "Traceback" not in worker.log


def statuses(worker: Process) -> list[JobStatus]:
    return [job.status for job in worker.jobs()]


@pytest.mark.parametrize("kind", ["Gate", "Deaf"])
def test_what_outlasts_the_grace_period_uses_no_retry(
    worker: Process, backend: Sequence[str], kind: str
) -> None:
    worker.schedule(kind)
    worker.start("--grace", "0.1", *backend)
    worker.wait_for_file("started")

    worker.signal(signal.SIGTERM)

    assert worker.code() == ExitCode.OK
    (job,) = worker.jobs()
    assert (job.status, job.retries) == (JobStatus.HELD_ON_MASTER, 0)
    assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.INTERRUPTED]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(
    worker: Process, backend: Sequence[str], number: signal.Signals
) -> None:
    worker.schedule("Gate")
    worker.start(*backend)
    worker.wait_for_file("started")

    worker.signal(signal.SIGTERM)
    worker.wait_for_log("received SIGTERM: stopping")
    worker.signal(number)

    assert worker.code() == 128 + number
    assert f"second signal ({number.name}): leaving at once" in worker.log


def test_a_handler_that_blocks_the_loop_does_not_hold_up_a_second_signal(
    worker: Process, backend: Sequence[str]
) -> None:
    worker.schedule("Blocking")
    worker.start(*backend)
    worker.wait_for_file("started")

    def signalled() -> bool:
        worker.signal(signal.SIGINT)
        return worker.ended

    eventually(signalled, "it does not end")
    assert worker.code() == ExitCode.INTERRUPTED


def test_a_handler_that_blocks_the_loop_for_ever_does_not_hold_up_the_end(
    worker: Process, backend: Sequence[str]
) -> None:
    (worker.folder / "impatient.py").write_text(IMPATIENT)
    worker.schedule("Blocking")
    worker.start("--grace", "0.1", *backend, app="impatient:cluster")
    worker.wait_for_file("started")

    worker.signal(signal.SIGTERM)

    assert worker.code() == ExitCode.TERMINATED
    assert "not stopped 0.4 s after SIGTERM (running: Blocking): leaving at once" in worker.log


def test_a_thread_that_the_loop_waits_for_does_not_hold_up_the_end(worker: Process) -> None:
    worker.schedule("Thread")
    worker.start("--grace", "0.1")
    worker.wait_for_file("started")

    worker.signal(signal.SIGTERM)

    assert worker.code() == ExitCode.OK
    assert "handlers that ignored the stop delay the exit; leaving without them" in worker.log
    (job,) = worker.jobs()
    assert [attempt.outcome for attempt in job.attempts] == [AttemptOutcome.INTERRUPTED]


class TestWhileTheApplicationIsImported:
    @pytest.fixture(autouse=True)
    def slow_to_import(self, worker: Process) -> None:
        (worker.folder / "slow.py").write_text(SLOW_TO_IMPORT)

    @pytest.mark.parametrize("entry", [AS_A_MODULE, AS_A_SCRIPT], ids=["module", "script"])
    def test_sigterm_ends_a_worker_at_once(self, worker: Process, entry: Sequence[str]) -> None:
        worker.run(*entry, "--debug", "worker", "slow:cluster")
        worker.wait_for_file("importing")

        worker.signal(signal.SIGTERM)

        assert worker.code() == ExitCode.OK
        assert worker.log == "jobmaster worker: received SIGTERM before it ran anything: stopped\n"

    def test_sigterm_ends_a_worker_that_is_process_1(self, worker: Process) -> None:
        unshare = ("unshare", "--pid", "--fork", "--kill-child")
        if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
            pytest.skip("a process namespace cannot be made here (unshare --pid)")
        worker.run(*unshare, *AS_A_MODULE, "worker", "slow:cluster")
        worker.wait_for_file("importing")

        assert worker.native
        outside = worker.native.pid
        inside = int(Path(f"/proc/{outside}/task/{outside}/children").read_text())
        os.kill(inside, signal.SIGTERM)

        assert worker.code() == ExitCode.OK
        assert "received SIGTERM before it ran anything" in worker.log

    def test_other_commands_end_as_programs_do(self, worker: Process) -> None:
        worker.run(*AS_A_MODULE, "status", "--app", "slow:cluster")
        worker.wait_for_file("importing")

        worker.signal(signal.SIGTERM)

        assert worker.code() == -signal.SIGTERM


@pytest.mark.parametrize(
    ("argv", "original", "expected"),
    [
        (["-m"], ["python", "-m", "jobmaster.cli", "worker", "app"], True),
        (["-m"], ["python", "-X", "dev", "-m", "jobmaster.cli", "--debug", "worker"], True),
        (["-m"], ["python", "-m", "jobmaster.cli", "workers", "list"], False),
        (["-m"], ["python", "-m", "celery", "worker"], False),
        (["/usr/bin/jobmaster", "worker", "app"], ["python", "/usr/bin/jobmaster", "worker", "app"], True),
        (["/usr/bin/jobmaster", "status"], ["python", "/usr/bin/jobmaster", "status"], False),
        (["/usr/bin/gunicorn", "worker"], ["python", "/usr/bin/gunicorn", "worker"], False),
        ([""], ["python"], False),
        ([], [], False),
    ],
)
def test_only_a_worker_heeds_sigterm_from_the_first_moment(
    argv: Sequence[str], original: Sequence[str], expected: bool
) -> None:
    assert is_worker_command(argv, original) is expected


class TestDatabaseThatIsAway:
    @pytest.fixture
    def lock(self, worker: Process) -> Iterator[sqlite3.Connection]:
        """The database, locked by somebody else for as long as the transaction is open."""
        with closing(sqlite3.connect(worker.folder / "jobs.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield other

    def test_it_is_waited_for(
        self, worker: Process, backend: Sequence[str], lock: sqlite3.Connection
    ) -> None:
        worker.start(*backend)
        worker.wait_for_log("the master cannot be reached, trying again in")

        lock.execute("ROLLBACK")

        worker.wait_for_log("cluster Worker-1: running")
        worker.signal(signal.SIGTERM)
        assert worker.code() == ExitCode.OK

    @pytest.mark.usefixtures("lock")
    def test_the_wait_can_be_ended(self, worker: Process, backend: Sequence[str]) -> None:
        worker.start(*backend)
        worker.wait_for_log("the master cannot be reached, trying again in")

        worker.signal(signal.SIGTERM)

        assert worker.code() == ExitCode.OK
        assert "running;" not in worker.log


def test_a_bad_app_ends_it_with_one_line(worker: Process) -> None:
    worker.start(app="app:clustre")

    assert worker.code() == ExitCode.CONFIGURATION
    assert (
        worker.log
        == "error: app 'app:clustre': module 'app' has no attribute 'clustre'; did you mean 'cluster'?\n"
    )


def test_a_cluster_that_is_not_active_is_said_to_be_idle(worker: Process) -> None:
    async def pause() -> None:
        async with worker.cluster.running(workers=False) as runtime:
            await runtime.set_mode("passive")

    anyio.run(pause)
    worker.start()
    worker.wait_for_log("cluster Worker-1 is passive: it runs no jobs until its mode is active again")
    worker.signal(signal.SIGTERM)

    assert worker.code() == ExitCode.OK


def test_a_process_follows_its_cluster_and_ends_when_its_worker_is_stopped(
    worker: Process, backend: Sequence[str]
) -> None:
    async def steer(verb: str, *arguments: str) -> None:
        async with worker.cluster.running(workers=False) as runtime:
            await getattr(runtime, verb)(*arguments)

    worker.start("--name", "w1", *backend)
    worker.wait_for_log("cluster Worker-1: running")
    anyio.run(steer, "set_mode", "passive")
    worker.wait_for_log("worker w1 is up with 0 buckets (suspended)")
    worker.schedule("Gate")
    anyio.run(steer, "set_mode", "active")
    worker.wait_for_file("started")
    anyio.run(steer, "stop_worker", "w1")
    worker.wait_for_log("worker w1 was asked to stop")
    assert not worker.ended
    (worker.folder / "open").touch()

    assert worker.code() == ExitCode.OK
    assert "all workers of this process were stopped" in worker.log
    assert [job.status for job in worker.jobs()] == [JobStatus.SUCCEEDED]
    assert "Traceback" not in worker.log


def test_log_lines_can_be_json(worker: Process) -> None:
    worker.start("--log-format", "json", "--log-level", "info")
    worker.wait_for_log("running")
    worker.signal(signal.SIGTERM)

    assert worker.code() == ExitCode.OK
    messages = [json.loads(line)["message"] for line in worker.log.splitlines()]
    assert messages[-1] == "cluster Worker-1: stopped"
