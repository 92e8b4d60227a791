"""The JSON documents of inspection results, as dictionaries. Their keys are documented and stable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import asdict

from jobmaster.converters import iso, to_plain
from jobmaster.inspection.models import AgentSnapshot, JobPage, Lane, Preview, SchedulePage, Snapshot, Times
from jobmaster.inspection.reasons import Reason
from jobmaster.models import Bucket, ClusterRecord, HostRecord, JobRecord, WorkerRecord
from jobmaster.schedule_models import ScheduleRecord
from jobmaster.states import JobStatus

# Jobs


def job_summary(job: JobRecord) -> dict[str, Any]:
    """Return the JSON form of a job in a list; its keys are documented and stable."""
    return {name: value for name, value in job_document(job).items() if name not in _ONLY_OF_ONE}


def job_document(job: JobRecord) -> dict[str, Any]:
    """Return the JSON form of a job with data, attempts and logs."""
    plain: dict[str, Any] = to_plain(job)
    return plain


_ONLY_OF_ONE = frozenset({"data", "attempts", "logs"})


def jobs_document(page: JobPage) -> dict[str, Any]:
    """Return the JSON form of a page of jobs: `jobs`, and `next`, the id after which the next page begins, or null."""
    return {"jobs": [job_summary(job) for job in page.jobs], "next": page.next and str(page.next)}


def reasons_document(reasons: Iterable[Reason]) -> dict[str, Any]:
    """Return the JSON form of why a job does not run: `reasons`, each with `what` and a `remedy`, which may be empty."""
    return {"reasons": [{"what": one.what, "remedy": one.remedy} for one in reasons]}


# Schedules


def preview_document(made: Preview) -> dict[str, Any]:
    """Return the JSON form of a preview; its keys are documented and stable."""
    head = {"kind": made.kind, "expression": made.text, "time_zone": made.times.zone.key}
    return head | _times_as_plain(made.times)


def schedule_summary(record: ScheduleRecord) -> dict[str, Any]:
    """Return the JSON form of a schedule in a list; its keys are documented and stable."""
    plain: dict[str, Any] = to_plain(record)
    del plain["data"]
    return plain


def schedules_document(page: SchedulePage) -> dict[str, Any]:
    """Return the JSON form of a page of schedules: `schedules`, and `next` as for jobs."""
    return {
        "schedules": [schedule_summary(one) for one in page.schedules],
        "next": page.next and str(page.next),
    }


def schedule_document(record: ScheduleRecord, times: Times) -> dict[str, Any]:
    """Return the JSON form of a schedule with its data and next times."""
    plain: dict[str, Any] = to_plain(record)
    return plain | _times_as_plain(times)


def _times_as_plain(times: Times) -> dict[str, Any]:
    pairs = [{"utc": iso(time), "local": time.astimezone(times.zone).isoformat()} for time in times.next]
    return {"description": times.description or None, "times": pairs}


_NOT_SHOWN = frozenset({"unheard", "silent"})
"""Fields of a bucket that are meaningful only in other queries."""


# Parts of a cluster


def worker_document(snapshot: Snapshot, worker: WorkerRecord) -> dict[str, Any]:
    """Return the JSON form of a worker."""
    facts = {
        "alive": snapshot.is_alive(worker),
        "suspended": snapshot.is_suspended(worker),
        "heartbeat_age": snapshot.age(worker.heartbeat_at),
    }
    return {**to_plain(worker), **facts}


def bucket_document(snapshot: Snapshot, bucket: Bucket) -> dict[str, Any]:
    """Return the JSON form of a bucket."""
    shown = {key: value for key, value in to_plain(bucket).items() if key not in _NOT_SHOWN}
    return {**shown, "waiting": snapshot.waiting(bucket), "messages": snapshot.messages(bucket)}


def agent_document(snapshot: Snapshot, agent: AgentSnapshot) -> dict[str, Any]:
    """Return the JSON form of an agent."""
    facts = {
        "heartbeat_age": snapshot.age(agent.record.heartbeat_at),
        "messages": agent.messages,
        "save_pending": agent.save_pending,
        "oldest_save_pending": agent.oldest_save_pending,
        "problem": agent.problem,
    }
    return {**to_plain(agent.record), **facts}


def host_document(snapshot: Snapshot, host: HostRecord) -> dict[str, Any]:
    """Return the JSON form of a host."""
    return {**to_plain(host), "heartbeat_age": snapshot.age(host.heartbeat_at)}


def workers_document(snapshot: Snapshot, workers: Iterable[WorkerRecord]) -> dict[str, Any]:
    """Return the JSON form of some workers of a snapshot: `workers`."""
    return {"workers": [worker_document(snapshot, worker) for worker in workers]}


def buckets_document(snapshot: Snapshot, buckets: Iterable[Bucket]) -> dict[str, Any]:
    """Return the JSON form of some buckets of a snapshot: `buckets`."""
    return {"buckets": [bucket_document(snapshot, bucket) for bucket in buckets]}


def lanes_document(lanes: Iterable[Lane]) -> dict[str, Any]:
    """Return the JSON form of lanes: `lanes`."""
    return {"lanes": [{"lane": one.name, "paused": one.paused, "workers": one.workers} for one in lanes]}


# A cluster


def cluster_document(record: ClusterRecord) -> dict[str, Any]:
    """Return the JSON form of a cluster: its mode, its settings, their changes, and paused lanes."""
    plain: dict[str, Any] = to_plain(record)
    return plain


def snapshot_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return the JSON form of a snapshot; its keys are documented and stable."""
    return {
        "now": iso(snapshot.now),
        "cluster": cluster_document(snapshot.cluster),
        "schema": {"up_to_date": not snapshot.pending, "pending": list(snapshot.pending)},
        "jobs": {str(one): snapshot.jobs.get(one, 0) for one in JobStatus},
        "waiting": dict(sorted(snapshot.waiting_by_lane.items())),
        "parked": snapshot.parked,
        "agents": [agent_document(snapshot, agent) for agent in snapshot.agents],
        "hosts": [host_document(snapshot, host) for host in snapshot.hosts],
        "workers": [worker_document(snapshot, worker) for worker in snapshot.listed(every=True)],
        "buckets": [bucket_document(snapshot, bucket) for bucket in snapshot.buckets],
        "durability": [
            {"store": store, **asdict(risk)} for store, risks in snapshot.risks.items() for risk in risks
        ],
        "warnings": snapshot.warnings(),
    }
