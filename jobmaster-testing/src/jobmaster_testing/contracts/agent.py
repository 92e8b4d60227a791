"""Fixtures for the tests of an agent: the provider names its store, the rest follows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from jobmaster.contracts import AgentRepository
from jobmaster_testing.contracts.depot import Depot
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import World
from jobmaster_testing.options import Options, open_agent


class AgentTests(MasterTests, suite=True):
    """Base of the parts about an agent, next to any master.

    A provider overrides `agent_url`. The master is the in-memory one unless `store_url` is overridden too.
    """

    @pytest.fixture
    def store_url(self) -> str:
        """Return the URL of the master that the agent works with."""
        return f"memory://{uuid4().hex}"

    @pytest.fixture
    def agent_url(self) -> str:
        """Return the URL of the agent under test."""
        raise NotImplementedError(
            "override the fixture agent_url: it returns the URL of the agent under test"
        )

    @pytest.fixture
    def agent_name(self, world: World) -> str:
        """Return the agent's name in its cluster."""
        return f"Agent-{world.cluster_id[-8:]}"

    @pytest.fixture
    async def agent(
        self, agent_name: str, agent_url: str, store_options: Options
    ) -> AsyncIterator[AgentRepository]:
        """Open the agent through its provider's entry point."""
        async with open_agent(agent_name, agent_url, store_options) as agent:
            yield agent

    @pytest.fixture
    async def agent_peer(
        self, agent_name: str, agent_url: str, store_options: Options
    ) -> AsyncIterator[AgentRepository]:
        """Open the agent a second time, as another process does."""
        async with open_agent(agent_name, agent_url, store_options) as agent:
            yield agent

    @pytest.fixture
    def depot(self, world: World, agent: AgentRepository) -> Depot:
        """Return the agent with the test's own cluster."""
        return Depot(world, agent)
