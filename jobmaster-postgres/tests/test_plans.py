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
from jobmaster_sql.outcomes import REQUEUE_VALUES
from jobmaster_testing.factories import make_new_job
from jobmaster_testing.options import Options, open_master

pytestmark = pytest.mark.postgres

Planner = psycopg.Connection[tuple[Any, ...]]

ID = UUID(int=1)
PLACE = {"ready_at": 0, "job_id": ID, "limit": 500}

FINISH = {
    **dict.fromkeys(("outcome", "final_status", "started_at", "finished_at"), ()),
    **dict.fromkeys(("error_type", "error_message", "error_traceback"), ()),
    "job_id": [ID],
    "bucket_id": ID,
    "epoch": 1,
    "number": 1,
    "worker": "w",
    "host": "h",
}

SAVE = {
    **FINISH,
    **dict.fromkeys(("definition_id", "lane", "priority", "scheduled_at", "created_at", "timeout_us"), ()),
    **dict.fromkeys(("max_retries", "data", "metadata"), ()),
    "cluster_id": "c",
}
ALIKE = {**SAVE, "definition_id": "d", "lane": "l", "priority": 3, "timeout_us": 1, "max_retries": 1}
ALIKE |= {"metadata": "{}"}
LONE = {**ALIKE, "job_id": ID, "outcome": 1, "final_status": 6}
LONE |= dict.fromkeys(("scheduled_at", "created_at", "started_at", "finished_at"), 1)
LONE |= dict.fromkeys(("data", "error_type", "error_message", "error_traceback"), "{}")
ASSIGN = {"cluster_id": "c", "lane": "l", "priority": 3, "ahead": 0, "limit": 9, "turns": [ID]}

HOT: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "bucket_page": ({"bucket_id": ID, **PLACE}, "jm_live_by_bucket"),
    "bucket_page_but": ({"bucket_id": ID, "known": [ID], **PLACE}, "jm_live_by_bucket"),
    "bucket_state": ({"id": ID}, "jm_live_by_bucket"),
    "bucket_exposed": ({"bucket_id": ID, "lost_at": 0, **PLACE}, "jm_live_by_bucket"),
    "bucket_orphans": ({}, "jm_live_by_bucket"),
    "held_due": ({"cluster_id": "c", "lane": "l", "priority": 3, "ahead": 0, "limit": 9}, "jm_live_held"),
    "held_next": ({"cluster_id": "c"}, "jm_live_held"),
    "waiting_held": ({"cluster_id": "c", "lane": "l", "priority": 3}, "jm_live_held"),
    "waiting_in_buckets": ({"cluster_id": "c"}, "jm_live_by_bucket"),
    "cancel_requests": ({"ids": [ID]}, "jm_live_cancelling"),
    "live_marked": ({"ids": [ID]}, "jm_live_cancelling"),
    "bucket_sweep_marked": ({"cluster_id": "c", "ids": [ID]}, "jm_live_cancelling"),
    "live_reported": ({"ids": [ID]}, "jm_live_pkey"),
    "held_assign": (ASSIGN, "jm_live_held"),
    "held_hand_over": (ASSIGN, "jm_live_held"),
    "handover_old": ({"cluster_id": "c", "age": 0, "limit": 9}, "jm_handover_by_age"),
    "handover_lock": ({"ids": [ID]}, "jm_handover_pkey"),
    "handover_delete": ({"ids": [ID]}, "jm_handover_pkey"),
    "handover_retake": ({"id": ID, "new_id": ID, "pusher": ID}, "jm_handover_pkey"),
    "live_take_back": ({"ids": [ID], "bucket_id": ID}, "jm_live_pkey"),
    "live_contents": ({"ids": [ID]}, "jm_live_pkey"),
    "attempt_numbers": ({"ids": [ID]}, "jm_attempt_pkey"),
    "live_for_cancel": ({"cluster_id": "c", "ids": [ID]}, "jm_live_pkey"),
    "report_save": (LONE, "jm_live_pkey"),
    "reports_save_alike": (ALIKE, "jm_live_pkey"),
    "reports_save": (SAVE, "jm_live_pkey"),
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
    "orders_read": ({"id": "c", "process_id": ID}, "jm_worker_requested"),
    "moving_held": ({"cluster_id": "c", "after": ID, "limit": 9}, "jm_live_pkey"),
    "moving_finished": (
        {"cluster_id": "c", "status": 6, "age": 0, "before": 0, "finished_at": 0, "job_id": ID, "limit": 9},
        "jm_attempt_final",
    ),
    "departure_find": ({"cluster_id": "c", "limit": 9}, "jm_departure_by_cluster"),
    "schedule_next": ({"cluster_id": "c", "kinds": ["cron"], "without": [ID]}, "jm_schedule_by_look"),
    "firing_untouched": ({"ids": [ID], "reach": 0}, "jm_firing_by_schedule"),
}


SORTED = {
    "live_reported",
    "live_contents",
    "live_for_cancel",
    "live_marked",
    "bucket_sweep_marked",
    "handover_lock",
    "firing_untouched",
    "moving_finished",
    "departure_find",
}
"""Statements that return the few rows they find in an order of their own. Jobs that finished come nearly in theirs: with
rows to sort, only those of one moment are."""


@pytest.fixture(scope="module")
def planner(untouched_database: str) -> Iterator[Planner]:
    """Connect as the driver does."""

    async def migrate() -> None:
        async with open_master(untouched_database):
            pass

    anyio.run(migrate)
    parameters = _parameters(parse_address(untouched_database), 10.0)
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
    assert "Sort" not in plan or name in SORTED
    assert index == "jm_live_by_bucket" or "jm_live_by_bucket" not in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize("tables", ["few_jobs", "long_history"])
