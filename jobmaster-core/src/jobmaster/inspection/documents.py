"""The JSON documents of what is looked at, as dictionaries. Their keys are documented and stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import asdict

from jobmaster.converters import iso, to_plain
from jobmaster.inspection.schedules import Preview, Times
from jobmaster.inspection.snapshot import RUNNING, Agent, Picture
from jobmaster.models import Bucket, HostRecord, JobRecord, WorkerRecord
from jobmaster.recurring import ScheduleRecord
from jobmaster.states import JobStatus

# Jobs


def job_summary(job: JobRecord) -> dict[str, Any]:
    """Return the JSON form of a job in a list; its keys are documented and stay."""
    return {name: value for name, value in job_document(job).items() if name not in _ONLY_OF_ONE}


def job_document(job: JobRecord) -> dict[str, Any]:
    """Return the JSON form of a job with data, attempts and logs."""
    plain: dict[str, Any] = to_plain(job)
    return plain


_ONLY_OF_ONE = frozenset({"data", "attempts", "logs"})


# Schedules


def preview_document(made: Preview) -> dict[str, Any]:
    """Return the JSON form of a preview; its keys are documented and stay."""
    head = {"kind": made.kind, "expression": made.text, "time_zone": made.times.zone.key}
    return head | _times_as_plain(made.times)


def schedule_summary(record: ScheduleRecord) -> dict[str, Any]:
    """Return the JSON form of a schedule in a list; its keys are documented and stay."""
    plain: dict[str, Any] = to_plain(record)
    del plain["data"]
    return plain


def schedule_document(record: ScheduleRecord, times: Times) -> dict[str, Any]:
    """Return the JSON form of a schedule with its data and next times."""
    plain: dict[str, Any] = to_plain(record)
    return plain | _times_as_plain(times)


def _times_as_plain(times: Times) -> dict[str, Any]:
    pairs = [{"utc": iso(time), "local": time.astimezone(times.zone).isoformat()} for time in times.next]
    return {"description": times.description or None, "times": pairs}


_NOT_SHOWN = frozenset({"unheard", "silent"})
"""What of a bucket says something only when it is asked for otherwise."""


# What a cluster is made of


def worker_document(picture: Picture, worker: WorkerRecord) -> dict[str, Any]:
    """Return the JSON form of a worker."""
    facts = {
        "alive": picture.is_alive(worker),
        "suspended": picture.is_suspended(worker),
        "heartbeat_age": picture.age(worker.heartbeat_at),
    }
    return {**to_plain(worker), **facts}


def bucket_document(picture: Picture, bucket: Bucket) -> dict[str, Any]:
    """Return the JSON form of a bucket."""
    shown = {key: value for key, value in to_plain(bucket).items() if key not in _NOT_SHOWN}
    return {**shown, "waiting": picture.waiting(bucket), "messages": picture.messages(bucket)}


def agent_document(picture: Picture, agent: Agent) -> dict[str, Any]:
    """Return the JSON form of an agent."""
    facts = {
        "heartbeat_age": picture.age(agent.record.heartbeat_at),
        "messages": agent.messages,
        "save_pending": agent.save_pending,
        "oldest_save_pending": agent.oldest_save_pending,
        "problem": agent.problem,
    }
    return {**to_plain(agent.record), **facts}


def host_document(picture: Picture, host: HostRecord) -> dict[str, Any]:
    """Return the JSON form of a host."""
    return {**to_plain(host), "heartbeat_age": picture.age(host.heartbeat_at)}


def lane_documents(picture: Picture) -> Iterator[dict[str, Any]]:
    """Yield the JSON form of each lane; its keys are documented and stay."""
    served = [w.lane for w in picture.workers if w.status in RUNNING and w.mode.executes]
    paused = picture.cluster.paused_lanes
    for lane in sorted({*served, *paused}):
        yield {"lane": lane, "paused": lane in paused, "workers": served.count(lane)}


# A cluster


def snapshot_document(picture: Picture) -> dict[str, Any]:
    """Return the JSON form of a picture; its keys are documented and stay."""
    return {
        "now": iso(picture.now),
        "cluster": to_plain(picture.cluster),
        "schema": {"up_to_date": not picture.pending, "pending": list(picture.pending)},
        "jobs": {str(one): picture.jobs.get(one, 0) for one in JobStatus},
        "parked": picture.parked,
        "agents": [agent_document(picture, agent) for agent in picture.agents],
        "hosts": [host_document(picture, host) for host in picture.hosts],
        "workers": [worker_document(picture, worker) for worker in picture.listed(every=True)],
        "buckets": [bucket_document(picture, bucket) for bucket in picture.buckets],
        "durability": [
            {"store": store, **asdict(risk)} for store, risks in picture.risks.items() for risk in risks
        ],
        "warnings": picture.warnings(),
    }
