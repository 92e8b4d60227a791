"""Requirements for an agent's store: opening, provisioning, and telling it from others."""
# ruff: noqa: D102, S101 - test names say it all; tests assert

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import anyio
import pytest
from attrs import evolve

from jobmaster.contracts import AgentRepository
from jobmaster_testing.contracts.agent import AgentTests
from jobmaster_testing.contracts.base import needs
from jobmaster_testing.contracts.depot import Depot, job_ids, keys
from jobmaster_testing.contracts.notifications import NotificationsContract, Telling
from jobmaster_testing.contracts.store_schema import check_risks
from jobmaster_testing.factories import make_bucket, make_message
from jobmaster_testing.options import Options, open_agent, unopened_agent


class AgentSchemaContract(AgentTests, suite=True):
    """Opening, closing and provisioning an agent's store.

    Another store is one under another table prefix. A provider whose stores have no prefix overrides `other_agent_url`.
    """

    @pytest.fixture
    def fresh_options(self, store_options: Options) -> Options:
        """Return options under which the agent has no schema yet."""
        return evolve(store_options, table_prefix=f"t{uuid4().hex[:8]}_")

    @pytest.fixture
    def other_agent_url(self, agent_url: str) -> str:
        """Return the URL of another store of the same kind."""
        return agent_url

    @pytest.fixture
    async def other_agent(
        self, other_agent_url: str, fresh_options: Options
    ) -> AsyncIterator[AgentRepository]:
        """Open another agent."""
        async with open_agent("Other", other_agent_url, fresh_options) as agent:
            yield agent

    async def test_an_agent_has_the_name_it_was_given(self, agent: AgentRepository, agent_name: str) -> None:
        assert agent.name == agent_name

    async def test_an_agent_may_be_opened_again(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        await depot.push(bucket)

        await depot.agent.open()

        assert len(await depot.pull(bucket)) == 1

    async def test_an_agent_may_be_closed_again(self, agent_url: str, store_options: Options) -> None:
        async with open_agent("Agent", agent_url, store_options) as agent:
            await agent.close()
            await agent.close()

    async def test_an_agents_now_is_aware_utc_and_moves(self, depot: Depot) -> None:
        before = await depot.agent.now()

        await depot.tick()

        assert before.utcoffset() == timedelta(0)
        assert await depot.agent.now() > before

    async def test_messages_survive_the_repository(
        self, depot: Depot, agent_url: str, store_options: Options
    ) -> None:
        needs(depot.agent.capabilities.durable, "durable")
        bucket = make_bucket(cluster_id=depot.world.cluster_id)
        job = depot.job()
        async with open_agent("Agent", agent_url, store_options) as agent:
            fingerprint = await agent.fingerprint()
            await agent.buckets.create([bucket])
            await agent.messages.push([make_message(bucket, job)])
        async with open_agent("Agent", agent_url, store_options) as agent:
            assert await agent.fingerprint() == fingerprint
            assert [claim.job for claim in await Depot(depot.world, agent).pull(bucket)] == [job]

    async def test_an_agent_says_what_can_lose_messages_before_it_has_a_schema(
        self, agent: AgentRepository, agent_url: str, fresh_options: Options
    ) -> None:
        fresh = unopened_agent("Fresh", agent_url, fresh_options)
        await fresh.open()
        try:
            check_risks(await fresh.durability_risks())
            assert list(await fresh.durability_risks()) == list(await agent.durability_risks())
        finally:
            await fresh.close()

    async def test_an_agents_repr_does_not_show_the_url(self, agent: AgentRepository, agent_url: str) -> None:
        assert agent_url not in repr(agent)

    # Provisioning

    async def test_a_migrated_agent_has_nothing_pending(self, agent: AgentRepository) -> None:
        assert list(await agent.schema.pending()) == []
        assert list(await agent.schema.migrate()) == []

    async def test_an_agent_applies_what_was_pending(
        self, agent: AgentRepository, agent_url: str, fresh_options: Options
    ) -> None:
        needs(agent.capabilities.migrations, "migrations")
        fresh = unopened_agent("Fresh", agent_url, fresh_options)
        await fresh.open()
        try:
            pending = list(await fresh.schema.pending())
            assert pending
            assert list(await fresh.schema.migrate()) == pending
            assert list(await fresh.schema.pending()) == []
        finally:
            await fresh.close()

    async def test_several_processes_migrate_an_agent_once(
        self, agent: AgentRepository, agent_url: str, fresh_options: Options
    ) -> None:
        needs(agent.capabilities.migrations, "migrations")
        stores = [unopened_agent("Fresh", agent_url, fresh_options) for _ in range(3)]
        applied: list[str] = []

        async def migrate(store: AgentRepository) -> None:
            await store.open()
            applied.extend(await store.schema.migrate())

        try:
            async with anyio.create_task_group() as group:
                for store in stores:
                    group.start_soon(migrate, store)
            assert applied
            assert len(applied) == len(set(applied))
            assert len({await store.fingerprint() for store in stores}) == 1
        finally:
            for store in stores:
                await store.close()

    async def test_an_agents_migration_script_needs_no_connection(
        self, agent: AgentRepository, agent_url: str, fresh_options: Options
    ) -> None:
        needs(agent.capabilities.migrations, "migrations")

        script = unopened_agent("Fresh", agent_url, fresh_options).schema.script()

        assert fresh_options.table_prefix in script
        assert script.count(";") > 1

    # One store or another

    async def test_a_store_has_one_fingerprint_however_it_is_opened(
        self, agent: AgentRepository, agent_peer: AgentRepository
    ) -> None:
        fingerprint = await agent.fingerprint()

        assert fingerprint
        assert await agent.fingerprint() == fingerprint
        assert await agent_peer.fingerprint() == fingerprint

    async def test_another_store_has_another_fingerprint(
        self, agent: AgentRepository, other_agent: AgentRepository
    ) -> None:
        assert await agent.fingerprint() != await other_agent.fingerprint()

    async def test_agents_of_two_stores_share_nothing(
        self, depot: Depot, other_agent: AgentRepository
    ) -> None:
        bucket = await depot.bucket()
        message = await depot.push_one(bucket, delay=30)
        [key] = keys([message])

        assert dict(await other_agent.buckets.holdings()) == {}
        assert list(await other_agent.messages.read_all(bucket.id, 10)) == []
        assert list(await other_agent.messages.find([key[0]])) == []
        assert await other_agent.messages.withdraw(bucket.id, [key]) == frozenset()
        await other_agent.messages.acknowledge(bucket, [key])
        assert await other_agent.buckets.drop(bucket.id)

        assert job_ids(await depot.agent.messages.read_all(bucket.id, 10)) == [key[0]]
        assert await depot.holdings() == {bucket.id: 1}


class AgentNotificationsContract(AgentTests, NotificationsContract, suite=True):
    """Announcing and listening through an agent: the same requirements as for a master's notifications."""

    @pytest.fixture
    def teller(self, agent: AgentRepository) -> Telling:
        """Return the agent."""
        return agent

    @pytest.fixture
    def other_teller(self, agent_peer: AgentRepository) -> Telling:
        """Return a second opening of the agent."""
        return agent_peer
