"""Warnings at the start of workers that can run, but will likely not do what the user expects."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from jobmaster._process.tasks import Contained
from jobmaster.clock import SystemClock
from jobmaster.errors import StoreError
from jobmaster.models import JobQuery, JobRecord, LogLine, WorkerRecord
from jobmaster.urls import scheme_of

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment
    from jobmaster.config import AgentSettings
    from jobmaster.contracts import JobStore, LogStore

log = logging.getLogger("jobmaster.start")

NO_HANDLERS = (
    "it has no handlers and parks every job; import the modules that define them, or use add_handlers()"
)
PARKED_AT_ONCE = 100
"""How many parked jobs are read: enough to name their definitions."""
NAMED = 5
"""How many of those definitions are named."""
NOTED = "no_handlers_worker"
"""The field of a cluster's log line that names a worker without handlers, by its id."""
LINES = 1000
"""How many of a cluster's newest log lines are searched for such lines."""


def in_memory(master_url: str, agents: Iterable[AgentSettings]) -> list[str]:
    """Return a line for each store that lives only as long as its process."""
    lines = []
    if _is_memory(master_url):
        lines.append(
            "the master is in memory: no other process sees its jobs, and they are gone when this one ends; "
            "name a database, for example sqlite:///jobs.db"
        )
    lines += [
        f"agent {agent.name!r} is in memory: its messages are gone when this process ends; name a database"
        for agent in agents
        if _is_memory(agent.url)
    ]
    return lines


def _is_memory(url: str) -> bool:
    return scheme_of(url) == "memory"


def warn_of_settings(env: Environment, master_url: str, agents: Sequence[AgentSettings]) -> None:
    """Warn of stores in memory, but not under a test's clock: tests use such stores on purpose."""
    if isinstance(env.clock, SystemClock):
        for line in in_memory(master_url, agents):
            log.warning("cluster %s: %s", env.cluster_id, line)


# Handlers


async def warn_of_no_handlers(env: Environment, worker: WorkerRecord) -> None:
    """Warn of a worker that cannot run anything, in this log and, for `status`, on the master."""
    if env.registry or not worker.mode.executes:
        return
    log.warning("worker %s: %s", worker.name, NO_HANDLERS)
    line = LogLine(
        at=env.clock.now(),
        level="WARNING",
        message=f"worker {worker.name}: {NO_HANDLERS}",
        fields={NOTED: str(worker.id)},
        subject="cluster",
        subject_id=env.cluster_id,
    )
    async with Contained("warning about missing handlers", log, StoreError):
        await env.master.logs.add(env.cluster_id, [line])


async def without_handlers(logs: LogStore, cluster_id: str) -> frozenset[str]:
    """Return the ids of all workers, past and present, that logged that they have no handlers."""
    lines = await logs.read(cluster_id, "cluster", cluster_id, LINES)
    return frozenset(str(line.fields[NOTED]) for line in lines if NOTED in line.fields)


# Parked jobs


async def warn_of_parked(env: Environment) -> None:
    """Warn of jobs that wait for a handler that is not known here either."""
    async with Contained("looking for parked jobs", log, StoreError):
        parked = await find_parked(env.master.jobs, env.cluster_id)
        if line := parked_line([job for job in parked if job.definition_id not in env.registry]):
            log.warning("cluster %s: %s", env.cluster_id, line)


async def find_parked(jobs: JobStore, cluster_id: str) -> Sequence[JobRecord]:
    """Return parked jobs, newest first, enough of them to name their definitions."""
    return await jobs.query(cluster_id, JobQuery(parked=True, limit=PARKED_AT_ONCE))


def parked_line(jobs: Sequence[JobRecord], count: int | None = None) -> str | None:
    """Return a line about parked jobs; `count` is their total, if known."""
    if not jobs:
        return None
    definitions = Counter(job.definition_id for job in jobs)
    names = ", ".join(repr(name) for name, _ in definitions.most_common(NAMED))
    more = f" and {len(definitions) - NAMED} more" if len(definitions) > NAMED else ""
    known = f"{count:,}" if count is not None else f"{len(jobs)}{'+' * (len(jobs) >= PARKED_AT_ONCE)}"
    verb = (
        "job is parked, as no worker that claimed it had"
        if known == "1"
        else "jobs are parked, as no worker that claimed them had"
    )
    return (
        f"{known} {verb} a handler for {names}{more}; start a worker whose application imports one "
        "(`jobmaster jobs list --parked`)"
    )
