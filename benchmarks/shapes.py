"""Compare storage shapes on JobMaster's own columns: `.venv/bin/python benchmarks/shapes.py`.

One connection, no scheduling: insert jobs into a bucket, read them page by page, finish them. Prints jobs per second for
both halves, medians over rounds in which the shapes take turns. See docs/decisions/0001-storage-shape.md.
"""

# ruff: noqa: S608 - the statements are this script's own

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, Final
from uuid import UUID

import psycopg
from attrs import frozen
from bench.servers import running_server

from jobmaster_sql import load_migrations

BATCH: Final = 500
BUCKET: Final = UUID(int=1)
DATA: Final = '{"text":"' + "x" * 180 + '","n":1}'

OURS: Final = next(m for m in load_migrations("jobmaster_postgres") if m.version == 1).text.replace(
    "{prefix}", "jm_"
)
JOB: Final = """
  id uuid NOT NULL PRIMARY KEY, cluster_id text NOT NULL, definition_id text NOT NULL, lane text NOT NULL,
  priority smallint NOT NULL, scheduled_at bigint NOT NULL, created_at bigint NOT NULL, timeout_us bigint,
  max_retries integer NOT NULL, data text NOT NULL, metadata json NOT NULL, idempotency_key text"""
STATE: Final = """
  bucket_id uuid, status smallint NOT NULL, ready_at bigint NOT NULL, attempt integer NOT NULL,
  retries integer NOT NULL, crashes integer NOT NULL, suspect smallint NOT NULL,
  cancel_requested smallint NOT NULL, started_at bigint, finished_at bigint, worker text, host text, parked text"""
ATTEMPT: Final = OURS[OURS.index("CREATE TABLE jm_attempt") : OURS.index("CREATE TABLE jm_log")]
WIDE: Final = f"""
CREATE TABLE jm_job ({JOB}, {STATE}) WITH (fillfactor = 70);
CREATE INDEX jm_job_live ON jm_job (bucket_id, ready_at, id) WHERE status < 6;
CREATE INDEX jm_job_final ON jm_job (cluster_id, status, finished_at) WHERE status >= 6;"""
COPY: Final = f"{WIDE}\nCREATE TABLE jm_history ({JOB}, {STATE});\n"

ADD_JOB: Final = """
  INSERT INTO jm_job (id, cluster_id, definition_id, lane, priority, scheduled_at, created_at, timeout_us, max_retries,
    data, metadata)
  SELECT id, 'Bench', 'Noop', 'default', 3, %(now)b, %(now)b, 60000000, 3, data, '{}' FROM new"""
NEW: Final = "WITH new AS (SELECT * FROM unnest(%(ids)b::uuid[], %(data)b::text[]) AS n (id, data))"
ADD_WIDE: Final = f"""{NEW} {
    ADD_JOB.replace(
        "data, metadata)",
        "data, metadata, bucket_id, status, ready_at, attempt, retries, crashes, suspect, cancel_requested)",
    ).replace("'{}' FROM", "'{}', %(bucket)b, 3, %(now)b, 1, 0, 0, 0, 0 FROM")
}"""
ADD_OURS: Final = f"""{NEW}, added AS ({ADD_JOB})
INSERT INTO jm_live (job_id, cluster_id, bucket_id, status, ready_at, attempt, retries, crashes, suspect, lane, priority,
  cancel_requested)
SELECT id, 'Bench', %(bucket)b, 3, %(now)b, 1, 0, 0, 0, 'default', 3, 0 FROM new"""

ASKED: Final = (
    "j.id, j.definition_id, j.scheduled_at, j.created_at, j.timeout_us, j.max_retries, j.data, j.metadata"
)
READ_WIDE: Final = f"""SELECT j.attempt, j.ready_at, {ASKED} FROM jm_job j
WHERE j.bucket_id = %(bucket)b AND j.status < 6 AND (j.ready_at, j.id) > (%(ready_at)b, %(after)b)
ORDER BY j.ready_at, j.id LIMIT {BATCH}"""
READ_OURS: Final = f"""SELECT l.attempt, l.ready_at, {ASKED} FROM jm_live l JOIN jm_job j ON j.id = l.job_id
WHERE l.bucket_id = %(bucket)b AND (l.ready_at, l.job_id) > (%(ready_at)b, %(after)b)
ORDER BY l.ready_at, l.job_id LIMIT {BATCH}"""

