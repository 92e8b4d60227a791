"""The agent on PostgreSQL: what the contract cannot reach."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anyio
import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Literal

from jobmaster.contracts import AgentRepository, Message
from jobmaster.errors import (
    ConfigurationError,
    SchemaError,
    StoreUnavailableError,
    StoreUnreachableError,
)
from jobmaster.models import Bucket
from jobmaster.states import Priority
from jobmaster_postgres.dialect import PostgresDialect
from jobmaster_postgres.statements import Statements
from jobmaster_sql import Query, load_agent_queries, withdrawing
from jobmaster_testing.factories import make_bucket, make_job, make_message
from jobmaster_testing.options import Options, open_agent, unopened_agent
from jobmaster_testing.probes import until
from jobmaster_testing.servers import Wire

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

Observer = psycopg.Connection[tuple[object, ...]]


@contextmanager
def slow_commits(observer: Observer, prefix: str, event: str) -> Iterator[None]:
    """Let every transaction that inserts or deletes messages take more than half a second to commit."""
    names = {"message": Identifier(f"{prefix}agent_message"), "wait": Identifier(f"{prefix}wait")}
    function = "CREATE FUNCTION {wait}() RETURNS trigger LANGUAGE plpgsql AS {body}"
    trigger = (
        "CREATE CONSTRAINT TRIGGER slow AFTER {event} ON {message} DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION {wait}()"
    )
    body = Literal("BEGIN PERFORM pg_sleep(0.6); RETURN NULL; END")
    observer.execute(SQL(function).format(body=body, **names))
    observer.execute(SQL(trigger).format(event=SQL(event), **names))
    yield
    observer.execute(SQL("DROP FUNCTION {wait}() CASCADE").format(**names))


def of_all_sorts(bucket: Bucket) -> list[Message]:
    """Return messages that differ in all that can differ."""
    fields: list[Mapping[str, Any]] = [
        {"definition_id": "Other", "lane": "slow", "priority": Priority.HIGH},
        {"timeout": None, "max_retries": 0},
        {"metadata": {"tag": "é", "n": 1.5}, "data": {"text": "ü" * 5000}},
        {"key": "k"},
        {},
    ]
    states: list[Mapping[str, Any]] = [
        {},
        {"attempt": 7, "saved": True, "retries": 2, "crashes": 1, "suspect": True},
    ]
    return [make_message(bucket, make_job(**job), **state) for job in fields for state in states]


async def drained(agent: AgentRepository, bucket: Bucket) -> list[Message]:
    return sorted(await agent.messages.read_all(bucket.id, 1000), key=by_job)


def by_job(message: Message) -> int:
    return message.new.job.id.int


# Pushing


async def test_messages_of_all_sorts_come_back_as_they_were(agent: AgentRepository, bucket: Bucket) -> None:
    messages = of_all_sorts(bucket)

    await agent.messages.push(messages)

    assert await drained(agent, bucket) == sorted(messages, key=by_job)


async def test_messages_of_few_sorts_come_back_as_they_were(agent: AgentRepository, bucket: Bucket) -> None:
    new = [make_message(bucket, make_job(data={"n": n})) for n in range(40)]
    again = [make_message(bucket, attempt=3, saved=True, retries=2, suspect=True) for _ in range(40)]

    await agent.messages.push([*again, *new])

    assert await drained(agent, bucket) == sorted([*new, *again], key=by_job)


async def test_a_bulk_that_was_pushed_in_part_is_completed(agent: AgentRepository, bucket: Bucket) -> None:
    messages = [make_message(bucket) for _ in range(40)]
    await agent.messages.push(messages[10:30])

    await agent.messages.push(messages)

    assert await drained(agent, bucket) == messages


# Withdrawing


async def test_a_message_that_is_nearly_due_is_left(agent: AgentRepository, bucket: Bucket) -> None:
    message = make_message(bucket, delay=0.9)
    await agent.messages.push([message])

    assert await agent.messages.withdraw(bucket.id, [(message.new.job.id, 1)]) == frozenset()

    assert dict(await agent.buckets.holdings()) == {bucket.id: 1}


async def test_a_withdrawal_that_took_too_long_is_not_known_to_have_happened(
    agent: AgentRepository,
    bucket: Bucket,
    observer: Observer,
    options: Options,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(withdrawing, "MARGIN", 0)
    message = make_message(bucket, delay=0.5)
    with slow_commits(observer, options.table_prefix, "DELETE"):
        await agent.messages.push([message])

        with pytest.raises(StoreUnavailableError, match="became due meanwhile"):
            await agent.messages.withdraw(bucket.id, [(message.new.job.id, 1)])


async def test_an_owner_takes_what_was_due_when_it_began_to_read(
    agent: AgentRepository, bucket: Bucket, database: str, options: Options
) -> None:
    message = make_message(bucket, delay=0.2)
    statements = Statements(load_agent_queries("jobmaster_postgres", PostgresDialect(), options.table_prefix))
    place = {"ready_at": 0, "job_id": bucket.id, "limit": 9}
    (page,) = statements.messages(Query("bucket_page", {"bucket_id": bucket.id, **place}))
    with psycopg.connect(database) as reader:
        reader.execute("SELECT 1")
        await agent.messages.push([message])
        await until(lambda: agent.claims.due([bucket]))

        assert psycopg.RawCursor(reader).execute(page.text, page.values).fetchall() == []
        reader.rollback()
        assert len(psycopg.RawCursor(reader).execute(page.text, page.values).fetchall()) == 1


# Answers that get lost


@pytest.fixture
async def named_agent(database: str, options: Options) -> AsyncIterator[AgentRepository]:
    """Open an agent whose sessions can be told from others."""
    url = f"{database}{'&' if '?' in database else '?'}application_name={options.table_prefix}"
    async with open_agent("Postgres-1", url, options) as agent:
        yield agent


async def end_the_commit(observer: Observer, options: Options) -> None:
    """End the agent's session that commits slowly, once there is one."""
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = %s AND wait_event = 'PgSleep'"
    )
    await until(
        lambda: observer.execute(end, [options.table_prefix]).fetchall(), what="the commit to be under way"
    )


