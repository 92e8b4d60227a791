"""Inspecting jobs: pages of jobs, and single jobs with the reason why they wait."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import anyio

from jobmaster._runtime.job_commands import not_known, save_pending
from jobmaster.cluster import Cluster
from jobmaster.contracts import AgentRepository, MasterRepository, Message
from jobmaster.errors import JobNotFoundError, StoreUnavailableError
from jobmaster.ids import as_id
from jobmaster.inspection.models import JobPage
from jobmaster.inspection.opening import registered
from jobmaster.inspection.reasons import Reason, reasons_of, with_reason
from jobmaster.inspection.slips import notes_on
from jobmaster.models import ClusterRecord, JobQuery, JobRecord


async def find_jobs(cluster: Cluster, master: MasterRepository, query: JobQuery) -> JobPage:
    """Return the jobs that match a query, as `build_query` makes it, from an open master.

    Raises `ClusterNotFoundError`, `SchemaError` or `StoreUnavailableError`, as `take_snapshot` does.
    """
    record = await registered(cluster, master)
    if found := await master.jobs.query(cluster.id, query):
        return JobPage(found, found[-1].id if len(found) == query.limit else None)
    named = {"lane": query.lane, "handler": query.definition_id}
    return JobPage([], notes=await notes_on(cluster, master, record, **named))


async def get_job(cluster: Cluster, master: MasterRepository, job_id: UUID | str) -> JobRecord:
    """Return a job with its attempts, logs and the reason why it waits, even if only an agent knows it so far.

    Raises:
        JobNotFoundError: there is no such job.
        StoreUnavailableError: the master, or an agent that may have the job, cannot be reached.
        ClusterNotFoundError: the master has no such cluster.
        SchemaError: the data to read does not exist until pending migrations are applied.

    """
    record, job = await _found(cluster, master, job_id)
    return await with_reason(master, record, job)


async def why_waiting(cluster: Cluster, master: MasterRepository, job_id: UUID | str) -> Sequence[Reason]:
    """Return why a job does not run, in the order in which to resolve it; raises as `get_job`.

    Empty for a job that runs or has finished, and if nothing prevents it from running: it waits for a free slot then.
    """
    record, job = await _found(cluster, master, job_id)
    return await reasons_of(master, record, job)


async def _found(
    cluster: Cluster, master: MasterRepository, job_id: UUID | str
) -> tuple[ClusterRecord, JobRecord]:
    record = await registered(cluster, master)
    wanted = as_id(job_id, cluster.id)
    job = await master.jobs.get(cluster.id, wanted)
    return record, job or await _on_agents(cluster, wanted)


async def _on_agents(cluster: Cluster, job_id: UUID) -> JobRecord:
    """Return a job that only an agent knows so far.

    Raises `JobNotFoundError` if no agent does, or `StoreUnavailableError` naming the agents that could not be reached.
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
        return await agent.messages.find([job_id])
    finally:
        with anyio.CancelScope(shield=True):
            await agent.close()
