"""Workers, buckets, agents and hosts of a snapshot, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from jobmaster.cli.grid import Table
from jobmaster.cli.output import duration
from jobmaster.cli.terminal import state, table
from jobmaster.inspection.models import RUNNING, Snapshot
from jobmaster.models import Bucket, WorkerRecord

SHORT_FINGERPRINT = 8


def worker_table(snapshot: Snapshot, workers: Sequence[WorkerRecord]) -> Table:
    """Return workers as a table."""
    columns = ("Worker", "Status", "Asked to", "Heartbeat", "Agent", "Lane", "Mode", "Host", ">PID")
    return table("Workers", columns, [_worker_row(snapshot, worker) for worker in workers])


def no_worker(snapshot: Snapshot) -> str:
    """Return the line in place of a table of workers that run."""
    return "No worker runs." if snapshot.workers else "No workers."


def worker_note(snapshot: Snapshot) -> str:
    """Return a line about workers that are not shown, or nothing."""
    over = len(snapshot.listed(every=True)) - len(snapshot.listed(every=False))
    what = "1 more has stopped or was lost" if over == 1 else f"{over:,} more have stopped or were lost"
    return f"{what} lately: `jobmaster workers list --all`" if over else ""


def _worker_row(snapshot: Snapshot, worker: WorkerRecord) -> Sequence[Any]:
    return (
        worker.name,
        state(_shown_status(snapshot, worker)),
        worker.request,
        _ago(snapshot.age(worker.heartbeat_at)),
        worker.agent,
        worker.lane,
        worker.mode,
        worker.host,
        worker.pid,
    )


def _shown_status(snapshot: Snapshot, worker: WorkerRecord) -> str:
    if worker.status in RUNNING and not snapshot.is_alive(worker):
        return "lost"
    return "suspended" if snapshot.is_suspended(worker) else str(worker.status)


def bucket_table(snapshot: Snapshot, buckets: Sequence[Bucket]) -> Table:
    """Return buckets as a table."""
    names: Mapping[UUID, str] = {worker.id: worker.name for worker in snapshot.workers}
    columns = ("Worker", "Agent", "Lane", "Priority", "Status", ">Running", ">Waiting", ">Offered")
    rows = [
        (
            names.get(b.worker_id, b.worker_id),
            b.agent,
            b.lane,
            b.priority.name.lower(),
            state(b.status),
            f"{b.running:,}",
            _count(snapshot.waiting(b)),
            _count(b.running + b.free if b.offered is None else b.offered),
        )
        for b in buckets
    ]
    return table("Buckets", columns, rows)


def agent_table(snapshot: Snapshot) -> Table:
    """Return the agents as a table."""
    columns = ("Agent", "Kind", "Fingerprint", "Heartbeat", ">Messages", ">Save pending", ">Oldest")
    rows = [
        (
            agent.record.name,
            agent.record.kind,
            agent.record.fingerprint[:SHORT_FINGERPRINT],
            _ago(snapshot.age(agent.record.heartbeat_at)),
            _count(agent.messages),
            _count(agent.save_pending),
            duration(agent.oldest_save_pending),
        )
        for agent in snapshot.agents
    ]
    return table("Agents", columns, rows)


def host_table(snapshot: Snapshot) -> Table:
    """Return the hosts as a table."""
    rows = [(host.name, _ago(snapshot.age(host.heartbeat_at)), _facts(host.info)) for host in snapshot.hosts]
    return table("Hosts", ("Host", "Heartbeat", "About"), rows)


def _facts(info: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in info.items())


def _ago(age: float | None) -> str:
    return "" if age is None else f"{duration(max(0.0, age))} ago"


def _count(number: int | None) -> str:
    """Return a number for people; a question mark for what could not be asked."""
    return "?" if number is None else f"{number:,}"
