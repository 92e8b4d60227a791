"""Requirements for a master whose own rows are the buckets: `InlineAgent` over it is an agent."""
# ruff: noqa: D102, S101 - test names say it all; tests assert

from __future__ import annotations

import pytest

from jobmaster._flow.inline import InlineAgent
from jobmaster.contracts import AgentRepository, Backlog
from jobmaster_testing.contracts.agent import AgentTests
from jobmaster_testing.contracts.depot import Depot
from jobmaster_testing.contracts.world import World, room
from jobmaster_testing.factories import make_message


class InlineTests(AgentTests, suite=True):
    """Base of the parts about the agent of a standalone cluster. A provider overrides `store_url`."""

    @pytest.fixture
    def agent(self, world: World) -> AgentRepository:
        """Return the agent over the master under test."""
        return InlineAgent(world.master, world.cluster_id)


class InlineOnlyContract(InlineTests, suite=True):
    """What only an agent without its own messages can do, or does not need."""

    async def test_a_key_in_use_gives_the_job_that_has_it(self, depot: Depot) -> None:
        first, second = await depot.buckets(2)
        taken = await depot.push_one(first, key="k")

        [receipt] = await depot.agent.messages.push([make_message(second, depot.job(key="k"))])

        assert (receipt.job_id, receipt.created) == (taken.new.job.id, False)
        assert await depot.pull(second) == []

    async def test_a_pushed_job_is_on_the_master_at_once(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        message = await depot.push_one(bucket)

        assert (await depot.world.record(message.new.job)).bucket_id == bucket.id
        assert await depot.unsaved(bucket) == []
        assert await depot.backlog() == {bucket.id: Backlog(messages=1)}

    async def test_rows_of_the_master_are_no_messages(self, depot: Depot) -> None:
        bucket = await depot.bucket()
        job = await depot.world.put_one(delay=1)
        await depot.world.assign(room(bucket), ahead=30)

        assert list(await depot.agent.messages.read_all(bucket.id, 10)) == []
        assert list(await depot.agent.messages.find([job.id])) == []
        assert await depot.agent.messages.withdraw(bucket.id, [(job.id, 1)]) == frozenset()
        assert (await depot.world.record(job)).bucket_id == bucket.id
