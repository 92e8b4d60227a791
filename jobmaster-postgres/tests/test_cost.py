"""What the hot path costs the server, in statements and rows: counted, not timed, so that it cannot flicker."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from jobmaster import Cluster, JobContext, Runtime, handler
from jobmaster.ids import new_id
from jobmaster.models import Bucket, Claim, Cursor, Report
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import room
from jobmaster_testing.factories import make_new_job, make_report
from jobmaster_testing.options import Options, open_master
from jobmaster_testing.probes import until

pytestmark = [pytest.mark.postgres, pytest.mark.anyio, pytest.mark.usefixtures("watcher")]

Watcher = psycopg.Connection[tuple[Any, ...]]

JOBS = 3000
LOOKS = 2
"""How often a process looks at once what it is to go by: when it has started, and when it hears notifications."""
Rows = Mapping[str, tuple[int, int, int]]


@handler("Counted")
async def counted(job: JobContext) -> None:
    """Do nothing."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def watcher(database: str) -> Iterator[Watcher]:
    """Connect beside the code under test, whose tables do not exist yet."""
    with closing(psycopg.connect(database, autocommit=True)) as connection:
        connection.execute("DROP VIEW IF EXISTS cost_jobs")
        found = connection.execute(r"SELECT tablename FROM pg_tables WHERE tablename LIKE 'cost\_%'")
        for (table,) in found.fetchall():
            connection.execute(SQL("DROP TABLE {}").format(Identifier(table)))
        yield connection


def cluster(database: str, **settings: Any) -> Cluster:
    hour = timedelta(hours=1)  # nothing lasts so long that it has to be shown
    return (
        Cluster.standalone("Cost", database)
        .add_handlers(counted)
        .configure(table_prefix="cost_", **{"beat": hour, **settings})
    )


@asynccontextmanager
async def producing(database: str) -> AsyncIterator[Runtime]:
    """Join the cluster without workers, past what is done once."""
    async with cluster(database).running(workers=False) as runtime:
        await runtime.scheduler.once_now(counted, {"n": 0})
        yield runtime


async def test_a_call_is_one_statement(database: str, statements: Counter[str]) -> None:
    async with producing(database) as runtime:
        statements.clear()
        for n in range(50):
            await runtime.scheduler.once_now(counted, {"n": n})

    assert statements.pop("notification_send") <= 50
    assert statements.pop("orders_read", 0) <= LOOKS
    assert statements == {"job_insert": 50}


async def test_a_bulk_call_is_one_statement(database: str, statements: Counter[str]) -> None:
    async with producing(database) as runtime:
        statements.clear()
        await runtime.scheduler.once_many(counted.request({"n": n}) for n in range(JOBS))

    assert statements.pop("notification_send") <= 2
    assert statements.pop("orders_read", 0) <= LOOKS
    assert statements == {"jobs_insert_alike": 1}


async def test_a_hundred_callers_share_few_statements(database: str, statements: Counter[str]) -> None:
    async with producing(database) as runtime, anyio.create_task_group() as group:
        statements.clear()
        for n in range(100):
            group.start_soon(runtime.scheduler.once_now, counted, {"n": n})

    assert 1 <= statements["job_insert"] + statements["jobs_insert_alike"] <= 3


async def test_a_job_is_written_as_often_as_it_has_to_be(
    database: str, statements: Counter[str], watcher: Watcher
) -> None:
    async with cluster(database).running(workers=False) as runtime:
        await runtime.scheduler.once_many([counted.request({"n": n}) for n in range(JOBS)])
    statements.clear()
    async with cluster(database).add_worker().running() as runtime:

        async def all_ended() -> bool:
            return await runtime.jobs.count(status="succeeded") == JOBS

        await until(all_ended, timeout=30)

    expected = {"job": (JOBS, 0, 0), "live": (JOBS, JOBS, JOBS), "attempt": (JOBS, 0, 0)}
    await until(lambda: rows_written(watcher) == expected, what="the server's counts")
    assert statements["bucket_page"] + statements["bucket_page_but"] < JOBS / 30
    assert statements["reports_succeed"] < JOBS / 30
    assert statements["held_assign"] < JOBS / 30


