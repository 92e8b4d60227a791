"""What a message costs an agent, in statements and rows: counted, not timed, so that it cannot flicker."""

from collections import Counter

import psycopg
import pytest

from jobmaster.contracts import AgentRepository
from jobmaster.models import Bucket, Cursor
from jobmaster_testing.factories import make_message
from jobmaster_testing.options import Options
from jobmaster_testing.probes import until

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]

MANY = 1000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def statements(bucket: Bucket, statements: Counter[str]) -> Counter[str]:  # noqa: ARG001 - made before we count
    """Return a count of the statements that are sent once there is a bucket, by name."""
    return statements


async def test_a_message_is_one_statement_each_way(
    agent: AgentRepository, bucket: Bucket, statements: Counter[str]
) -> None:
    message = make_message(bucket)

    await agent.messages.push([message])
    await agent.messages.acknowledge(bucket, [(message.new.job.id, 1)])

    assert statements == {"message_add": 1, "message_remove": 1}


async def test_many_messages_are_one_statement_each_way(
    agent: AgentRepository, bucket: Bucket, statements: Counter[str]
) -> None:
    messages = [make_message(bucket) for _ in range(MANY)]

    await agent.messages.push(messages)
    await agent.messages.acknowledge(bucket, [(message.new.job.id, 1) for message in messages])

    assert statements == {"messages_alike": 1, "message_remove": 1}


async def test_a_repeated_push_looks_at_each_message(
    agent: AgentRepository, bucket: Bucket, statements: Counter[str]
) -> None:
    messages = [make_message(bucket) for _ in range(MANY)]

    await agent.messages.push(messages)
    await agent.messages.push(messages)

    assert statements == {"messages_alike": 2, "messages_add": 1}


async def test_jobs_that_trickle_in_share_a_write_to_claim(
    agent: AgentRepository, bucket: Bucket, statements: Counter[str]
) -> None:
    page = await agent.claims.pull(bucket, Cursor(), 100)
    statements.clear()
    for _ in range(5):
        await agent.messages.push([make_message(bucket)])
        page = await agent.claims.pull(bucket, page.cursor, 100)

    assert len(page.claims) == 5
    assert 1 <= statements.pop("bucket_claim_to") < 5
    assert statements == {"message_add": 5, "bucket_page": 5, "bucket_state": 5}


async def test_an_idle_owner_writes_nothing(
    agent: AgentRepository, bucket: Bucket, statements: Counter[str]
) -> None:
    cursor = (await agent.claims.pull(bucket, Cursor(), 100)).cursor  # the first page is looked at twice
    assert statements == {"bucket_page": 2, "bucket_state": 2}
    statements.clear()
    for _ in range(3):
        cursor = (await agent.claims.pull(bucket, cursor.anew(), 100)).cursor

    assert statements == {"bucket_page": 3, "bucket_state": 3}


async def test_a_message_is_a_row_that_comes_and_goes(
    agent: AgentRepository, bucket: Bucket, options: Options, observer: psycopg.Connection[tuple[object, ...]]
) -> None:
    messages = [make_message(bucket) for _ in range(MANY)]
    await agent.messages.push(messages)
    cursor, more = Cursor(), True
    while more:
        page = await agent.claims.pull(bucket, cursor, 300)
        cursor, more = page.cursor, page.more
    await agent.messages.acknowledge(bucket, [(message.new.job.id, 1) for message in messages])
    await agent.close()

    def written() -> dict[object, tuple[object, ...]]:
        found = observer.execute(
            "SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del FROM pg_stat_user_tables "
            "WHERE relname IN (%s, %s)",
            [f"{options.table_prefix}agent_{table}" for table in ("message", "bucket")],
        )
        return {str(name).rpartition("_")[2]: tuple(counts) for name, *counts in found}

    expected = {"message": (MANY, 0, 0, MANY), "bucket": (1, 4, 4, 0)}
    await until(lambda: written() == expected, what="the server's counts")
