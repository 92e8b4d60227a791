"""A loop over sqlite3 that does the same durable writes as JobMaster on SQLite, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import _protocol as protocol
import orjson
from _sync import Data, OnJob, SyncSystem
from bench_raw import BATCH, micros, new_id

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE job (
  id TEXT NOT NULL PRIMARY KEY, cluster_id TEXT NOT NULL, definition_id TEXT NOT NULL, lane TEXT NOT NULL,
  priority INTEGER NOT NULL, scheduled_at INTEGER NOT NULL, created_at INTEGER NOT NULL, timeout_us INTEGER,
  max_retries INTEGER NOT NULL, data TEXT NOT NULL, metadata TEXT NOT NULL, idempotency_key TEXT
);
CREATE TABLE live (
  job_id TEXT NOT NULL PRIMARY KEY, cluster_id TEXT NOT NULL, bucket_id TEXT, status INTEGER NOT NULL,
  ready_at INTEGER NOT NULL, attempt INTEGER NOT NULL, lane TEXT NOT NULL, priority INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX live_by_bucket ON live (bucket_id, ready_at, job_id);
CREATE TABLE attempt (
  job_id TEXT NOT NULL, number INTEGER NOT NULL, cluster_id TEXT NOT NULL, outcome INTEGER NOT NULL,
  final_status INTEGER, started_at INTEGER, finished_at INTEGER NOT NULL, worker TEXT NOT NULL,
  host TEXT NOT NULL, bucket_id TEXT, error_type TEXT, error_message TEXT, error_traceback TEXT,
  PRIMARY KEY (job_id, number)
) WITHOUT ROWID;
"""

JOB = "INSERT INTO job VALUES (?, 'Bench', 'Noop', 'default', 3, ?, ?, 60000000, 3, ?, '{}', NULL)"
LIVE = "INSERT INTO live VALUES (?, 'Bench', 'b', 3, ?, 1, 'default', 3)"
TAKE = """
SELECT l.job_id, l.ready_at, l.attempt, j.definition_id, j.scheduled_at, j.created_at, j.timeout_us,
  j.max_retries, j.data, j.metadata
FROM live l JOIN job j ON j.id = l.job_id
WHERE l.bucket_id = 'b' AND l.ready_at <= ? AND (l.ready_at, l.job_id) > (?, ?)
ORDER BY l.ready_at, l.job_id
LIMIT ?
"""
DELETE = "DELETE FROM live WHERE job_id = ?"
ATTEMPT = "INSERT INTO attempt VALUES (?, ?, 'Bench', 1, 6, ?, ?, 'raw', 'here', 'b', NULL, NULL, NULL)"


class RawSqlite(SyncSystem):
    """One connection in WAL mode with synchronous=FULL: a commit is on disk."""

    about = protocol.About(
        packages=(),
        settings={"batch": BATCH, "journal": "WAL", "synchronous": "FULL"},
        history="kept: job and attempt rows",
        concurrent=False,
    )

    def connect(self) -> None:
        """Open the one connection."""
        path = urlsplit(self.url).path.removeprefix("/")
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
        self._connection.execute("PRAGMA synchronous = FULL")

    def setup(self) -> None:
        """Create the tables."""
        self.connect()
        self._connection.executescript(SCHEMA)

    def schedule(self, data: Data) -> None:
        """Insert one job and its live row."""
        self.schedule_many([data])

    def schedule_many(self, batch: Sequence[Data]) -> None:
        """Insert jobs and their live rows in one transaction."""
        now = micros()
        rows = [(str(new_id()), now, orjson.dumps(data).decode()) for data in batch]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(JOB, [(job_id, now, now, text) for job_id, now, text in rows])
        self._connection.executemany(LIVE, [(job_id, now) for job_id, now, _ in rows])
        self._connection.execute("COMMIT")

    def drain(self, drain: protocol.Drain) -> None:
        """Read, run and complete all jobs."""
        after = (0, "")
        while page := self._connection.execute(TAKE, (micros(), *after, BATCH)).fetchall():
            attempts = [_run(row, drain) for row in page]
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(DELETE, [(row[0],) for row in page])
            self._connection.executemany(ATTEMPT, attempts)
            self._connection.execute("COMMIT")
            after = (page[-1][1], page[-1][0])

    def count(self) -> tuple[int | None, int]:
        """Return how many jobs are finished and unfinished."""
        query = "SELECT (SELECT count(*) FROM attempt WHERE final_status = 6), (SELECT count(*) FROM live)"
        finished, unfinished = self._connection.execute(query).fetchone()
        return finished, unfinished


def _run(row: Any, on_job: OnJob) -> tuple[str, int, int, int]:
    """Run one job: decode its data, do nothing, record both moments."""
    started = micros()
    orjson.loads(row[8])
    on_job(row)
    return row[0], row[2], started, micros()


if __name__ == "__main__":
    RawSqlite(protocol.parse_options()).main()
