"""An agent that cannot be reached holds up nothing but what lies on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest
from attrs import define

from jobmaster import BucketStatus, Cluster, JobContext, JobStatus, handler, hookimpl
from jobmaster.contracts import AgentRepository
from jobmaster.errors import StoreUnreachableError
from jobmaster.plugins import Plugins
from jobmaster_testing.factories import make_bucket, make_job, make_message, make_worker
from jobmaster_testing.options import open_agent
from jobmaster_testing.probes import until
from jobmaster_testing.wrapping import intercepted

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]


@handler("AgentAway")
async def away(job: JobContext) -> None:
    """Do nothing."""


@define
class Switch:
    """Serves `switched+memory://` agents, which cannot be reached while it is off."""

    on: bool = True

    @hookimpl
    def jobmaster_schemes(self) -> Mapping[str, str]:
        return {"switched+memory": "for tests"}

    @hookimpl
    def jobmaster_agent(self, name: str, url: str, options: Any) -> AgentRepository | None:
        before, switched, inner = url.partition("switched+")
        if before or not switched:
            return None
        return intercepted(Plugins().agent(name, inner, options), self._reach)

    async def _reach(self, _: str, act: Callable[[], Awaitable[Any]]) -> Any:
        if not self.on:
            raise StoreUnreachableError("the test's agent is away")
        return await act()


def two_agents(producer: Build, switch: Switch, url: str, **settings: Any) -> Cluster:
    """Return a cluster with workers on agent A, which can be switched off, and on agent B."""
    cluster = producer(away, fallback_patience=None, **settings).use(switch)
    cluster.add_agent("A", f"switched+memory://{uuid4().hex}").add_agent("B", url)
    for name in "AB":
        cluster.add_worker(name=f"Worker-{name}", agent=name)
    return cluster


@pytest.fixture
def url_of_b() -> str:
    return f"memory://{uuid4().hex}"


async def test_held_jobs_go_to_the_agents_that_can_be_reached(producer: Build, url_of_b: str) -> None:
    switch = Switch()
    async with two_agents(producer, switch, url_of_b, lease=30.0).running() as runtime:
        switch.on = False
        receipts = await runtime.scheduler.once_many([away.request(confirm="master") for _ in range(20)])

        async def all_done() -> bool:
            return await runtime.jobs.count(status=JobStatus.SUCCEEDED) == len(receipts)

        await until(all_done, timeout=15, what="the jobs to run on agent B")
        switch.on = True


async def test_orphaned_messages_come_back_from_the_agents_that_can_be_reached(
    producer: Build, url_of_b: str
) -> None:
    switch = Switch()
    async with (
        open_agent("B", url_of_b) as agent,
        two_agents(producer, switch, url_of_b, lease=0.4).running() as runtime,
    ):
        switch.on = False
        await agent.messages.push(
            [make_message(uuid4(), make_job(cluster_id="Test-1", definition_id="AgentAway"))]
        )

        async def is_done() -> bool:
            return await runtime.jobs.count(status=JobStatus.SUCCEEDED) == 1

        await until(is_done, timeout=15, what="the orphan job to be brought back and run")
        switch.on = True


async def test_a_bucket_whose_agent_is_away_is_not_taken_over_and_over(
    producer: Build, url_of_b: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobmaster._runtime.agents.TIME_OUT", 0.5)
    switch = Switch()
    async with two_agents(producer, switch, url_of_b, lease=1.0).running() as runtime:
        env = runtime._env
        dead = make_worker(cluster_id="Test-1", agent="A")
        bucket = make_bucket(dead)
        await env.agents["A"].buckets.create([bucket])
        await env.master.workers.register(dead, [bucket], 0.2)
        switch.on = False

        async def epoch() -> int:
            return next(b.epoch for b in await runtime.list_buckets() if b.id == bucket.id)

        await until(lambda: is_above(epoch, 2), what="the bucket to be taken twice")
        taken_at = env.monotonic()
        await until(lambda: is_above(epoch, 4), what="the bucket to be taken twice more")
        assert env.monotonic() - taken_at > 0.5, "it was taken again at once"
        switch.on = True

        async def is_cleared_away() -> bool:
            buckets = await runtime.list_buckets()
            return any(b.id == bucket.id and b.status is BucketStatus.READY_TO_DELETE for b in buckets)

        await until(is_cleared_away, what="the bucket to be drained once its agent is back")


async def is_above(ask: Callable[[], Awaitable[int]], number: int) -> bool:
    return await ask() > number
