"""A loop over psycopg that does the same durable writes as JobMaster on PostgreSQL, and nothing else.

Immutable job rows, a narrow table of live rows, attempts that are only appended. No scheduling, no leases, no retries, no
concurrency: the maximum that a queue with history can reach on one connection.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import _protocol as protocol
import orjson
import psycopg
from _sync import Data, OnJob, SyncSystem

BATCH = 500
BUCKETS = (UUID(int=1), UUID(int=2))

SCHEMA = """
CREATE TABLE job (
  id uuid NOT NULL PRIMARY KEY, cluster_id text NOT NULL, definition_id text NOT NULL, lane text NOT NULL,
  priority smallint NOT NULL, scheduled_at bigint NOT NULL, created_at bigint NOT NULL, timeout_us bigint,
  max_retries integer NOT NULL, data text NOT NULL, metadata json NOT NULL, idempotency_key text
);
CREATE TABLE live (
  job_id uuid NOT NULL PRIMARY KEY, cluster_id text NOT NULL, bucket_id uuid, status smallint NOT NULL,
  ready_at bigint NOT NULL, attempt integer NOT NULL, lane text NOT NULL, priority smallint NOT NULL
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX live_by_bucket ON live (bucket_id, ready_at, job_id);
CREATE TABLE attempt (
  job_id uuid NOT NULL, number integer NOT NULL, cluster_id text NOT NULL, outcome smallint NOT NULL,
  final_status smallint, started_at bigint, finished_at bigint NOT NULL, worker text NOT NULL,
  host text NOT NULL, bucket_id uuid, error_type text, error_message text, error_traceback text,
  PRIMARY KEY (job_id, number)
);
"""

INSERT = """
WITH new AS (
  SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::text[]) AS n (id, bucket_id, data)
),
added AS (
  INSERT INTO job (
    id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries, data, metadata
  )
  SELECT id, 'Bench', 'Noop', 'default', 3, %b, %b, 60000000, 3, data, '{}' FROM new
)
INSERT INTO live (job_id, cluster_id, bucket_id, status, ready_at, attempt, lane, priority)
SELECT id, 'Bench', bucket_id, 3, %b, 1, 'default', 3 FROM new
"""

TAKE = """
SELECT l.job_id, l.ready_at, l.attempt, j.definition_id, j.scheduled_at, j.created_at, j.timeout_us,
  j.max_retries, j.data, j.metadata
FROM live l JOIN job j ON j.id = l.job_id
WHERE l.bucket_id = %b AND l.ready_at <= %b AND (l.ready_at, l.job_id) > (%b, %b)
ORDER BY l.ready_at, l.job_id
LIMIT %b
"""

COMPLETE = """
WITH said AS (
  SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[]) AS s (job_id, number, started, finished)
),
done AS (
  DELETE FROM live l USING said s WHERE l.job_id = s.job_id AND l.attempt = s.number
  RETURNING l.cluster_id, l.bucket_id, s.*
)
INSERT INTO attempt (
  job_id, number, cluster_id, outcome, final_status, started_at, finished_at, worker, host, bucket_id
)
SELECT job_id, number, cluster_id, 1, 6, started, finished, 'raw', 'here', bucket_id FROM done
"""


def new_id() -> UUID:
    """Return an id that sorts by time, as UUIDv7 does."""
    return UUID(bytes=(time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10))


def micros() -> int:
    """Return the current time in microseconds since 1970."""
    return time.time_ns() // 1000


class Raw(SyncSystem):
    """One connection in autocommit mode, statements prepared, parameters and results binary."""

    about = protocol.About(
        packages=("psycopg",),
        settings={"batch": BATCH, "statements": "prepared, binary"},
        history="kept: job and attempt rows",
        concurrent=False,
    )

    def connect(self) -> None:
        """Open the one connection."""
        self._connection = psycopg.connect(self.url, autocommit=True)
        self._cursor = self._connection.cursor(binary=True)

    def setup(self) -> None:
        """Create the tables."""
        self.connect()
        self._connection.execute(SCHEMA)

    def schedule(self, data: Data) -> None:
        """Insert one job and its live row."""
        self._insert([data], BUCKETS[:1])

    def schedule_many(self, batch: Sequence[Data]) -> None:
        """Insert jobs and their live rows with one statement, half of them for each bucket."""
        self._insert(batch, [BUCKETS[number % 2] for number in range(len(batch))])

    def _insert(self, batch: Sequence[Data], buckets: Sequence[UUID]) -> None:
        now = micros()
        ids = [new_id() for _ in batch]
        texts = [orjson.dumps(data).decode() for data in batch]
        self._cursor.execute(INSERT, (ids, list(buckets), texts, now, now, now), prepare=True)

    def drain(self, drain: protocol.Drain) -> None:
        """Read, run and complete the jobs in the bucket of this process; a single process has both buckets."""
        mine = BUCKETS if self.options.workers == 1 else BUCKETS[self.options.worker :][:1]
        for bucket in mine:
            self._drain_bucket(bucket, drain)

    def _drain_bucket(self, bucket: UUID, on_job: OnJob) -> None:
        cursor = (0, UUID(int=0))
        while page := self._take(bucket, cursor):
            said = [_run(row, on_job) for row in page]
            self._cursor.execute(COMPLETE, [list(column) for column in zip(*said, strict=True)], prepare=True)
            cursor = (page[-1][1], page[-1][0])

    def _take(self, bucket: UUID, after: tuple[int, UUID]) -> list[Any]:
        return self._cursor.execute(TAKE, (bucket, micros(), *after, BATCH), prepare=True).fetchall()

    def count(self) -> tuple[int | None, int]:
        """Return how many jobs are finished and unfinished."""
        query = "SELECT (SELECT count(*) FROM attempt WHERE final_status = 6), (SELECT count(*) FROM live)"
        row = self._connection.execute(query).fetchone()
        return row or (0, 0)


def _run(row: Any, on_job: OnJob) -> tuple[UUID, int, int, int]:
    """Run one job: decode its data, do nothing, record both moments."""
    started = micros()
    orjson.loads(row[8])
    on_job(row)
    return row[0], row[2], started, micros()


if __name__ == "__main__":
    Raw(protocol.parse_options()).main()
