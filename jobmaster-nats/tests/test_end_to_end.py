"""Clusters with a database as the master and NATS as an agent, from the scheduling call to the end of the jobs."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import anyio
import anyio.to_thread
import pytest

from jobmaster import Cluster, JobContext, Retry, Runtime, handler
from jobmaster.states import JobStatus
from jobmaster_testing.options import Options, open_agent
from jobmaster_testing.probes import until
from jobmaster_testing.servers import NatsServer, postgres_url

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

RUNS: Counter[int] = Counter()


@handler("Count")
async def count(job: JobContext) -> None:
    RUNS[job.data.get_int("n")] += 1


@handler("Stumble")
async def stumble(job: JobContext) -> None:
    RUNS[job.data.get_int("n")] += 1
    if job.attempt == 1:
        raise Retry(after=0.05)


@handler("Linger")
async def linger(job: JobContext) -> None:
    await anyio.sleep(0.02)
    RUNS[job.data.get_int("n")] += 1


@handler("Hang")
async def hang(job: JobContext) -> None:
    await anyio.sleep(60)
    RUNS[job.attempt] += 1


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    RUNS.clear()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def master_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return postgres_url() if request.param == "postgres" else f"sqlite:///{tmp_path}/jobs.db"


@asynccontextmanager
async def running(master_url: str, agent_url: str, workers: int = 1) -> AsyncIterator[Runtime]:
    cluster = (
        Cluster(f"Nats-{uuid4().hex[:8]}", master_url)
        .configure(heartbeat=0.2, lease=3.0, stop_grace=2.0, table_prefix="e2e_")
        .add_agent("Agent-1", agent_url)
        .add_handlers(count, stumble, linger, hang)
    )
    for number in range(workers):
        cluster.add_worker(name=f"W-{number}", agent="Agent-1")
    async with cluster.running() as runtime:
        yield runtime


async def all_ended(runtime: Runtime, number: int) -> None:
    async def have_ended() -> bool:
        return (await runtime.jobs.count_by_status()).get(JobStatus.SUCCEEDED, 0) >= number

    await until(have_ended, what=f"{number} jobs to end", timeout=40)


async def is_empty(agent_url: str) -> bool:
    async with open_agent("Agent-1", agent_url, Options(table_prefix="e2e_")) as agent:
        return not await agent.buckets.holdings()


async def test_jobs_of_all_sorts_end_and_nothing_is_left(master_url: str, stream: str) -> None:
    async with running(master_url, stream, workers=2) as runtime:
        s = runtime.scheduler
        await s.once_many([count.request({"n": n}) for n in range(300)])
        await s.once_many([stumble.request({"n": n}) for n in range(300, 340)])
        for n in range(340, 360):
            await s.once_after(count, 0.05 * (n - 340), {"n": n})
        await all_ended(runtime, 360)
        await until(lambda: is_empty(stream), what="the agent to be empty")

    assert Counter({n: 2 if 300 <= n < 340 else 1 for n in range(360)}) == RUNS


async def test_a_job_can_be_waited_for_and_cancelled_at_once(tmp_path: Path, stream: str) -> None:
    async with running(f"sqlite:///{tmp_path}/jobs.db", stream) as runtime:
        s = runtime.scheduler
        done = await s.once_now(count, {"n": 1})
        assert (await runtime.jobs.wait(done.job_id, timeout=10)).status is JobStatus.SUCCEEDED

        hanging = await s.once_now(hang)
        assert hanging.accepted_by == "Agent-1"
        await s.cancel(hanging.job_id)
        assert (await runtime.jobs.wait(hanging.job_id, timeout=10)).status is JobStatus.CANCELLED


async def test_a_cluster_outlives_its_broker(tmp_path: Path, own_server: NatsServer) -> None:
    async with running(f"sqlite:///{tmp_path}/jobs.db", own_server.url) as runtime:
        s = runtime.scheduler
        await s.once_many([linger.request({"n": n}) for n in range(100)])
        await until(lambda: len(RUNS) > 10, what="some jobs to run")

        await anyio.to_thread.run_sync(own_server.kill)
        await anyio.sleep(0.3)
        receipt = await s.once_now(linger, {"n": 100})
        await anyio.to_thread.run_sync(own_server.start)

        assert receipt.accepted_by == "master"
        await all_ended(runtime, 101)
        await until(lambda: is_empty(own_server.url), what="the agent to be empty")

    assert set(RUNS) == set(range(101))