SET_DONE: Final = """UPDATE jm_job SET status = 6, started_at = %(now)b, finished_at = %(now)b, worker = 'w', host = 'h',
  bucket_id = NULL WHERE id = ANY(%(ids)b)"""
ADD_ATTEMPT: Final = """INSERT INTO jm_attempt (job_id, number, cluster_id, outcome, final_status, started_at, finished_at,
  worker, host, bucket_id)
SELECT id, 1, 'Bench', 1, 6, %(now)b, %(now)b, 'w', 'h', %(bucket)b FROM done"""


@frozen
class Shape:
    """Tables, and the statements that insert, read and finish jobs."""

    schema: str
    insert: str
    read: str
    finish: str


SHAPES: Mapping[str, Shape] = {
    "no history: delete when done": Shape(
        WIDE, ADD_WIDE, READ_WIDE, "DELETE FROM jm_job WHERE id = ANY(%(ids)b)"
    ),
    "one wide table, updated in place": Shape(WIDE, ADD_WIDE, READ_WIDE, SET_DONE),
    "the same, plus a row for each attempt": Shape(
        WIDE + ATTEMPT, ADD_WIDE, READ_WIDE, f"WITH done AS ({SET_DONE} RETURNING id) {ADD_ATTEMPT}"
    ),
    "delete, and copy to a history table": Shape(
        COPY,
        ADD_WIDE,
        READ_WIDE,
        "WITH done AS (DELETE FROM jm_job WHERE id = ANY(%(ids)b) RETURNING *) INSERT INTO jm_history SELECT * FROM done",
    ),
    "immutable jobs, narrow live table, attempts only added": Shape(
        OURS,
        ADD_OURS,
        READ_OURS,
        f"WITH done AS (DELETE FROM jm_live WHERE job_id = ANY(%(ids)b) RETURNING job_id AS id) {ADD_ATTEMPT}",
    ),
}


def main() -> None:
    """Measure all shapes in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in SHAPES}
    with running_server() as server:
        for number in range(options.rounds * len(SHAPES)):
            name = list(SHAPES)[number % len(SHAPES)]
            server.execute(f"CREATE DATABASE shape_{number}")
            rates[name].append(measure(SHAPES[name], server.url(f"shape_{number}"), options.jobs))
    print(f"{'shape':56} {'inserts/s':>10} {'reads and completions/s':>24}")
    for name, pairs in rates.items():
        inserts, finishes = (median(column) for column in zip(*pairs, strict=True))
        print(f"{name:56} {inserts:10,.0f} {finishes:24,.0f}")


def measure(shape: Shape, url: str, jobs: int) -> tuple[float, float]:
    """Return the jobs per second that were inserted, and that were read and finished."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(shape.schema.encode())
        cursor = connection.cursor(binary=True)
        inserts = _rate(jobs, lambda: _insert(cursor, shape, jobs))
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
        return inserts, _rate(jobs, lambda: _drain(cursor, shape))


def _rate(jobs: int, work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return jobs / (time.monotonic() - started)


def _insert(cursor: psycopg.Cursor[Any], shape: Shape, jobs: int) -> None:
    for _ in range(jobs // BATCH):
        rows = {"ids": [_new_id() for _ in range(BATCH)], "data": [DATA] * BATCH}
        cursor.execute(shape.insert.encode(), {**rows, "bucket": BUCKET, "now": _micros()}, prepare=True)


def _drain(cursor: psycopg.Cursor[Any], shape: Shape) -> None:
    ready_at, after = 0, UUID(int=0)
    while page := _page(cursor, shape, ready_at, after):
        ids = [row[2] for row in page]
        cursor.execute(shape.finish.encode(), {"ids": ids, "now": _micros(), "bucket": BUCKET}, prepare=True)
        ready_at, after = page[-1][1], page[-1][2]


def _page(cursor: psycopg.Cursor[Any], shape: Shape, ready_at: int, after: UUID) -> Sequence[Any]:
    params = {"bucket": BUCKET, "ready_at": ready_at, "after": after}
    return cursor.execute(shape.read.encode(), params, prepare=True).fetchall()


def _new_id() -> UUID:
    return UUID(bytes=(time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10))


def _micros() -> int:
    return time.time_ns() // 1000


if __name__ == "__main__":
    main()
