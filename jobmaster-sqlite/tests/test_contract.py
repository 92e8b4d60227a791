"""SQLite passes the suite that defines a provider."""

from pathlib import Path

import pytest

from jobmaster.contracts import AgentRepository
from jobmaster.inline import InlineAgent
from jobmaster_testing.contracts import AgentContract, EndToEndContract, MasterContract
from jobmaster_testing.contracts.world import World


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """Return the URL of a file of the test's own."""
    return f"sqlite:///{tmp_path}/jobs.db"


class TestSqliteMaster(MasterContract):
    @pytest.fixture
    def store_url(self, store_url: str) -> str:
        return store_url


class TestSqliteAgent(AgentContract):
    @pytest.fixture
    def store_url(self, store_url: str) -> str:
        return store_url

    @pytest.fixture
    def agent(self, world: World) -> AgentRepository:
        return InlineAgent(world.master, world.cluster_id)


class TestSqliteEndToEnd(EndToEndContract):
    @pytest.fixture
    def store_url(self, store_url: str) -> str:
        return store_url
