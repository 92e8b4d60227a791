"""Why a job waits that could run: what its cluster and its lane have to do with it."""

from __future__ import annotations

from jobmaster.contracts import MasterRepository
from jobmaster.models import ClusterRecord, JobRecord, evolve
from jobmaster.states import ClusterMode, JobStatus


async def with_reason(master: MasterRepository, cluster: ClusterRecord, job: JobRecord) -> JobRecord:
    """Return a job with the reason why it waits, if it is held and due, and no reason is on record."""
    if job.reason or job.status is not JobStatus.HELD_ON_MASTER:
        return job
    if job.ready_at is None or job.ready_at > await master.now():
        return job
    return evolve(job, reason=await _reason(master, cluster, job))


async def _reason(master: MasterRepository, cluster: ClusterRecord, job: JobRecord) -> str | None:
    if cluster.mode is not ClusterMode.ACTIVE:
        return f"the cluster is {cluster.mode}; `jobmaster cluster mode active` has it run jobs"
    if job.lane in cluster.paused_lanes:
        return f"lane {job.lane!r} is paused; `jobmaster lane resume {job.lane}` has it served"
    served = {bucket.lane for bucket in await master.active_buckets(cluster.id)}
    if job.lane not in served:
        return f"no worker serves lane {job.lane!r} now; start one with lane={job.lane!r}"
    return None
