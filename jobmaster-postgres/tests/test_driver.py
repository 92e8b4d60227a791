"""The driver: transactions, limits, and what happens when connections break."""
# ruff: noqa: S608 - the statements are the tests' own

import random
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import anyio
import psycopg
import pytest

from jobmaster.errors import StoreConflictError, StoreError, StoreUnavailableError, StoreUnreachableError
from jobmaster_postgres.driver import PostgresDriver
from jobmaster_sql import Answer, Query, Script, Unit
from jobmaster_testing.probes import until
from jobmaster_testing.servers import Wire

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

Maker = Callable[..., PostgresDriver]
Observer = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(autouse=True)
def numbers(observer: Observer) -> None:
    """Create a table of numbers."""
    observer.execute("DROP TABLE IF EXISTS public.numbers")
    observer.execute("CREATE TABLE public.numbers (value integer UNIQUE)")


def script(*texts: str) -> Callable[[], Unit[None]]:
    def unit() -> Unit[None]:
        for text in texts:
            yield Script(text)

    return unit


def now() -> Unit[int]:
    answer: Answer = yield Query("store_now", last=True)
    stored: int = answer.rows[0][0]
    return stored


def named(url: str, name: str, **options: object) -> str:
    """Return a URL whose connections can be told from others."""
    more = "&".join(f"{key}={value}" for key, value in {"application_name": name, **options}.items())
    return f"{url}{'&' if '?' in url else '?'}{more}"


def sessions(observer: Observer, name: str, condition: str = "true") -> int:
    found = observer.execute(
        f"SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND {condition}",
        [name],
    ).fetchone()
    assert found is not None
    return int(str(found[0]))


def terminate(observer: Observer, name: str) -> None:
    observer.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [name]
    )


def stored(observer: Observer) -> list[object]:
    return [row[0] for row in observer.execute("SELECT value FROM public.numbers ORDER BY value")]


# Transactions


async def test_a_unit_happens_as_a_whole(make_driver: Maker, database: str, observer: Observer) -> None:
    driver = make_driver(database)

    with pytest.raises(StoreConflictError):
        await driver.run(
            script(
                "INSERT INTO public.numbers VALUES (1)",
                "INSERT INTO public.numbers VALUES (2); INSERT INTO public.numbers VALUES (1)",
            )
        )
    await driver.run(script("INSERT INTO public.numbers VALUES (3)", "INSERT INTO public.numbers VALUES (4)"))

    assert stored(observer) == [3, 4]


async def test_what_a_unit_raises_comes_out_as_it_is(
    make_driver: Maker, database: str, observer: Observer
) -> None:
    def unit() -> Unit[None]:
        yield Script("INSERT INTO public.numbers VALUES (1)")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await make_driver(database).run(unit)
    assert stored(observer) == []


@pytest.mark.parametrize("again", [True, False])
async def test_a_deadlock_is_tried_again(
    make_driver: Maker, database: str, observer: Observer, *, again: bool
) -> None:
    observer.execute("INSERT INTO public.numbers VALUES (10), (20)")
    driver = make_driver(database)
    began = 0

    def unit(first: int, second: int) -> Unit[None]:
        nonlocal began
        began += 1
        yield Script(f"UPDATE public.numbers SET value = value + 1 WHERE value / 10 = {first}")
        yield Script("SELECT pg_sleep(0.2)")
        yield Script(f"UPDATE public.numbers SET value = value + 1 WHERE value / 10 = {second}")

    async with anyio.create_task_group() as group:
        for first, second in ((1, 2), (2, 1)):
            group.start_soon(partial(driver.run, partial(unit, first, second), again=again))

    assert stored(observer) == [12, 22]
    assert began >= 3


async def test_connections_are_few(make_driver: Maker, database: str, observer: Observer) -> None:
    driver = make_driver(named(database, "few", connections=2))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(driver.run, now)

    assert 1 <= sessions(observer, "few") <= 2


async def test_cancellations_leave_no_transaction_open(
    make_driver: Maker, database: str, observer: Observer
) -> None:
    driver = make_driver(named(database, "storm"))
    completed = 0

    async def insert(value: int) -> None:
        nonlocal completed
        with anyio.move_on_after(random.uniform(0, 0.01)):
            await driver.run(script(f"INSERT INTO public.numbers VALUES ({value})"))
            completed += 1

    for start in range(0, 200, 20):
        async with anyio.create_task_group() as group:
            for value in range(start, start + 20):
                group.start_soon(insert, value)

    await driver.run(now)
    assert sessions(observer, "storm", "state <> 'idle'") == 0
    assert len(stored(observer)) >= completed


