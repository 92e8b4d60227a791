"""Why a job does not run: reasons from its due time, its cluster and its lane, and what can be done about them."""

from __future__ import annotations

from attrs import frozen

from jobmaster.contracts import BucketStore, MasterRepository
from jobmaster.converters import iso
from jobmaster.models import ClusterRecord, JobRecord, evolve
from jobmaster.states import ClusterMode, JobStatus


@frozen
class Reason:
    """Why a job does not run.

    Args:
        what: what prevents it from running, as a sentence without a full stop.
        remedy: what can be done about it; empty if nothing has to be done.

    """

    what: str
    remedy: str = ""

    def __str__(self) -> str:
        """Return both as one text, with a semicolon between them."""
        return f"{self.what}; {self.remedy}" if self.remedy else self.what

    @classmethod
    def from_text(cls, text: str) -> Reason:
        """Return the reason from a text, as recorded for a parked job."""
        what, _, remedy = text.partition("; ")
        return cls(what, remedy)


async def reasons_of(master: MasterRepository, cluster: ClusterRecord, job: JobRecord) -> list[Reason]:
    """Return why a job does not run, in the order in which to resolve it.

    Takes the cluster as its open master knows it, and one of its jobs. Returns nothing for a job that runs or has
    finished, and if nothing prevents it from running: it waits for a free slot then. Raises `StoreUnavailableError` if
    the master cannot be reached.
    """
    if job.status is JobStatus.PROCESSING or job.status.is_terminal:
        return []
    found = [Reason.from_text(job.reason)] if job.reason else []
    if job.ready_at is not None and job.ready_at > await master.now():
        found.append(Reason(f"it is due at {iso(job.ready_at)}", "reschedule it to run it sooner"))
    return found + await _around(master.buckets, cluster, job)


async def with_reason(master: MasterRepository, cluster: ClusterRecord, job: JobRecord) -> JobRecord:
    """Return a job with the reason why it waits, if it is held and due, and no reason is recorded."""
    if job.reason or job.status is not JobStatus.HELD_ON_MASTER:
        return job
    if job.ready_at is None or job.ready_at > await master.now():
        return job
    reasons = await _around(master.buckets, cluster, job)
    return evolve(job, reason=str(reasons[0])) if reasons else job


async def _around(buckets: BucketStore, cluster: ClusterRecord, job: JobRecord) -> list[Reason]:
    """Return the reasons in the cluster and the lane that keep a job from running, apart from its own state."""
    found = []
    if cluster.mode is not ClusterMode.ACTIVE:
        found.append(
            Reason(f"the cluster is {cluster.mode}", "run `jobmaster cluster mode active` to run jobs")
        )
    if job.lane in cluster.paused_lanes:
        found.append(Reason(f"lane {job.lane!r} is paused", f"`jobmaster lane resume {job.lane}` resumes it"))
    elif job.lane not in {bucket.lane for bucket in await buckets.list_active(cluster.id)}:
        found.append(Reason(f"no worker serves lane {job.lane!r} now", f"start one with lane={job.lane!r}"))
    return found
