"""The agent on SQLite: what the contract cannot reach."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from jobmaster.contracts import AgentRepository
from jobmaster.errors import SchemaError, StoreUnreachableError
from jobmaster.models import Bucket, Cursor
from jobmaster_sql import Answer, SqlClaimStore, Unit
from jobmaster_sqlite.agent import SqliteAgent
from jobmaster_testing.factories import make_bucket, make_job, make_message
from jobmaster_testing.options import Options, open_agent, unopened_agent
from jobmaster_testing.probes import until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def agent(url: str) -> AsyncIterator[AgentRepository]:
    async with open_agent("Sqlite-1", url) as agent:
        yield agent


@pytest.fixture
async def bucket(agent: AgentRepository) -> Bucket:
    bucket = make_bucket()
    await agent.buckets.create([bucket])
    return bucket


async def test_many_messages_of_all_sorts_come_back_as_they_were(
    agent: AgentRepository, bucket: Bucket
) -> None:
    messages = [
        make_message(
            bucket,
            make_job(
                data={"n": n, "text": "ü" * n}, timeout=None if n % 2 else 1.5, key=f"k{n}" if n % 3 else None
            ),
            attempt=1 + n % 4,
            saved=n % 2 == 0,
            retries=n % 3,
            crashes=n % 2,
            suspect=n % 5 == 0,
        )
        for n in range(400)
    ]

    await agent.messages.push(messages)

    assert list(await agent.messages.read_all(bucket.id, 1000)) == messages


async def test_a_message_that_is_nearly_due_is_left(agent: AgentRepository, bucket: Bucket) -> None:
    message = make_message(bucket, delay=0.9)
    await agent.messages.push([message])

    assert await agent.messages.withdraw(bucket.id, [(message.new.job.id, 1)]) == frozenset()

    assert dict(await agent.buckets.holdings()) == {bucket.id: 1}


async def test_an_owner_takes_what_was_due_when_it_began_to_read(
    agent: AgentRepository, bucket: Bucket
) -> None:
    assert isinstance(agent, SqliteAgent)
    assert isinstance(agent.claims, SqlClaimStore)
    await agent.messages.push([make_message(bucket, delay=0.05)])
    steps = next(agent.claims._find(bucket, Cursor(), 9, known=()))
    await until(lambda: agent.claims.due([bucket]))

    def read() -> Unit[list[Answer]]:
        answers: list[Answer] = yield steps
        return answers

    page, _ = await agent._driver.run(read, read_only=True)

    assert page.rows == []
    assert len((await agent.claims.pull(bucket, Cursor(), 9)).claims) == 1


async def test_what_nobody_read_is_not_exposed(agent: AgentRepository, bucket: Bucket) -> None:
    await agent.messages.push([make_message(bucket)])

    assert list((await agent.claims.exposed(make_bucket(id=bucket.id, epoch=2), 10)).claims) == []


# The schema


async def test_the_script_provisions_a_fresh_file(url: str, path: Path) -> None:
    agent = unopened_agent("Sqlite-1", url, Options(table_prefix="my_"))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(agent.schema.script())
    try:
        await agent.open()
        assert list(await agent.schema.pending()) == []
        assert await agent.fingerprint()
    finally:
        await agent.close()


async def test_a_file_without_an_agents_schema_is_reported_as_such(url: str) -> None:
    agent = unopened_agent("Sqlite-1", url)
    try:
        await agent.open()
        with pytest.raises(SchemaError, match="jobmaster migrate"):
            await agent.messages.push([make_message(make_bucket())])
    finally:
        await agent.close()


# A file that is away


async def test_a_push_that_never_got_the_lock_did_not_happen(
    agent: AgentRepository, bucket: Bucket, url: str, path: Path
) -> None:
    async with open_agent("Sqlite-1", url, Options(store_timeout=0.2)) as hasty:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnreachableError):
                await hasty.messages.push([make_message(bucket)])

    assert dict(await agent.buckets.holdings()) == {}


async def test_a_file_that_cannot_be_opened_was_pushed_nothing(url: str, path: Path) -> None:
    agent = unopened_agent("Sqlite-1", url, Options(store_timeout=0.2))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("CREATE TABLE t (a)")
        try:
            with pytest.raises(StoreUnreachableError):
                await agent.messages.push([make_message(make_bucket())])
        finally:
            await agent.close()
