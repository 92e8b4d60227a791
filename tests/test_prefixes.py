"""Installations whose prefixes begin alike stay apart in one database: they share nothing, or the second is refused."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest

from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.errors import SchemaError
from jobmaster.models import JobQuery, NewJob
from jobmaster_sql import Migration, load_migrations
from jobmaster_testing.factories import CLUSTER, make_bucket, make_job, make_message
from jobmaster_testing.options import Options, open_agent, open_master
from jobmaster_testing.servers import postgres_url

pytestmark = pytest.mark.anyio

_NAMES: Final = re.compile(r"(?:TABLE|INDEX|VIEW) \{prefix\}(\w+)")
FIRST: Final = "jm_"


def names_of(migrations: Iterable[Migration]) -> set[str]:
    """Return the names of all that migrations make, without the prefix, and of what PostgreSQL makes for it."""
    made = {name for migration in migrations for name in _NAMES.findall(migration.text)}
    return made | {f"{name}{end}" for name in made for end in ("_pkey", "_id_seq")} | {"news"}


def names_in(provider: str) -> set[str]:
    agents = names_of(load_migrations(provider, "agent_migrations"))
    return names_of(load_migrations(provider)) | {f"agent_{name}" for name in agents}


def colliding(provider: str) -> list[str]:
    """Return every end of a prefix with which some name is another one's, after the same beginning."""
    names = names_in(provider)
    ends = {a.removesuffix(b) for a in names for b in names if a != b and a.endswith(b)}
    return sorted(end for end in ends if len(FIRST + end) <= 21)


PAIRS: Final = sorted({*colliding("jobmaster_sqlite"), *colliding("jobmaster_postgres"), "x", "_", "job_"})


def test_the_pairs_are_known() -> None:
    """The one that people would choose is among them."""
    assert "agent_" in PAIRS


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    schema, server = f"prefixes_{uuid4().hex[:10]}", postgres_url()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
    return urlunsplit(urlsplit(server)._replace(query=f"schema={schema}"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # names do not depend on it


class Installation:
    """A master and an agent with one prefix, as far as they were not refused."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url, self._options = url, Options(table_prefix=prefix)
        self.refusals: list[str] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[MasterRepository | None, AgentRepository | None]]:
        async with AsyncExitStack() as stack:
            master = agent = None
            try:
                master = await stack.enter_async_context(open_master(self._url, self._options))
            except SchemaError as error:
                self.refusals.append(str(error))
            try:
                agent = await stack.enter_async_context(open_agent("Agent-1", self._url, self._options))
            except SchemaError as error:
                self.refusals.append(str(error))
            yield master, agent

    async def use(self) -> Sequence[int]:
        """Store something where it is possible; return how much each holds."""
        held = []
        async with self.opened() as (master, agent):
            if master is not None:
                await master.jobs.insert([NewJob(job=make_job())])
                held.append(sum((await master.jobs.count(CLUSTER, JobQuery())).values()))
            if agent is not None:
                await agent.messages.push([make_message(make_bucket())])
                held.append(sum((await agent.buckets.holdings()).values()))
        return held


@pytest.mark.parametrize("turned", [False, True], ids=["short-first", "long-first"])
@pytest.mark.parametrize("end", PAIRS)
async def test_prefixes_that_begin_alike_stay_apart(url: str, end: str, turned: bool) -> None:
    prefixes = [FIRST, FIRST + end]
    first, second = (Installation(url, prefix) for prefix in (reversed(prefixes) if turned else prefixes))
    rounds = count(1)
    assert list(await first.use()) == [next(rounds)] * 2

    held = await second.use()

    assert all(each == 1 for each in held)
    assert len(held) + len(second.refusals) == 2
    assert all("Choose another table_prefix" in refusal for refusal in second.refusals)
    if end == "agent_":
        assert not second.refusals
    assert list(await first.use()) == [next(rounds)] * 2
    assert list(await second.use()) == [2] * len(held)
    assert not first.refusals
