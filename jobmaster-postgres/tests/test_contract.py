"""PostgreSQL passes the suite that defines a provider."""

import pytest

from jobmaster.contracts import AgentRepository
from jobmaster.inline import InlineAgent
from jobmaster_testing.contracts import AgentContract, EndToEndContract, MasterContract
from jobmaster_testing.contracts.world import World

pytestmark = pytest.mark.postgres


class TestPostgresMaster(MasterContract):
    @pytest.fixture
    def store_url(self, every_database: str) -> str:
        return every_database


class TestPostgresAgent(AgentContract):
    @pytest.fixture
    def store_url(self, every_database: str) -> str:
        return every_database

    @pytest.fixture
    def agent(self, world: World) -> AgentRepository:
        return InlineAgent(world.master, world.cluster_id)


class TestPostgresEndToEnd(EndToEndContract):
    @pytest.fixture
    def store_url(self, every_database: str) -> str:
        return every_database
