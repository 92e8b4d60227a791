"""What is wrong about the agents of a cluster is said at its start, naming the setting and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import anyio
import pytest

from jobmaster import Cluster, ConfigurationError, JobContext, JobStatus, handler
from jobmaster.memory import MemoryAgent, MemoryMaster
from jobmaster_testing.faults import Faults

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]
Agent = Callable[[str], MemoryAgent]


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@handler("AgentsConfig.Quick")
async def quick(_: JobContext) -> None: ...


async def refused(cluster: Cluster, *, workers: bool = True) -> str:
    with pytest.raises(ConfigurationError) as error:
        async with cluster.running(workers=workers):
            pytest.fail("it started")
    return str(error.value)


async def works(cluster: Cluster) -> None:
    async with cluster.running() as runtime:
        receipt = await runtime.scheduler.once_now(quick)
        assert (await runtime.jobs.wait(receipt.job_id, 10)).status is JobStatus.SUCCEEDED


# Names


@pytest.mark.parametrize("name", ["standalone", "Master", "MASTER", "two words", ""])
def test_an_agent_needs_a_name_of_its_own(distributed: Build, name: str) -> None:
    with pytest.raises(ConfigurationError, match="agent"):
        distributed(quick).add_agent(name, "memory://x")


def test_an_agent_is_added_once(distributed: Build) -> None:
    with pytest.raises(ConfigurationError, match="agent 'A' is added twice; names are unique"):
        distributed(quick).add_agent("A", "memory://x")


async def test_a_worker_on_an_agent_that_there_is_not(distributed: Build) -> None:
    message = await refused(distributed(quick, workers=[{"agent": "B", "name": "W"}]))
    assert "worker W: there is no agent 'B' (available: A); add_agent('B', url) adds it" in message


async def test_a_worker_names_its_agent_where_there_are_several(distributed: Build) -> None:
    message = await refused(distributed(quick, agents="AB", workers=[{}]))
    assert "worker 1: name the agent of its buckets with agent=...; the cluster has A, B" in message


@pytest.mark.parametrize("mode", ["coordinator", "drain"])
async def test_a_worker_without_buckets_needs_no_agent(distributed: Build, mode: str) -> None:
    async with distributed(quick, agents="AB", workers=[{"mode": mode}]).running() as runtime:
        assert len(await runtime.list_workers()) == 1


async def test_the_only_agent_need_not_be_named(distributed: Build) -> None:
    async with distributed(quick, workers=[{}]).running() as runtime:
        assert {b.agent for b in await runtime.list_buckets()} == {"A"}


def test_names_that_differ_by_case_alone_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="agent 'shop' differs from agent 'Shop' by case alone"):
        Cluster("Test-1", "memory://").add_agent("Shop", "memory://").add_agent("shop", "memory://")


async def test_a_name_that_differs_from_a_known_one_by_case_alone_is_refused(distributed: Build) -> None:
    await works(distributed(quick))
    slip = distributed(quick, agents="a", workers=[{"agent": "a"}])
    assert "agent 'a' differs from agent 'A' by case alone" in await refused(slip)


# Stores


async def test_a_name_that_points_at_another_store_is_refused(distributed: Build) -> None:
    await works(distributed(quick))
    moved = distributed(quick, agents="", workers=[{"agent": "A"}])
    message = await refused(moved.add_agent("A", f"memory://{uuid4().hex}"))
    assert "agent 'A' does not point at the store that the cluster knows by this name" in message
    assert "add_agent(..., repoint=True)" in message


async def test_a_name_may_be_pointed_at_another_store_on_request(distributed: Build) -> None:
    await works(distributed(quick))
    url = f"memory://{uuid4().hex}"

    def moved(**options: Any) -> Cluster:
        return distributed(quick, agents="", workers=[{"agent": "A"}]).add_agent("A", url, **options)

    await works(moved(repoint=True))
    await works(moved())
    assert "does not point at the store" in await refused(distributed(quick))


async def test_one_store_has_one_name(distributed: Build, store_url: str) -> None:
    twice = distributed(quick, workers=[{"agent": "A"}]).add_agent("B", f"{store_url}-A")
    message = await refused(twice)
    assert "are the same store; give each agent a database, or a table_prefix, of its own" in message


@pytest.mark.parametrize("stays", ["A", "B"])
async def test_two_names_for_one_store_can_be_mended(
    distributed: Build, store_url: str, master: MemoryMaster, stays: str
) -> None:
    """A start that was refused leaves nothing on the master that would have the right one refused."""
    await refused(distributed(quick, workers=[{"agent": "A"}]).add_agent("B", f"{store_url}-A"))
    await works(distributed(quick, agents="", workers=[{}]).add_agent(stays, f"{store_url}-A"))
    assert [known.name for known in await master.members.list_agents("Test-1")] == [stays]


async def test_another_name_for_a_store_that_is_known_is_refused(distributed: Build, store_url: str) -> None:
    await works(distributed(quick))
    renamed = distributed(quick, agents="", workers=[{"agent": "New"}]).add_agent("New", f"{store_url}-A")
    assert "agent 'New' points at the store that the cluster knows as 'A'" in await refused(renamed)
    await works(distributed(quick))


async def test_clusters_may_share_the_store_of_an_agent(distributed: Build, store_url: str) -> None:
    await works(distributed(quick))
    other = Cluster("Other", f"memory://{uuid4().hex}").add_handlers(quick)
    await works(other.add_agent("Mine", f"{store_url}-A").add_worker())


async def test_a_wrong_store_that_was_away_at_the_start_is_refused_when_it_is_there(
    distributed: Build, caplog: pytest.LogCaptureFixture
) -> None:
    await works(distributed(quick))
    faults = Faults()
    faults.away.add("A")
    cluster = distributed(quick, agents="B", workers=[{"agent": "B"}], faults=faults)
    cluster.add_agent("A", f"faulty+memory://{uuid4().hex}")
    async with cluster.running() as runtime:
        faults.away.clear()
        await anyio.sleep(10)
        receipts = [await runtime.scheduler.once_now(quick) for _ in range(4)]
        assert {r.accepted_by for r in receipts} == {"B"}
    assert "agent 'A' does not point at the store" in caplog.text


# One way


async def test_a_cluster_with_agents_does_not_take_a_worker_without(distributed: Build) -> None:
    await works(distributed(quick))
    message = await refused(distributed(quick, agents="", workers=[{}]))
    assert "cluster 'Test-1' has agents (A) and cannot be standalone again" in message


async def test_a_producer_that_knows_no_agents_hands_its_jobs_to_the_master(distributed: Build) -> None:
    producer = distributed(quick, agents="", workers=())
    async with distributed(quick).running(), producer.running() as runtime:
        receipt = await runtime.scheduler.once_now(quick)
        assert receipt.accepted_by == "master"
        assert (await runtime.jobs.wait(receipt.job_id, 20)).status is JobStatus.SUCCEEDED