async def test_nothing_is_left_after_closing(make_driver: Maker, database: str, observer: Observer) -> None:
    driver = make_driver(named(database, "closing"))
    await driver.run(now)
    assert sessions(observer, "closing") == 1

    await driver.close()
    await driver.close()

    await until(lambda: sessions(observer, "closing") == 0, what="the session to end")
    assert "jobmaster-bridge" not in [thread.name for thread in threading.enumerate()]
    await driver.run(now)


# Limits


async def test_a_statement_that_takes_too_long_is_cancelled(make_driver: Maker, database: str) -> None:
    driver = make_driver(database, timeout=0.3)
    await driver.run(now)
    began = time.monotonic()

    with pytest.raises(StoreUnavailableError):
        await driver.run(script("SELECT pg_sleep(30)"))

    assert time.monotonic() - began < 5
    assert await driver.run(now) > 0


async def test_a_lock_that_is_held_too_long_is_reported(
    make_driver: Maker, database: str, observer: Observer
) -> None:
    driver = make_driver(database, timeout=0.3)
    with observer.transaction():
        observer.execute("LOCK TABLE public.numbers")
        with pytest.raises(StoreUnavailableError):
            await driver.run(script("INSERT INTO public.numbers VALUES (1)"))

    await driver.run(script("INSERT INTO public.numbers VALUES (1)"))


async def test_too_few_connections_are_reported(make_driver: Maker, database: str) -> None:
    driver = make_driver(named(database, "one", connections=1), timeout=1.0)

    async def hold() -> None:
        with pytest.raises(StoreError):
            await driver.run(script("SELECT pg_sleep(30)"), time_limit=2.0)

    async with anyio.create_task_group() as group:
        group.start_soon(hold)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(StoreUnreachableError, match=r"no connection within 0\.1 s"):
            await driver.run(now, time_limit=0.1)


async def test_a_server_that_falls_silent_is_given_up(make_driver: Maker, wired: str, wire: Wire) -> None:
    driver = make_driver(wired, timeout=0.5)
    await driver.run(now)
    wire.fall_silent()
    began = time.monotonic()

    with pytest.raises(StoreUnavailableError):
        await driver.run(now)

    assert time.monotonic() - began < 5
    wire.cut()
    wire.connect()
    assert await driver.run(now) > 0


# Broken connections


async def test_a_lost_idle_connection_is_replaced_unnoticed(
    make_driver: Maker, database: str, observer: Observer
) -> None:
    driver = make_driver(named(database, "lost"))
    await driver.run(now)
    terminate(observer, "lost")

    assert await driver.run(now) > 0


@pytest.mark.parametrize("again", [True, False])
async def test_a_unit_whose_connection_is_lost_is_tried_again_unless_it_must_not_happen_twice(
    make_driver: Maker, database: str, observer: Observer, *, again: bool
) -> None:
    driver = make_driver(named(database, "midway"))
    began = 0

    def unit() -> Unit[None]:
        nonlocal began
        began += 1
        yield Script("INSERT INTO public.numbers VALUES (1)")
        if began == 1:
            yield Script("SELECT pg_sleep(30)")

    async def cut() -> None:
        await until(lambda: sessions(observer, "midway", "query ~ 'pg_sleep'"), what="the unit to sleep")
        terminate(observer, "midway")

    async with anyio.create_task_group() as group:
        group.start_soon(cut)
        with nullcontext() if again else pytest.raises(StoreUnavailableError):
            await driver.run(unit, again=again)

    assert (began, stored(observer)) == ((2, [1]) if again else (1, []))


async def test_a_server_that_is_gone_is_reported_at_once_and_used_when_it_is_back(
    make_driver: Maker, wired: str, wire: Wire
) -> None:
    driver = make_driver(wired)
    await driver.open()
    wire.cut()
    began = time.monotonic()

    for _ in range(3):
        with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1"):
            await driver.run(now)

    assert time.monotonic() - began < 5
    wire.connect()
    assert await driver.run(now) > 0


async def test_what_may_have_happened_is_not_called_unreachable(
    make_driver: Maker, wired: str, wire: Wire, observer: Observer
) -> None:
    driver = make_driver(wired)

    def unit() -> Unit[None]:
        yield Script("INSERT INTO public.numbers VALUES (1)")
        wire.cut()
        yield Script("SELECT 1")

    with pytest.raises(StoreUnavailableError) as lost:
        await driver.run(unit)
    with pytest.raises(StoreUnreachableError):
        await driver.run(unit)

    assert type(lost.value) is StoreUnavailableError
    assert stored(observer) == []


async def test_a_server_that_is_not_there_is_reported_at_once(make_driver: Maker) -> None:
    driver = make_driver("postgresql://ann:secret@127.0.0.1:1/jobs")

    with pytest.raises(StoreUnreachableError) as caught:
        await driver.open()

    assert "secret" not in str(caught.value)
