"""Help for testing applications: running a handler, asserting what is scheduled, draining."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest

from jobmaster import (
    Cluster,
    Discard,
    InvalidArgumentsError,
    InvalidDataError,
    JobContext,
    JobDefinition,
    JobHandler,
    JobStatus,
    Priority,
    UnknownHandlerError,
    current_job,
    handler,
)
from jobmaster_testing import (
    Seen,
    VirtualClock,
    assert_not_scheduled,
    assert_scheduled,
    drain,
    make_context,
    run_handler,
)

pytestmark = pytest.mark.anyio

MakeCluster = Callable[..., Cluster]


@handler("Greet", metadata={"team": "core"})
async def greet(job: JobContext) -> str:
    return (
        f"{job.data.get_str('name')} {job.attempt} {job.retries} {job.priority.name} {job.metadata['team']}"
    )


@handler("Add")
def add(job: JobContext, first: int, second: int = 1) -> tuple[int, bool]:
    return first + second, current_job() is job


@handler("Give-up")
async def give_up(job: JobContext) -> None:
    raise Discard(f"no {job.definition_id}")


@handler("Chain")
async def chain(job: JobContext, left: int) -> None: ...


@handler("Built")
class Built(JobHandler):
    def __init__(self, service: str = "default") -> None:
        self.service = service

    async def handle(self, job: JobContext, n: int = 0) -> str:
        return f"{self.service} {n} {job.definition_id}"


class TestRunHandler:
    async def test_an_async_function(self) -> None:
        found = await run_handler(greet, {"name": "Ann"}, attempt=3, retries=2, priority=Priority.HIGH)

        assert found == "Ann 3 2 HIGH core"

    async def test_a_plain_function_with_arguments(self) -> None:
        assert await run_handler(add, first=1) == (2, True)
        assert await run_handler(add, {"first": 1}, second=3) == (4, True)

    async def test_a_class(self) -> None:
        assert await run_handler(Built, n=1) == "default 1 Built"
        assert await run_handler(Built, n=1, build=lambda made: made("other")) == "other 1 Built"

    async def test_what_it_raises_reaches_the_test(self) -> None:
        with pytest.raises(Discard, match="no Give-up"):
            await run_handler(give_up)

    async def test_arguments_are_checked(self) -> None:
        with pytest.raises(InvalidArgumentsError):
            await run_handler(add, first="1")
        with pytest.raises(InvalidDataError):
            await run_handler(greet, {"name": object()})

    async def test_what_is_no_handler_is_refused(self) -> None:
        with pytest.raises(UnknownHandlerError):
            await run_handler(len)

    def test_a_context_for_code_that_takes_one(self) -> None:
        job = make_context(JobDefinition("Any", lane="Payroll"), {"n": 1}, attempt=2)

        assert (job.definition_id, job.lane, job.attempt, dict(job.data)) == ("Any", "Payroll", 2, {"n": 1})


class TestAssertScheduled:
    async def test_it_finds_by_handler_data_and_time(self, memory_cluster: MakeCluster) -> None:
        async with memory_cluster(greet).running(workers=False) as runtime:
            receipt = await runtime.scheduler.once_after(greet, timedelta(minutes=5), {"name": "Ann", "n": 1})
            await runtime.scheduler.once_after(greet, timedelta(hours=5), {"name": "Bob"})

            found = await assert_scheduled(
                runtime, greet, {"name": "Ann"}, within=timedelta(minutes=6), metadata={"team": "core"}
            )
            by_id = await assert_scheduled(runtime, "Greet", {"n": 1})

        assert found.id == by_id.id == receipt.job_id

    async def test_it_fails_with_what_there_is(self, memory_cluster: MakeCluster) -> None:
        async with memory_cluster(greet, chain).running(workers=False) as runtime:
            await runtime.scheduler.once_after(greet, timedelta(minutes=5), {"name": "Ann"})
            await runtime.scheduler.once_after(chain, timedelta(minutes=5), left=1)

            for arguments in ({"data": {"name": "Bob"}}, {"within": 60}, {"lane": "other"}):
                with pytest.raises(AssertionError, match="no job of Greet with"):
                    await assert_scheduled(runtime, greet, **arguments)
            with pytest.raises(
                AssertionError, match=r"there are: Greet \{'name': 'Ann'\} due .* held_on_mas"
            ):
                await assert_scheduled(runtime, greet, {"name": "Bob"})

    async def test_the_opposite(self, memory_cluster: MakeCluster) -> None:
        async with memory_cluster(greet).running(workers=False) as runtime:
            await runtime.scheduler.once_now(greet, {"name": "Ann"})

            await assert_not_scheduled(runtime, greet, {"name": "Bob"})
            await assert_not_scheduled(runtime, chain)
            with pytest.raises(AssertionError, match="Greet is scheduled: Greet"):
                await assert_not_scheduled(runtime, greet)


class TestDrain:
    async def test_it_waits_for_all_due_jobs_and_what_they_schedule(
        self, memory_cluster: MakeCluster
    ) -> None:
        done: list[int] = []

        @handler("Chained")
        async def chained(job: JobContext, left: int) -> None:  # noqa: ARG001 - as users write it
            await anyio.lowlevel.checkpoint()
            done.append(left)
            if left:
                await runtime.scheduler.once_now(chained, left=left - 1)

        async with memory_cluster(chained).running() as runtime:
            await runtime.scheduler.once_now(chained, left=5)
            await runtime.scheduler.once_after(chained, timedelta(hours=1), left=0)
            await drain(runtime)
            counts = await runtime.jobs.count_by_status()

        assert done == [5, 4, 3, 2, 1, 0]
        assert counts == {JobStatus.SUCCEEDED: 6, JobStatus.HELD_ON_MASTER: 1}

    async def test_it_fails_when_jobs_do_not_end(self, memory_cluster: MakeCluster) -> None:
        async with memory_cluster(greet).running(workers=False) as runtime:
            await runtime.scheduler.once_now(greet)

            with pytest.raises(AssertionError, match="all due jobs to end"):
                await drain(runtime, timeout=0.05)

    async def test_it_fails_at_once_for_a_job_that_nobody_runs(self, memory_cluster: MakeCluster) -> None:
        async with memory_cluster(greet).running() as runtime:
            await runtime.workers_ready()
            await runtime.scheduler.once_now(JobDefinition("Unknown"))

            with pytest.raises(AssertionError, match="no worker runs these jobs: Unknown"):
                await drain(runtime)


class TestVirtualTime:
    @pytest.fixture
    def anyio_backend(self, virtual_backend: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        return virtual_backend

    async def test_a_cluster_lives_through_hours(
        self, memory_cluster: MakeCluster, virtual_clock: VirtualClock
    ) -> None:
        started: Seen[datetime] = Seen()

        @handler("Daily")
        async def daily(job: JobContext) -> None:
            started.add(virtual_clock.now())
            if job.attempt < 3:
                raise ValueError("not yet")

        cluster = memory_cluster(daily, clock=virtual_clock, beat=3600, heartbeat=600, lease=3600)
        async with cluster.running() as runtime:
            before = virtual_clock.now()
            await runtime.scheduler.once_after(daily, timedelta(hours=6))
            times = await started.count(3, timeout=86400)
            await drain(runtime)
            [job] = await runtime.jobs.query(handler=daily)

        assert job.status is JobStatus.SUCCEEDED
        assert timedelta(hours=6) <= times[0] - before < timedelta(hours=6, seconds=5)
        assert timedelta(seconds=1) < times[2] - times[0] < timedelta(seconds=10)
