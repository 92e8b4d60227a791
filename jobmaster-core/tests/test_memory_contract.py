"""The in-memory provider passes the same suite as every other."""

from uuid import uuid4

import pytest

from jobmaster.contracts import AgentRepository
from jobmaster.inline import InlineAgent
from jobmaster_testing.contracts import AgentContract, EndToEndContract, MasterContract
from jobmaster_testing.contracts.world import World


class TestMemoryMaster(MasterContract):
    @pytest.fixture
    def store_url(self) -> str:
        return f"memory://{uuid4().hex}"


class TestInlineAgent(AgentContract):
    @pytest.fixture
    def agent(self, world: World) -> AgentRepository:
        return InlineAgent(world.master, world.cluster_id)


class TestMemoryEndToEnd(EndToEndContract):
    @pytest.fixture
    def store_url(self) -> str:
        return f"memory://{uuid4().hex}"