@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
def test_a_heartbeat_looks_at_jobs_in_two_indexes_alone(
    planner: Planner, request: pytest.FixtureRequest, tables: str, plans: str
) -> None:
    prefix = request.getfixturevalue(tables)
    planner.execute(f"SET plan_cache_mode = {plans}".encode())
    plan = _plan(planner, prefix, "worker_renew", f"1, ARRAY['{ID}']::uuid[], 'c'")
    planner.execute("RESET plan_cache_mode")

    assert f"Index Only Scan using {prefix}live_by_bucket on" in plan
    assert f"using {prefix}live_cancelling on" in plan
    assert f"Seq Scan on {prefix}live" not in plan
    assert not any(f" on {prefix}{table}" in plan for table in ("job", "attempt"))
    assert plan.startswith(f"Update on {prefix}worker")


@pytest.mark.parametrize("name", ["waiting_held", "waiting_in_buckets"])
def test_waiting_jobs_are_counted_along_what_is_due(planner: Planner, name: str) -> None:
    params, _ = HOT[name]
    statements = Statements(load_queries("jobmaster_postgres", PostgresDialect(), "jm_"))
    (message,) = statements.messages(Query(name, params))

    found = psycopg.RawCursor(planner).execute(b"EXPLAIN (COSTS OFF) " + message.text, message.values)
    conditions = [row[0] for row in found if "Index Cond" in row[0]]

    assert any("(ready_at <= " in condition for condition in conditions)


@pytest.mark.parametrize("name", ["held_assign", "held_hand_over"])
def test_held_jobs_are_updated_where_they_were_found(planner: Planner, few_jobs: str, name: str) -> None:
    plan = _plan(planner, few_jobs, name)

    assert "Tid Scan" in plan
    assert "live_pkey" not in plan


def test_the_next_held_job_is_found_by_one_look_for_each_lane_and_priority(planner: Planner) -> None:
    text = Statements(load_queries("jobmaster_postgres", PostgresDialect(), "jm_")).get("held_next").text

    found = psycopg.RawCursor(planner).execute(b"EXPLAIN (COSTS OFF) " + text, ["c"])
    plan = "\n".join(row[0] for row in found)

    assert "(ROW(lane, priority) > ROW(f.lane, f.priority))" in plan
    assert plan.count("Limit") == plan.count("using jm_live_held ") == 2


@pytest.mark.parametrize(
    ("name", "lookups"),
    [
        ("reports_succeed", ("(job_id = ANY ($1))",)),
        ("reports_finish", ("(job_id = ANY ($1))",)),
        ("report_save", ("(id = $3)", "(job_id = $3)")),
        ("reports_save", ("(id = s.job_id)", "(job_id = ANY ($1))")),
        ("reports_save_alike", ("(id = s.job_id)", "(job_id = ANY ($1))")),
    ],
)
def test_jobs_are_looked_up_by_id_whatever_is_known_of_their_number(
    planner: Planner, few_jobs: str, name: str, lookups: tuple[str, ...]
) -> None:
    plan = _plan(planner, few_jobs, name)

    for lookup in lookups:
        assert f"Index Cond: {lookup}" in plan
    assert "Join" not in plan


@pytest.mark.parametrize(
    "name", ["job_find", "job_find_live", "job_find+by_status", "job_find_live+by_live_status"]
)
def test_a_page_of_jobs_sorts_and_reads_nothing_else(planner: Planner, long_history: str, name: str) -> None:
    plan = _plan(planner, long_history, name)

    assert not any(word in plan for word in ("Sort", "Merge", "Hash", "Materialize"))


def _plan(planner: Planner, prefix: str, name: str, values: str | None = None) -> str:
    """Return the plan that is kept for a statement over the tables with a prefix, whatever its parameters."""
    statement = Statements(load_queries("jobmaster_postgres", PostgresDialect(), prefix)).get(name)
    nothing = values or ", ".join(["NULL"] * len(statement.names))
    planner.execute(b"PREPARE it AS " + statement.text)
    found = planner.execute(f"EXPLAIN (COSTS OFF) EXECUTE it ({nothing})".encode())
    plan = "\n".join(row[0] for row in found)
    planner.execute("DEALLOCATE it")
    return plan


@pytest.fixture(scope="module")
def long_history(planner: Planner, untouched_database: str) -> str:
    """Return the prefix of tables that hold far more attempts than jobs that wait, as the planner knows."""

    async def insert() -> None:
        async with open_master(untouched_database, Options(table_prefix="long_")) as master:
            await master.jobs.insert([make_new_job() for _ in range(2000)])

    anyio.run(insert)
    planner.execute(
        "INSERT INTO long_attempt (job_id, number, cluster_id, outcome, final_status, finished_at, worker, host)"
        " SELECT id, 1, cluster_id, 1, 6, 1, 'w', 'h' FROM long_job"
    )
    planner.execute("ANALYZE long_job, long_live, long_attempt, long_firing")
    return "long_"


@pytest.fixture
def few_jobs(planner: Planner, untouched_database: str) -> str:
    """Return the prefix of tables that hold five jobs, and of which the planner knows that."""

    async def insert() -> None:
        async with open_master(untouched_database, Options(table_prefix="few_")) as master:
            await master.jobs.insert([make_new_job() for _ in range(5)])

    anyio.run(insert)
    planner.execute("ANALYZE few_job, few_live")
    return "few_"
