"""What the master's tables hold about one cluster, read directly."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any
from uuid import UUID

import anyio.to_thread
from attrs import frozen

from jobmaster import AttemptOutcome, BucketStatus, JobStatus

_JOBS = "SELECT id, definition_id, scheduled_at FROM jm_job WHERE cluster_id = '{cluster}'"
_LIVE = "SELECT job_id FROM jm_live WHERE cluster_id = '{cluster}'"
_ATTEMPTS = """
    SELECT job_id, number, outcome, final_status FROM jm_attempt WHERE cluster_id = '{cluster}'
    ORDER BY job_id, number
"""
_BUCKETS = "SELECT id, agent, status FROM jm_bucket WHERE cluster_id = '{cluster}'"
_HANDOVERS = "SELECT id FROM jm_handover WHERE cluster_id = '{cluster}'"
_QUERIES = (_JOBS, _LIVE, _ATTEMPTS, _BUCKETS, _HANDOVERS)


@frozen
class AttemptRow:
    """An attempt as the store keeps it."""

    number: int
    outcome: AttemptOutcome
    final: JobStatus | None


@frozen
class BucketRow:
    """A bucket as the store keeps it."""

    id: UUID
    agent: str
    status: BucketStatus


@frozen
class Tables:
    """Jobs (definition, due time in seconds since 1970, attempts), live rows, buckets, and handovers."""

    definitions: Mapping[UUID, str]
    due: Mapping[UUID, float]
    live: frozenset[UUID]
    attempts: Mapping[UUID, Sequence[AttemptRow]]
    buckets: Sequence[BucketRow]
    handovers: frozenset[UUID]


async def read_tables(url: str, cluster_id: str) -> Tables:
    """Read the tables behind a URL."""
    jobs, live, attempts, buckets, handovers = await anyio.to_thread.run_sync(_read, url, cluster_id)
    return Tables(
        definitions={_uuid(job_id): definition for job_id, definition, _ in jobs},
        due={_uuid(job_id): moment / 1e6 for job_id, _, moment in jobs},
        live=frozenset(_uuid(job_id) for (job_id,) in live),
        attempts=_by_job(attempts),
        buckets=[BucketRow(_uuid(row[0]), row[1], BucketStatus.from_code(row[2])) for row in buckets],
        handovers=frozenset(_uuid(handover_id) for (handover_id,) in handovers),
    )


def _by_job(rows: Iterable[Any]) -> Mapping[UUID, Sequence[AttemptRow]]:
    by_job: dict[UUID, list[AttemptRow]] = defaultdict(list)
    for job_id, number, outcome, final in rows:
        status = None if final is None else JobStatus.from_code(final)
        by_job[_uuid(job_id)].append(AttemptRow(number, AttemptOutcome.from_code(outcome), status))
    return by_job


def _read(url: str, cluster_id: str) -> list[list[Any]]:
    queries = [query.format(cluster=cluster_id) for query in _QUERIES]
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return [connection.execute(query).fetchall() for query in queries]
    import psycopg

    with psycopg.connect(url) as native:
        return [native.execute(query).fetchall() for query in queries]


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def unfinished_business(tables: Tables, owned: Collection[UUID]) -> list[str]:
    """Return what speaks of processes that are gone, in words: handovers, and buckets that nobody of now owns."""
    stale = [b for b in tables.buckets if b.id not in owned and b.status is not BucketStatus.READY_TO_DELETE]
    return [
        *(f"handover {handover_id}" for handover_id in tables.handovers),
        *(f"bucket {bucket.id} on {bucket.agent} is {bucket.status}" for bucket in stale),
    ]
