"""Hot statements walk along their index, however many jobs there are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest

from jobmaster_sql import load_queries
from jobmaster_sqlite.address import Address
from jobmaster_sqlite.connection import Connection
from jobmaster_sqlite.driver import SqliteDialect
from jobmaster_testing.options import open_master

ID = str(UUID(int=1))
PLACE = {"ready_at": 0, "job_id": ID, "limit": 500}
HELD = {"cluster_id": "c", "lane": "l", "priority": 3, "ahead": 0, "limit": 9}

HOT: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "bucket_page": ({"bucket_id": ID, **PLACE}, "l USING INDEX jm_live_by_bucket (bucket_id=?"),
    "bucket_page_but": (
        {"bucket_id": ID, "known": "[]", **PLACE},
        "l USING INDEX jm_live_by_bucket (bucket_id=?",
    ),
    "bucket_state": ({"id": ID}, "INDEX jm_live_by_bucket (bucket_id=? AND ready_at>?)"),
    "bucket_exposed": (
        {"bucket_id": ID, "lost_at": 0, **PLACE},
        "l USING INDEX jm_live_by_bucket (bucket_id=?",
    ),
    "bucket_orphans": ({}, "INDEX jm_live_by_bucket (bucket_id>?)"),
    "held_due": (HELD, "INDEX jm_live_held (cluster_id=? AND lane=? AND priority=? AND ready_at<?)"),
    "held_contents": (HELD, "INDEX jm_live_held (cluster_id=? AND lane=? AND priority=? AND ready_at<?)"),
    "handover_old": ({"cluster_id": "c", "age": 0, "limit": 9}, "INDEX jm_handover_by_age (cluster_id=? AND"),
    "handover_delete": ({"ids": "[]"}, "handover USING INDEX sqlite_autoindex_jm_handover_1 (id=?)"),
    "handover_retake": (
        {"id": ID, "new_id": ID, "pusher": ID},
        "INDEX sqlite_autoindex_jm_handover_1 (id=?)",
    ),
    "live_hand_over": ({"ids": "[]", "bucket_id": ID}, "live USING PRIMARY KEY (job_id=?)"),
    "live_take_back": ({"ids": "[]", "bucket_id": ID}, "live USING PRIMARY KEY (job_id=?)"),
    "held_next": ({"cluster_id": "c"}, "INDEX jm_live_held (cluster_id=? AND lane=? AND priority>?)"),
    "waiting_held": (
        {"cluster_id": "c", "lane": "l", "priority": 3},
        "INDEX jm_live_held (cluster_id=? AND lane=? AND priority=? AND ready_at<?)",
    ),
    "waiting_in_buckets": (
        {"cluster_id": "c"},
        "l USING INDEX jm_live_by_bucket (bucket_id=? AND ready_at<?)",
    ),
    "bucket_holdings": ({"cluster_id": "c"}, "l USING COVERING INDEX jm_live_by_bucket (bucket_id=?)"),
    "cancel_requests": ({"ids": "[]"}, "INDEX jm_live_cancelling (bucket_id=?)"),
    "job_find": ({"cluster_id": "c", "limit": 9}, "SCAN j USING INDEX sqlite_autoindex_jm_job_1"),
    "job_find_live": ({"cluster_id": "c", "limit": 9}, "SCAN l"),
    "live_ahead": ({"floor": ID, "slack": 1}, "live USING PRIMARY KEY (job_id>?)"),
    "schedule_next": (
        {"cluster_id": "c", "kinds": "[]", "without": "[]"},
        "INDEX jm_schedule_by_look (cluster_id=?)",
    ),
}


@pytest.mark.parametrize("name", HOT)
def test_a_hot_statement_walks_along_its_index(url: str, path: Path, name: str) -> None:
    params, index = HOT[name]
    plan = plan_of(url, path, name, params)

    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_heartbeats_and_rescuers_look_at_jobs_in_indexes_alone(url: str, path: Path) -> None:
    needed = plan_of(url, path, "rescue_needed", {"cluster_id": "c"})
    reply = plan_of(url, path, "worker_pulse", {"ids": "[]", "rescuing": "c"})

    for plan in (needed, reply):
        assert "SEARCH l USING COVERING INDEX jm_live_by_bucket (bucket_id>?)" in plan
        assert "SCAN l" not in plan
    assert "SEARCH l USING INDEX jm_live_cancelling (bucket_id=?)" in reply


def plan_of(url: str, path: Path, name: str, params: Mapping[str, Any]) -> str:
    async def migrate() -> None:
        async with open_master(url):
            pass

    anyio.run(migrate)
    queries = load_queries("jobmaster_sqlite", SqliteDialect(), "jm_")
    connection = Connection(Address(path=path), queries)
    try:
        rows = connection._native.execute(f"EXPLAIN QUERY PLAN {queries.text(name)}", params).fetchall()
    finally:
        connection.close()
    return "\n".join(row[3] for row in rows)
