"""SQLite passes the suite that defines a provider."""

from pathlib import Path

import pytest

from jobmaster_testing.contracts import AgentContract, EndToEndContract, InlineContract, MasterContract


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """Return the URL of a file of the test's own."""
    return f"sqlite:///{tmp_path}/jobs.db"


class TestSqliteMaster(MasterContract):
    @pytest.fixture
    def store_url(self, store_url: str) -> str:
        return store_url


class TestSqliteInlineAgent(InlineContract):
    @pytest.fixture
    def store_url(self, store_url: str) -> str:
        return store_url


class TestSqliteAgent(AgentContract):
    @pytest.fixture
    def agent_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/agent.db"


class TestSqliteAgentBesideItsMaster(AgentContract):
    @pytest.fixture
    def store_url(self, store_url: str) -> str:
        return store_url

    @pytest.fixture
    def agent_url(self, store_url: str) -> str:
        return store_url


class TestSqliteEndToEnd(EndToEndContract):
    @pytest.fixture
    def store_url(self, store_url: str) -> str:
        return store_url
