"""Hot statements walk along their index, whatever the statistics say."""

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
from jobmaster_sql import Query, load_queries
from jobmaster_sql.reports import REQUEUE_VALUES
from jobmaster_testing.options import open_master

pytestmark = pytest.mark.postgres

Planner = psycopg.Connection[tuple[Any, ...]]

ID = UUID(int=1)
PLACE = {"ready_at": 0, "job_id": ID, "limit": 500}

FINISH = {
    **dict.fromkeys(("job_id", "number", "outcome", "final_status", "started_at", "finished_at"), ()),
    **dict.fromkeys(("error_type", "error_message", "error_traceback"), ()),
    "bucket_id": ID,
    "epoch": 1,
    "worker": "w",
    "host": "h",
}

HOT: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "bucket_page": ({"bucket_id": ID, **PLACE}, "jm_live_by_bucket"),
    "bucket_state": ({"id": ID}, "jm_live_by_bucket"),
    "bucket_exposed": ({"bucket_id": ID, "lost_at": 0, **PLACE}, "jm_live_by_bucket"),
    "bucket_orphans": ({}, "jm_live_by_bucket"),
    "held_due": ({"cluster_id": "c", "lane": "l", "priority": 3, "ahead": 0, "limit": 9}, "jm_live_held"),
    "held_next": ({"cluster_id": "c"}, "jm_live_held_next"),
    "cancel_requests": ({"ids": [ID]}, "jm_live_cancelling"),
    "live_reported": ({"ids": [ID]}, "jm_live_pkey"),
    "held_assign": (
        {"cluster_id": "c", "lane": "l", "priority": 3, "ahead": 0, "limit": 9, "turns": [ID]},
        "jm_live_held",
    ),
    "reports_succeed": (FINISH, "jm_live_pkey"),
    "reports_finish": (FINISH, "jm_live_pkey"),
    "live_mark": (
        dict.fromkeys(("job_id", "bucket_id", "attempt", "status", "started_at"), ()),
        "jm_live_pkey",
    ),
    "live_delete": ({"job_id": [ID]}, "jm_live_pkey"),
    "live_requeue": (dict.fromkeys(REQUEUE_VALUES, ()), "jm_live_pkey"),
    "live_assign": ({"job_id": (), "bucket_id": ()}, "jm_live_pkey"),
    "job_find": ({"cluster_id": "c", "limit": 9}, "jm_job_pkey"),
    "job_find_live": ({"cluster_id": "c", "limit": 9}, "jm_live_pkey"),
    "schedule_next": ({"cluster_id": "c", "kinds": ["cron"]}, "jm_schedule_by_look"),
    "firing_untouched": ({"ids": [ID], "reach": 0}, "jm_firing_by_schedule"),
}


@pytest.fixture(scope="module")
def planner(every_database: str) -> Iterator[Planner]:
    """Connect as the driver does."""

    async def migrate() -> None:
        async with open_master(every_database):
            pass

    anyio.run(migrate)
    parameters = _parameters(parse_address(every_database), 10.0)
    with psycopg.connect(autocommit=True, context=_ADAPTERS, **parameters) as connection:
        yield connection


@pytest.mark.parametrize("name", HOT)
def test_a_hot_statement_walks_along_its_index(planner: Planner, name: str) -> None:
    params, index = HOT[name]
    statements = Statements(load_queries("jobmaster_postgres", PostgresDialect(), "jm_"))
    (message,) = statements.messages(Query(name, params))

    found = psycopg.RawCursor(planner).execute(b"EXPLAIN (COSTS OFF) " + message.text, message.values)
    plan = "\n".join(row[0] for row in found)

    assert f"using {index} " in plan
    assert "Sort" not in plan or name in {"live_reported", "firing_untouched"}
    assert index == "jm_live_by_bucket" or "jm_live_by_bucket" not in plan
    assert "Seq Scan" not in plan
