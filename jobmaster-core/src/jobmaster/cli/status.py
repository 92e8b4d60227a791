"""`jobmaster status`: the cluster at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import typer
from attrs import frozen

from jobmaster.cli.exits import ExitCode
from jobmaster.cli.output import JsonOption, console, duration, print_json, state, table
from jobmaster.cli.reading import opened, registered, run_async
from jobmaster.cli.source import AppOption, ClusterOption, ConfigOption, MasterOption, Source, find_cluster
from jobmaster.cluster import Cluster
from jobmaster.converters import iso, to_plain
from jobmaster.models import Bucket, ClusterRecord, JobQuery, WorkerRecord
from jobmaster.states import BucketStatus, ClusterMode, JobStatus, WorkerStatus

_RUNNING = frozenset({WorkerStatus.ACTIVE, WorkerStatus.STOPPING})


@frozen(kw_only=True)
class Picture:
    """What the master knows at one moment, `now` by its own clock."""

    now: datetime
    cluster: ClusterRecord
    jobs: Mapping[JobStatus, int]
    workers: Sequence[WorkerRecord]
    buckets: Sequence[Bucket]
    pending: Sequence[str] = ()
    """Names of pending migrations."""

    def is_alive(self, worker: WorkerRecord) -> bool:
        """Whether a worker runs and its lease has not run out."""
        in_time = worker.lease_until is not None and worker.lease_until >= self.now
        return worker.status in _RUNNING and in_time

    def age(self, moment: datetime | None) -> float | None:
        """Return the seconds since a moment."""
        return None if moment is None else (self.now - moment).total_seconds()

    @property
    def unfinished(self) -> int:
        """How many jobs have not reached a terminal state."""
        return sum(count for status, count in self.jobs.items() if not status.is_terminal)

    def warnings(self) -> list[str]:
        """Return what somebody should look at."""
        found = []
        if self.pending:
            found.append(f"migrations are pending ({', '.join(self.pending)}); run `jobmaster migrate`")
        if self.cluster.mode is not ClusterMode.ACTIVE:
            found.append(f"the cluster is {self.cluster.mode}: no jobs run")
        if not any(self.is_alive(worker) for worker in self.workers):
            found.append(f"no worker is alive; unfinished jobs: {self.unfinished:,}")
        expired = [w.name for w in self.workers if w.status in _RUNNING and not self.is_alive(w)]
        if expired:
            found.append(
                f"the lease of {', '.join(expired)} has run out; a live worker will take over its jobs"
            )
        return found


def status(
    *,
    as_json: JsonOption = False,
    app: AppOption = None,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    master: MasterOption = None,
) -> None:
    """Show the cluster: its mode, jobs by status, workers, buckets and schema.

    Exits with 6 if migrations are pending.
    """
    picture = run_async(_look, find_cluster(Source(app, config, cluster, master)))
    if as_json:
        print_json(as_plain(picture))
    else:
        _show(picture)
    if picture.pending:
        raise typer.Exit(ExitCode.SCHEMA)


async def _look(cluster: Cluster) -> Picture:
    async with opened(cluster) as master:
        record = await registered(cluster, master)
        return Picture(
            now=await master.now(),
            cluster=record,
            jobs=await master.count_jobs(cluster.id, JobQuery()),
            workers=await master.list_workers(cluster.id),
            buckets=await master.list_buckets(cluster.id),
            pending=await master.pending_migrations(),
        )


# For programs


def as_plain(picture: Picture) -> dict[str, Any]:
    """Return the JSON form of a picture; its keys are documented and stay."""
    return {
        "now": iso(picture.now),
        "cluster": to_plain(picture.cluster),
        "schema": {"up_to_date": not picture.pending, "pending": list(picture.pending)},
        "jobs": {str(one): picture.jobs.get(one, 0) for one in JobStatus},
        "workers": [_worker(picture, worker) for worker in picture.workers],
        "buckets": [to_plain(bucket) for bucket in picture.buckets],
        "warnings": picture.warnings(),
    }


def _worker(picture: Picture, worker: WorkerRecord) -> dict[str, Any]:
    ages = {"alive": picture.is_alive(worker), "heartbeat_age": picture.age(worker.heartbeat_at)}
    return {**to_plain(worker), **ages}


# For people


def _show(picture: Picture) -> None:
    out, record = console(), picture.cluster
    schema = "schema not up to date" if picture.pending else "schema up to date"
    out.print(f"Cluster {record.id}: {record.mode}; {schema}")
    for warning in picture.warnings():
        out.print(f"warning: {warning}", style="yellow")
    out.print()
    counts = [(state(one), f"{picture.jobs[one]:,}") for one in JobStatus if one in picture.jobs]
    out.print(table("Jobs", ("Status", ">Count"), counts) if counts else "No jobs yet.")
    out.print()
    out.print(_worker_table(picture) if picture.workers else "No workers yet.")
    if living := [one for one in picture.buckets if one.status is not BucketStatus.READY_TO_DELETE]:
        out.print()
        out.print(_bucket_table(picture, living))


def _worker_table(picture: Picture) -> Any:
    columns = ("Worker", "Status", "Heartbeat", "Lane", "Mode", "Host", ">PID")
    return table("Workers", columns, [_worker_row(picture, worker) for worker in picture.workers])


def _worker_row(picture: Picture, worker: WorkerRecord) -> Sequence[Any]:
    expired = worker.status in _RUNNING and not picture.is_alive(worker)
    name = "lost" if expired else str(worker.status)
    age = picture.age(worker.heartbeat_at)
    heartbeat = "" if age is None else f"{duration(max(0.0, age))} ago"
    return worker.name, state(name), heartbeat, worker.lane, worker.mode, worker.host, worker.pid


def _bucket_table(picture: Picture, buckets: Sequence[Bucket]) -> Any:
    names: Mapping[UUID, str] = {worker.id: worker.name for worker in picture.workers}
    rows = [
        (names.get(b.worker_id, b.worker_id), b.lane, b.priority.name.lower(), state(b.status), f"{b.load:,}")
        for b in buckets
    ]
    return table("Buckets", ("Worker", "Lane", "Priority", "Status", ">Load"), rows)
