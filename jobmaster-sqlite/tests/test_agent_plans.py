"""An agent's statements walk along their index, however many messages there are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest

from jobmaster_sql import load_agent_queries
from jobmaster_sqlite.address import Address
from jobmaster_sqlite.connection import Connection
from jobmaster_sqlite.driver import SqliteDialect
from jobmaster_testing.options import open_agent

ID = str(UUID(int=1))
PAGE = {"bucket_id": ID, "ready_at": 0, "job_id": ID, "limit": 500, "began": 0}
BY_BUCKET = "INDEX jm_agent_message_by_bucket (bucket_id=?"
DELAYED = "INDEX jm_agent_message_delayed (bucket_id=? AND (pushed_at,job_id)>(?,?) AND pushed_at<?)"
KEY = "INDEX sqlite_autoindex_jm_agent_message_1 (job_id=?"

HOT: Mapping[str, tuple[Mapping[str, Any], list[str]]] = {
    "bucket_page": (PAGE, [f"{BY_BUCKET} AND (ready_at,job_id)>(?,?) AND ready_at<?)"]),
    "bucket_page_but": (
        {**PAGE, "known": "[]"},
        [f"{BY_BUCKET} AND (ready_at,job_id)>(?,?) AND ready_at<?)"],
    ),
    "bucket_exposed": ({**PAGE, "lost_at": 0}, [BY_BUCKET]),
    "bucket_state": ({"id": ID, "began": 0}, [f"{BY_BUCKET} AND ready_at>?)"]),
    "bucket_due": ({"ids": "[]"}, [f"{BY_BUCKET} AND ready_at<?)"]),
    "bucket_drop": ({"id": ID}, [BY_BUCKET]),
    "bucket_left": ({"id": ID}, [BY_BUCKET]),
    "bucket_holdings": ({}, ["SCAN jm_agent_message USING COVERING INDEX jm_agent_message_by_bucket"]),
    "message_drain": ({"bucket_id": ID, "limit": 9}, [BY_BUCKET]),
    "message_unsaved": (
        {"bucket_id": ID, "age": 0, "pushed_at": 0, "job_id": ID, "limit": 9},
        [f"{BY_BUCKET} AND (ready_at,job_id)>(?,?) AND ready_at<?)", DELAYED],
    ),
    "message_remove": (
        {"bucket_id": ID, "attempt": 1, "job_ids": "[]"},
        [f"{KEY} AND bucket_id=? AND attempt=?)"],
    ),
    "message_saved": (
        {"bucket_id": ID, "attempt": 1, "job_ids": "[]"},
        [f"{KEY} AND bucket_id=? AND attempt=?)"],
    ),
    "message_places": ({"bucket_id": ID, "job_ids": "[]"}, [f"{KEY} AND bucket_id=?)"]),
    "message_find": ({"job_ids": "[]"}, [KEY]),
}


@pytest.mark.parametrize("name", HOT)
def test_an_agents_statement_walks_along_its_index(url: str, path: Path, name: str) -> None:
    async def migrate() -> None:
        async with open_agent("Sqlite-1", url):
            pass

    anyio.run(migrate)
    params, indexes = HOT[name]
    queries = load_agent_queries("jobmaster_sqlite", SqliteDialect(), "jm_")
    connection = Connection(Address(path=path), queries)
    try:
        rows = connection._native.execute(f"EXPLAIN QUERY PLAN {queries.text(name)}", params).fetchall()
    finally:
        connection.close()

    plan = "\n".join(row[3] for row in rows)
    for index in indexes:
        assert index in plan
    # Two pages of unsaved messages are sorted into one.
    assert ("TEMP B-TREE" in plan) == (name == "message_unsaved")
