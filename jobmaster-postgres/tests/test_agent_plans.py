"""An agent's statements walk along their index, whatever the statistics say, and whatever they said yesterday."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import anyio
import psycopg
import pytest

from jobmaster_postgres.address import parse_address
from jobmaster_postgres.connecting import _ADAPTERS, _parameters
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.statements import Statements
from jobmaster_sql import Query, load_agent_queries
from jobmaster_testing.options import Options, open_agent

pytestmark = pytest.mark.postgres

Planner = psycopg.Connection[tuple[Any, ...]]

PREFIX = "plan_"
ID = UUID(int=1)
PLACE = {"bucket_id": ID, "ready_at": 0, "job_id": ID, "limit": 500}
BY_BUCKET, KEY, DELAYED = "message_by_bucket", "message_pkey", "message_delayed"

HOT: Mapping[str, tuple[Mapping[str, Any], set[str]]] = {
    "bucket_page": (PLACE, {BY_BUCKET}),
    "bucket_page_but": ({**PLACE, "known": [ID]}, {BY_BUCKET}),
    "bucket_exposed": ({**PLACE, "lost_at": 0}, {BY_BUCKET}),
    "bucket_state": ({"id": ID}, {BY_BUCKET, "bucket_pkey"}),
    "bucket_due": ({"ids": [ID]}, {BY_BUCKET, "bucket_pkey"}),
    "bucket_drop": ({"id": ID}, {BY_BUCKET, "bucket_pkey"}),
    "bucket_left": ({"id": ID}, {BY_BUCKET, "bucket_pkey"}),
    "bucket_holdings": ({}, {BY_BUCKET}),
    "message_drain": ({"bucket_id": ID, "limit": 9}, {BY_BUCKET}),
    "message_unsaved": (
        {"bucket_id": ID, "age": 0, "pushed_at": 0, "job_id": ID, "limit": 9},
        {BY_BUCKET, DELAYED},
    ),
    "message_remove": ({"bucket_id": ID, "attempt": 1, "job_ids": [ID]}, {KEY}),
    "message_saved": ({"bucket_id": ID, "attempt": 1, "job_ids": [ID]}, {KEY}),
    "message_places": ({"bucket_id": ID, "job_ids": [ID]}, {KEY}),
    "message_find": ({"job_ids": [ID]}, {KEY}),
}

FILL = """
INSERT INTO plan_agent_message (
  ready_at, pushed_at, scheduled_at, created_at, job_id, bucket_id, attempt, retries, crashes, max_retries, saved,
  suspect, priority, cluster_id, definition_id, lane, data, metadata
)
SELECT n, n, 0, 0, gen_random_uuid(), ('00000000-0000-0000-0000-' || lpad((n % 20)::text, 12, '0'))::uuid,
  1, 0, 0, 3, n % 2, 0, 3, 'c', 'd', 'l', '{}', '{}'
FROM generate_series(1, 5000) AS n
"""


@pytest.fixture(scope="module", params=["empty", "filled"])
def planner(every_database: str, request: pytest.FixtureRequest) -> Iterator[Planner]:
    """Connect as the driver does, to an agent without any messages or with many."""

    async def migrate() -> None:
        async with open_agent("Postgres-1", every_database, Options(table_prefix=PREFIX)):
            pass

    anyio.run(migrate)
    parameters = _parameters(parse_address(every_database), 10.0)
    with psycopg.connect(autocommit=True, context=_ADAPTERS, **parameters) as connection:
        connection.execute("TRUNCATE plan_agent_message")
        if request.param == "filled":
            connection.execute(FILL)
        connection.execute("VACUUM ANALYZE plan_agent_message, plan_agent_bucket")
        yield connection


@pytest.mark.parametrize("name", HOT)
def test_an_agents_statement_walks_along_its_index(planner: Planner, name: str) -> None:
    params, indexes = HOT[name]
    statements = Statements(load_agent_queries("jobmaster_postgres", PostgresDialect(), PREFIX))
    (message,) = statements.messages(Query(name, params))

    found = psycopg.RawCursor(planner).execute(b"EXPLAIN (COSTS OFF) " + message.text, message.values)
    plan = "\n".join(row[0] for row in found)

    used = {index for index in (BY_BUCKET, KEY, DELAYED, "bucket_pkey") if f"{PREFIX}agent_{index} " in plan}
    assert used == indexes
    assert "Seq Scan" not in plan
    assert "Sort\n" not in plan
