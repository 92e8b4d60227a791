"""What is said at the start of workers that will not do what is likely wanted of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jobmaster import Cluster, JobContext, JobDefinition, WorkerMode, handler
from jobmaster_testing.clock import VirtualClock
from jobmaster_testing.probes import until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]


@handler("Forewarned")
async def known(_: JobContext) -> None: ...


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings, without their remedies and what they are about."""
    found = [r for r in caplog.records if r.name == "jobmaster.start"]
    assert {record.levelname for record in found} <= {"WARNING"}
    return [record.getMessage().partition(": ")[2].partition(";")[0] for record in found]


async def test_a_store_in_memory_is_warned_of_where_workers_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def lines(cluster: Cluster) -> Cluster:
        caplog.clear()
        return cluster.add_handlers(known)

    memory = "the master is in memory: no other process sees its jobs, and they are gone when this one ends"
    async with lines(Cluster.standalone("Mem-1", "memory://").add_worker()).running():
        assert told(caplog) == [memory]
    async with lines(
        Cluster("Mem-2", "memory://").add_agent("A", "memory://").add_worker(agent="A")
    ).running():
        assert told(caplog) == [
            memory,
            "agent 'A' is in memory: its messages are gone when this process ends",
        ]
    async with lines(Cluster.standalone("Mem-3", "memory://")).running():
        assert told(caplog) == []
    async with lines(Cluster.standalone("File", f"sqlite:///{tmp_path}/jobs.db").add_worker()).running():
        assert told(caplog) == []


async def test_in_tests_memory_is_meant(
    memory_cluster: Build, caplog: pytest.LogCaptureFixture, virtual_clock: VirtualClock
) -> None:
    async with memory_cluster(known).running():
        pass
    virtual = Cluster("Mem-4", "memory://", clock=virtual_clock).add_handlers(known).add_worker()
    async with virtual.running():
        pass
    assert told(caplog) == []


async def test_a_worker_that_runs_jobs_and_knows_no_handlers_is_warned_of(
    producer: Build, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobmaster.cluster.registered_handlers", list)  # nothing was imported
    made = producer().add_worker(name="idle").add_worker(name="planner", mode=WorkerMode.COORDINATOR)
    async with made.running():
        [line] = [one for one in told(caplog) if "memory" not in one]
    assert line == "it has no handlers and parks every job"
    assert "worker idle: it has no handlers" in caplog.text


async def test_parked_jobs_that_wait_for_others_are_warned_of(
    cluster: Build, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(known).running() as runtime:
        for definition_id in ("Gone", "Gone", "Lost"):
            await runtime.scheduler.once_now(JobDefinition(definition_id))
        await until(lambda: parked(runtime.jobs, 3))
    caplog.clear()

    async with cluster(known).running():
        await until(lambda: "parked" in caplog.text)
    assert (
        told(caplog)[-1]
        == "3 jobs are parked, as no worker that claimed them had a handler for 'Gone', 'Lost'"
    )

    @handler("Gone")
    async def gone(_: JobContext) -> None: ...

    @handler("Lost")
    async def lost(_: JobContext) -> None: ...

    caplog.clear()
    async with cluster(known, gone, lost).running() as runtime:
        await until(lambda: parked(runtime.jobs, 0))
    assert "are parked" not in caplog.text


async def parked(jobs: object, count: int) -> bool:
    found = await jobs.query(parked=True)  # type: ignore[attr-defined]
    return len(found) == count
