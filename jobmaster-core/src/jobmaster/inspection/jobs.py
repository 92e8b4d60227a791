"""Looking at jobs: pages of them, and single ones with the reason why they wait."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import anyio

from jobmaster._runtime.changing import not_known, save_pending
from jobmaster.cluster import Cluster
from jobmaster.contracts import AgentRepository, Message
from jobmaster.errors import JobNotFoundError, StoreUnavailableError
from jobmaster.inspection.opening import opened, registered
from jobmaster.inspection.reasons import with_reason
from jobmaster.inspection.slips import notes_on
from jobmaster.models import JobQuery, JobRecord
from jobmaster.scheduler import as_id


async def find_jobs(cluster: Cluster, query: JobQuery) -> tuple[Sequence[JobRecord], Sequence[str]]:
    """Return the jobs of a page, and without any a note for each name that nobody knows."""
    async with opened(cluster) as master:
        record = await registered(cluster, master)
        if found := await master.query_jobs(cluster.id, query):
            return found, []
        named = {"lane": query.lane, "handler": query.definition_id}
        return [], await notes_on(cluster, master, record, **named)


async def get_job(cluster: Cluster, job_id: str) -> JobRecord:
    """Return a job with its attempts, logs and the reason why it waits, also one that only an agent knows so far."""
    async with opened(cluster) as master:
        record = await registered(cluster, master)
        job = await master.get_job(cluster.id, as_id(job_id, cluster.id))
        if job is not None:
            return await with_reason(master, record, job)
    return await _on_agents(cluster, as_id(job_id, cluster.id))


async def _on_agents(cluster: Cluster, job_id: UUID) -> JobRecord:
    """Return a job that only an agent knows so far.

    Raises `JobNotFoundError` if none does, or `StoreUnavailableError` naming the agents that could not be asked.
    """
    silent: list[str] = []
    for agent in cluster.open_agents():
        try:
            found = await _asked(agent, job_id)
        except StoreUnavailableError:
            silent.append(agent.name)
            continue
        for message in found:
            if message.new.job.cluster_id == cluster.id:
                return save_pending(message)
    raise not_known(JobNotFoundError(job_id, cluster.id), silent)


async def _asked(agent: AgentRepository, job_id: UUID) -> Sequence[Message]:
    try:
        await agent.open(create=False)
        return await agent.find([job_id])
    finally:
        with anyio.CancelScope(shield=True):
            await agent.close()