async def test_a_push_without_an_answer_is_not_repeated(
    named_agent: AgentRepository, observer: Observer, options: Options
) -> None:
    with slow_commits(observer, options.table_prefix, "INSERT"):
        async with anyio.create_task_group() as group:
            group.start_soon(end_the_commit, observer, options)
            with pytest.raises(StoreUnavailableError):
                await named_agent.messages.push([make_message(make_bucket())])

    assert dict(await named_agent.buckets.holdings()) == {}


async def test_a_withdrawal_without_an_answer_is_not_known_to_have_happened(
    named_agent: AgentRepository, observer: Observer, options: Options
) -> None:
    bucket = make_bucket()
    message = make_message(bucket, delay=60)
    await named_agent.messages.push([message])
    with slow_commits(observer, options.table_prefix, "DELETE"):
        async with anyio.create_task_group() as group:
            group.start_soon(end_the_commit, observer, options)
            with pytest.raises(StoreUnavailableError):
                await named_agent.messages.withdraw(bucket.id, [(message.new.job.id, 1)])


# Who owns a bucket


async def test_what_nobody_read_is_not_exposed(agent: AgentRepository, bucket: Bucket) -> None:
    await agent.messages.push([make_message(bucket)])

    assert list((await agent.claims.exposed(make_bucket(id=bucket.id, epoch=2), 10)).claims) == []


# The schema


async def test_the_script_provisions_a_fresh_database(every_database: str, options: Options) -> None:
    agent = unopened_agent("Postgres-1", every_database, options)
    with psycopg.connect(every_database) as connection:
        connection.execute(agent.schema.script())
    try:
        await agent.open()
        assert list(await agent.schema.pending()) == []
        assert await agent.fingerprint()
    finally:
        await agent.close()


async def test_a_database_without_an_agents_schema_is_reported_as_such(
    database: str, options: Options
) -> None:
    agent = unopened_agent("Postgres-1", database, options)
    try:
        await agent.open()
        with pytest.raises(SchemaError, match="jobmaster migrate"):
            await agent.messages.push([make_message(make_bucket())])
    finally:
        await agent.close()


def test_a_prefix_that_names_no_table_is_refused(database: str) -> None:
    with pytest.raises(ConfigurationError, match="table_prefix"):
        unopened_agent("Postgres-1", database, Options(table_prefix="Jobs-"))


# A server that is away


async def test_an_agent_that_is_not_there_was_pushed_nothing(options: Options) -> None:
    agent = unopened_agent("Postgres-1", "postgresql://ann:secret@127.0.0.1:1/jobs", options)
    try:
        with pytest.raises(StoreUnreachableError):
            await agent.messages.push([make_message(make_bucket())])
    finally:
        await agent.close()


async def test_a_push_that_failed_may_be_repeated(wired: str, wire: Wire, options: Options) -> None:
    async with open_agent("Postgres-1", wired, options) as agent:
        message = make_message(make_bucket())
        await agent.messages.push([message])
        wire.cut()
        for error in (StoreUnavailableError, StoreUnreachableError):
            with pytest.raises(error):
                await agent.messages.push([message])
        wire.connect()

        await agent.messages.push([message])

        assert list((await agent.buckets.holdings()).values()) == [1]
