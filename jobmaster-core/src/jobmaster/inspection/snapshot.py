"""A cluster at one moment: its state on the master, and the content of its agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio

from jobmaster._policy.placement import agents_in_use
from jobmaster._runtime.durability import MASTER, risks_of
from jobmaster._runtime.start_warnings import (
    find_parked,
    in_memory,
    without_handlers,
)
from jobmaster.cluster import Cluster
from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.errors import JobMasterError
from jobmaster.inspection.models import AgentSnapshot, Snapshot
from jobmaster.inspection.opening import registered
from jobmaster.models import (
    AgentRecord,
    JobQuery,
)
from jobmaster.states import JobStatus

PATIENCE = 5.0
"""Seconds that an agent gets to answer."""


async def take_snapshot(cluster: Cluster, master: MasterRepository) -> Snapshot:
    """Return the current state of a cluster: what its master knows, and the content of those agents that answer.

    Takes the cluster as this process describes it, and its open master. An agent gets five seconds to answer.

    Raises:
        ClusterNotFoundError: the master has no such cluster.
        SchemaError: the data to read does not exist until pending migrations are applied.
        StoreUnavailableError: the master cannot be reached.

    """
    record = await registered(cluster, master)
    pending = await master.schema.pending()
    agents = await _agents(cluster, master)
    return Snapshot(
        now=await master.now(),
        cluster=record,
        jobs=_with_save_pending(await master.jobs.count(cluster.id, JobQuery()), agents),
        workers=await master.workers.list_all(cluster.id),
        buckets=await master.buckets.list_all(cluster.id),
        agents=agents,
        hosts=await master.members.list_hosts(cluster.id),
        due=await master.assignments.due_places(cluster.id),
        holdings=await master.buckets.holdings(cluster.id),
        known_waiting=await master.jobs.waiting_by_lane(cluster.id),
        pending=pending,
        parked=sum((await master.jobs.count(cluster.id, JobQuery(parked=True))).values()),
        some_parked=await find_parked(master.jobs, cluster.id),
        without_handlers=await without_handlers(master.logs, cluster.id),
        volatile=in_memory(cluster.master_url, cluster.agents),
        risks={MASTER: await risks_of(master), **{a.record.name: a.risks for a in agents}},
    )


def _with_save_pending(
    jobs: Mapping[JobStatus, int], agents: Sequence[AgentSnapshot]
) -> Mapping[JobStatus, int]:
    count = sum(agent.save_pending or 0 for agent in agents)
    return {**jobs, JobStatus.SAVE_PENDING: count} if count else jobs


UNNAMED = "it is not configured here; a process brings back jobs only from its configured agents, so add it"


async def _agents(cluster: Cluster, master: MasterRepository) -> list[AgentSnapshot]:
    """Return the agents that the master knows, with the content of those that are configured here."""
    records = await master.members.list_agents(cluster.id)
    in_use = agents_in_use(await master.buckets.list_all(cluster.id))
    repositories = {repository.name: repository for repository in cluster.open_agents()}
    found: dict[str, AgentSnapshot] = {}

    async def ask(record: AgentRecord) -> None:
        if repositories and record.name not in repositories:
            found[record.name] = AgentSnapshot(
                record=record, problem=UNNAMED if record.name in in_use else None
            )
        else:
            found[record.name] = await _asked(record, repositories.get(record.name))

    async with anyio.create_task_group() as group:
        for record in records:
            group.start_soon(ask, record)
    return [found[record.name] for record in records]


async def _asked(record: AgentRecord, repository: AgentRepository | None) -> AgentSnapshot:
    if repository is None:
        return AgentSnapshot(record=record)
    try:
        with anyio.fail_after(PATIENCE):
            return await _opened_and_asked(record, repository)
    except (JobMasterError, TimeoutError) as error:
        why = str(error) or f"no answer within {PATIENCE:g} s"
        return AgentSnapshot(record=record, problem=f"it cannot be queried: {why}")
    finally:
        with anyio.CancelScope(shield=True):
            await repository.close()


async def _opened_and_asked(record: AgentRecord, repository: AgentRepository) -> AgentSnapshot:
    await repository.open(create=False)
    if await repository.fingerprint() != record.fingerprint:
        return AgentSnapshot(
            record=record, problem="its URL does not lead to the store that the cluster knows"
        )
    backlogs, risks = await repository.buckets.backlog(record.cluster_id), await risks_of(repository)
    return AgentSnapshot(record=record, backlogs=backlogs, risks=risks)