async def test_a_full_page_is_read_once(database: str, statements: Counter[str]) -> None:
    async with open_master(database, Options(table_prefix="cost_")) as master:
        world = await make_world(master)
        bucket = await world.bucket()
        await world.put(bucket, count=30)
        begun = (
            await master.claims.pull(bucket, Cursor(), 1)
        ).cursor.anew()  # the first page is looked at twice
        statements.clear()
        page = await master.claims.pull(bucket, begun, 10)
        await master.claims.pull(bucket, page.cursor, 10)

    assert statements == {"bucket_page": 2, "bucket_state": 2, "bucket_claim_to": 2}


async def test_what_is_in_hand_is_not_read_again(database: str, statements: Counter[str]) -> None:
    async with open_master(database, Options(table_prefix="cost_")) as master:
        world = await make_world(master)
        bucket = await world.bucket()
        await world.put(bucket, count=30)
        before = await master.claims.pull(bucket, Cursor(), 30)
        everything = [claim.job.id for claim in before.claims]
        statements.clear()
        page = await master.claims.pull(bucket, before.cursor.anew(), 15, everything[:10])

    assert [claim.job.id for claim in page.claims] == everything[10:15]
    assert statements == {"bucket_page_but": 1, "bucket_state": 1, "bucket_claim_to": 1}


async def test_a_job_that_came_by_an_agent_is_one_write(
    database: str, statements: Counter[str], watcher: Watcher
) -> None:
    async with open_master(database, Options(table_prefix="cost_")) as master:
        world = await make_world(master)
        bucket = await world.bucket()
        statements.clear()
        await master.outcomes.report([saving_report(bucket) for _ in range(JOBS)])
        await master.outcomes.report([saving_report(bucket)])

    assert statements == {"reports_save_alike": 1, "report_save": 1}
    expected = {"job": (JOBS + 1, 0, 0), "live": (0, 0, 0), "attempt": (JOBS + 1, 0, 0)}
    await until(lambda: rows_written(watcher) == expected, what="the server's counts")


async def test_jobs_are_handed_over_in_three_statements(
    database: str, statements: Counter[str], watcher: Watcher
) -> None:
    async with open_master(database, Options(table_prefix="cost_")) as master:
        world = await make_world(master)
        buckets = await world.buckets(3)
        await world.put(count=JOBS)
        statements.clear()
        result = await master.handovers.hand_over(world.cluster_id, 1.0, [room(b) for b in buckets], new_id())

    assert sum(len(handover.messages) for handover in result.handovers) == JOBS
    assert statements == {"held_hand_over": 1, "handovers_add": 1, "held_next": 1}
    expected = {"job": (JOBS, 0, 0), "live": (JOBS, JOBS, 0), "attempt": (0, 0, 0)}
    await until(lambda: rows_written(watcher) == expected, what="the server's counts")


async def test_an_idle_worker_asks_little(database: str, statements: Counter[str]) -> None:
    quick = {"heartbeat": 0.05, "lease": 5, "poll_interval": 0.01}
    async with cluster(database, **quick).add_worker().running():
        await until(lambda: statements["worker_renew"] >= 3)
        statements.clear()
        await until(lambda: statements["worker_renew"] >= 20)
        asked = Counter(statements)

    each_poll = {"bucket_due", "held_next", "schedule_next"}
    for seldom in ("orders_read", "parked_places", "rescue_needed", "cancel_requests", "bucket_active"):
        assert asked.pop(seldom, 0) <= LOOKS
    assert asked.keys() == {"worker_renew"} | each_poll


def saving_report(bucket: Bucket) -> Report:
    """Return what an owner says of a short job that the master does not know."""
    job, now = make_new_job(bucket).job, datetime.now(UTC)
    return make_report(Claim(job=job, bucket_id=bucket.id, epoch=1, attempt=1, ready_at=now, saved=False))


def rows_written(watcher: Watcher) -> Rows:
    """Return the rows inserted, updated and deleted by table."""
    found = watcher.execute(
        "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables "
        "WHERE relname IN ('cost_job', 'cost_live', 'cost_attempt')"
    )
    return {name.removeprefix("cost_"): (added, changed, gone) for name, added, changed, gone in found}
